/**
 * A lease: one message is with one consumer, or with a program that asked for it over HTTP, until its verdict or until the
 * lease ends without one. It is in memory only: after a restart, whatever had no verdict is ready again.
 *
 * To a client the message goes as a new PUBLISH that takes the next packet identifier of its session, and that the session keeps
 * for a second sending, but not in the store.
 */

import type { Properties } from '../../mqtt/packet.ts'
import type { PublishParts } from '../../mqtt/publish.ts'
import { UserPropertyBytes } from '../../mqtt/user-property.ts'
import type { Broker } from '../broker.ts'
import type { Deadline } from '../deadlines.ts'
import type { Delivery, Loan } from '../session/delivery.ts'
import { onLeaseAcknowledged } from './client-verdict.ts'
import type { Consumer } from './consumer.ts'
import type { QueuedMessage } from './queued-message.ts'
import { fail } from './verdict.ts'

/** Of a program that does not say how long. */
export const leaseMsDefault = 30_000

export class Lease implements Loan {
  readonly queued: QueuedMessage
  /** Null: whoever asked over HTTP. */
  readonly consumer: Consumer | null
  /** As its session has it; null: acknowledged, or not sent by MQTT. */
  delivery: Delivery | null = null
  /** Of a lease that nobody's connection stands for: when it ends. */
  deadline: Deadline | null = null
  /** The verdict has come, or will be somebody else's. */
  ended = false
  /** It was said what becomes of the message. */
  judged = false

  /** Neighbours of the same consumer's (`lease-list.ts`). */
  before: Lease | null = null
  behind: Lease | null = null
  readonly #begunAt: number
  /** Which of the message's leases it is. */
  readonly #number: number

  constructor(queued: QueuedMessage, consumer: Consumer | null, now: number) {
    this.queued = queued
    this.consumer = consumer
    this.#begunAt = now
    this.#number = ++queued.leasesBegun
  }

  /** Under which whoever has it says its verdict: no other lease of the message has it, those of earlier processes included. */
  get id(): string {
    return `${this.queued.id}-${Math.floor(this.#begunAt).toString(36)}.${this.#number.toString(36)}`
  }

  /** The verdict takes longer, and that is known. `ms`: of a lease without a connection. */
  prolong({ deadlines, now }: Broker, ms: number | undefined): void {
    if (this.consumer !== null) this.consumer.prolong()
    else if (this.deadline !== null) deadlines.set(this.deadline, now + (ms ?? leaseMsDefault))
  }

  /** What failed once is kept longer than its publisher thought. */
  get expires(): boolean {
    return this.queued.past === null
  }

  onAcknowledged(broker: Broker, reasonCode: number, properties: Properties): void {
    onLeaseAcknowledged(broker, this, reasonCode, properties)
  }

  onUnsent(broker: Broker): void {
    if (!this.ended) fail(broker, this.queued, 'larger than its consumer takes')
  }

  get parts(): PublishParts {
    const { message, past, failed } = this.queued
    const own = new UserPropertyBytes(message.forwardProperties)
    own.add('queue-delivery', this.id)
    own.add('queue-attempt', String(failed + 1))
    if (past !== null && past.queue !== '') {
      own.add('dead-letter-queue', past.queue)
      own.add('dead-letter-reason', past.reason)
      own.add('dead-letter-attempts', String(past.attempts))
      if (past.text !== '') own.add('dead-letter-text', past.text)
    }
    return { topic: message.topic, payload: message.payload, forwardProperties: own.bytes }
  }
}
