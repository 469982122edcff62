/** How long a failed job waits before it is tried again. */

/** The first wait, times `factor` with each further failure, up to `maxMs`; each a little longer or shorter by chance. */
export interface BackOff {
  firstMs?: number
  factor?: number
  maxMs?: number
  /** 0.2: up to a fifth of it more or less. */
  jitter?: number
}

export const backOffDefaults = { firstMs: 1000, factor: 2, maxMs: 300_000, jitter: 0.2 } as const satisfies BackOff

/** After this many failures. `random`: from 0 to 1. */
export function waitMs(backOff: Required<BackOff>, failures: number, random: number): number {
  const { firstMs, factor, maxMs, jitter } = backOff
  const ms = Math.min(firstMs * factor ** (failures - 1), maxMs)
  return Math.round(ms * (1 + jitter * (2 * random - 1)))
}
