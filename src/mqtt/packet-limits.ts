/**
 * How many things one packet may hold. Two bytes on the wire can become an object of a hundred, so that a packet's length alone
 * does not bound what it costs to read.
 */
import { ProtocolError } from './protocol-error.ts'
import { ReasonCode } from './reason-code.ts'

export interface PacketLimits {
  /** Topic filters of one SUBSCRIBE or UNSUBSCRIBE. */
  filtersPerSubscribeMax: number
  /** Properties of one packet, user properties among them; those of a will count for themselves. */
  propertiesPerPacketMax: number
}

export const unlimited: PacketLimits = { filtersPerSubscribeMax: Infinity, propertiesPerPacketMax: Infinity }

export function tooManyProperties(what: string, max: number): ProtocolError {
  return new ProtocolError(ReasonCode.quotaExceeded, `${what} has more than ${max} properties (propertiesPerPacketMax)`)
}

export function tooManyFilters(what: string, max: number): ProtocolError {
  return new ProtocolError(ReasonCode.quotaExceeded, `${what} has more than ${max} filters (filtersPerSubscribeMax)`)
}
