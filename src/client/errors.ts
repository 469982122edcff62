/** What can go wrong, by `code`; `reason` is the gateway's reason code (MQTT 5.0, section 2.4) where it gave one. */
export type ErrorCode =
  /** The gateway refused it and would again: credentials, rights, limits. */
  | 'refused'
  /** The connection could not be made or broke; it is tried again. */
  | 'unreachable'
  /** More waits to be sent than the outbox may hold. */
  | 'outbox-full'
  /** No answer to a request in time. */
  | 'timeout'
  /** `close()` was called, or the gateway ended the connection for good. */
  | 'closed'
  /** A callback for messages threw. */
  | 'callback'

export class MqtideError extends Error {
  readonly code: ErrorCode
  readonly reason: number | undefined

  constructor(code: ErrorCode, message: string, more: { reason?: number | undefined; cause?: unknown } = {}) {
    super(message, more.cause === undefined ? {} : { cause: more.cause })
    this.name = 'MqtideError'
    this.code = code
    this.reason = more.reason
  }
}
