/** What is held for a commit, in which order it leaves, and what is never written: the core and the committer on a slow store. */
import { describe, expect, it } from 'vitest'
import { BrokerRecovery, onQueuePage } from '../../src/core/recovery.ts'
import { Committer } from '../../src/engine/committer.ts'
import { readBatch } from '../../src/store/batch.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Durability, Store } from '../../src/store/store.ts'
import { type Device, World } from './world.ts'

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } }

/** A durable store whose commits end when the test says so. */
class SlowStore extends MemoryStore implements Store {
  readonly batches: ArrayBuffer[] = []
  #waiting: (() => void)[] = []

  constructor() {
    super({ durable: true })
  }

  override async commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    this.batches.push(batch.slice(0))
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
    await super.commit(batch, durability)
  }

  async finish(): Promise<void> {
    this.#waiting.shift()?.()
    // The commit's promise and the committer's reaction.
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }

  get waiting(): number {
    return this.#waiting.length
  }
}

class DurableWorld extends World {
  readonly store: SlowStore
  readonly committer: Committer
  readonly devices: Device[] = []

  /** With a wait for acknowledgements, its timer is the test's to fire. */
  readonly #timers: (() => void)[] = []
  readonly #waits: boolean

  constructor(store = new SlowStore(), elisionWaitMs = 0) {
    const committer = new Committer(
      store,
      {
        onCommit: () => {
          for (const device of this.devices) device.link.release()
          this.broker.onCommit()
        },
        onPage: (page) => onQueuePage(this.broker, page),
        onFatal: (error) => {
          throw error
        },
      },
      {
        pendingBytesMax: 1_000_000,
        durability: 'fsync',
        clock: { now: () => this.now, after: (_ms, fire) => this.#after(fire) },
        elisionWaitMs,
      },
    )
    super({ inflightMessagesMax: 10, residentMessagesMax: 5 }, { journal: committer })
    this.#waits = elisionWaitMs > 0
    this.store = store
    this.committer = committer
  }

  override device(version: 3 | 4 | 5 = 5): Device {
    const device = super.device(version)
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

  async ready(clientId: string, options: object = lasting): Promise<Device> {
    const device = this.device().connect({ clientId, ...options })
    await this.settle()
    expect(device.take()[0]).toMatchObject({ type: 'connack', reasonCode: 0 })
    return device
  }

  /** A new process on what the store holds. */
  async restart(): Promise<DurableWorld> {
    const world = new DurableWorld(this.store)
    world.now = this.now
    world.broker.now = this.now
    const recovery = new BrokerRecovery(world.broker)
    const numbers = await this.store.open(recovery)
    world.broker.nextSessionNumber = numbers.nextSessionNumber
    world.committer.nextMessageId = numbers.nextMessageId
    recovery.end()
    return world
  }
}

const writes = (world: DurableWorld, from: number) => {
  const kinds: string[] = []
  const sink = new Proxy({}, { get: (_target, name) => () => kinds.push(String(name)) })
  for (const batch of world.store.batches.slice(from)) readBatch(batch, sink as Parameters<typeof readBatch>[1])
  return kinds
}

describe('acknowledgements wait for their commit', () => {
  it('CONNACK of a lasting session leaves when the session is committed, and nothing precedes it', async () => {
    const world = new DurableWorld()
    const device = world.device().connect({ clientId: 's', ...lasting })
    device.send(Uint8Array.of(0xc0, 0))
    expect(device.take()).toEqual([])
    world.turn()
    expect(device.take()).toEqual([])
    await world.store.finish()
    expect(device.take().map((one) => one.type)).toEqual(['connack', 'pingresp'])
  })

  it('PUBACK leaves when the reference is committed; later acknowledgements wait behind it', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 1).drop()
    await world.settle()
    const publisher = await world.ready('p', {})
    publisher.publish('t', 'x', { qos: 1 })
    publisher.publish('elsewhere', 'y', { qos: 1 })
    world.turn()
    expect(publisher.take()).toEqual([])
    await world.store.finish()
    expect(publisher.take()).toMatchObject([
      { type: 'puback', packetId: 1, reasonCode: 0 },
      { type: 'puback', packetId: 2, reasonCode: 0x10 },
    ])
  })

  it('a message without durable recipient is acknowledged in its turn and written nowhere', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s', {})).subscribe('t', 1)
    const publisher = await world.ready('p', {})
    const batches = world.store.batches.length
    publisher.publish('t', 'x', { qos: 1 })
    publisher.publish('t', 'x', { qos: 2, packetId: 5 })
    expect(publisher.take()).toMatchObject([{ type: 'puback' }, { type: 'pubrec' }])
    world.turn()
    expect(world.store.batches).toHaveLength(batches)
  })

  it('QoS 1 goes to its recipient in the same turn, QoS 2 after the commit', async () => {
    const world = new DurableWorld()
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 2)
    await world.settle()
    subscriber.take()
    const publisher = await world.ready('p', {})
    publisher.publish('t', 'one', { qos: 1 })
    expect(subscriber.takePublishes()).toMatchObject([{ payload: 'one' }])
    publisher.publish('t', 'two', { qos: 2 })
    world.turn()
    expect(subscriber.take()).toEqual([])
    await world.store.finish()
    expect(subscriber.takePublishes()).toMatchObject([{ payload: 'two' }])
  })

  it('PUBREL to a recipient waits for its PUBREC, PUBCOMP to a publisher for the removal of its identifier', async () => {
    const world = new DurableWorld()
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 2)
    const publisher = await world.ready('p')
    publisher.publish('t', 'two', { qos: 2, packetId: 8 })
    await world.settle()
    const [delivery] = subscriber.takePublishes()
    expect(publisher.take()).toMatchObject([{ type: 'pubrec', packetId: 8 }])
    subscriber.acknowledge('pubrec', delivery!.packetId)
    publisher.acknowledge('pubrel', 8)
    world.turn()
    expect([...subscriber.take(), ...publisher.take()]).toEqual([])
    await world.store.finish()
    expect(subscriber.take()).toMatchObject([{ type: 'pubrel' }])
    expect(publisher.take()).toMatchObject([{ type: 'pubcomp', packetId: 8 }])
  })

  it('a repeated QoS 2 PUBLISH waits for the same commit as the first', async () => {
    const world = new DurableWorld()
    const publisher = await world.ready('p')
    publisher.publish('t', 'x', { qos: 2, packetId: 8 })
    world.turn()
    publisher.publish('t', 'x', { qos: 2, packetId: 8, dup: true })
    expect(publisher.take()).toEqual([])
    await world.store.finish()
    expect(publisher.take()).toMatchObject([{ type: 'pubrec' }, { type: 'pubrec' }])
  })

  it('what is held dies with its connection: a successor gets no acknowledgement that is not its own', async () => {
    const world = new DurableWorld()
    const first = await world.ready('p')
    first.publish('t', 'x', { qos: 2, packetId: 8 })
    world.turn()
    first.drop()
    const second = world.device().connect({ clientId: 'p', ...lasting })
    await world.settle()
    expect(second.take().map((one) => one.type)).toEqual(['connack'])
  })

  it('SUBACK waits for its commit and retained messages follow it', async () => {
    const world = new DurableWorld()
    const publisher = await world.ready('p', {})
    publisher.publish('t', 'kept', { qos: 1, retain: true })
    await world.settle()
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 0)
    world.turn()
    expect(subscriber.take()).toEqual([])
    await world.store.finish()
    expect(subscriber.take()).toMatchObject([{ type: 'suback' }, { type: 'publish', payload: 'kept', retain: true }])
  })
})

describe('elision', () => {
  it('a reference that was acknowledged before its batch was handed over is not written, nor is its body', async () => {
    const world = new DurableWorld()
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 1)
    await world.settle()
    subscriber.take()
    const publisher = await world.ready('p', {})
    const batches = world.store.batches.length
    for (let i = 0; i < 3; i++) publisher.publish('t', String(i), { qos: 1 })
    for (const { packetId } of subscriber.takePublishes()) subscriber.acknowledge('puback', packetId)
    world.turn()
    expect(world.store.batches).toHaveLength(batches)
    expect(publisher.take()).toHaveLength(3)
    expect(world.committer.elidedReferences).toBe(3)
  })

  it("a turn that only waits for connected recipients is given their acknowledgements' time", async () => {
    const world = new DurableWorld(new SlowStore(), 2)
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 1)
    await world.settle()
    subscriber.take()
    const publisher = await world.ready('p', {})
    await world.settle()
    const batches = world.store.batches.length
    publisher.publish('t', 'x', { qos: 1 })
    world.turn()
    expect(world.store.batches).toHaveLength(batches)
    expect(publisher.take()).toEqual([])
    subscriber.acknowledge('puback', subscriber.takePublishes()[0]!.packetId)
    world.turn()
    expect(publisher.take()).toMatchObject([{ type: 'puback' }])
    expect(world.store.batches).toHaveLength(batches)

    publisher.publish('t', 'y', { qos: 1 })
    world.turn()
    world.now += 2
    world.fireTimers()
    expect(world.store.batches).toHaveLength(batches + 1)
    expect(publisher.take()).toEqual([])
    await world.store.finish()
    expect(publisher.take()).toMatchObject([{ type: 'puback' }])
  })

  it('a turn with a recipient that is away is handed over at once', async () => {
    const world = new DurableWorld(new SlowStore(), 2)
    const [here, away] = [await world.ready('here'), await world.ready('away')]
    for (const one of [here, away]) one.subscribe('t', 1)
    away.drop()
    await world.settle()
    const publisher = await world.ready('p', {})
    await world.settle()
    const batches = world.store.batches.length
    publisher.publish('t', 'x', { qos: 1 })
    world.turn()
    expect(world.store.batches).toHaveLength(batches + 1)
  })

  it('the body stays for the recipient that did not acknowledge', async () => {
    const world = new DurableWorld()
    const [fast, slow] = [await world.ready('fast'), await world.ready('slow')]
    for (const one of [fast, slow]) one.subscribe('t', 1)
    await world.settle()
    const publisher = await world.ready('p', {})
    const batches = world.store.batches.length
    publisher.publish('t', 'x', { qos: 1 })
    fast.acknowledge('puback', fast.takePublishes()[0]!.packetId)
    await world.settle()
    expect(writes(world, batches)).toEqual(['messagePut', 'enqueue'])
    const again = await world.restart()
    expect(again.broker.sessions.get('fast')?.queue.waiting).toBe(0)
    expect(again.broker.sessions.get('slow')?.queue.waiting).toBe(1)
  })

  it('retained changes of one topic within a batch coalesce to the last', async () => {
    const world = new DurableWorld()
    const publisher = await world.ready('p', {})
    const batches = world.store.batches.length
    for (let i = 0; i < 5; i++) publisher.publish('t', String(i), { qos: 1, retain: true })
    await world.settle()
    expect(writes(world, batches)).toEqual(['messagePut', 'retainedPut'])
    expect((await world.restart()).broker.retained.get('t')?.payload).toEqual(new Uint8Array(Buffer.from('4')))
  })
})

describe('restart', () => {
  it('a queue larger than memory comes back page by page, in order, and what may have been sent carries DUP', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 1).drop()
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 3000; i++) {
      publisher.publish('t', String(i), { qos: 1, packetId: 1 })
      if (i % 500 === 0) await world.settle()
    }
    await world.settle()
    const next = await world.restart()
    expect(next.broker.gauges().queuedMessages).toBe(3000)
    const again = next.device().connect({ clientId: 's', ...lasting })
    await next.settle()
    const received: string[] = []
    for (let i = 0; i < 1000 && received.length < 3000; i++) {
      received.push(...again.drain())
      await next.settle()
    }
    expect(received).toEqual(Array.from({ length: 3000 }, (_, i) => String(i)))
    await next.settle()
    expect(next.broker.gauges()).toMatchObject({ queuedMessages: 0, inflightMessages: 0 })
    expect((await next.restart()).broker.gauges().queuedMessages).toBe(0)
  })

  it('QoS 2 resumes in the right state in both directions', async () => {
    const world = new DurableWorld()
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 2)
    const publisher = await world.ready('p')
    for (const payload of ['a', 'b', 'c']) publisher.publish('t', payload, { qos: 2 })
    await world.settle()
    const sent = subscriber.takePublishes()
    subscriber.acknowledge('pubrec', sent[1]!.packetId)
    await world.settle()

    const next = await world.restart()
    const [s, p] = ['s', 'p'].map((clientId) => next.device().connect({ clientId, ...lasting })) as [Device, Device]
    await next.settle()
    expect(s.take()).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'publish', payload: 'a', dup: true, packetId: sent[0]!.packetId },
      { type: 'pubrel', packetId: sent[1]!.packetId },
      { type: 'publish', payload: 'c', dup: true, packetId: sent[2]!.packetId },
    ])
    p.take()
    p.publish('t', 'a', { qos: 2, packetId: 1, dup: true })
    await next.settle()
    expect(p.take()).toMatchObject([{ type: 'pubrec', packetId: 1 }])
    expect(s.take()).toEqual([])
  })

  it('the will of a client that was connected is sent when it does not return, and not if it does', async () => {
    const will = {
      topic: 'will',
      payload: Buffer.from('x'),
      qos: 1 as const,
      retain: false,
      properties: {},
      forwardProperties: new Uint8Array(0),
    }
    const world = new DurableWorld()
    await world.ready('stays-away', { ...lasting, will })
    await world.ready('returns', { ...lasting, will })
    await world.ready('short-lived', { will })
    const next = await world.restart()
    const watcher = await next.ready('watcher', {})
    watcher.subscribe('will', 1)
    await next.settle()
    watcher.take()
    await next.ready('returns')
    next.advance(29_999)
    expect(watcher.take()).toEqual([])
    next.advance(1)
    expect(watcher.takePublishes()).toHaveLength(2)
    expect(next.broker.sessions.has('short-lived')).toBe(false)
    expect(next.broker.sessions.has('stays-away')).toBe(true)
  })

  it('expiry goes on across the restart in absolute time', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).drop()
    await world.settle()
    world.now += 3_599_000
    const next = await world.restart()
    next.advance(999)
    expect(next.broker.sessions.has('s')).toBe(true)
    next.advance(1)
    expect(next.broker.sessions.has('s')).toBe(false)
    await next.settle()
    expect((await next.restart()).broker.sessions.has('s')).toBe(false)
  })
})
