/**
 * The core and the committer on a durable store whose commits end when a test says so, and new processes on what it holds.
 */
import { expect } from 'vitest'
import type { BrokerPorts } from '../../src/core/broker.ts'
import type { BrokerOptions } from '../../src/core/options.ts'
import { onQueuePage } from '../../src/core/session/queue-pages.ts'
import { BrokerRecovery } from '../../src/core/session/recovery.ts'
import { Committer } from '../../src/engine/committer.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { DelayedPage, Durability, QueuePage, Store } from '../../src/store/store.ts'
import { type Device, World } from './world.ts'

export const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } }

/** A durable store whose commits end when the test says so. */
export class SlowStore extends MemoryStore implements Store {
  readonly batches: ArrayBuffer[] = []
  /** At which each was to be committed. */
  readonly levels: Durability[] = []
  #waiting: (() => void)[] = []
  #last: Promise<void> = Promise.resolve()

  constructor() {
    super({ durable: true })
  }

  override commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    this.batches.push(batch.slice(0))
    this.levels.push(durability)
    const turn = new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#last = turn.then(() => super.commit(batch, durability))
    return this.#last
  }

  /** Calls are served in the order in which they are made. */
  override async readQueue(...query: Parameters<Store['readQueue']>): Promise<QueuePage> {
    await this.#last
    return super.readQueue(...query)
  }

  override async readDelayed(...query: Parameters<Store['readDelayed']>): Promise<DelayedPage> {
    await this.#last
    return super.readDelayed(...query)
  }

  async finish(): Promise<void> {
    this.#waiting.shift()?.()
    // The commit's promise and the committer's reaction.
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }

  /** The process dies: what is under way never happens. */
  abandon(): void {
    this.#waiting = []
    this.#last = Promise.resolve()
  }

  /** How many batches, from the first on, survive for sure what leaves only commits at one of these levels. */
  safe(...levels: Durability[]): number {
    return this.levels.slice(0, this.batches.length - this.waiting).findLastIndex((level) => levels.includes(level)) + 1
  }

  /** What a disk holds to which only the first so many batches got. */
  async cut(batches: number): Promise<SlowStore> {
    const store = new SlowStore()
    for (let i = 0; i < batches; i++) {
      store.batches.push(this.batches[i]!)
      store.levels.push(this.levels[i]!)
      await MemoryStore.prototype.commit.call(store, this.batches[i]!.slice(0), this.levels[i]!)
    }
    return store
  }

  get waiting(): number {
    return this.#waiting.length
  }
}

export class DurableWorld extends World {
  readonly store: SlowStore
  readonly committer: Committer
  readonly devices: Device[] = []

  /** With a wait for acknowledgements, its timer is the test's to fire. */
  readonly #timers: (() => void)[] = []
  readonly #waits: boolean
  readonly #ports: BrokerPorts
  readonly #options: Partial<BrokerOptions>

  constructor(
    store = new SlowStore(),
    elisionWaitMs = 0,
    onFatal = (error: Error): void => {
      throw error
    },
    ports: BrokerPorts = {},
    options: Partial<BrokerOptions> = {},
  ) {
    const committer = new Committer(
      store,
      {
        onCommit: () => {
          for (const device of this.devices) device.link.release()
          this.broker.onCommit()
        },
        onPage: (page) => onQueuePage(this.broker, page),
        onDelayedPage: (page, use) => use(page),
        onFatal,
      },
      {
        pendingBytesMax: 1_000_000,
        durability: 'fsync',
        clock: { now: () => this.now, after: (_ms, fire) => this.#after(fire) },
        elisionWaitMs,
      },
    )
    super(
      { inflightMessagesMax: 10, residentMessagesMax: 5, namespaces: { plant: {} }, ...options },
      { ...ports, journal: committer },
    )
    this.#ports = ports
    this.#options = options
    this.#waits = elisionWaitMs > 0
    this.store = store
    this.committer = committer
  }

  override device(version: 3 | 4 | 5 = 5, durability: Durability = 'fsync', namespace?: string): Device {
    const device = super.device(version, durability, namespace)
    this.devices.push(device)
    return device
  }

  #after(fire: () => void): () => void {
    this.#timers.push(fire)
    return () => {}
  }

  fireTimers(): void {
    for (const fire of this.#timers.splice(0)) fire()
  }

  override turn(): void {
    super.turn()
    this.committer.endTurn()
  }

  /** Ends turns and commits until nothing is under way. */
  async settle(): Promise<void> {
    for (let i = 0; i < 10_000; i++) {
      this.turn()
      if (this.#waits) {
        this.now += 2
        this.fireTimers()
      }
      if (this.store.waiting > 0) await this.store.finish()
      else await new Promise((resolve) => setImmediate(resolve))
      if (this.store.waiting === 0 && this.committer.appended === this.#seen) return
      this.#seen = this.committer.appended
    }
  }
  #seen = -1

  async ready(clientId: string, options: object = lasting, namespace?: string): Promise<Device> {
    const device = this.device(5, 'fsync', namespace).connect({ clientId, ...options })
    await this.settle()
    expect(device.take()[0]).toMatchObject({ type: 'connack', reasonCode: 0 })
    return device
  }

  /** A new process on what the store holds. */
  async restart(store = this.store, options = this.#options): Promise<DurableWorld> {
    const world = new DurableWorld(store, undefined, undefined, this.#ports, options)
    world.now = this.now
    world.broker.now = this.now
    const recovery = new BrokerRecovery(world.broker)
    const numbers = await store.open(recovery)
    world.broker.nextSessionNumber = numbers.nextSessionNumber
    world.committer.nextMessageId = numbers.nextMessageId
    world.committer.retainedVersion = numbers.retainedVersion
    recovery.end()
    return world
  }
}

/** Acknowledges whatever comes until nothing comes any more. Payloads, in order. */
export async function receive(world: DurableWorld, device: Device): Promise<string[]> {
  const payloads: string[] = []
  for (let quiet = 0; quiet < 3; ) {
    await world.settle()
    const drained = device.drain()
    payloads.push(...drained)
    quiet = drained.length === 0 ? quiet + 1 : 0
  }
  return payloads
}
