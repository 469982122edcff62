import { describe, expect, it } from 'vitest'
import { rewritesOf } from '../../src/config/rewrite.ts'
import { explainRewritten } from '../../src/config/rewritten-question.ts'
import { type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'

const faults = (options: GatewayOptions): string => {
  try {
    parseGatewayOptions(options)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

describe('rules of rewriting in a configuration', () => {
  it('are for both, but for publish alone where there are several targets or a queue is one', () => {
    const { default: rules, lab } = rewritesOf(
      parseGatewayOptions({
        rewrite: [
          { from: 'a', to: 'b' },
          { from: 'c', to: '$queue/c' },
          { from: 'd', to: [{ topic: 'e', weight: 3 }, { topic: 'f' }], chooseBy: 'publisher' },
          { from: 'g', to: 'h', on: 'subscribe' },
        ],
        namespaces: { lab: { rewrite: [{ from: 'x', to: 'y' }] }, default: { rewrite: [{ from: 'p', to: 'q' }] } },
      }),
    )
    expect(rules!.map(({ from, on }) => `${from} ${on}`)).toEqual([
      'a both',
      'c publish',
      'd publish',
      'g subscribe',
      'p both',
    ])
    expect(rules![2]).toMatchObject({
      to: [
        { topic: 'e', weight: 3 },
        { topic: 'f', weight: 1 },
      ],
      chooseBy: 'publisher',
    })
    expect(lab).toMatchObject([{ from: 'x', to: [{ topic: 'y', weight: 1 }] }])
  })

  it('are refused with the place of what is wrong, in a namespace too', () => {
    expect(faults({ rewrite: [{ from: 'a/{x}', to: 'b/{y}' }] })).toMatch(/rewrite\.0\.to.*\{y\} is not in from/)
    expect(faults({ rewrite: [{ from: 'a', to: [] }] })).toMatch(/rewrite\.0\.to/)
    expect(
      faults({
        rewrite: [
          { from: 'a', to: 'b', on: 'both' },
          { from: 'c', to: [{ topic: 'd' }, { topic: 'e' }], on: 'both' },
        ],
      }),
    ).toMatch(/rewrite\.1\.on.*several targets/)
    const circle = [
      { from: 'a/{x}', to: 'b/{x}' },
      { from: 'b/{x}', to: 'a/{x}' },
    ]
    expect(faults({ namespaces: { lab: { rewrite: circle } } })).toMatch(
      /namespaces\.lab\.rewrite\.0\.to.*makes a loop/,
    )
    expect(faults({ rewrite: circle.slice(0, 1), namespaces: { default: { rewrite: circle.slice(1) } } })).toMatch(
      /namespaces\.default\.rewrite\.0\.to.*makes a loop/,
    )
    expect(faults({ rewrite: circle.slice(0, 1), namespaces: { lab: { rewrite: circle.slice(1) } } })).toBe('')
  })

  it('decide which topic rights are asked for', () => {
    const config = parseGatewayOptions({
      rewrite: [
        { from: 'o/{x}', to: [{ topic: 'v1/{x}' }, { topic: 'v2/{x}' }] },
        { from: 'a/{x}', to: 'b/{x}' },
      ],
      namespaces: { lab: { exports: [{ filter: '#', to: 'default', prefix: 'a/' }] } },
    })
    const judge = ({ topic = '' }: { topic?: string }) => ({ allowed: !topic.startsWith('v2'), because: topic })
    const explain = (topic: string) => explainRewritten(config, 'default', { action: 'publish', topic }, judge)
    expect(explain('o/1')).toEqual({ allowed: false, because: 'v2/1 (rewritten to v1/1, v2/1)' })
    expect(explain('v1/1')).toEqual({ allowed: true, because: 'v1/1' })
    // What another namespace exports is not rewritten.
    expect(explain('a/1')).toEqual({ allowed: true, because: 'a/1' })
  })
})
