/** Bytes that must be refused, and the reason code that the specification names for it. */
import type { Role, Version } from '../packets.ts'

export const malformed = 0x81
export const protocolError = 0x82
export const unsupportedProtocolVersion = 0x84
export const topicNameInvalid = 0x90
export const topicAliasInvalid = 0x94

export interface Fault {
  /** Why, with the statement id or the section. */
  name: string
  role: Role
  versions: readonly Version[]
  /** In the notation of `hex`. */
  bytes: string
  reasonCode: number
  /** Part of the message, so that the right rule refused it and not another with the same code. */
  says: string
}

export function fault(
  name: string,
  role: Role,
  versions: readonly Version[],
  reasonCode: number,
  bytes: string,
  says: string,
): Fault {
  return { name, role, versions, bytes, reasonCode, says }
}
