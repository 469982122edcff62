/**
 * The log of one priority of a queue: its messages at positions counted up from 0, in memory and in the store.
 *
 *     0 ......... fresh ............ residentEnd ............ nextPosition
 *       handed out once   ready, in memory      in the store only
 *
 * What is in memory stands in `messages`, in order. What was handed out and came back is ready at its old position, which is lower than
 * any that was never handed out: those are in a heap of their own. Behind `residentEnd` nothing is known but how many there
 * are; they come page by page.
 *
 * It is what the journal takes for the owner of a log, beside sessions.
 */
import type { Broker } from '../broker.ts'
import type { LogOwner } from '../ports/journal.ts'
import type { Link } from '../ports/link.ts'
import type { RecoveredAttempt, RecoveredPage } from '../ports/recovered.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import { messageOf } from '../session/queue-pages.ts'
import { verdictDelayMsMax } from './definition.ts'
import { PositionHeap } from './position-heap.ts'
import type { Queue } from './queue.ts'
import { type Past, QueuedMessage, recoveredPast } from './queued-message.ts'

/** The next page is asked for while so many are still ready in memory. */
const readAheadMessages = 500

export class Lane implements LogOwner {
  readonly queue: Queue
  readonly priority: number
  /** Of the log in the store; none that a session has. */
  readonly number: number
  nextPosition = 0
  residentEnd = 0
  /** Before it, nothing is ready but what came back. */
  fresh = 0
  /** Everything without a final verdict, in memory and in the store. */
  count = 0
  bytes = 0
  /** In memory, in order of position. */
  readonly messages = new Map<number, QueuedMessage>()
  /** Of those, ready, and never handed out. */
  readyInMemory = 0
  /** Positions before this were in the store when the process began. */
  recoveredEnd = 0
  /** By position, of what is not in memory yet. */
  readonly attempts = new Map<number, RecoveredAttempt>()
  /** A page was asked of the store, for this. */
  pageUse: ((page: RecoveredPage) => void) | null = null
  readonly #cameBack = new PositionHeap()

  constructor(queue: Queue, priority: number, number: number) {
    this.queue = queue
    this.priority = priority
    this.number = number
  }

  /** Somebody is there who may have it settled before it is written. */
  get link(): Link | null {
    return this.queue.link
  }

  /** Starts with what the store has. */
  recover(firstPosition: number, nextPosition: number, messages: number, bytes: number): void {
    this.residentEnd = firstPosition
    this.fresh = firstPosition
    this.nextPosition = nextPosition
    this.recoveredEnd = nextPosition
    this.queue.change(this, messages, bytes)
  }

  /** The message that is ready first; null: none is, in memory. */
  first(): QueuedMessage | null {
    for (let position = this.#cameBack.first; position >= 0; position = this.#cameBack.first) {
      const message = this.messages.get(position)
      if (message?.stage === 'ready') return message
      this.#cameBack.shift()
    }
    for (; this.fresh < this.residentEnd; this.fresh++) {
      const message = this.messages.get(this.fresh)
      if (message?.stage === 'ready') return message
    }
    return null
  }

  /** It is ready again, at its old place. */
  comeBack({ position }: QueuedMessage): void {
    if (position < this.fresh) this.#cameBack.push(position)
  }

  /** Whether the message there may have no final verdict yet: of what is in the store only, nobody knows which have gone. */
  mayHave(position: number): boolean {
    return this.messages.has(position) || (position >= this.residentEnd && position < this.nextPosition)
  }

  get hasMoreStored(): boolean {
    return this.residentEnd < this.nextPosition
  }

  /** Appends a message. In memory, or where that has no place, in the store only. */
  append(broker: Broker, message: Message, past: Past | null): QueuedMessage {
    const queued = this.take(broker, message, past)
    if (this.queue.stored) broker.journal.enqueue(this, queued.position, queued)
    return queued
  }

  /** The same for one that comes by a record of its own. */
  take(broker: Broker, message: Message, past: Past | null): QueuedMessage {
    const bytes = messageBytes(message)
    const position = this.nextPosition++
    const queued = new QueuedMessage(this, position, message, bytes, past)
    this.queue.change(this, 1, bytes)
    this.queue.totals.enqueued++
    if (this.residentEnd === position && (!this.queue.stored || this.#hasPlace(broker))) {
      this.residentEnd = this.nextPosition
      this.#keep(broker, queued)
    }
    return queued
  }

  #hasPlace({ options, budgets: { queueBytes } }: Broker): boolean {
    return this.readyInMemory < options.residentMessagesMax && queueBytes.used < queueBytes.max
  }

  #keep(broker: Broker, queued: QueuedMessage): void {
    broker.budgets.queueBytes.hold(queued.message)
    this.messages.set(queued.position, queued)
    this.readyInMemory++
  }

  /** If it was ready for the first time, it is not any more. */
  noLongerFresh(queued: QueuedMessage): void {
    if (!queued.isFresh) return
    queued.isFresh = false
    this.readyInMemory--
  }

  /** A message in memory has had its last verdict. Of its records the caller takes care. */
  forget(broker: Broker, queued: QueuedMessage): void {
    queued.stage = 'gone'
    this.noLongerFresh(queued)
    if (queued.deadline !== null) broker.deadlines.clear(queued.deadline)
    this.messages.delete(queued.position)
    broker.budgets.queueBytes.letGo(queued.message)
    this.queue.change(this, -1, -queued.bytes)
  }

  /** One in the store only has gone from there. */
  forgetStored(broker: Broker, position: number, message: Message): void {
    if (this.attempts.delete(position)) broker.journal.attemptEnd(this, position)
    this.queue.seen?.ended(message, { lane: this.number, position })
    const bytes = position < this.recoveredEnd ? message.payload.length : messageBytes(message)
    this.queue.change(this, -1, -bytes)
  }

  /** Opaque to clients; it names no message that takes this one's place later. */
  idOf(position: number, { publishedAt }: Message): string {
    // Times may have fractions.
    return `${this.number.toString(36)}-${position.toString(36)}-${(publishedAt >>> 0).toString(36)}`
  }

  /** Asks for the next page where little is left in memory. */
  readAhead(broker: Broker): void {
    if (!this.hasMoreStored || this.readyInMemory >= readAheadMessages) return
    const { nextPosition } = this
    this.requestPage(broker, this.residentEnd, (page) => this.#takePage(broker, page, nextPosition))
  }

  /** False: one is being read already, for somebody else. */
  requestPage(broker: Broker, fromPosition: number, use: (page: RecoveredPage) => void): boolean {
    if (this.pageUse !== null) return false
    this.pageUse = use
    broker.journal.requestPage(this, fromPosition)
    return true
  }

  onPage(page: RecoveredPage): void {
    const use = this.pageUse
    this.pageUse = null
    use?.(page)
  }

  /** `pageEnd`: where the log ended when the page was asked for. */
  #takePage(broker: Broker, page: RecoveredPage, pageEnd: number): void {
    for (const { reference, message: stored } of page.entries) {
      const { position, sharedFilter } = reference
      if (position < this.residentEnd) continue
      this.residentEnd = position + 1
      const message = messageOf(stored)
      const bytes = messageBytes(message)
      // The store counted the payload only.
      if (position < this.recoveredEnd) this.queue.change(this, 0, bytes - message.payload.length)
      const queued = new QueuedMessage(this, position, message, bytes, recoveredPast(sharedFilter))
      this.#keep(broker, queued)
      const attempt = this.attempts.get(position)
      if (attempt === undefined) continue
      this.attempts.delete(position)
      queued.recover(attempt)
      // Somebody may have set the clock back.
      queued.dueAt = Math.min(queued.dueAt, broker.now + verdictDelayMsMax)
      this.queue.dispatch.holdKey(queued)
      this.queue.waitIfDue(broker, queued)
    }
    if (!page.more) this.residentEnd = Math.max(this.residentEnd, pageEnd)
    if (!this.hasMoreStored) this.#recount()
    this.queue.pump()
  }

  /** All is in memory: what the store could not read is not there any more. */
  #recount(): void {
    let bytes = 0
    for (const queued of this.messages.values()) bytes += queued.bytes
    this.queue.change(this, this.messages.size - this.count, bytes - this.bytes)
  }
}
