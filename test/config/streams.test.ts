import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { consumedOf } from '../../src/config/consumed-of.ts'
import { configJsonSchema, type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'
import { changedStreamFilters, streamsOf } from '../../src/config/streams.ts'
import { declaredStreamsMax, defaultStreamDefinition } from '../../src/core/logs/stream-definition.ts'

/** The lines of the error that `options` cause. */
function faults(options: GatewayOptions): string[] {
  try {
    parseGatewayOptions(options)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

const declared = (options: GatewayOptions) => streamsOf(parseGatewayOptions(options))
const ofStream = (stream: object): string[] => faults({ streams: { meters: { filter: 'meters/#', ...stream } } })

describe('streams in a configuration', () => {
  it('have every default of the core, and keep what is said', () => {
    const [meters, day] = declared({
      streams: {
        meters: { filter: 'meters/#' },
        day: { filter: '#', startAt: 'earliest', retention: { ageMs: 86_400_000, messagesMax: 0 } },
      },
    })
    expect(meters).toEqual({
      ...{ namespace: 'default', name: 'meters' },
      definition: { ...defaultStreamDefinition, filter: 'meters/#' },
    })
    expect(day!.definition).toEqual({
      ...{ filter: '#', startAt: 'earliest' },
      retention: { ...defaultStreamDefinition.retention, ageMs: 86_400_000 },
    })
  })

  it('belong to a namespace, and may be called as a queue is', () => {
    const one = { a: { filter: 'a' } }
    const both = declared({ streams: one, queues: { a: {} }, namespaces: { plant: { streams: one } } })
    expect(both.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual(['default/a', 'plant/a'])
    expect(faults({ streams: one, namespaces: { default: { streams: one } } })).toEqual([
      'namespaces.default.streams.a: the stream a is declared under streams already',
    ])
  })

  it.each([
    ['no filter', { filter: undefined }, /streams\.meters\.filter: expected a text/],
    ['a filter that is none', { filter: 'a/#/b' }, /streams\.meters\.filter: expected a topic filter/],
    ['a filter of $SYS', { filter: '$SYS/#' }, /filter.*does not begin with \$/],
    ['a shared filter', { filter: '$share/g/a' }, /filter.*does not begin with \$/],
    ['a time of half a second', { retention: { ageMs: 500 } }, /ageMs: expected 0, or a whole number from 1000/],
    ['room for a byte', { retention: { bytesMax: 1 } }, /bytesMax: expected 0, or a whole number from 65536/],
    ['room for one message', { retention: { messagesMax: 1 } }, /messagesMax: expected 0, or a whole number from 256/],
    ['less than no time', { retention: { ageMs: -1 } }, /ageMs/],
    ['no retention', { retention: null }, /retention: expected ageMs, bytesMax and messagesMax/],
    ['a start that is none', { startAt: 'yesterday' }, /startAt: expected earliest, latest, last/],
    ['a start at an offset', { startAt: 'offset:7' }, /startAt/],
    ['a name that is none of its own', { filters: 'a' }, /streams\.meters\.filters: .*did you mean filter/],
    ['a misspelt limit', { retention: { agesMs: 1000 } }, /retention\.agesMs: .*did you mean ageMs/],
  ])('are refused with %s', (_what, stream, expected) => {
    expect(ofStream(stream).join()).toMatch(expected)
  })

  it.each(['earliest', 'latest', 'last', '-1h', '2026-11-22T01:00Z', '1763800000000000'])(
    'may begin at %s',
    (startAt) => {
      expect(ofStream({ startAt })).toEqual([])
    },
  )

  it('have names as queues have, and are not too many', () => {
    for (const name of ['a', '0', 'a-b.c_d']) expect(faults({ streams: { [name]: { filter: 'a' } } })).toEqual([])
    for (const name of ['', '-a', 'a/b', 'a@b', 'x'.repeat(201), '+', '#']) {
      expect(faults({ streams: { [name]: { filter: 'a' } } }).join()).toMatch(/^streams/)
    }
    const streams = Object.fromEntries(
      Array.from({ length: declaredStreamsMax + 1 }, (_, i) => [`s${i}`, { filter: 'a' }]),
    )
    expect(faults({ streams })).toEqual([
      `streams: expected at most ${declaredStreamsMax} streams, got ${declaredStreamsMax + 1}`,
    ])
  })

  it('stand in the JSON Schema', () => {
    const schema = JSON.stringify(configJsonSchema())
    for (const name of ['startAt', 'retention', 'ageMs']) expect(schema).toContain(name)
  })
})

describe('a reload', () => {
  it('takes everything of streams but another filter of one that is there', () => {
    const config = (streams: GatewayOptions['streams']) =>
      parseGatewayOptions({ streams, namespaces: { plant: { streams } } })
    const before = config({ a: { filter: 'a' }, b: { filter: 'b' } })
    const same = config({ a: { filter: 'a', startAt: 'earliest' }, new: { filter: 'n' } })
    expect(changedStreamFilters(before, same)).toEqual([])
    const names = ['streams.a.filter', 'namespaces.plant.streams.a.filter']
    expect(changedStreamFilters(before, config({ a: { filter: 'c' }, b: { filter: 'b' } }))).toEqual(names)
  })
})

describe('a subscription below $stream/', () => {
  const config = parseGatewayOptions({
    streams: { meters: { filter: 'meters/#' } },
    namespaces: { plant: { streams: { tests: { filter: 'test/#' } } } },
  })
  const of = (filter: string, namespace = 'default', shared = false) =>
    consumedOf(config, namespace, { filter, shared })

  it('is to a stream of its namespace, to all of it or to what a filter leaves, from anywhere, in a group or not', () => {
    const all = { address: '$stream/meters', filter: 'meters/#' }
    expect(of('$stream/meters')).toEqual(all)
    expect(of('$stream/meters', 'default', true)).toEqual(all)
    expect(of('$stream/meters@-1h')).toEqual(all)
    expect(of('$stream/meters@earliest/meters/7/#')).toEqual({ address: '$stream/meters', filter: 'meters/7/#' })
    expect(of('$stream/tests', 'plant')).toEqual({ address: '$stream/tests', filter: 'test/#' })
  })

  it('is refused where there is no such stream, and with a start that is none', () => {
    expect(of('$stream/tests')).toEqual({ refusal: 'no stream is called tests' })
    expect(of('$stream/')).toEqual({ refusal: 'no stream is called ' })
    expect(of('$stream/meters@yesterday')).toMatchObject({ refusal: expect.stringMatching(/^expected behind @/) })
  })

  it('is none of another address', () => {
    for (const filter of ['#', '$stream', '$SYS/#', 'a/$stream/b']) expect(of(filter)).toBeUndefined()
  })
})
