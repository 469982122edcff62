/**
 * A queue in a life: it captures a part of what clients publish, and programs work on it through the gateway's own calls. Whatever
 * became of the process, what a publisher was told is safe was done, or is there at the end, waiting or as a dead letter; and nobody
 * is given what another one has.
 */
import { type Books, idOf, matches } from './books.ts'
import { Bundles, results } from './bundles.ts'
import type { Process, ProcessOptions } from './process.ts'
import { Random } from './random.ts'

const filter = 's/#'
const leaseMs = 1_000_000_000
/** As far as it may be declared: no times and no chance but what the life brings. */
const workQueue = {
  filter,
  attemptsMax: 3,
  retry: { firstMs: 500, factor: 2, maxMs: 10_000, jitter: 0 },
} as const

const work = { namespace: 'default', name: 'work' }
const dead = { namespace: 'default', name: 'work.dead' }

export class Work {
  /** Some lives have none, so that those of before are what they were. */
  readonly #isThere: boolean
  readonly #books: Books
  readonly #random: Random
  readonly #bundles: Bundles
  /** By delivery: which message somebody has. */
  readonly #has = new Map<string, string>()
  readonly #done = new Set<string>()
  /** What failed, and may be a dead letter since this moment: those are kept for 14 days, which pass where the clock is set. */
  readonly #failed = new Map<string, number>()
  #isOver = false

  /** Declares its queue in the process to come. */
  constructor(seed: number, books: Books, process: ProcessOptions) {
    this.#random = new Random(seed ^ 0x5eed)
    this.#books = books
    this.#bundles = new Bundles(seed, books)
    this.#isThere = this.#random.chance(0.6)
    if (this.#isThere) process.gateway = { ...process.gateway, queues: { work: workQueue, results: {} } }
  }

  /** Somebody takes some, or says what became of one. */
  act(process: Process): void {
    const random = this.#random
    if (!this.#isThere || this.#isOver || !random.chance(0.15)) return
    if (random.chance(0.3)) this.#take(process)
    else this.#judge(process)
  }

  #take(process: Process): void {
    for (const { delivery, message } of process.queues((queues) => queues.receive(work, 4, leaseMs))!) {
      const id = idOf(Buffer.from(message.payload))
      this.#books.note(`work <- ${id} ${delivery}`)
      if (this.#has.has(delivery)) this.#books.fault(`work: ${id} is given to two`)
      this.#has.set(delivery, id)
    }
  }

  #judge(process: Process): void {
    const [first] = this.#has
    if (first === undefined) return
    const [delivery, id] = first
    const verdict = this.#random.weighted({ ack: 6, nack: 3, release: 1, reject: 1 })
    this.#books.note(`work -> ${verdict} ${id} ${delivery}`)
    this.#has.delete(delivery)
    if (verdict === 'ack' && this.#bundles.wants()) {
      this.#bundles.settle(process, { queue: work, delivery }, id, () => this.#has.set(delivery, id))
      return
    }
    if (verdict === 'ack') this.#done.add(id)
    else if (verdict !== 'release') this.#failed.set(id, this.#books.moment())
    const [outcome] = process.queues((queues) => queues.settle(work, [{ delivery, verdict }]))
    if (outcome !== 'done') this.#books.fault(`work: ${verdict} about ${id} is ${outcome}`)
  }

  crashed(): void {
    this.#has.clear()
  }

  /** Everything that is left, and what should have been. `pass`: the store has its time. */
  async finish(process: Process, pass: () => Promise<void>): Promise<void> {
    if (!this.#isThere) return
    for (const delivery of this.#has.keys()) {
      process.queues((queues) => queues.settle(work, [{ delivery, verdict: 'release' }]))
    }
    this.#has.clear()
    this.#isOver = true
    const left = [...(await this.#drain(process, work, pass)), ...(await this.#drain(process, dead, pass))]
    const ended = this.#bundles.judge(await this.#drain(process, results, pass))
    for (const id of ended) this.#done.add(id)
    const counted = new Map<string, number>()
    for (const id of left) counted.set(id, (counted.get(id) ?? 0) + 1)
    for (const {
      id,
      topic,
      qos,
      answered,
      refused,
      expirySeconds,
      empty,
      transmissions,
    } of this.#books.publications.values()) {
      if (!matches(filter, topic) || empty || expirySeconds > 0) continue
      const count = counted.get(id) ?? 0
      if (count === transmissions && ended.has(id)) this.#books.fault(`work: ${id} is there, and so are its results`)
      if (count > transmissions) this.#books.fault(`work: ${id} is there ${count} times`)
      const isPromised = qos > 0 && answered < Number.POSITIVE_INFINITY && !refused
      const failed = this.#failed.get(id) ?? Number.POSITIVE_INFINITY
      const mayBeOld = this.#books.jumps.some((jump) => jump > failed)
      if (isPromised && count === 0 && !mayBeOld && !this.#done.has(id)) this.#books.fault(`work: ${id} is lost`)
    }
    for (const name of [work, dead, results]) {
      const { ready, leased, waiting, bytes } = process.queues((queues) => queues.state(name))!
      if (ready + leased + waiting + bytes > 0)
        this.#books.fault(`work: ${name.name} is empty and counts ${ready} ready, ${bytes} bytes`)
    }
  }

  async #drain(process: Process, name: typeof work, pass: () => Promise<void>): Promise<string[]> {
    const ids: string[] = []
    for (let quiet = 0; quiet < 5; quiet++) {
      const received = [...process.queues((queues) => queues.receive(name, 1000, leaseMs))!]
      // Some wait for long where the clock was set back: of those it may be said as well that they are done.
      process.queues((queues) => queues.peek(name, '', 1000, ({ messages }) => received.push(...messages)))
      for (const { delivery, message } of received) {
        const [outcome] = process.queues((queues) => queues.settle(name, [{ delivery, verdict: 'ack' }]))
        if (outcome !== 'done') continue
        quiet = 0
        ids.push(idOf(Buffer.from(message.payload)))
      }
      await pass()
    }
    return ids
  }
}
