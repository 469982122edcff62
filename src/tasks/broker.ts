/**
 * What tasks ask of a gateway, whether it is in the same process or at the other end of a connection: to take jobs in, to hand them out, and
 * to carry progress and results back to whoever asked for them.
 */

export interface Outgoing {
  payload: Uint8Array | string
  contentType?: string
  responseTopic?: string
  correlationData?: Uint8Array
  /** In seconds. */
  messageExpiryInterval?: number
  userProperties?: readonly (readonly [name: string, value: string])[]
}

export interface Incoming {
  readonly payload: Uint8Array
  readonly responseTopic: string | undefined
  readonly correlationData: Uint8Array | undefined
  /** The last user property of that name. */
  property(name: string): string | undefined
}

/** A job, handed out. Each verdict resolves when it is stored; false: the job is with somebody else by now. */
export interface Delivery extends Incoming {
  /** From 1. */
  readonly attempt: number
  ack(): Promise<boolean>
  nack(details: { delayMs: number; reason: string }): Promise<boolean>
  reject(reason: string): Promise<boolean>
  /** Given back, without counting as an attempt. */
  release(): Promise<boolean>
  /** The time for it begins anew. */
  extend(): Promise<boolean>
}

/** That jobs of a queue come in. */
export interface Intake {
  /** No more of them; those under way may still be judged. */
  takeNoMore(): Promise<void>
  /** What is not judged goes back to the queue. */
  close(): Promise<void>
}

export interface IntakeOptions {
  /** Unsettled jobs at a time. */
  concurrency: number
  onJob(delivery: Delivery): void
  /** It brings no more, though nobody ended it; undefined: the gateway has closed. */
  onEnd(error?: Error): void
}

export interface TaskBroker {
  /** To begin with for topics at which answers are expected. */
  readonly answerPrefix: string
  /** Resolves when the job is stored; false: it was there already. */
  add(queue: string, job: Outgoing): Promise<boolean>
  /** Whether it reached anybody. */
  publish(topic: string, message: Outgoing): Promise<boolean>
  /** Whatever is published below `answerPrefix`, from when it resolves. */
  onAnswer(take: (message: Incoming) => void): Promise<void>
  consume(queue: string, options: IntakeOptions): Promise<Intake>
  /** Something has gone wrong that nobody waits for: a connection, a verdict. */
  onFault(take: (error: Error) => void): void
  onState(take: (state: 'connected' | 'disconnected') => void): void
  close(): Promise<void>
}
