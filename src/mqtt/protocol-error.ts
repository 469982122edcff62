import { ReasonCode, reasonName } from './reason-code.ts'

/**
 * A fault of the peer: what it sent breaks the protocol or a limit that was announced to it.
 *
 * Thrown by the decoder and the core, caught once, by the connection, which answers with `reasonCode` (MQTT 5.0) or closes
 * (3.x), logs one line and counts it by reason.
 */
export class ProtocolError extends Error {
  readonly reasonCode: ReasonCode

  /** @param reasonCode what the specification names for this fault @param message which rule was broken, with its statement id */
  constructor(reasonCode: ReasonCode, message: string) {
    super(message)
    this.name = `ProtocolError(${reasonName(reasonCode)})`
    this.reasonCode = reasonCode
  }
}

/** A packet that can't be parsed, section 1.2. */
export function malformed(message: string): ProtocolError {
  return new ProtocolError(ReasonCode.malformedPacket, message)
}

/** A packet that parses and says what the protocol forbids, or forbids now, section 1.2. */
export function protocolFault(message: string): ProtocolError {
  return new ProtocolError(ReasonCode.protocolError, message)
}
