/**
 * Messages that are ready and can't go yet: another one of their key is being worked on or waits for its next attempt, the consumer
 * that their key belongs to has no room, or they have to be worked on alone. They are out of everybody else's way, and come back to their
 * place when what they waited for has happened.
 *
 * As many as `blockedMessagesMax`: beyond that the queue stands until one of them can go, so that a queue whose keys are all stuck is
 * not read through.
 */
import type { Consumer } from './consumer.ts'
import { blockedMessagesMax } from './definition.ts'
import { keyOf } from './key.ts'
import type { Queue } from './queue.ts'
import type { QueuedMessage } from './queued-message.ts'

export class Parking {
  readonly #queue: Queue
  /** By key, the message that all others of the key come after. */
  readonly #first = new Map<string, QueuedMessage>()
  readonly #behind = new Map<string, QueuedMessage[]>()
  readonly #forConsumer = new Map<Consumer, QueuedMessage[]>()
  #alone: QueuedMessage[] = []
  #parked = 0

  constructor(queue: Queue) {
    this.#queue = queue
  }

  get isFull(): boolean {
    return this.#parked >= blockedMessagesMax
  }

  /** Whether no other message of its key comes first. From then on it is the first. */
  mayGo(queued: QueuedMessage, orderBy: string): boolean {
    if (orderBy === 'none') return true
    const key = keyOf(queued.message, orderBy)
    if (key === '') return true
    const first = this.#first.get(key)
    if (first === queued) return true
    if (first === undefined || first.stage === 'gone') {
      this.#first.set(key, queued)
      queued.key = key
      return true
    }
    let behind = this.#behind.get(key)
    if (behind === undefined) {
      behind = []
      this.#behind.set(key, behind)
    }
    behind.push(queued)
    this.#park(queued)
    return false
  }

  /** It comes before all others of its key, though it waits. */
  holdKey(queued: QueuedMessage, orderBy: string): void {
    const key = keyOf(queued.message, orderBy)
    const first = this.#first.get(key)
    if (key === '' || (first !== undefined && first.stage !== 'gone')) return
    this.#first.set(key, queued)
    queued.key = key
  }

  parkAlone(queued: QueuedMessage): void {
    this.#alone.push(queued)
    this.#park(queued)
  }

  /** The first that is to be worked on alone. */
  firstAlone(): QueuedMessage | null {
    while (this.#alone.length > 0 && this.#alone[0]!.stage !== 'parked') {
      this.#alone.shift()
      this.#parked--
    }
    return this.#alone[0] ?? null
  }

  /** That one goes. */
  takeAlone(): void {
    this.#alone.shift()
    this.#parked--
  }

  parkFor(consumer: Consumer, queued: QueuedMessage): void {
    const parked = this.#forConsumer.get(consumer)
    if (parked === undefined) this.#forConsumer.set(consumer, [queued])
    else parked.push(queued)
    this.#park(queued)
  }

  consumerHasRoom(consumer: Consumer): void {
    const parked = this.#forConsumer.get(consumer)
    if (parked === undefined || !consumer.hasRoom) return
    for (let room = consumer.leasesMax - consumer.leases.size; room > 0 && parked.length > 0; room--) {
      this.#unpark(parked.shift())
    }
    if (parked.length === 0) this.#forConsumer.delete(consumer)
  }

  consumerLeft(consumer: Consumer): void {
    for (const queued of this.#forConsumer.get(consumer) ?? []) this.#unpark(queued)
    this.#forConsumer.delete(consumer)
  }

  /** It has gone from the queue: the next one of its key may go. */
  release(queued: QueuedMessage): void {
    const { key } = queued
    if (key === '' || this.#first.get(key) !== queued) return
    this.#first.delete(key)
    const behind = this.#behind.get(key)
    if (behind === undefined) return
    let next = behind.shift()
    while (next !== undefined && next.stage !== 'parked') {
      this.#parked--
      next = behind.shift()
    }
    if (behind.length === 0) this.#behind.delete(key)
    this.#unpark(next)
  }

  #park(queued: QueuedMessage): void {
    queued.lane.noLongerFresh(queued)
    queued.stage = 'parked'
    this.#parked++
  }

  /** A verdict that came late may have changed it meanwhile. */
  #unpark(queued: QueuedMessage | undefined): void {
    if (queued === undefined) return
    this.#parked--
    if (queued.stage === 'parked') this.#queue.makeReady(queued)
  }
}
