/**
 * Everybody who takes part in a life beside the gateway: clients, the watcher who reads all wills, hostile peers, a subscriber inside the
 * process, who works on a queue, who reads a stream and who publishes later; and whose connection is blocked.
 */
import type { Books } from './books.ts'
import { clientsOf, insideFilters, messageOf, type Step, type World, watcherOf, wishes } from './cast.ts'
import type { Client } from './client.ts'
import { Delays } from './delays.ts'
import type { FakeClock } from './fake-clock.ts'
import { Hostile } from './hostile.ts'
import { Inside } from './inside.ts'
import type { Process } from './process.ts'
import type { Random } from './random.ts'
import { Reading } from './reading.ts'
import type { RetainedBook } from './retained-book.ts'
import type { Surroundings } from './surroundings.ts'
import type { Wire } from './wire.ts'
import { Work } from './work.ts'

/** What of a life they see. */
export interface Stage extends Surroundings {
  readonly clock: FakeClock
  readonly retained: RetainedBook
}

export class Company {
  readonly clients: readonly Client[]
  readonly watcher: Client
  readonly hostile: Hostile
  readonly inside: Inside
  readonly work: Work
  readonly delays: Delays
  readonly reading: Reading
  readonly #stage: Stage
  readonly #world: World
  readonly #random: Random
  readonly #blocked = new Set<Wire>()
  drops = 0

  /** Puts into the process to come what they need of it. */
  constructor(seed: number, world: World, stage: Stage) {
    const { books, random, clock } = stage
    this.#stage = stage
    this.#world = world
    this.#random = random
    this.inside = new Inside(books)
    this.work = new Work(seed, books, world.process)
    this.reading = new Reading(seed, books, world.process)
    this.clients = clientsOf(random, stage)
    this.delays = new Delays(seed, stage, clock, world.limited)
    this.watcher = watcherOf(this.delays.watching, stage)
    this.hostile = new Hostile(random)
  }

  get #books(): Books {
    return this.#stage.books
  }

  get everybody(): Client[] {
    return [...this.clients, this.watcher, ...this.delays.clients]
  }

  /** What somebody does without the gateway. False: it is no such step. */
  act(step: Step, client: Client, process: Process): boolean {
    const random = this.#random
    switch (step) {
      case 'publish':
        this.#publish()
        return true
      case 'read':
        client.read()
        client.acknowledge(random.below(6))
        return true
      case 'hurry':
        // Before the turn ends, so that references are elided.
        for (const one of this.everybody) one.answerAll()
        return true
      case 'connect':
        if (!client.isConnected) client.connect(false)
        return true
      case 'drop':
        if (client.isConnected) this.drops++
        client.drop()
        return true
      case 'disconnect':
        client.disconnect(random.chance(0.3))
        return true
      case 'wipe':
        if (!client.isConnected) client.connect(true)
        return true
      case 'takeOver':
        this.#takeOver(client)
        return true
      case 'subscribe':
        client.subscribe(random.pick(wishes(random)))
        return true
      case 'unsubscribe':
        if (client.wishes.length > 1) client.unsubscribe(random.pick(client.wishes).filter)
        return true
      case 'inside':
        this.inside.act(process, random.pick(insideFilters))
        return true
      case 'block':
        this.#block(client)
        return true
      case 'hostile':
        this.hostile.act((wire) => this.#stage.open(wire))
        return true
      default:
        return false
    }
  }

  #publish(): void {
    const client = this.#random.pick(this.clients)
    const { topic, options } = messageOf(client, this.#random, this.#world.expires)
    const publication = client.publish(topic, options)
    if (publication?.retain) this.#stage.retained.changed(publication)
  }

  #takeOver(client: Client): void {
    const old = client.wire
    if (!client.isConnected) return
    client.connect(false)
    if (old !== null) this.#blocked.delete(old)
  }

  #block(client: Client): void {
    const { wire } = client
    if (wire === null || wire.ended) return
    if (this.#blocked.delete(wire)) wire.unblock(this.#stage.now())
    else {
      this.#blocked.add(wire)
      wire.block()
    }
  }

  unblock(): void {
    for (const wire of this.#blocked) wire.unblock(this.#stage.now())
    this.#blocked.clear()
  }

  connectAll(): void {
    for (const client of this.clients) if (!client.isConnected) client.connect(false)
  }

  /** A turn has ended. */
  onTurn(process: Process): void {
    for (const client of this.everybody) {
      client.noteTime()
      if (client.wire?.ended) client.noteEnd()
    }
    this.#stage.wills.judgeWritten()
    if (!this.watcher.isConnected) this.watcher.connect(false)
    this.watcher.answerAll()
    this.work.act(process)
    this.reading.act(process)
    this.delays.act()
  }

  /** The process is dead. */
  onCrash(): void {
    for (const client of this.everybody) client.die()
    this.#blocked.clear()
    this.hostile.forget()
    this.work.crashed()
    this.reading.crashed()
    this.delays.disturbed()
  }

  get isIdle(): boolean {
    return this.everybody.every((client) => client.idle && client.ready)
  }

  /** Everybody comes back, and everything is said to the end. */
  async rest(settle: () => Promise<void>): Promise<void> {
    for (let quiet = 0, rounds = 0; quiet < 3 && this.#books.faults.length === 0; rounds++) {
      const busy = this.everybody.filter(({ idle, ready }) => !idle || !ready).map(({ id }) => id)
      if (rounds > 3000) this.#books.fault(`nobody rests: ${busy}`)
      const before = this.#books.receipts.length
      this.connectAll()
      await settle()
      for (const client of this.everybody) client.answerAll()
      quiet = this.#books.receipts.length === before && this.isIdle ? quiet + 1 : 0
    }
    await settle()
  }
}
