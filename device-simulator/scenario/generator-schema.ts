/**
 * The payload part of a scenario: generators of values and the encodings that carry them.
 *
 * A generator is a mapping with a `type`; a bare number, string, boolean or null stands for a constant. Generators
 * nest: `spikes`, `scale`, `sum` and `delta` wrap others, `object` and `list` build structure.
 */
import { z } from 'zod'
import { duration, fraction, positiveDuration, positiveNumber, size } from './fields.ts'

const decimals = z.number().int().min(0).max(12).optional()
const scalar = z.union([z.number(), z.string(), z.boolean(), z.null()])

const waypoint = z.tuple([z.number().min(-90).max(90), z.number().min(-180).max(180)], {
  error: 'expected a waypoint [latitude, longitude] in degrees',
})

export type GeneratorInput =
  | string
  | number
  | boolean
  | null
  | { type: string; of?: GeneratorInput | GeneratorInput[]; [option: string]: unknown }

/** A nested generator: checked by the same schema, its type left open here because a schema can't infer from itself. */
export interface NestedSpec {
  type: string
}

const nested: z.ZodType<NestedSpec, GeneratorInput> = z.lazy(() => generator)

const variants = [
  z.strictObject({ type: z.literal('constant'), value: scalar }),
  z.strictObject({
    type: z.literal('counter'),
    start: z.number().default(0),
    step: z.number().default(1),
    wrapAt: positiveNumber.optional(),
  }),
  z.strictObject({ type: z.literal('uniform'), min: z.number(), max: z.number(), decimals }),
  z.strictObject({ type: z.literal('gaussian'), mean: z.number(), deviation: z.number().min(0), decimals }),
  z.strictObject({
    type: z.literal('random-walk'),
    start: z.number().optional(),
    step: positiveNumber,
    min: z.number().optional(),
    max: z.number().optional(),
    mean: z.number().optional(),
    reversion: fraction.default(0),
    decimals,
  }),
  z.strictObject({
    type: z.literal('sine'),
    mean: z.number().default(0),
    amplitude: z.number(),
    period: positiveDuration,
    phase: z.number().default(0),
    noise: z.number().min(0).default(0),
    decimals,
  }),
  z.strictObject({
    type: z.literal('daily'),
    values: z.array(z.number()).min(2),
    noise: z.number().min(0).default(0),
    decimals,
  }),
  z.strictObject({ type: z.literal('sawtooth'), min: z.number(), max: z.number(), period: positiveDuration, decimals }),
  z.strictObject({ type: z.literal('enum'), values: z.array(scalar).min(1), weights: z.array(z.number()).optional() }),
  z.strictObject({
    type: z.literal('markov'),
    start: z.string().optional(),
    states: z.record(z.string(), z.record(z.string(), z.number().min(0))),
  }),
  z.strictObject({
    type: z.literal('boolean'),
    start: z.boolean().optional(),
    onFor: positiveDuration,
    offFor: positiveDuration,
  }),
  z.strictObject({
    type: z.literal('geo-track'),
    waypoints: z.array(waypoint).min(2).optional(),
    file: z.string().optional(),
    speedKmh: positiveNumber,
    speedVariation: fraction.default(0.1),
    noiseMeters: z.number().min(0).default(0),
    loop: z.boolean().default(true),
    spread: z.boolean().default(true),
  }),
  z.strictObject({
    type: z.literal('battery'),
    start: z.number().min(0).max(100).default(100),
    life: positiveDuration,
    recharge: duration.optional(),
    noise: z.number().min(0).default(0),
    decimals,
  }),
  z.strictObject({
    type: z.literal('spikes'),
    of: nested,
    probability: fraction,
    magnitude: z.number(),
    duration: z.number().int().min(1).default(1),
    mode: z.enum(['add', 'multiply', 'stuck', 'missing']).default('add'),
  }),
  z.strictObject({ type: z.literal('sum'), of: z.array(nested).min(1), decimals }),
  z.strictObject({ type: z.literal('scale'), of: nested, by: z.number(), offset: z.number().default(0), decimals }),
  z.strictObject({ type: z.literal('delta'), of: nested, decimals }),
  z.strictObject({
    type: z.literal('replay'),
    file: z.string(),
    column: z.string().optional(),
    loop: z.boolean().default(true),
  }),
  z.strictObject({ type: z.literal('module'), file: z.string() }),
  z.strictObject({ type: z.literal('text'), template: z.string() }),
  z.strictObject({
    type: z.literal('timestamp'),
    format: z.enum(['iso', 'seconds', 'milliseconds']).default('iso'),
    clock: z.enum(['device', 'wall']).default('device'),
  }),
  z.strictObject({ type: z.literal('uuid') }),
  z.strictObject({ type: z.literal('hex'), bytes: z.number().int().min(1).max(65_536) }),
  z.strictObject({ type: z.literal('object'), fields: z.record(z.string(), nested) }),
  z.strictObject({ type: z.literal('list'), length: z.number().int().min(0).max(10_000), of: nested }),
] as const

export const generatorObject = z.discriminatedUnion('type', variants, {
  error: (issue) =>
    issue.code === 'invalid_union'
      ? `expected a generator type: ${variants.map((variant) => variant.shape.type.value).join(', ')}`
      : undefined,
})
type GeneratorObject = z.output<typeof generatorObject>
type Variant<T extends GeneratorObject['type']> = Extract<GeneratorObject, { type: T }>

export type GeneratorSpec = GeneratorObject
export type GeneratorOf<T extends GeneratorSpec['type']> = Variant<T>

export const generator = z
  .union([scalar, generatorObject])
  .transform((value): GeneratorSpec => {
    if (value !== null && typeof value === 'object') return value
    return { type: 'constant', value }
  })
  .meta({ id: 'Generator', description: 'A generator with its type, or a constant' }) as unknown as z.ZodType<
  GeneratorSpec,
  GeneratorInput
>

/** A size in bytes, or how sizes are distributed. */
export const sizeDistribution = z.union([
  size,
  z.strictObject({ min: size, max: size }),
  z.strictObject({ mean: size, deviation: size, min: size.optional(), max: size.optional() }),
  z.strictObject({ choices: z.array(z.strictObject({ size, weight: positiveNumber })).min(1) }),
])
export type SizeDistribution = z.output<typeof sizeDistribution>

export const encodings = ['json', 'cbor', 'number', 'text', 'binary', 'sparkplug', 'module'] as const

export const payload = z
  .strictObject({
    encoding: z.enum(encodings).default('json'),
    fields: z.record(z.string(), generator).optional(),
    value: generator.optional(),
    size: sizeDistribution.optional(),
    module: z.string().optional(),
  })
  .superRefine((value, context) => {
    const say = (path: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [path], message })
    }
    const structured = value.encoding === 'json' || value.encoding === 'cbor' || value.encoding === 'sparkplug'
    if (structured && value.fields === undefined && value.size === undefined && value.value === undefined) {
      say('fields', `expected fields for encoding ${value.encoding}`)
    }
    if ((value.encoding === 'number' || value.encoding === 'text') && value.value === undefined) {
      say('value', `expected a value (one generator) for encoding ${value.encoding}`)
    }
    if (value.encoding === 'binary' && value.size === undefined) say('size', 'expected a size for encoding binary')
    if (value.encoding === 'module' && value.module === undefined) {
      say('module', 'expected the path of a JavaScript module for encoding module')
    }
  })
export type PayloadSpec = z.output<typeof payload>
