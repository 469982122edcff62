/** What generators give and encodings take. */

export type Value = number | string | boolean | null | Uint8Array | readonly Value[] | { readonly [key: string]: Value }

/** The moment a payload is made for. Device time runs by the publication's step, never by the wall clock. */
export interface Moment {
  /** Counts this publication's payloads from 0, those never sent included. */
  n: number
  /** Device time since its start. */
  elapsedMs: number
  /** Device time between two payloads of this publication. */
  stepMs: number
  /** What the device's clock shows, faults of the clock included. */
  clockMs: number
}

export type Generate = (moment: Moment) => Value

export function roundTo(value: number, decimals: number | undefined): number {
  if (decimals === undefined) return value
  const factor = 10 ** decimals
  return Math.round(value * factor) / factor
}

export function asNumber(value: Value): number {
  return typeof value === 'number' ? value : Number(value)
}
