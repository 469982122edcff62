/**
 * Random lives of a queue against what was promised: of what a publisher was told is safe, everything was done, waits, or is a dead
 * letter, once and nowhere else, whatever workers and the process go through; and nobody has what another has.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { DurableWorld, lasting, SlowStore } from './durable-world.ts'
import { answer, declared, queueOf } from './queue-world.ts'
import type { Device, SeenPublish } from './world.ts'

const steps = [
  'publish',
  'publish',
  'burst',
  'ack',
  'ack',
  'ack',
  'nack',
  'reject',
  'busy',
  'come',
  'come',
  'drop',
  'leave',
  'wait',
  'wait long',
  'turn',
  'commit',
  'settle',
  'crash',
] as const
type Step = { step: (typeof steps)[number]; who: number; urgent: boolean }

/** Workers whose sessions outlive their connections have even numbers. */
const lasts = (who: number): boolean => who % 2 === 0

class Life {
  world = new DurableWorld(
    new SlowStore(),
    0,
    undefined,
    {},
    {
      queues: [declared('jobs', { prefetchMax: 3, attemptsMax: 3, orderBy: 'none' })],
      receiveMaximum: 65_535,
    },
  )
  readonly promised = new Set<string>()
  readonly done = new Set<string>()
  /** Who has it, as far as the outside knows. */
  readonly #holders = new Map<string, number>()
  readonly #workers = new Map<number, { device: Device; has: SeenPublish[] }>()
  readonly #away = new Set<number>()
  #publisher: Device | null = null
  readonly #sent = new Map<number, string>()
  #count = 0

  async apply({ step, who, urgent }: Step): Promise<void> {
    switch (step) {
      case 'publish':
        await this.#publish(1, urgent)
        break
      case 'burst':
        await this.#publish(30, urgent)
        break
      case 'ack':
        this.#judge(who, 0)
        break
      case 'nack':
        this.#judge(who, 0x80)
        break
      case 'reject':
        this.#judge(who, 0x99)
        break
      case 'busy':
        this.#judge(who, 0x97)
        break
      case 'come':
        await this.#come(who)
        break
      case 'drop':
      case 'leave':
        this.#go(who, step === 'leave')
        break
      case 'wait':
        this.world.advance(1000)
        break
      case 'wait long':
        this.#waitLong()
        break
      case 'turn':
        this.world.turn()
        break
      case 'commit':
        this.world.turn()
        if (this.world.store.waiting > 0) await this.world.store.finish()
        break
      case 'settle':
        await this.world.settle()
        break
      case 'crash':
        await this.#crash()
        break
      default:
        step satisfies never
    }
    this.#read()
  }

  /** Nobody that is away has anything any more. */
  #waitLong(): void {
    this.world.advance(11_000)
    for (const away of this.#away) this.#release(away)
    this.#away.clear()
  }

  async #publish(count: number, urgent: boolean): Promise<void> {
    this.#publisher ??= await this.world.ready(`p${this.#count}`, {})
    for (let i = 0; i < count; i++) {
      const payload = String(++this.#count)
      const topic = urgent ? 'jobs/urgent' : '$queue/jobs/direct'
      this.#sent.set(this.#publisher.publish(topic, payload, { qos: 1 }), payload)
    }
  }

  async #come(who: number): Promise<void> {
    if (this.#workers.has(who)) return
    const device = this.world
      .device()
      .connect({ clientId: `w${who}`, ...(lasts(who) ? lasting : { cleanStart: true }) })
    device.subscribe('$queue/jobs', 1)
    this.#away.delete(who)
    this.#workers.set(who, { device, has: [] })
    await this.world.settle()
  }

  #go(who: number, orderly: boolean): void {
    const worker = this.#workers.get(who)
    if (worker === undefined) return
    this.#read()
    this.#workers.delete(who)
    if (orderly) worker.device.disconnect()
    else worker.device.drop()
    if (lasts(who) && !orderly) this.#away.add(who)
    else this.#release(who)
  }

  #release(who: number): void {
    for (const [payload, holder] of this.#holders) if (holder === who) this.#holders.delete(payload)
  }

  /** About the oldest that it has. */
  #judge(who: number, code: number): void {
    const message = this.#workers.get(who)?.has.shift()
    if (message === undefined) return
    if (code === 0) this.done.add(message.payload)
    this.#holders.delete(message.payload)
    answer(this.#workers.get(who)!.device, message, code)
  }

  async #crash(): Promise<void> {
    this.#read()
    this.world.store.abandon()
    this.world = await this.world.restart()
    this.#workers.clear()
    this.#away.clear()
    this.#holders.clear()
    this.#sent.clear()
    this.#publisher = null
  }

  #read(): void {
    for (const packet of this.#publisher?.take() ?? []) {
      if (packet.type === 'puback' && packet.reasonCode === 0) this.promised.add(this.#sent.get(packet.packetId)!)
    }
    for (const [who, { device, has }] of this.#workers) {
      for (const message of device.takePublishes()) {
        const holder = this.#holders.get(message.payload)
        if (holder !== undefined && holder !== who) throw new Error(`${message.payload} is with ${holder} and ${who}`)
        this.#holders.set(message.payload, who)
        has.push(message)
      }
    }
  }

  /** What waits, and what is dead: after a last restart, or when all workers have gone. */
  async end(restarts: boolean): Promise<{ waits: string[]; dead: string[] }> {
    await this.world.settle()
    this.#read()
    this.#waitLong()
    await this.world.settle()
    if (restarts) this.world = await this.world.restart()
    else for (const who of [...this.#workers.keys()]) this.#go(who, who > 1)
    this.#waitLong()
    const count = queueOf(this.world).count
    this.world.advance(600_000)
    const waits = await this.#drain('$queue/jobs')
    expect(waits).toHaveLength(count)
    return { waits, dead: await this.#drain('$queue/jobs.dead') }
  }

  async #drain(filter: string): Promise<string[]> {
    const reader = await this.world.ready('reader', { cleanStart: true })
    reader.subscribe(filter, 1)
    const got: string[] = []
    for (let quiet = 0; quiet < 3; quiet++) {
      await this.world.settle()
      for (const message of reader.takePublishes()) {
        quiet = 0
        got.push(message.payload)
        answer(reader, message, 0)
      }
      this.world.advance(300_000)
    }
    expect(queueOf(this.world, filter.slice('$queue/'.length))).toMatchObject({
      count: 0,
      leased: 0,
      waiting: 0,
      bytes: 0,
    })
    reader.disconnect()
    return got
  }
}

const step = fc.record({ step: fc.constantFrom(...steps), who: fc.integer({ min: 0, max: 3 }), urgent: fc.boolean() })

it('keeps its promises over workers that come and go and processes that die', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), fc.boolean(), async (script, restarts) => {
      const life = new Life()
      for (const one of script) await life.apply(one)
      const { waits, dead } = await life.end(restarts)
      const left = [...waits, ...dead]
      expect(new Set(left).size).toBe(left.length)
      const lost = [...life.promised].filter((payload) => !life.done.has(payload) && !left.includes(payload))
      expect(lost).toEqual([])
    }),
    { numRuns: 60 },
  )
}, 120_000)
