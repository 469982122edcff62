/** Generators by their statistics, encodings by their bytes, determinism by hash. */
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { encodeCbor } from '../payload/cbor.ts'
import {
  emptyEnvelope,
  envelopeBytes,
  findEnvelope,
  readEnvelope,
  sealEnvelope,
  writeIdentity,
} from '../payload/envelope.ts'
import { parseRows } from '../payload/files.ts'
import { createGenerator, type GeneratorContext } from '../payload/generators.ts'
import { createPayloadSource } from '../payload/payload.ts'
import { encodeSparkplug } from '../payload/sparkplug.ts'
import type { Moment, Value } from '../payload/value.ts'
import { generator, payload as payloadSchema } from '../scenario/generator-schema.ts'

const epochMs = Date.UTC(2026, 0, 1)

function contextOf(path: (string | number)[], seed = 42): GeneratorContext {
  return {
    seed,
    path,
    variables: { index: String(path[1] ?? 0), clientId: 'c' },
    rows: () => [
      { v: 1, w: 'a' },
      { v: 2, w: 'b' },
    ],
    document: () => ({
      type: 'LineString',
      coordinates: [
        [13.4, 52.5],
        [13.5, 52.5],
      ],
    }),
    moduleFunction: () => (random) => random.integer(1, 6),
  }
}

function momentOf(n: number, stepMs: number): Moment {
  return { n, elapsedMs: n * stepMs, stepMs, clockMs: epochMs + n * stepMs }
}

function values(spec: unknown, count: number, stepMs = 1000, path: (string | number)[] = ['g', 0]): Value[] {
  const generate = createGenerator(generator.parse(spec), contextOf(path))
  return Array.from({ length: count }, (_, n) => generate(momentOf(n, stepMs)))
}

function statistics(numbers: readonly Value[]): { mean: number; deviation: number; min: number; max: number } {
  const list = numbers as number[]
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length
  const deviation = Math.sqrt(list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / list.length)
  return { mean, deviation, min: list.reduce((a, b) => Math.min(a, b)), max: list.reduce((a, b) => Math.max(a, b)) }
}

describe('generators', () => {
  test('constants and counters', () => {
    expect(values(21, 2)).toEqual([21, 21])
    expect(values({ type: 'counter', start: 5, step: 2, wrapAt: 10 }, 5)).toEqual([5, 7, 9, 5, 7])
  })

  test('uniform values fill their interval evenly', () => {
    const { mean, deviation, min, max } = statistics(values({ type: 'uniform', min: 10, max: 20 }, 50_000))
    expect(mean).toBeCloseTo(15, 1)
    expect(deviation).toBeCloseTo(10 / Math.sqrt(12), 1)
    expect(min).toBeGreaterThanOrEqual(10)
    expect(max).toBeLessThan(20)
  })

  test('gaussian values have the mean and the deviation asked for', () => {
    const { mean, deviation } = statistics(values({ type: 'gaussian', mean: 100, deviation: 4 }, 50_000))
    expect(mean).toBeCloseTo(100, 0)
    expect(deviation).toBeCloseTo(4, 0)
  })

  test('a random walk steps no further than its step, stays in its bounds and comes back to its mean', () => {
    const walk = values(
      { type: 'random-walk', start: 20, step: 0.5, min: 15, max: 25, reversion: 0.05 },
      50_000,
    ) as number[]
    const { mean, deviation, min, max } = statistics(walk)
    expect(mean).toBeCloseTo(20, 0)
    expect(deviation).toBeGreaterThan(0.3)
    expect(min).toBeGreaterThanOrEqual(15)
    expect(max).toBeLessThanOrEqual(25)
    for (let i = 1; i < walk.length; i++) expect(Math.abs(walk[i]! - walk[i - 1]!)).toBeLessThanOrEqual(0.5 + 0.05 * 10)
  })

  test('a sine has its period, its amplitude and its noise', () => {
    const wave = values({ type: 'sine', mean: 5, amplitude: 2, period: '60s' }, 120) as number[]
    expect(wave[0]).toBeCloseTo(5, 9)
    expect(wave[15]).toBeCloseTo(7, 9)
    expect(wave[45]).toBeCloseTo(3, 9)
    expect(wave[75]).toBeCloseTo(7, 9)
    const noisy = values({ type: 'sine', amplitude: 0, period: '60s', noise: 0.5 }, 20_000)
    expect(statistics(noisy).deviation).toBeCloseTo(0.5, 1)
  })

  test('a daily curve passes through its values at their hours', () => {
    const curve = values({ type: 'daily', values: [10, 20, 40, 20] }, 25, 3_600_000) as number[]
    expect([curve[0], curve[3], curve[6], curve[12], curve[18], curve[24]]).toEqual([10, 15, 20, 40, 20, 10])
  })

  test('enum values follow their weights, sawtooth its ramp, delta sums up', () => {
    const drawn = values({ type: 'enum', values: ['a', 'b'], weights: [1, 3] }, 20_000)
    expect(drawn.filter((value) => value === 'b').length / 20_000).toBeCloseTo(0.75, 1)
    expect(values({ type: 'sawtooth', min: 0, max: 10, period: '10s' }, 12)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1,
    ])
    expect(values({ type: 'delta', of: 2 }, 3)).toEqual([2, 4, 6])
  })

  test('Markov states start where they should and take only the ways they have', () => {
    const states = { idle: { idle: 0.5, run: 0.5 }, run: { stop: 1 }, stop: { idle: 1 } }
    const seen = values({ type: 'markov', start: 'idle', states }, 5000) as (keyof typeof states)[]
    expect(seen[0]).toBe('idle')
    for (let i = 1; i < seen.length; i++) expect(Object.keys(states[seen[i - 1]!])).toContain(seen[i])
    expect(new Set(seen).size).toBe(3)
  })

  test('a boolean dwells on and off as long as asked, on average', () => {
    const flips = values({ type: 'boolean', onFor: '30s', offFor: '10s' }, 100_000) as boolean[]
    expect(flips.filter(Boolean).length / flips.length).toBeCloseTo(0.75, 1)
    let changes = 0
    for (let i = 1; i < flips.length; i++) if (flips[i] !== flips[i - 1]) changes += 1
    expect(100_000 / changes).toBeGreaterThan(15)
    expect(100_000 / changes).toBeLessThan(25)
  })

  test('a battery drains over its life and recharges', () => {
    const level = values({ type: 'battery', life: '100s', recharge: '10s' }, 120) as number[]
    expect(level[0]).toBe(100)
    expect(level[50]).toBeCloseTo(50, 6)
    expect(level[100]).toBeCloseTo(0, 6)
    expect(level[105]).toBeCloseTo(50, 6)
    expect(level[110]).toBeCloseTo(100, 6)
  })

  test('a vehicle keeps its speed and stays on its track', () => {
    const spec = {
      type: 'geo-track',
      waypoints: [
        [52.5, 13.4],
        [52.5, 13.5],
      ],
      speedKmh: 50,
      speedVariation: 0,
      loop: true,
      spread: false,
    }
    const track = values(spec, 200) as unknown as {
      latitude: number
      longitude: number
      speed: number
      heading: number
    }[]
    expect(track[0]).toMatchObject({ latitude: 52.5, longitude: 13.4, heading: 90, speed: 50 })
    const eastMeters = (track[100]!.longitude - 13.4) * 111_195 * Math.cos((52.5 * Math.PI) / 180)
    expect(eastMeters).toBeCloseTo((50 / 3.6) * 100, -1)
    const noisy = values({ ...spec, noiseMeters: 10, file: undefined }, 5000) as unknown as { latitude: number }[]
    expect(statistics(noisy.map(({ latitude }) => (latitude - 52.5) * 111_195)).deviation).toBeCloseTo(10, 0)
  })

  test('a GeoJSON line is a track too', () => {
    const [first] = values(
      { type: 'geo-track', file: 'track.json', speedKmh: 50, spread: false },
      1,
    ) as unknown as object[]
    expect(first).toMatchObject({ latitude: 52.5, longitude: 13.4 })
  })

  test('spikes come as often as asked and last as long', () => {
    const spiky = values({ type: 'spikes', of: 0, probability: 0.01, magnitude: 50, duration: 3 }, 100_000) as number[]
    const high = spiky.filter((value) => value === 50).length
    expect(high / 100_000).toBeGreaterThan(0.024)
    expect(high / 100_000).toBeLessThan(0.034)
    expect(values({ type: 'spikes', of: 1, probability: 1, magnitude: 0, mode: 'missing' }, 2)).toEqual([null, null])
  })

  test('replay repeats its rows or ends with null', () => {
    expect(values({ type: 'replay', file: 'x.csv', column: 'v' }, 3)).toEqual([1, 2, 1])
    expect(values({ type: 'replay', file: 'x.csv', column: 'w', loop: false }, 3)).toEqual(['a', 'b', null])
    expect(parseRows('t,name\n1.5,"a, ""b"""\n,x\n', 'f')).toEqual([
      { t: 1.5, name: 'a, "b"' },
      { t: null, name: 'x' },
    ])
    expect(parseRows('{"a":1}\n{"a":2}\n', 'f')).toEqual([{ a: 1 }, { a: 2 }])
  })

  test('structure, arithmetic, text and identifiers', () => {
    expect(values({ type: 'object', fields: { a: 1, b: { type: 'list', length: 2, of: 'x' } } }, 1)).toEqual([
      { a: 1, b: ['x', 'x'] },
    ])
    expect(values({ type: 'sum', of: [1, { type: 'scale', of: 10, by: 0.5, offset: 2 }] }, 1)).toEqual([8])
    expect(values({ type: 'text', template: '{clientId} {n} {other}' }, 2)).toEqual(['c 0 {other}', 'c 1 {other}'])
    expect(values({ type: 'timestamp' }, 2)).toEqual(['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z'])
    expect(values({ type: 'uuid' }, 1)[0]).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  })
})

const bodySpec = payloadSchema.parse({
  fields: {
    temperature: { type: 'random-walk', start: 20, step: 0.5, decimals: 2 },
    state: { type: 'markov', states: { a: { b: 1 }, b: { a: 0.5, b: 0.5 } } },
    on: { type: 'boolean', onFor: '5s', offFor: '5s' },
    at: { type: 'timestamp' },
    id: { type: 'uuid' },
  },
  size: { mean: 300, deviation: 40 },
})

/** The hash of the first `count` bodies of one device; the envelope's bytes are the run's, so they stay out. */
function hashOfDevice(device: number, count: number, seed = 42): string {
  const source = createPayloadSource(bodySpec, contextOf(['sensors', device, 0], seed), true)
  const hash = createHash('sha256')
  for (let n = 0; n < count; n++) {
    const { bytes, envelopeAt } = source.next(momentOf(n, 1000))
    hash.update(bytes.subarray(0, envelopeAt))
  }
  return hash.digest('hex')
}

describe('determinism', () => {
  test('a device sends the same bytes whoever runs beside it and in whatever order', () => {
    const forwards = [0, 1, 2, 3].map((device) => hashOfDevice(device, 200))
    const backwards = [9, 3, 2, 1, 0]
      .map((device) => hashOfDevice(device, 200))
      .slice(1)
      .reverse()
    expect(backwards).toEqual(forwards)
    expect(new Set(forwards).size).toBe(4)
  })

  test('the bytes of one seed are these, on every machine', () => {
    expect(hashOfDevice(7, 1000)).toBe('b2c0fc60cdafc03919ff97f32a438b543edca444b6a2003e40189f0537d130b5')
    expect(hashOfDevice(7, 1000, 43)).not.toBe(hashOfDevice(7, 1000))
  })
})

describe('the envelope', () => {
  test.each(['json', 'cbor', 'binary', 'sparkplug'] as const)(
    'comes back whole from %s, and a changed byte shows',
    (encoding) => {
      const spec = payloadSchema.parse({
        encoding,
        fields: { t: 1.5, s: 'é' },
        size: encoding === 'binary' ? 64 : undefined,
      })
      const made = createPayloadSource(spec, contextOf(['g', 0, 0]), true).next(momentOf(3, 1000), 3)
      const origin = { run: 0xabcdef, device: 0x123456, stream: 4095 }
      writeIdentity(made.bytes, made.envelopeAt, { ...origin, sequence: 1_000_000_007, intendedUs: 123_456_789_012 })
      sealEnvelope(made.bytes, made.envelopeAt, made.bodyCheck, 42)
      const at = findEnvelope(made.bytes)
      expect(at).toBe(made.envelopeAt)
      const read = emptyEnvelope()
      expect(readEnvelope(made.bytes, at, made.bytes.subarray(0, at), read)).toBe(true)
      expect(read).toEqual({
        run: 0xabcdef,
        device: 0x123456,
        stream: 4095,
        sequence: 1_000_000_007,
        intendedUs: 123_456_789_012,
        lagUs: 42,
        whole: true,
      })
      for (let i = 0; i < at + envelopeBytes; i++) {
        const damaged = Uint8Array.from(made.bytes)
        damaged[i]! ^= 1
        const place = findEnvelope(damaged)
        const seen = place >= 0 && readEnvelope(damaged, place, damaged.subarray(0, place), read)
        expect(seen && read.whole, `byte ${i}`).toBe(false)
      }
    },
  )

  test('a JSON payload with an envelope is still JSON, of the size asked for', () => {
    const spec = payloadSchema.parse({ fields: { t: 1 }, size: 200 })
    const made = createPayloadSource(spec, contextOf(['g', 0, 0]), true).next(momentOf(0, 1000))
    expect(made.bytes.length).toBe(200)
    expect(JSON.parse(Buffer.from(made.bytes).toString())).toMatchObject({ t: 1 })
    const empty = payloadSchema.parse({ fields: {} })
    const bare = createPayloadSource(empty, contextOf(['g', 0, 0]), true).next(momentOf(0, 1000))
    expect(Object.keys(JSON.parse(Buffer.from(bare.bytes).toString()))).toEqual(['_mqtide'])
  })
})

describe('encodings', () => {
  // Examples of RFC 8949, appendix A.
  test.each([
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [1000, '1903e8'],
    [1_000_000, '1a000f4240'],
    [1_000_000_000_000, '1b000000e8d4a51000'],
    [-1, '20'],
    [-1000, '3903e7'],
    [1.1, 'fb3ff199999999999a'],
    [100_000.5, 'fa47c35040'],
    [true, 'f5'],
    [null, 'f6'],
    ['ü', '62c3bc'],
    [[1, [2, 3]], '8201820203'],
    [{ a: 1, b: [2, 3] }, 'a26161016162820203'],
    [Uint8Array.of(1, 2, 3, 4), '4401020304'],
  ] as [Value, string][])('CBOR of %j is %s', (value, hex) => {
    expect(Buffer.from(encodeCbor(value)).toString('hex')).toBe(hex)
  })

  test('a Sparkplug B payload is the protobuf that the specification describes', () => {
    const bytes = encodeSparkplug(
      [
        { name: 'a', value: 1.5 },
        { name: 'b', value: true },
        { name: 'bdSeq', value: 3 },
        { name: 's', value: 'x' },
      ],
      1000,
      2,
      'u',
    )
    const expected = [
      '08e807',
      '1211' + '0a0161' + '18e807' + '200a' + '69000000000000f83f',
      '120a' + '0a0162' + '18e807' + '200b' + '7001',
      '120e' + '0a056264536571' + '18e807' + '2008' + '5803',
      '120b' + '0a0173' + '18e807' + '200c' + '7a0178',
      '1802',
      '220175',
    ]
    expect(Buffer.from(bytes).toString('hex')).toBe(expected.join(''))
  })
})
