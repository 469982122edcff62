/** The program as users start it: its exit codes, what it says about mistakes, the quick form, the metrics. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import { resolveTask, translateArguments, UsageError } from '../cli.ts'
import { Layout } from '../layout.ts'
import { preflight } from '../preflight.ts'
import type { Summary } from '../report/summary.ts'
import { Tally } from '../report/tally.ts'
import { parseScenario } from '../scenario/load.ts'
import { panelLines, sparkline } from '../view/view.ts'
import { runTimeoutMs } from './simulate.ts'

const main = fileURLToPath(new URL('../main.ts', import.meta.url))
let folder: string
let gateway: Broker

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-program-'))
  gateway = await openBroker('gateway', { gateway: { arguments: [] } }, false)
})
afterAll(async () => {
  await gateway.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

function start(parameters: readonly string[]): {
  child: ChildProcess
  outcome: Promise<Outcome>
  lines: (text: RegExp) => Promise<string>
} {
  const child = spawn(process.execPath, [main, ...parameters], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  const watchers: (() => void)[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk
    for (const watch of watchers) watch()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk
  })
  const outcome = new Promise<Outcome>((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })))
  const lines = (text: RegExp): Promise<string> =>
    new Promise((resolve) => {
      const watch = (): void => {
        const match = text.exec(stdout)
        if (match !== null) resolve(match[1] ?? match[0])
      }
      watchers.push(watch)
      watch()
    })
  return { child, outcome, lines }
}

const simulate = (...parameters: string[]): Promise<Outcome> => start(parameters).outcome

describe('the program', () => {
  test('the quick form runs, writes its reports and ends with 0', async () => {
    const { code, stdout } = await simulate(
      ...['-c', '5', '-i', '20', '-im', '50', '-t', 'quick/%i', '-q', '1', '-L', '100', '-S', '64', '--seed', '3'],
      ...['--broker', gateway.url, '--json', 'out.json', '--html', 'out.html'],
    )
    const summary: Summary = JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8'))
    // A busy machine may make the generator late, which is said and ends with 99; nothing else may go wrong.
    expect(code).toBe(summary.generator.lagged ? 99 : 0)
    expect(summary.counters).toMatchObject({ sent: 100, acknowledged: 100, received: 100 })
    expect(summary).toMatchObject({ seed: 3, devices: 6, verdict: { expected: 100, violations: 0 } })
    // The limit ends the run long before its 30 seconds.
    expect(summary.durationSeconds).toBeLessThan(20)
    expect(readFileSync(join(folder, 'out.html'), 'utf8')).toMatch(/^<!doctype html>/)
    for (const line of stdout.split('\n').filter((text) => text.startsWith('{')))
      expect(() => JSON.parse(line)).not.toThrow()
    expect(stdout).toContain('contract kept')
  })

  test.each([
    [['no-such-file.yaml'], /there is no file no-such-file.yaml/],
    [['smart-hom'], /did you mean "smart-home"\?/],
    [['--duration', 'soon'], /expected a duration such as 30s/],
    [['-q', '3'], /expected a QoS: a whole number from 0 to 2/],
    [['--broker', 'http://x'], /expected a URL that begins with mqtt:\/\//],
    [['--frobnicate'], /unknown option '--frobnicate'/],
    [['broken.yaml'], /broken.yaml:3:5: groups.s.cuont: unknown key "cuont": did you mean "count"\?/],
    [['missing.yaml'], /can't read nothing.csv/],
    [
      ['typo.yaml', '--check'],
      /typo.yaml:3:\d+: groups.s.clientId: no variable is called "\{indx\}": did you mean "\{index\}"\?/,
    ],
    [['same.yaml', '--start-number', '5'], /group s has the client id "fixed" in every process: put \{index\}/],
    [['smart-home', '-t', 'x/%i', '--no-clean'], /--topic, --no-clean: of the quick form, which has no scenario/],
    [['-c', '1', '--json', 'no/such/folder.json'], /--json no\/such\/folder.json: can't be written \(ENOENT\)/],
    [['--broker', 'http://me:secret@x'], /--broker http:\/\/x: expected a URL/],
    [['smart-home', '--broker', 'mqtt://127.0.0.1:1'], /can't be reached \(ECONNREFUSED\)/],
  ])('%j ends with 2 and says why', async (parameters, message) => {
    writeFileSync(join(folder, 'broken.yaml'), 'name: x\ngroups: { s:\n  { cuont: 3 } }\n')
    writeFileSync(join(folder, 'typo.yaml'), 'name: x\ngroups: { s:\n  { clientId: "s-{indx}" } }\n')
    writeFileSync(join(folder, 'same.yaml'), 'name: x\ngroups: { s: { clientId: fixed } }\n')
    writeFileSync(
      join(folder, 'missing.yaml'),
      `name: x\nbrokers: { main: "${gateway.url}" }\ngroups: { s: { publications: [{ topic: a, every: 1s, payload: { fields: { v: { type: replay, file: nothing.csv } } } }] } }\n`,
    )
    const { code, stderr } = await simulate(...parameters)
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/at .*\.ts:\d+/)
    expect(code).toBe(2)
  })

  test('with --json - standard output is JSON lines and nothing else, and credentials in a URL are shown nowhere', async () => {
    const url = gateway.url.replace('//', '//pump:s3cret-word@')
    const { stdout, stderr } = await simulate(
      '-c',
      '2',
      '-i',
      '10',
      '-im',
      '50',
      '-L',
      '10',
      '--broker',
      url,
      '--json',
      '-',
    )
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.at(-1).summary).toMatchObject({ conclusion: 'kept', counters: { sent: 10 } })
    expect(stderr).toContain('contract kept')
    expect(stdout + stderr).not.toContain('s3cret-word')
  })

  test('interrupted with SIGINT it prints the summary and ends with 130; meanwhile it serves metrics', async () => {
    const { child, outcome, lines } = start([
      'smart-home',
      '--broker',
      gateway.url,
      '--metrics-port',
      '0',
      '--json',
      'cut.json',
    ])
    const url = await lines(/metrics at (http:\S+?)"/)
    await lines(/"sent":[1-9]/)
    const metrics = await (await fetch(url)).text()
    expect(metrics).toMatch(/^mqtide_simulator_devices 82$/m)
    expect(metrics).toMatch(/^mqtide_simulator_sent_total [1-9]\d*$/m)
    expect(metrics).toMatch(/^mqtide_simulator_latency_seconds\{kind="connect",quantile="0.99"\} [\d.e-]+$/m)
    child.kill('SIGINT')
    const { code, stdout } = await outcome
    expect(stdout).toContain('exit code 130 (interrupted)')
    expect(JSON.parse(readFileSync(join(folder, 'cut.json'), 'utf8'))).toMatchObject({
      interrupted: true,
      exitCode: 130,
    })
    expect(code).toBe(130)
  })

  test("MQTTX's simulate modules run unchanged, deterministic for the seed", async () => {
    writeFileSync(
      join(folder, 'mqttx.js'),
      `const generator = (faker, options) => ({
         topic: 'mx/' + options.clientId,
         message: JSON.stringify({ id: options.clientId, v: Math.random() }),
       })
       module.exports = { name: 'x', author: 'y', generator }\n`,
    )
    const run = async (): Promise<Summary> => {
      const name = 'module.json'
      await simulate(
        '-f',
        'mqttx.js',
        '-c',
        '2',
        '-i',
        '1',
        '-im',
        '100',
        '-L',
        '10',
        '-t',
        'mx/%c',
        '-q',
        '1',
        '--seed',
        '9',
        '--broker',
        gateway.url,
        '--json',
        name,
      )
      return JSON.parse(readFileSync(join(folder, name), 'utf8'))
    }
    const [first, second] = [await run(), await run()]
    expect(first).toMatchObject({ counters: { sent: 10, received: 10 }, verdict: { expected: 10, violations: 0 } })
    expect(second.counters.sentBytes).toBe(first.counters.sentBytes)
  })
})

describe('a module that fails', () => {
  test('ends its publication, not the run, and the summary names it', async () => {
    writeFileSync(
      join(folder, 'bad.mjs'),
      `let n = 0\nexport function generator() { if (++n > 3) throw new Error('out of ideas'); return 'x' }\n`,
    )
    const { code, stdout } = await simulate(
      '-f',
      'bad.mjs',
      '-c',
      '1',
      '-i',
      '1',
      '-im',
      '50',
      '-t',
      'bad/%i',
      '--duration',
      '1s',
      '--broker',
      gateway.url,
    )
    expect(stdout).toContain("bad/0: the payload can't be made: out of ideas")
    expect(stdout).toContain('1 publications ended because their payload could not be made')
    expect(stdout).toContain('sent 3 ')
    expect(code).toBe(99)
  })
})

describe('options', () => {
  test('two-letter options become long ones, and hostname and port a URL', () => {
    expect(translateArguments(['-im', '5', '-sc', 'tesla'])).toEqual(['--message-interval', '5', '--scenario', 'tesla'])
    const { scenario } = resolveTask(undefined, { count: 7, hostname: 'h', port: 99, qos: 2 }, {})
    expect(scenario.brokers).toEqual({ default: { url: 'mqtt://h:99' } })
    expect(scenario.groups['devices']).toMatchObject({
      count: 7,
      publications: [{ topic: 'bench/%i', qos: 2, every: 1000 }],
    })
    expect(scenario.groups['consumer']!.subscriptions[0]).toMatchObject({ filter: 'bench/+', qos: 2 })
  })

  test("MQTTX's scenario names mean the ones that come along", () => {
    expect(resolveTask('tesla', {}, {}).scenario.name).toBe('vehicle-fleet')
    expect(resolveTask('IEM', {}, {}).scenario.name).toBe('factory')
    expect(() => resolveTask('nonsense', {}, {})).toThrow(UsageError)
  })

  test('--devices scales the groups that speak, --duration the stages between ramp and drain', () => {
    const { scenario } = resolveTask('smart-home', { devices: 800, duration: 5000 }, {})
    expect(Object.values(scenario.groups).map(({ count }) => count)).toEqual([600, 200, 1, 1])
    expect(scenario.stages?.map(({ duration }) => duration)).toEqual([3000, 5000, 10_000])
  })
})

describe('before the run', () => {
  const layout = new Layout(parseScenario('name: x\ngroups: { s: { count: 30000 } }', 'x'), 0)
  const urls = new Map([['default', 'mqtt://127.0.0.1:1883']])

  test('too few file descriptors and ports are found, with the commands that help', () => {
    const machine = { descriptors: 1024, descriptorsHard: 20_000, ports: [32_768, 60_999] as const }
    const [files, ports] = preflight(machine, { layout, urls, localAddresses: undefined })
    expect(files).toBe(
      '30000 devices need 30064 open files, this process may have 1024: the hard limit is 20000; ' +
        'run as root: ulimit -Hn 30064 && ulimit -n 30064, or use 2 processes with --devices and --start-number',
    )
    expect(ports).toMatch(/30000 devices to 127.0.0.1:1883 need as many local ports, there are 28232/)
    expect(ports).toMatch(/sysctl -w net.ipv4.ip_local_port_range="1024 65535"/)
    expect(ports).toMatch(/localAddresses: \[127.0.0.1, 127.0.0.2\]/)
  })

  test('a machine with room has nothing to say; a soft limit alone is raised with ulimit', () => {
    const roomy = { descriptors: 100_000, descriptorsHard: 100_000, ports: [1024, 65_535] as const }
    expect(preflight(roomy, { layout, urls, localAddresses: undefined })).toEqual([])
    const soft = { descriptors: 1024, descriptorsHard: 100_000, ports: undefined }
    expect(preflight(soft, { layout, urls, localAddresses: undefined })).toEqual([
      '30000 devices need 30064 open files, this process may have 1024: run: ulimit -n 30064',
    ])
  })
})

describe('the terminal view', () => {
  test('shows stage, rates, latency and verdict within the width of the terminal', () => {
    const tally = new Tally(10)
    tally.counters.sent = 1234
    tally.counters.duplicatesSeen = 2
    const second = {
      seconds: 7,
      stage: 'hold',
      online: 9,
      sentPerSecond: 50,
      receivedPerSecond: 49,
      pending: 3,
      p50: 1,
      p99: 2,
      faults: ['delay'],
    }
    const state = { name: 'demo', stage: 'hold', stageShare: 0.5, stagesLeft: 1, second, tally, devices: 10 }
    const lines = panelLines(state, [0, 10, 50], [1, 2, 2], 80)
    expect(lines.every((line) => line.length <= 80)).toBe(true)
    expect(lines.join('\n')).toMatch(/stage +hold +█{15}░{15} 1 to come\nfaults +delay/)
    expect(lines.join('\n')).toMatch(/9 of 10 online/)
    expect(lines.join('\n')).toMatch(/2 duplicates, 0 out of order/)
    expect(sparkline([0, 5, 10])).toBe('▁▄█')
  })
})
