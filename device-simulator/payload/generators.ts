/**
 * Value generators: from a checked specification to a function that gives the device's next value.
 *
 * Each generator keeps the state of one field of one device and draws from its own random stream, named by the path to
 * the field. It must be called once per payload, in order; then the values depend on nothing but seed, path and count.
 */

import { Random } from '../random.ts'
import type { GeneratorOf, GeneratorSpec, NestedSpec } from '../scenario/generator-schema.ts'
import { fillTemplate, type Variables } from '../template.ts'
import { geoTrack } from './geo.ts'
import { asNumber, type Generate, type Moment, roundTo, type Value } from './value.ts'

/** A function of a user's module, called once per value. */
export type ModuleFunction = (random: Random, moment: Moment) => Value

export interface GeneratorContext {
  seed: number
  /** The path that names the random stream, for example `['sensors', 7, 0]`: group, device, publication. */
  path: readonly (string | number)[]
  variables: Variables
  /** The rows of a CSV or JSONL file, the parsed content of a JSON file; read before the run. */
  rows(file: string): readonly Readonly<Record<string, Value>>[]
  document(file: string): unknown
  moduleFunction(file: string, context: GeneratorContext): ModuleFunction
}

export function createGenerator(spec: NestedSpec, context: GeneratorContext): Generate {
  return build(spec as GeneratorSpec, context)
}

function below(context: GeneratorContext, name: string | number): GeneratorContext {
  return { ...context, path: [...context.path, name] }
}

function build(spec: GeneratorSpec, context: GeneratorContext): Generate {
  switch (spec.type) {
    case 'constant':
      return () => spec.value
    case 'counter':
      return counter(spec)
    case 'uniform': {
      const random = new Random(context.seed, context.path)
      return () => roundTo(random.uniform(spec.min, spec.max), spec.decimals)
    }
    case 'gaussian': {
      const random = new Random(context.seed, context.path)
      return () => roundTo(spec.mean + spec.deviation * random.normal(), spec.decimals)
    }
    case 'random-walk':
      return randomWalk(spec, new Random(context.seed, context.path))
    case 'sine':
      return sine(spec, new Random(context.seed, context.path))
    case 'daily':
      return daily(spec, new Random(context.seed, context.path))
    case 'sawtooth':
      return ({ elapsedMs }) => {
        const phase = (elapsedMs % spec.period) / spec.period
        return roundTo(spec.min + (spec.max - spec.min) * phase, spec.decimals)
      }
    case 'enum':
      return choice(spec, new Random(context.seed, context.path))
    case 'markov':
      return markov(spec, new Random(context.seed, context.path))
    case 'boolean':
      return dwellingBoolean(spec, new Random(context.seed, context.path))
    case 'geo-track':
      return geoTrack(spec, new Random(context.seed, context.path), context)
    case 'battery':
      return battery(spec, new Random(context.seed, context.path))
    default:
      return buildComposite(spec, context)
  }
}

type Simple =
  | 'constant'
  | 'counter'
  | 'uniform'
  | 'gaussian'
  | 'random-walk'
  | 'sine'
  | 'daily'
  | 'sawtooth'
  | 'enum'
  | 'markov'
  | 'boolean'
  | 'geo-track'
  | 'battery'

function buildComposite(spec: Exclude<GeneratorSpec, { type: Simple }>, context: GeneratorContext): Generate {
  switch (spec.type) {
    case 'spikes':
      return spikes(spec, createGenerator(spec.of, below(context, 'of')), new Random(context.seed, context.path))
    case 'sum': {
      const parts = spec.of.map((part, i) => createGenerator(part, below(context, i)))
      return (moment) => {
        let total = 0
        for (const part of parts) total += asNumber(part(moment))
        return roundTo(total, spec.decimals)
      }
    }
    case 'scale': {
      const of = createGenerator(spec.of, below(context, 'of'))
      return (moment) => roundTo(asNumber(of(moment)) * spec.by + spec.offset, spec.decimals)
    }
    case 'delta': {
      const of = createGenerator(spec.of, below(context, 'of'))
      let total = 0
      return (moment) => roundTo((total += asNumber(of(moment))), spec.decimals)
    }
    case 'replay':
      return replay(spec, context)
    case 'module': {
      const random = new Random(context.seed, context.path)
      const call = context.moduleFunction(spec.file, context)
      return (moment) => call(random, moment)
    }
    case 'text':
      return ({ n }) => fillTemplate(spec.template, { ...context.variables, n: String(n) })
    case 'timestamp':
      return timestamp(spec)
    case 'uuid': {
      const random = new Random(context.seed, context.path)
      return () => uuid(random)
    }
    case 'hex': {
      const random = new Random(context.seed, context.path)
      return () => randomHex(random, spec.bytes)
    }
    case 'object': {
      const fields = createFields(spec.fields, context)
      return (moment) => fields(moment)
    }
    case 'list': {
      const items = Array.from({ length: spec.length }, (_, i) => createGenerator(spec.of, below(context, i)))
      return (moment) => items.map((item) => item(moment))
    }
  }
}

/** The generators of an object, evaluated in the order of the file. */
export function createFields(
  fields: Readonly<Record<string, NestedSpec>>,
  context: GeneratorContext,
): (moment: Moment) => { [key: string]: Value } {
  const entries = Object.entries(fields).map(
    ([name, spec]) => [name, createGenerator(spec, below(context, name))] as const,
  )
  return (moment) => {
    const object: { [key: string]: Value } = {}
    for (const [name, generate] of entries) object[name] = generate(moment)
    return object
  }
}

function counter({ start, step, wrapAt }: GeneratorOf<'counter'>): Generate {
  let value = start - step
  return () => {
    value += step
    if (wrapAt !== undefined && value >= wrapAt) value = start
    return value
  }
}

function randomWalk(spec: GeneratorOf<'random-walk'>, random: Random): Generate {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, step, reversion, decimals } = spec
  const middle = Number.isFinite(min) && Number.isFinite(max) ? (min + max) / 2 : 0
  const mean = spec.mean ?? spec.start ?? middle
  let value: number | undefined
  return () => {
    if (value === undefined) {
      value = spec.start ?? mean
    } else {
      value += random.uniform(-step, step) + reversion * (mean - value)
    }
    // Reflected at the bounds: clamping would make the walk stick there.
    if (value > max) value = Math.max(min, 2 * max - value)
    if (value < min) value = Math.min(max, 2 * min - value)
    return roundTo(value, decimals)
  }
}

function sine(spec: GeneratorOf<'sine'>, random: Random): Generate {
  return ({ elapsedMs }) => {
    const angle = 2 * Math.PI * ((elapsedMs % spec.period) / spec.period + spec.phase)
    const noise = spec.noise === 0 ? 0 : spec.noise * random.normal()
    return roundTo(spec.mean + spec.amplitude * Math.sin(angle) + noise, spec.decimals)
  }
}

/** A curve over the day of the device's clock (UTC): the values at equal distances, joined by straight lines. */
function daily(spec: GeneratorOf<'daily'>, random: Random): Generate {
  const { values } = spec
  return ({ clockMs }) => {
    const dayMs = 86_400_000
    const position = ((((clockMs % dayMs) + dayMs) % dayMs) / dayMs) * values.length
    const from = Math.floor(position)
    const a = values[from % values.length]!
    const b = values[(from + 1) % values.length]!
    const noise = spec.noise === 0 ? 0 : spec.noise * random.normal()
    return roundTo(a + (b - a) * (position - from) + noise, spec.decimals)
  }
}

function choice({ values, weights }: GeneratorOf<'enum'>, random: Random): Generate {
  if (weights === undefined) return () => values[random.integer(0, values.length - 1)]!
  const padded = values.map((_, i) => weights[i] ?? 0)
  return () => values[random.weighted(padded)]!
}

function markov({ states, start }: GeneratorOf<'markov'>, random: Random): Generate {
  const rows = new Map(
    Object.entries(states).map(
      ([name, next]) => [name, { names: Object.keys(next), weights: Object.values(next) }] as const,
    ),
  )
  let state = start ?? Object.keys(states)[0] ?? ''
  let first = true
  return () => {
    if (first) {
      first = false
      return state
    }
    const row = rows.get(state)
    if (row !== undefined && row.names.length > 0) state = row.names[random.weighted(row.weights)]!
    return state
  }
}

/** On and off for exponentially distributed times with the given means, in device time. */
function dwellingBoolean(spec: GeneratorOf<'boolean'>, random: Random): Generate {
  let on = spec.start ?? random.next() < spec.onFor / (spec.onFor + spec.offFor)
  let until = random.exponential(on ? spec.onFor : spec.offFor)
  return ({ elapsedMs }) => {
    while (elapsedMs >= until) {
      on = !on
      until += random.exponential(on ? spec.onFor : spec.offFor)
    }
    return on
  }
}

function battery(spec: GeneratorOf<'battery'>, random: Random): Generate {
  const drainMs = (spec.life * spec.start) / 100
  const cycleMs = spec.recharge === undefined ? undefined : drainMs + spec.recharge
  return ({ elapsedMs }) => {
    const at = cycleMs === undefined ? elapsedMs : elapsedMs % cycleMs
    const recharge = spec.recharge ?? 0
    const level =
      at <= drainMs || recharge === 0 ? spec.start - (at / spec.life) * 100 : (spec.start * (at - drainMs)) / recharge
    const noise = spec.noise === 0 ? 0 : spec.noise * random.normal()
    return roundTo(Math.min(100, Math.max(0, level + noise)), spec.decimals)
  }
}

function spikes(spec: GeneratorOf<'spikes'>, of: Generate, random: Random): Generate {
  let left = 0
  let stuck: Value = null
  return (moment) => {
    const value = of(moment)
    if (left === 0 && random.next() < spec.probability) {
      left = spec.duration
      stuck = value
    }
    if (left === 0) return value
    left -= 1
    switch (spec.mode) {
      case 'add':
        return asNumber(value) + spec.magnitude
      case 'multiply':
        return asNumber(value) * spec.magnitude
      case 'stuck':
        return stuck
      case 'missing':
        return null
    }
  }
}

function replay(spec: GeneratorOf<'replay'>, context: GeneratorContext): Generate {
  const rows = context.rows(spec.file)
  if (rows.length === 0) return () => null
  return ({ n }) => {
    if (n >= rows.length && !spec.loop) return null
    const row = rows[n % rows.length]!
    return spec.column === undefined ? row : (row[spec.column] ?? null)
  }
}

function timestamp({ format, clock }: GeneratorOf<'timestamp'>): Generate {
  return ({ clockMs }) => {
    const ms = clock === 'wall' ? Date.now() : clockMs
    if (format === 'milliseconds') return Math.round(ms)
    return format === 'seconds' ? Math.floor(ms / 1000) : new Date(ms).toISOString()
  }
}

function randomHex(random: Random, bytes: number): string {
  let text = ''
  while (text.length < bytes * 2) text += random.uint32().toString(16).padStart(8, '0')
  return text.slice(0, bytes * 2)
}

function uuid(random: Random): string {
  const hex = randomHex(random, 16)
  const variant = ((Number.parseInt(hex[16]!, 16) & 3) | 8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
}
