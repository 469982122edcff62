/**
 * Messages that recur: each is a delayed message of the gateway itself, and who made it makes the next one when it is due or was taken back. They
 * are there because the configuration says so: no limit refuses them.
 */
import type { Namespace } from '../namespace.ts'
import type { Message } from '../publish/message.ts'
import type { DelayedMessage } from './delayed-message.ts'
import type { DelayedMessages } from './delayed-messages.ts'

/** The owner of such messages: no client sends without a client id. */
export const recurringPrincipal = 'schedule'

export interface RecurringMessage {
  readonly namespace: Namespace
  readonly scheduleId: string
  /** On the clock of the system. */
  readonly dueAt: number
  readonly retain: boolean
  readonly message: Message
}

export class Recurring {
  readonly #delayed: DelayedMessages
  /** Returns whether it is published; the next one is put by then. */
  onDue: (delayed: DelayedMessage) => boolean = () => false
  onCancelled: (delayed: DelayedMessage) => void = () => {}
  /** The clock of the system was looked at. */
  onClock: () => void = () => {}

  constructor(delayed: DelayedMessages) {
    this.#delayed = delayed
  }

  isOne({ principal, message: { publisher } }: DelayedMessage): boolean {
    return publisher === '' && principal === recurringPrincipal
  }

  /** In the place of the one of this name. */
  put(recurring: RecurringMessage): void {
    this.end(recurring.namespace, recurring.scheduleId)
    this.#delayed.put({ ...recurring, clock: 'system', principal: recurringPrincipal, expiryMs: Infinity })
  }

  all(): { namespace: Namespace; scheduleId: string }[] {
    return this.#delayed.namedOf({ principal: recurringPrincipal, publisher: '' })
  }

  end(namespace: Namespace, scheduleId: string): void {
    this.#delayed.endNamed({ namespace, scheduleId, principal: recurringPrincipal, message: { publisher: '' } })
  }
}
