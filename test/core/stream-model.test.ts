/**
 * Random lives of a stream against a simple reference: an array of what was acknowledged. Readers come and go, acknowledge or do not,
 * processes die with what is under way, runs of the store are lost, the retention lets go. Judged in the end:
 *
 * - what was acknowledged to its publisher is in the stream once, in the order of its publisher, unless it is gone by the retention
 *   or was damaged;
 * - an offset never stands for two messages, whatever was seen before a crash;
 * - within one connection a reader gets offsets in order, none twice, and none is skipped of which no gap was told;
 * - nobody begins behind what he has not acknowledged;
 * - of a group each message is settled by somebody in the end, and is with two members at once never.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { DurableWorld, lasting, receive, SlowStore } from './durable-world.ts'
import { property } from './queue-world.ts'
import { begin, declaredStream, offsets, streamOf } from './stream-world.ts'
import type { Device, SeenPublish } from './world.ts'

const steps = [
  'publish',
  'come',
  'go',
  'leave',
  'acknowledge',
  'turn',
  'settle',
  'wait',
  'crash',
  'forget',
  'damage',
] as const
type Step = (typeof steps)[number]

/** 0 and 1 have places of their own, of which 1 sees one topic; 2 and 3 are of a group. */
const filters = ['$stream/meters', '$stream/meters/meters/1', '$share/g/$stream/meters', '$share/g/$stream/meters']
const isMember = (who: number): boolean => who > 1

interface Reader {
  readonly device: Device
  readonly has: SeenPublish[]
  /** Of what it got last on this connection, without DUP. */
  last: number
}

class Life {
  world: DurableWorld
  readonly acknowledged: string[] = []
  /** By offset, what anybody ever saw there. */
  readonly seen = new Map<number, string>()
  readonly #retention: { ageMs: number; bytesMax: number; messagesMax: number }
  #published = 0
  #publisher: Device | null = null
  readonly #sent = new Map<number, string>()
  readonly readers = new Map<number, Reader>()
  /** By a reader with a place of its own, the first offset that it has not acknowledged. */
  readonly #due = new Map<number, number>()
  /** Offsets of the group that are with a member. */
  readonly #holders = new Map<number, number>()
  readonly settled = new Set<number>()
  damaged = false
  readonly lost = new Set<number>()

  constructor(messagesMax: number) {
    this.#retention = { ageMs: 0, bytesMax: 0, messagesMax }
    const stream = declaredStream('meters', { retention: this.#retention, startAt: 'earliest' })
    this.world = new DurableWorld(new SlowStore(), 0, undefined, {}, { streams: [stream] })
    this.#watchStore()
  }

  /** Some positions can't be read any more. */
  #watchStore(): void {
    const { store } = this.world
    const { readQueue } = SlowStore.prototype
    store.readQueue = async (...query) => {
      const page = await readQueue.apply(store, query)
      return { ...page, entries: page.entries.filter(({ reference }) => !this.lost.has(reference.position)) }
    }
  }

  async apply({ step, who, count }: { step: Step; who: number; count: number }): Promise<void> {
    const { world } = this
    if (step === 'publish') await this.#publish(count * 7)
    else if (step === 'come') await this.#come(who)
    else if (step === 'go') this.#go(who, false)
    else if (step === 'leave') this.#go(who, true)
    else if (step === 'acknowledge') this.#acknowledge(who, count)
    else if (step === 'turn') world.turn()
    else if (step === 'settle') await world.settle()
    else if (step === 'wait') world.advance(count * 2500)
    else if (step === 'crash') await this.#crash()
    else if (step === 'forget') this.#forgetTail()
    else this.#damage(who, count)
    this.#read()
  }

  async #publish(count: number): Promise<void> {
    this.#publisher ??= await this.world.ready('publisher', {})
    for (let n = 0; n < count; n++) {
      const text = String(this.#published++)
      this.#sent.set(this.#publisher.publish(`meters/${this.#published % 3}`, text, { qos: 1 }), text)
    }
  }

  async #come(who: number): Promise<void> {
    if (this.readers.has(who)) return
    const device = this.world.device().connect({ clientId: `r${who}`, ...(who === 2 ? { cleanStart: true } : lasting) })
    begin(device, filters[who]!)
    this.readers.set(who, { device, has: [], last: -1 })
    await this.world.settle()
  }

  #go(who: number, isOrderly: boolean): void {
    const reader = this.readers.get(who)
    if (reader === undefined) return
    this.#read()
    this.readers.delete(who)
    if (isOrderly) reader.device.disconnect()
    else reader.device.drop()
    this.#release(who)
  }

  /** One that is away may be given back at any time, or keep what it has for a while. */
  #release(who: number): void {
    for (const [offset, holder] of this.#holders) if (holder === who) this.#holders.delete(offset)
  }

  #acknowledge(who: number, count: number): void {
    const reader = this.readers.get(who)
    for (const message of reader?.has.splice(0, count) ?? []) {
      reader!.device.acknowledge('puback', message.packetId, count === 3 ? 0x80 : 0)
      const [offset] = offsets([message])
      if (isMember(who)) this.settled.add(offset!)
      else this.#due.set(who, Math.max(this.#due.get(who) ?? 0, offset! + 1))
      this.#holders.delete(offset!)
    }
  }

  #forgetTail(): void {
    const { queueBytes } = this.world.broker.budgets
    const { max } = queueBytes
    queueBytes.max = 0
    streamOf(this.world).run()
    queueBytes.max = max
  }

  /** A run is lost where nobody has read yet. */
  #damage(who: number, count: number): void {
    if (who !== 0) return
    this.damaged = true
    const { firstOffset, nextOffset } = streamOf(this.world)
    const from = firstOffset + Math.floor((nextOffset - firstOffset) * (count / 12))
    for (let offset = from; offset < from + 3; offset++) if (!this.seen.has(offset)) this.lost.add(offset)
  }

  async #crash(): Promise<void> {
    this.#read()
    this.world.store.abandon()
    this.world = await this.world.restart()
    this.#watchStore()
    this.readers.clear()
    this.#holders.clear()
    this.#sent.clear()
    this.#publisher = null
  }

  #read(): void {
    for (const packet of this.#publisher?.take() ?? []) {
      if (packet.type === 'puback' && packet.reasonCode === 0) this.acknowledged.push(this.#sent.get(packet.packetId)!)
    }
    for (const [who, reader] of this.readers) {
      for (const message of reader.device.takePublishes()) this.#take(who, reader, message)
    }
  }

  #take(who: number, reader: Reader, message: SeenPublish): void {
    const offset = offsets([message])[0]!
    expect(this.seen.get(offset) ?? message.payload, `offset ${offset}`).toBe(message.payload)
    this.seen.set(offset, message.payload)
    reader.has.push(message)
    if (isMember(who)) {
      const holder = this.#holders.get(offset)
      if (holder !== undefined && holder !== who) throw new Error(`${offset} is with ${holder} and ${who}`)
      this.#holders.set(offset, who)
      return
    }
    const gap = Number(property(message, 'stream-gap') ?? 0)
    const from = reader.last < 0 ? this.#due.get(who) : reader.last + 1
    if (reader.last >= 0) expect(offset, `reader ${who}`).toBeGreaterThan(reader.last)
    const next = from === undefined ? offset : this.#nextFor(who, from, offset)
    // What it was told to be gone is gone; all else it has to get. At most what it acknowledged since its cursor was written comes again.
    if (offset > next) expect(gap, `reader ${who} jumps from ${next} to ${offset}`).toBeGreaterThan(0)
    reader.last = offset
    if (!this.#due.has(who)) this.#due.set(who, offset)
  }

  /** The first offset from here on that this reader's filter wants. */
  #nextFor(who: number, from: number, upTo: number): number {
    if (who === 0) return from
    // One in three is of its topic, each of which it gets: of those in between only what was seen is known.
    for (let offset = from; offset < upTo; offset++) {
      const text = this.seen.get(offset)
      if (text !== undefined && (Number(text) + 1) % 3 === 1) return offset
    }
    return upTo
  }

  async end(): Promise<string[]> {
    await this.world.settle()
    this.#read()
    // What is with somebody who is away stays there for ten seconds.
    this.world.advance(20_000)
    await this.world.settle()
    for (const who of [...this.readers.keys()]) this.#go(who, true)
    await this.world.settle()
    const all = await this.world.ready('all', {})
    begin(all, '$stream/meters', 'earliest')
    const read = await receive(this.world, all)
    const member = await this.world.ready('last', {})
    begin(member, '$share/g/$stream/meters', 'earliest')
    const rest = await receive(this.world, member)
    const { firstOffset } = streamOf(this.world)
    const settled = new Set([...this.settled].map((offset) => this.seen.get(offset)))
    const missing = read.filter((text) => !settled.has(text) && !rest.includes(text))
    expect(missing, 'not settled by the group').toEqual([])
    expect([...streamOf(this.world).groups.values()][0]?.openCount ?? 0).toBe(0)
    const gone = this.acknowledged.filter((text) => !read.includes(text))
    if (firstOffset === 0 && !this.damaged) expect(gone).toEqual([])
    return read
  }
}

const step = fc.record({
  step: fc.constantFrom(...steps, 'publish' as const, 'acknowledge' as const, 'settle' as const),
  who: fc.integer({ min: 0, max: 3 }),
  count: fc.integer({ min: 1, max: 12 }),
})

it('a stream keeps its promises over readers that come and go, processes that die, and runs that are lost', async () => {
  const messagesMax = fc.constantFrom(0, 0, 300)
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 100 }), messagesMax, async (script, kept) => {
      const life = new Life(kept)
      for (const one of script) await life.apply(one)
      const read = await life.end()
      expect(new Set(read).size).toBe(read.length)
      const numbers = read.map(Number)
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    }),
    { numRuns: 40 },
  )
}, 120_000)
