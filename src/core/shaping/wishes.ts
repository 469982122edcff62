/**
 * How a client wants a subscription shaped, as the user properties of its SUBSCRIBE say (clients of JSON and event streams say the same
 * by fields and parameters of their own).
 *
 *     mqtide-where            only messages whose content fits (`where.ts`)
 *     mqtide-sample           one of so many
 *     mqtide-max-per-second   no more than so many
 *     mqtide-latest           true: of what has to wait, the latest of each topic
 */
import type { Properties } from '../../mqtt/packet.ts'

export interface Wishes {
  /** Null: all of them. */
  readonly where: string | null
  /** 1: each. */
  readonly sample: number
  /** Infinity: no limit. */
  readonly maxPerSecond: number
  readonly latest: boolean
}

const prefix = 'mqtide-'
export const sampleMax = 1_000_000
export const perSecondMax = 1000
const perSecondMin = 0.01

/** Null: as it comes. A text: what is wrong. */
export function wishesOf({ userProperties }: Properties): Wishes | string | null {
  if (userProperties === undefined) return null
  const given = new Map(userProperties.filter(([name]) => name.startsWith(prefix)))
  const where = given.get('mqtide-where') ?? null
  const sample = numberOf(given.get('mqtide-sample'), 1)
  const maxPerSecond = numberOf(given.get('mqtide-max-per-second'), Infinity)
  const latest = given.get('mqtide-latest') ?? 'false'
  if (!Number.isSafeInteger(sample) || sample < 1 || sample > sampleMax)
    return `sample is a number from 1 to ${sampleMax}`
  if (!(maxPerSecond === Infinity || (maxPerSecond >= perSecondMin && maxPerSecond <= perSecondMax))) {
    return `maxPerSecond is a number from ${perSecondMin} to ${perSecondMax}`
  }
  if (latest !== 'true' && latest !== 'false') return 'latest is true or false'
  const isPlain = where === null && sample === 1 && maxPerSecond === Infinity && latest === 'false'
  return isPlain ? null : { where, sample, maxPerSecond, latest: latest === 'true' }
}

function numberOf(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  return /^\d{1,7}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN
}
