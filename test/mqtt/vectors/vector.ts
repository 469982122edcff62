/**
 * Named packets as bytes and as values. The bytes are written by hand from the specification's figures and prove decoder and
 * encoder separately: a fault that both shared would pass a round trip.
 */
import type { Role, Seen, Version } from '../packets.ts'

export interface Vector {
  name: string
  /** Who receives it. */
  role: Role
  versions: readonly Version[]
  /** In the notation of `hex`. */
  bytes: string
  seen: Seen
  /** True where a sender other than our encoder writes it so: legal, and not what we choose. */
  foreign?: true
}

export const v3: readonly Version[] = [3]
export const v4: readonly Version[] = [4]
export const v5: readonly Version[] = [5]
export const v34: readonly Version[] = [3, 4]
export const allVersions: readonly Version[] = [3, 4, 5]
