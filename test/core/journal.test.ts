/** What is held for a commit, in which order it leaves, and what is never written. */
import { describe, expect, it } from 'vitest'
import { readBatch } from '../../src/store/batch-reader.ts'
import { DurableWorld, lasting, SlowStore } from './durable-world.ts'

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
    expect(writes(world, batches)).toEqual(['enqueueMessage', 'sent'])
    const again = await world.restart()
    expect(again.broker.defaultNamespace.sessions.get('fast')?.queue.waiting).toBe(0)
    expect(again.broker.defaultNamespace.sessions.get('slow')?.queue.waiting).toBe(1)
  })

  it('retained changes of one topic within a batch coalesce to the last', async () => {
    const world = new DurableWorld()
    const publisher = await world.ready('p', {})
    const batches = world.store.batches.length
    for (let i = 0; i < 5; i++) publisher.publish('t', String(i), { qos: 1, retain: true })
    await world.settle()
    expect(writes(world, batches)).toEqual(['messagePut', 'retainedPut'])
    expect((await world.restart()).broker.defaultNamespace.retained.get('t')?.payload).toEqual(
      new Uint8Array(Buffer.from('4')),
    )
  })
})
