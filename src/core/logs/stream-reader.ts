/**
 * A reader: one session's subscription to a stream. It has a place in the stream of its own, or shares its group's.
 *
 * At QoS 1 its cursor is the first message that is not acknowledged yet; a refusal counts as well, since a stream does not send again
 * what somebody did not like. The cursor of a session that outlives its connection is stored, at most once a second: after a crash of the
 * gateway the reader gets again what it acknowledged since. At QoS 0 what was sent is done.
 *
 * When its connection breaks and the session lives on, what it has stays with it for a while, and is sent again with DUP if it comes back
 * in time. Otherwise it begins at its cursor.
 */
import type { Properties } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import { sendEntry } from '../publish/send-entry.ts'
import { dropEndedLoans } from '../session/ended-loans.ts'
import type { Session } from '../session/session.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import type { ConsumerGroup } from './consumer-group.ts'
import type { Stream } from './stream.ts'
import type { StreamEntry } from './stream-entry.ts'
import { type Gap, StreamLoan } from './stream-loan.ts'
import { Walk, type Walker } from './stream-walk.ts'

/** Others have their turn after so many. */
const messagesPerServingMax = 100
const cursorWriteMs = 1000
/** Messages that a filter passed over: with more, the cursor is written though nothing was acknowledged. */
const unwrittenMax = 1000
/** How long what it was sent stays with it while its connection is away. */
export const reconnectGraceMs = 10_000

export interface ReaderOptions {
  readonly filter: string | null
  readonly group: ConsumerGroup | null
}

export class StreamReader extends Subscription implements Walker {
  readonly stream: Stream
  readonly session: Session
  /** Of the stream's topics; null: all. */
  readonly topicFilter: string | null
  readonly consumerGroup: ConsumerGroup | null
  /** Its own; of a member, which never moves on: its group's does. */
  readonly walk: Walk
  isCandidate = false
  ended = false
  /** Its client has said that it leaves. */
  isLeaving = false
  /** What was sent and is not acknowledged, oldest first. */
  readonly loans = new Set<StreamLoan>()
  readonly #broker: Broker
  readonly #grace: Deadline
  readonly #write: Deadline
  /** The cursor that the store has; -1: none. */
  #written = -1

  constructor(broker: Broker, stream: Stream, session: Session, topicFilter: string, options: ReaderOptions) {
    super(session, topicFilter)
    this.#broker = broker
    this.stream = stream
    this.session = session
    this.topicFilter = options.filter
    this.consumerGroup = options.group
    this.walk = new Walk(stream, options.filter, stream.nextOffset, 0)
    this.#grace = new Deadline(() => this.giveUp())
    this.#write = new Deadline(() => this.writeCursor())
  }

  /** Everything before it is acknowledged. */
  get cursor(): number {
    if (this.consumerGroup !== null) return this.consumerGroup.cursor
    for (const { place } of this.loans) return place
    return this.walk.place
  }

  get isStored(): boolean {
    return this.session.stored && this.consumerGroup === null
  }

  /** Whether a message may be written to it now. */
  get hasRoom(): boolean {
    const { link, client, queue, window } = this.session
    if (link === null || client === null || link.full || !client.mayDeliver || this.isLeaving) return false
    return this.qos === 0 || (queue.drained && window.open(client.inflightMax))
  }

  /** Who is to be served when it has room. */
  get walker(): Walker {
    return this.consumerGroup ?? this
  }

  /** Only of one that has a place of its own. */
  serve(): void {
    const { walk } = this
    for (let left = messagesPerServingMax; left > 0; left--) {
      if (!this.hasRoom) return
      const entry = walk.look(this)
      if (entry === null) {
        if (this.isStored && walk.next - this.#written > unwrittenMax) this.#armWrite()
        return
      }
      this.send(entry, walk)
      walk.pass()
    }
    this.stream.offer(this)
  }

  /** Sends it, or finds that it can't be. */
  send(entry: StreamEntry, gap: Gap): void {
    const broker = this.#broker
    const { session, stream } = this
    broker.cost.steps++
    if (entry.message.expiresAt <= broker.now) {
      drop(entry.message.name, 'expired', session)
      this.consumerGroup?.settle(entry.offset)
      return
    }
    // Nothing is kept of what is sent once only: neither for a second sending nor for a cursor.
    const isKept = this.qos > 0 && (session.durable || this.consumerGroup !== null)
    const loan = isKept ? new StreamLoan(entry, this, gap, broker.wallTime(entry.at)) : null
    if (loan !== null) this.loans.add(loan)
    if (sendEntry(broker, this, { entry, loan, missed: gap.missed })) stream.totals.delivered++
    else if (loan !== null) this.end(loan)
    if (this.qos === 0) this.consumerGroup?.settle(entry.offset)
    if (this.qos === 0 && this.isStored) this.#armWrite()
  }

  /** It is acknowledged, or can't be sent at all. */
  end(loan: StreamLoan): void {
    if (loan.ended) return
    loan.ended = true
    this.loans.delete(loan)
    if (this.consumerGroup !== null) this.consumerGroup.settle(loan.entry.offset)
    else if (this.isStored) this.#armWrite()
  }

  acknowledged(loan: StreamLoan, _reasonCode: number, _properties: Properties): void {
    this.end(loan)
    this.stream.offer(this.walker)
  }

  #armWrite(): void {
    if (this.#write.index < 0) this.#broker.deadlines.set(this.#write, this.#broker.now + cursorWriteMs)
  }

  /** So that a new process begins there. */
  writeCursor(): void {
    this.#broker.deadlines.clear(this.#write)
    const { cursor } = this
    if (!this.isStored || cursor === this.#written) return
    this.#written = cursor
    this.stream.register()
    const { stream, session, filter, walk } = this
    const { notBefore } = walk
    this.#broker.journal.cursor(stream, {
      session: session.number,
      name: '',
      filter,
      position: cursor,
      notBefore,
      open: '',
    })
  }

  /** As the store has it. */
  recover(position: number, notBefore: number): void {
    this.#written = position
    this.walk.moveTo(position, notBefore)
  }

  /** It goes on there; what it has of before counts no more. */
  seek(offset: number, notBefore: number): void {
    for (const loan of this.loans) loan.ended = true
    this.loans.clear()
    this.walk.moveTo(offset, notBefore)
    this.#written = -1
    this.writeCursor()
    this.stream.offer(this.walker)
  }

  /** Its connection broke, and its session lives on. */
  startGrace(): void {
    this.writeCursor()
    if (this.isLeaving) this.giveUp()
    else if (this.loans.size > 0) this.#broker.deadlines.set(this.#grace, this.#broker.now + reconnectGraceMs)
  }

  /** It is back. */
  endGrace(): void {
    this.isLeaving = false
    this.#broker.deadlines.clear(this.#grace)
  }

  /** What it has is with it no more: it begins at its cursor, or others of its group get it. */
  giveUp(): void {
    const { cursor, loans, consumerGroup, session } = this
    const had = [...loans]
    loans.clear()
    for (const loan of had) {
      loan.ended = true
      consumerGroup?.giveBack(loan.entry)
    }
    if (consumerGroup === null) this.walk.moveTo(cursor, this.walk.notBefore)
    dropEndedLoans(this.#broker, session)
    this.stream.run()
  }

  /** It reads no more. */
  close(): void {
    for (const deadline of [this.#grace, this.#write]) this.#broker.deadlines.clear(deadline)
    this.ended = true
    this.stream.readers.delete(this)
    const had = [...this.loans]
    this.loans.clear()
    for (const loan of had) {
      loan.ended = true
      this.consumerGroup?.giveBack(loan.entry)
    }
    this.consumerGroup?.leave(this)
    this.stream.run()
  }
}
