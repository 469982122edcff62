/** Thrown by handlers, to say more than that a job failed; and what whoever asked for a result is told. */

/** Thrown by a handler: trying again would end the same. The job is a dead letter at once. */
export class UnrecoverableError extends Error {
  override name = 'UnrecoverableError'
}

/** Thrown by a handler: failed, and to be tried again after this time in place of the back-off. */
export class RetryError extends Error {
  override name = 'RetryError'
  readonly delayMs: number

  constructor(message: string, { delayMs, cause }: { delayMs: number; cause?: unknown }) {
    super(message, { cause })
    this.delayMs = delayMs
  }
}

/** What a request rejects with whose job nobody could do. */
export class TaskFailedError extends Error {
  override name = 'TaskFailedError'
  readonly jobId: string
  /** How often it was tried. */
  readonly attempts: number

  constructor(message: string, { jobId, attempts }: { jobId: string; attempts: number }) {
    super(message)
    this.jobId = jobId
    this.attempts = attempts
  }
}

/** No result came in time. The job may be waiting, under way or done all the same. */
export class TaskTimeoutError extends Error {
  override name = 'TaskTimeoutError'
  readonly jobId: string

  constructor(message: string, jobId: string) {
    super(message)
    this.jobId = jobId
  }
}

/** The reason of a handler's signal: nobody waits for this attempt any more. */
export class AbandonedError extends Error {
  override name = 'AbandonedError'
  override readonly cause: 'timeout' | 'lease-lost' | 'stopped'

  constructor(message: string, cause: 'timeout' | 'lease-lost' | 'stopped') {
    super(message)
    this.cause = cause
  }
}

export const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
