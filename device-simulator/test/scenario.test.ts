import { describe, expect, test } from 'vitest'
import { parseScenario, ScenarioError } from '../scenario/load.ts'
import { parseThreshold } from '../scenario/threshold.ts'

function problemsOf(text: string, environment: Record<string, string> = {}): string[] {
  try {
    parseScenario(text, 'x.yaml', environment)
  } catch (error) {
    expect(error).toBeInstanceOf(ScenarioError)
    return (error as ScenarioError).message.split('\n')
  }
  return []
}

const publication = '{ topic: a, every: 1s, payload: { fields: { t: 1 } } }'

describe('scenario files', () => {
  test('a small scenario is filled with defaults', () => {
    const scenario = parseScenario(`name: x\ngroups: { s: { count: 2, publications: [${publication}] } }`, 'x.yaml')
    const group = scenario.groups['s']!
    expect(group).toMatchObject({
      count: 2,
      clientId: '{group}-{index}',
      protocol: '5.0',
      session: 'clean',
      keepAlive: 30_000,
    })
    expect(group.publications[0]).toMatchObject({ every: 1000, qos: 0, arrivals: 'regular' })
    expect(group.publications[0]!.payload.fields).toEqual({ t: { type: 'constant', value: 1 } })
  })

  test('an unknown key is named with its place and the key that was meant', () => {
    expect(problemsOf(`name: x\ngroups:\n  s:\n    cuont: 3\n`)).toEqual([
      'x.yaml:4:5: groups.s.cuont: unknown key "cuont": did you mean "count"?',
    ])
  })

  test('an unknown key inside a generator is looked for among the keys of its type', () => {
    const [problem] = problemsOf(
      `name: x
groups:
  s:
    publications:
      - topic: a
        every: 1s
        payload: { fields: { t: { type: random-walk, step: 1, revresion: 0.1 } } }
`,
    )
    expect(problem).toMatch(/^x.yaml:7:63: .*unknown key "revresion": did you mean "reversion"\?$/)
  })

  test('an unknown type lists the types and the nearest', () => {
    const [problem] = problemsOf(`name: x\ngroups: { s: {} }\nfaults:\n  - type: flaky-wfi\n`)
    expect(problem).toMatch(
      /^x.yaml:4:11: faults.0.type: expected a fault type: flaky-wifi, .*did you mean "flaky-wifi"\?$/,
    )
  })

  test.each([
    ['every: 0.5ms', /impossible rate: expected an interval of at least 1ms/],
    ['rate: 2000000', /expected number to be <=1000000/],
    ['rate: 200000', /impossible rate: expected at most 100000/],
    ['every: soon', /expected a duration such as 250ms/],
    ['every: 1s, rate: 3', /expected either every: .* or rate:/],
    ['qos: 3, every: 1s', /expected QoS 0, 1 or 2/],
    ['every: 1s, topic: a/#', /expected a topic name/],
  ])('a publication with %s is refused', (keys, expected) => {
    const topic = keys.includes('topic') ? '' : 'topic: a, '
    const [problem] = problemsOf(
      `name: x\ngroups:\n  s:\n    publications:\n      - { ${topic}${keys}, payload: { fields: { t: 1 } } }\n`,
    )
    expect(problem).toMatch(/^x.yaml:5:\d+: /)
    expect(problem).toMatch(expected)
  })

  test('names that name nothing are found after the shape is right', () => {
    const problems = problemsOf(
      'name: x\ngroups: { sensors: {} }\nstages: [{ type: hold, duration: 1s, groups: [sensor] }]\nfaults: [{ type: flaky-wifi, groups: [x] }]\n',
    )
    expect(problems[0]).toMatch(
      /^x.yaml:3:47: stages.0.groups.0: no group is called "sensor": did you mean "sensors"\?$/,
    )
    expect(problems[1]).toMatch(/no group is called "x": expected one of sensors/)
  })

  test('broken YAML names the line', () => {
    expect(problemsOf('name: x\ngroups: [\n')[0]).toMatch(/^x.yaml:[23]:\d+: /)
  })

  test('the environment fills names in braces, and a missing one is an error with its place', () => {
    const text = `name: \${WHO:-nobody}\nbrokers: { main: "\${URL}" }\ngroups: { s: {} }\n`
    expect(parseScenario(text, 'x.yaml', { URL: 'mqtt://h:1' })).toMatchObject({
      name: 'nobody',
      brokers: { main: { url: 'mqtt://h:1' } },
    })
    expect(problemsOf(text)[0]).toMatch(/^x.yaml:2:18: brokers.main: the environment has no URL/)
  })

  test('an unquoted protocol 5.0 is understood', () => {
    expect(parseScenario('name: x\ngroups: { s: { protocol: [3.1.1, 5.0] } }', 'x.yaml').groups['s']!.protocol).toEqual(
      ['3.1.1', '5.0'],
    )
  })
})

describe('thresholds', () => {
  test('compare a figure with a number or a duration', () => {
    expect(parseThreshold('latency.endToEnd.p99 < 0.5s')).toMatchObject({
      metric: 'latency.endToEnd.p99',
      operator: '<',
      limit: 500,
    })
    expect(parseThreshold('lost==0')).toMatchObject({ metric: 'lost', operator: '==', limit: 0 })
  })

  test.each(['lots < 3', 'lost ~ 3', 'latency.endToEnd.p98 < 1', 'lost < many'])('%s is refused', (text) => {
    expect(parseThreshold(text)).toMatch(/^expected /)
  })
})
