/**
 * A stream in a life: it takes in a part of what clients publish, and a program reads it through the gateway's own calls, from where it
 * was or from anywhere. Whatever became of the process, an offset stands for one message for ever, and in the end the stream has what
 * publishers were told is safe, in order and no more often than it was sent.
 */
import { defaultStreamDefinition } from '../../src/core/logs/stream-definition.ts'
import type { StreamPart } from '../../src/core/ports/streams.ts'
import { type Books, idOf, matches } from './books.ts'
import type { Process, ProcessOptions } from './process.ts'
import { Random } from './random.ts'

const filter = 's/#'
const stream = { namespace: 'default', name: 'read' }

export class Reading {
  /** Some lives have none, so that those of before are what they were. */
  readonly #isThere: boolean
  readonly #books: Books
  readonly #random: Random
  /** By offset. */
  readonly #seen = new Map<number, string>()
  #next = 0
  /** A part is being read; the process that does it may die. */
  #asked: object | null = null
  #isOver = false

  /** Declares its stream in the process to come. */
  constructor(seed: number, books: Books, process: ProcessOptions) {
    this.#random = new Random(seed ^ 0x57ea)
    this.#books = books
    this.#isThere = this.#random.chance(0.6)
    // Kept however old: clocks jump.
    const read = { ...defaultStreamDefinition, filter, retention: { ageMs: 0, bytesMax: 0, messagesMax: 0 } }
    if (this.#isThere) process.streams.push({ ...stream, definition: read })
  }

  act(process: Process): void {
    const random = this.#random
    if (!this.#isThere || this.#isOver || this.#asked !== null || !random.chance(0.1)) return
    this.#read(process, random.chance(0.7) ? this.#next : random.below(this.#next + 1))
  }

  #read(process: Process, offset: number): void {
    const asked = {}
    this.#asked = asked
    const query = { from: { kind: 'offset', offset }, filter: null, messagesMax: 40, bytesMax: 1e6 } as const
    process.streams((streams) =>
      streams.read(stream, query, (part) => {
        if (this.#asked !== asked) return
        this.#asked = null
        this.#take(offset, part)
      }),
    )
  }

  #take(from: number, { messages, missed, nextOffset }: StreamPart): void {
    if (missed > 0) this.#books.fault(`reading: ${missed} messages from ${from} on are gone`)
    let next = from
    for (const { offset, message } of messages) {
      const id = idOf(Buffer.from(message.payload))
      this.#books.note(`reading <- ${id} at ${offset}`)
      if (offset !== next) this.#books.fault(`reading: ${offset} follows ${next - 1}`)
      next = offset + 1
      const before = this.#seen.get(offset) ?? id
      if (before !== id) this.#books.fault(`reading: ${offset} was ${before}, and is ${id}`)
      this.#seen.set(offset, id)
    }
    if (nextOffset !== next) this.#books.fault(`reading: goes on at ${nextOffset}, not at ${next}`)
    this.#next = Math.max(this.#next, next)
  }

  crashed(): void {
    this.#asked = null
  }

  /** Everything that is there, and what should be. `pass`: the store has its time. */
  async finish(process: Process, pass: () => Promise<void>): Promise<void> {
    if (!this.#isThere) return
    this.#isOver = true
    this.#asked = null
    const { nextOffset } = process.streams((streams) => streams.state(stream))!
    for (let offset = 0, rounds = 0; offset < nextOffset && this.#books.faults.length === 0; offset = this.#next) {
      this.#next = offset
      this.#read(process, offset)
      await pass()
      if (rounds++ > 1000) this.#books.fault('reading: it does not come to an end')
    }
    const counted = new Map<string, number>()
    for (const id of this.#seen.values()) counted.set(id, (counted.get(id) ?? 0) + 1)
    for (const one of this.#books.publications.values()) {
      if (!matches(filter, one.topic) || one.empty) continue
      const count = counted.get(one.id) ?? 0
      if (count > one.transmissions) this.#books.fault(`reading: ${one.id} is there ${count} times`)
      const isPromised = one.qos > 0 && one.answered < Number.POSITIVE_INFINITY && !one.refused
      if (isPromised && count === 0) this.#books.fault(`reading: ${one.id} is lost`)
    }
  }
}
