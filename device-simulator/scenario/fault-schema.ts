/**
 * The faults a scenario may name: presets (what a user sees: `flaky-wifi`) and the primitives they are made of.
 *
 * Times are relative to the stage that lists the fault; a fault at the top level runs from the end of the first ramp
 * until the drain. Events of one device (a socket's death) come at exponential gaps with the given mean, from the
 * device's own random stream.
 */
import { z } from 'zod'
import { duration, fraction, positiveDuration, positiveNumber, probability, size } from './fields.ts'

const common = {
  groups: z.array(z.string()).min(1).optional(),
  fraction: fraction.default(1),
  at: duration.default(0),
  for: positiveDuration.optional(),
}

const variants = [
  // Presets.
  z.strictObject({ type: z.literal('flaky-wifi'), ...common, intensity: positiveNumber.default(1) }),
  z.strictObject({ type: z.literal('cellular-tunnel'), ...common, intensity: positiveNumber.default(1) }),
  z.strictObject({ type: z.literal('brown-out'), ...common, down: duration.default(5000) }),
  z.strictObject({ type: z.literal('reconnect-storm'), ...common, spread: duration.default(0) }),
  // The network.
  z.strictObject({ type: z.literal('socket-death'), ...common, every: positiveDuration, down: duration.default(1000) }),
  z.strictObject({
    type: z.literal('half-open'),
    ...common,
    every: positiveDuration,
    hold: positiveDuration.default(8000),
  }),
  z.strictObject({ type: z.literal('delay'), ...common, delay: duration, jitter: duration.default(0) }),
  z.strictObject({ type: z.literal('jitter'), ...common, jitter: positiveDuration }),
  z.strictObject({ type: z.literal('bandwidth'), ...common, up: size.optional(), down: size.optional() }),
  z.strictObject({ type: z.literal('flapping'), ...common, up: positiveDuration, down: positiveDuration }),
  z.strictObject({ type: z.literal('slow-reader'), ...common, rate: size }),
  // The client.
  z.strictObject({ type: z.literal('keepalive-stall'), ...common, every: positiveDuration, hold: positiveDuration }),
  z.strictObject({
    type: z.literal('duplicate-sender'),
    ...common,
    probability: probability.default(0.05),
  }),
  z.strictObject({ type: z.literal('takeover'), ...common, every: positiveDuration }),
  z.strictObject({
    type: z.literal('clock-skew'),
    ...common,
    offset: z.number().default(0),
    drift: z.number().default(0),
  }),
  // Attempts of strangers beside the swarm; each has an expected answer.
  z.strictObject({ type: z.literal('wrong-credentials'), ...common, every: positiveDuration.default(1000) }),
  z.strictObject({ type: z.literal('malformed'), ...common, every: positiveDuration.default(1000) }),
  z.strictObject({
    type: z.literal('oversize'),
    ...common,
    every: positiveDuration.default(1000),
    size: size.optional(),
  }),
  // The broker, when the simulator started it.
  z.strictObject({
    type: z.literal('broker-restart'),
    ...common,
    down: duration.default(1000),
    signal: z.enum(['SIGKILL', 'SIGTERM']).default('SIGKILL'),
    every: positiveDuration.optional(),
  }),
] as const

export const faultTypes = variants.map((variant) => variant.shape.type.value)

export const fault = z
  .discriminatedUnion('type', variants, {
    error: (issue) => (issue.code === 'invalid_union' ? `expected a fault type: ${faultTypes.join(', ')}` : undefined),
  })
  .meta({ id: 'Fault', description: 'A fault, a preset or a primitive' })
export type FaultSpec = z.output<typeof fault>
export type FaultOf<T extends FaultSpec['type']> = Extract<FaultSpec, { type: T }>
