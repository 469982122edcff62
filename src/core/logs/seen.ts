/**
 * What a queue has seen, so that what a publisher sends again does not come in twice: ids of messages (the user property `message-id`), and
 * how far each publisher has counted (`seq`).
 *
 * An id is remembered for a time, or for as long as its message is unsettled. A number is remembered for as long as its publisher is: what
 * is not above its last one was there before. Both are in memory, since every publish asks, and in the store, where they are written
 * with the message itself: what is acknowledged is known, and what is not committed is not.
 *
 * At a limit the oldest is forgotten, counted: then a message may come in twice, which at least once allows; none is lost.
 *
 * A message that was there before has its id written once more: its publisher is told when that is committed, and so not before the
 * commit that has the message, which may be on its way still.
 */
import { userProperty } from '../../mqtt/user-property.ts'
import type { Broker } from '../broker.ts'
import type { RecoveredId, RecoveredSequence, SeenOf } from '../ports/recovered.ts'
import type { Message } from '../publish/message.ts'
import type { Dedupe } from './definition.ts'

export const messageIdCharactersMax = 256

/** Rows that are too old are deleted together, no more often. */
const forgetIntervalMs = 1000

/** Where a message stands that has an id. */
interface Place {
  readonly lane: number
  readonly position: number
}

interface SeenId extends Place {
  readonly at: number
}

/** What a publisher has counted up to by the end of one turn: one record. What comes in a later turn may not be committed with it. */
export interface Counted {
  readonly ticket: number
  sequence: number
  at: number
}

export class SeenMessages {
  definition: Dedupe
  readonly #broker: Broker
  readonly #of: SeenOf
  readonly #totals: { forgotten: number }
  /** The oldest first. */
  readonly #ids = new Map<string, SeenId>()
  /** Who was silent for longest first. */
  readonly #publishers = new Map<string, Counted>()
  #forgottenAt = 0

  /** `totals`: where it is counted what gave way to others. */
  constructor(broker: Broker, of: SeenOf, definition: Dedupe, totals: { forgotten: number }) {
    this.#totals = totals
    this.#broker = broker
    this.#of = of
    this.definition = definition
  }

  get ids(): number {
    return this.#ids.size
  }

  get publishers(): number {
    return this.#publishers.size
  }

  /** What is wrong with the properties that it goes by; empty: nothing. */
  findingOf(properties: Uint8Array): string {
    const id = this.#namesIds ? userProperty(properties, 'message-id') : undefined
    if (id !== undefined && (id === '' || id.length > messageIdCharactersMax))
      return `message-id has 1 to ${messageIdCharactersMax} characters`
    const sequence = this.definition.sequence ? userProperty(properties, 'seq') : undefined
    if (sequence !== undefined && !/^[0-9]{1,15}$/.test(sequence)) return 'seq is a whole number of at most 15 digits'
    return ''
  }

  get #namesIds(): boolean {
    return this.definition.windowMs > 0 || this.definition.until === 'settled'
  }

  /** Whether the message was there before. `counts`: its publisher sent it right now, so that its `seq` says something. */
  knows(message: Message, counts: boolean): boolean {
    return this.#knownId(message) !== null || (counts && this.#isCounted(message))
  }

  #knownId({ forwardProperties }: Message): string | null {
    if (!this.#namesIds) return null
    const id = userProperty(forwardProperties, 'message-id')
    const seen = id === undefined ? undefined : this.#ids.get(id)
    if (seen === undefined) return null
    const { until, windowMs } = this.definition
    const counts = until === 'settled' ? this.#mayBeUnsettled(seen) : seen.at + windowMs > this.#broker.now
    return counts ? id! : null
  }

  /** An id outlives its message where it was remembered for a time before, or where the store could not read the message. */
  #mayBeUnsettled({ lane, position }: Place): boolean {
    return this.#broker.lanesByNumber.get(lane)?.mayHave(position) === true
  }

  #isCounted({ publisher, forwardProperties }: Message): boolean {
    if (!this.definition.sequence || publisher === '') return false
    const counted = this.#publishers.get(publisher)
    const sequence = sequenceOf(forwardProperties)
    return counted !== undefined && sequence !== null && sequence <= counted.sequence
  }

  /** A message that was there before came again: what says so is committed before its publisher is told. */
  repeat(message: Message): void {
    const id = this.#knownId(message)
    if (id !== null) this.#write(id, this.#ids.get(id)!)
    const counted = this.#publishers.get(message.publisher)
    if (id === null && counted !== undefined) this.#broker.journal.counted(this.#of, message.publisher, { ...counted })
  }

  /** A message came in that was not there before. */
  note(message: Message, place: Place, counts: boolean): void {
    const id = this.#namesIds ? userProperty(message.forwardProperties, 'message-id') : undefined
    if (id !== undefined) this.#noteId(id, place)
    if (!counts || !this.definition.sequence || message.publisher === '') return
    const sequence = sequenceOf(message.forwardProperties)
    if (sequence !== null) this.#noteSequence(message.publisher, sequence)
  }

  /** A message is there again that had been elsewhere: nobody else comes in under its id. */
  noteAgain(message: Message, place: Place): void {
    if (this.definition.until === 'settled' && this.#knownId(message) === null) this.note(message, place, false)
  }

  #noteId(id: string, { lane, position }: Place): void {
    this.#forgetOld()
    this.#ids.delete(id)
    const seen = { at: Math.floor(this.#broker.now), lane, position }
    this.#ids.set(id, seen)
    this.#write(id, seen)
    if (this.#ids.size <= this.definition.idsMax) return
    const [oldest] = this.#ids.keys()
    this.#ids.delete(oldest!)
    this.#totals.forgotten++
    this.#broker.journal.seenEnd(this.#of, oldest!)
  }

  #noteSequence(publisher: string, sequence: number): void {
    const { now, journal } = this.#broker
    const before = this.#publishers.get(publisher)
    this.#publishers.delete(publisher)
    if (before !== undefined && journal.durable && before.ticket === journal.ticket) {
      before.sequence = sequence
      before.at = Math.floor(now)
      this.#publishers.set(publisher, before)
      return
    }
    const counted: Counted = { ticket: journal.ticket, sequence, at: Math.floor(now) }
    this.#publishers.set(publisher, counted)
    journal.counted(this.#of, publisher, counted)
    if (this.#publishers.size <= this.definition.publishersMax) return
    const [silent] = this.#publishers.keys()
    this.#publishers.delete(silent!)
    this.#totals.forgotten++
    journal.countedEnd(this.#of, silent!)
  }

  #write(id: string, { at, lane, position }: SeenId): void {
    this.#broker.journal.seen({ ...this.#of, id, at, lane, position })
  }

  /** It had its last verdict, or has gone otherwise. */
  ended(message: Message, { lane, position }: Place): void {
    if (this.definition.until !== 'settled') return
    const id = userProperty(message.forwardProperties, 'message-id')
    const seen = id === undefined ? undefined : this.#ids.get(id)
    if (seen === undefined || seen.lane !== lane || seen.position !== position) return
    this.#ids.delete(id!)
    this.#broker.journal.seenEnd(this.#of, id!)
  }

  /** Those whose time is over. */
  #forgetOld(): void {
    const { windowMs, until } = this.definition
    if (until === 'settled') return
    const { now, journal } = this.#broker
    const before = Math.floor(now) - windowMs
    for (const [id, { at }] of this.#ids) {
      if (at > before) break
      this.#ids.delete(id)
    }
    if (now < this.#forgottenAt + Math.max(forgetIntervalMs, windowMs / 16)) return
    this.#forgottenAt = now
    journal.seenForget(this.#of, before)
  }

  /** It is not asked any more: nothing of it stays. */
  forgetAll(): void {
    const { journal } = this.#broker
    journal.seenForget(this.#of, Number.MAX_SAFE_INTEGER)
    for (const publisher of this.#publishers.keys()) journal.countedEnd(this.#of, publisher)
    this.#ids.clear()
    this.#publishers.clear()
  }

  recoverId({ id, at, lane, position }: RecoveredId): void {
    this.#ids.set(id, { at, lane, position })
  }

  recoverSequence({ publisher, sequence, at }: RecoveredSequence): void {
    this.#publishers.set(publisher, { sequence, at, ticket: 0 })
  }
}

function sequenceOf(properties: Uint8Array): number | null {
  const text = userProperty(properties, 'seq')
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : null
}
