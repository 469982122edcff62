/**
 * A consumer group: readers of a stream that share one place in it, `$share/<group>/$stream/<name>`. Each message goes to one of them, in
 * turn to those that have room, and comes to another one when its reader leaves without having acknowledged it.
 *
 *     gone ..... cursor ..... handed out, some of it open ..... next
 *
 * `open` is what was handed out and is not acknowledged. It is stored with the place, so that after a restart just that is handed out
 * again, and what comes behind. A group lives until it is deleted, whether it has members or not.
 */
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { PositionHeap } from './position-heap.ts'
import type { Stream } from './stream.ts'
import type { StreamEntry } from './stream-entry.ts'
import type { StreamReader } from './stream-reader.ts'
import { Walk, type Walker } from './stream-walk.ts'

const messagesPerServingMax = 100
const noGap = { missed: 0, place: 0 }
const cursorWriteMs = 1000
/** Messages that a filter passed over: with more, the place is written though nothing was acknowledged. */
const unwrittenMax = 1000
/** Messages that are open in one group: with them its members hold it up, and nothing is handed out until some are acknowledged. */
export const openMessagesMax = 10_000

export class ConsumerGroup implements Walker {
  readonly stream: Stream
  readonly name: string
  /** Of the stream's topics; null: all. */
  readonly filter: string | null
  readonly walk: Walk
  readonly members: StreamReader[] = []
  isCandidate = false
  /** It was deleted. */
  ended = false
  readonly #broker: Broker
  /** In order of offset. */
  readonly #open = new Set<number>()
  /** Of those, by offset: with nobody, in memory. */
  readonly #returned = new Map<number, StreamEntry>()
  readonly #returnedOrder = new PositionHeap()
  /** Of those, with nobody, in the store: handed out before a restart. */
  readonly #recovered = new Set<number>()
  /** Before it, only `#recovered` are handed out. */
  #recoveredEnd = 0
  /** Whose turn it is. */
  #turn = 0
  /** The place that the store has; -1: none. */
  #written = -1
  readonly #write: Deadline

  constructor(broker: Broker, stream: Stream, name: string, filter: string | null) {
    this.#broker = broker
    this.stream = stream
    this.name = name
    this.filter = filter
    this.walk = new Walk(stream, filter, stream.nextOffset, 0)
    this.#write = new Deadline(() => this.writeCursor())
  }

  /** Everything before it is acknowledged. */
  get cursor(): number {
    for (const offset of this.#open) return offset
    return Math.max(this.walk.next, this.#recoveredEnd)
  }

  get openCount(): number {
    return this.#open.size
  }

  /** Behind the cursor, and not open. */
  get settledAhead(): number {
    return Math.max(0, Math.max(this.walk.next, this.#recoveredEnd) - this.cursor - this.#open.size)
  }

  serve(): void {
    for (let left = messagesPerServingMax; left > 0; left--) {
      if (this.#returned.size === 0 && this.#open.size - this.#recovered.size >= openMessagesMax) return
      const member = this.#memberWithRoom()
      if (member === null) return
      const again = this.#takeReturned()
      const entry = again ?? this.#next()
      if (entry === null) {
        if (this.walk.next - this.#written > unwrittenMax) this.#armWrite()
        return
      }
      const gap = again === null ? { missed: this.walk.missed, place: this.walk.place } : noGap
      if (again === null) this.walk.pass()
      this.#turn++
      this.#open.add(entry.offset)
      member.send(entry, gap)
    }
    this.stream.offer(this)
  }

  join(member: StreamReader): void {
    this.members.push(member)
  }

  leave(member: StreamReader): void {
    const index = this.members.indexOf(member)
    if (index >= 0) this.members.splice(index, 1)
  }

  /** Whose turn it is, or whoever comes next. */
  #memberWithRoom(): StreamReader | null {
    const { members } = this
    for (let left = members.length; left > 0; left--, this.#turn++) {
      if (this.#turn >= members.length) this.#turn = 0
      const member = members[this.#turn]!
      if (member.hasRoom) return member
    }
    return null
  }

  #takeReturned(): StreamEntry | null {
    for (let offset = this.#returnedOrder.first; offset >= 0; offset = this.#returnedOrder.first) {
      this.#returnedOrder.shift()
      const entry = this.#returned.get(offset)
      if (entry === undefined) continue
      this.#returned.delete(offset)
      return entry
    }
    return null
  }

  /** The next one that nobody had, or that is open since before a restart. */
  #next(): StreamEntry | null {
    const { walk } = this
    for (;;) {
      const entry = walk.look(this)
      if (entry === null || walk.next >= this.#recoveredEnd) {
        if (this.#recovered.size > 0) this.#forgetRecovered()
        return entry
      }
      if (this.#recovered.delete(entry.offset)) return entry
      walk.next++
    }
  }

  /** What is open and was not found where it should be is lost. */
  #forgetRecovered(): void {
    if (this.walk.next < this.#recoveredEnd) return
    for (const offset of this.#recovered) this.#open.delete(offset)
    this.#recovered.clear()
  }

  /** Nobody needs it any more. */
  settle(offset: number): void {
    if (this.#open.delete(offset)) this.#armWrite()
  }

  /** It is with nobody. */
  giveBack(entry: StreamEntry): void {
    if (!this.#open.has(entry.offset)) return
    this.#returned.set(entry.offset, entry)
    this.#returnedOrder.push(entry.offset)
    this.stream.offer(this)
  }

  /** It goes on there, whatever was open. */
  moveTo(offset: number, notBefore: number): void {
    for (const member of this.members) {
      for (const loan of member.loans) loan.ended = true
      member.loans.clear()
    }
    this.#open.clear()
    this.#returned.clear()
    this.#recovered.clear()
    this.#recoveredEnd = 0
    this.walk.moveTo(offset, notBefore)
    this.writeCursor()
    this.stream.offer(this)
  }

  #armWrite(): void {
    if (this.#write.index < 0) this.#broker.deadlines.set(this.#write, this.#broker.now + cursorWriteMs)
  }

  writeCursor(): void {
    const { journal, deadlines } = this.#broker
    deadlines.clear(this.#write)
    if (!journal.durable || this.ended) return
    const { name, filter, cursor, walk } = this
    const { notBefore } = walk
    const position = cursor
    this.#written = walk.next
    this.stream.register()
    journal.cursor(this.stream, { session: 0, name, filter: filter ?? '', position, notBefore, open: this.#openText() })
  }

  /** From the cursor on: how far it was handed out, and what of that is open, each as its distance from the one before. */
  #openText(): string {
    const { cursor } = this
    let last = cursor
    const distances = [...this.#open].map((offset) => {
      const distance = offset - last
      last = offset
      return distance.toString(36)
    })
    const end = Math.max(this.walk.next, this.#recoveredEnd)
    return [(end - cursor).toString(36), ...distances].join(' ')
  }

  recover(position: number, notBefore: number, open: string): void {
    const [handedOut = 0, ...distances] = open === '' ? [] : open.split(' ').map((text) => Number.parseInt(text, 36))
    this.#recoveredEnd = position + handedOut
    let last = position
    for (const distance of distances) {
      last += distance
      this.#open.add(last)
      this.#recovered.add(last)
    }
    this.walk.moveTo(this.#open.size > 0 ? position : this.#recoveredEnd, notBefore)
  }

  /** Nobody is to have it any more. It has no members. */
  delete(): void {
    this.#broker.deadlines.clear(this.#write)
    this.ended = true
    if (this.#broker.journal.durable) this.#broker.journal.cursorEnd(this.stream, 0, this.name, this.filter ?? '')
  }
}
