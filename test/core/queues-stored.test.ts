/** Queues on a durable store: what a commit backs, what survives the end of the process, and what is read page by page. */
import { describe, expect, it } from 'vitest'
import { BrokerQueues } from '../../src/core/inspection/queues.ts'
import type { QueueDefinition } from '../../src/core/logs/definition.ts'
import { DurableWorld, lasting, SlowStore } from './durable-world.ts'
import { answer, declared, payloads, property, publishWith, queueOf, stateOf } from './queue-world.ts'
import type { Device } from './world.ts'

const worldOf = (over: Partial<QueueDefinition> = {}, elisionWaitMs = 0): DurableWorld =>
  new DurableWorld(new SlowStore(), elisionWaitMs, undefined, {}, { queues: [declared('jobs', over)] })

async function worker(world: DurableWorld, clientId: string, options: object = {}): Promise<Device> {
  const device = await world.ready(clientId, options)
  device.subscribe('$queue/jobs', 1)
  await world.settle()
  return device
}

/** Works until nothing more comes. */
async function work(world: DurableWorld, device: Device): Promise<string[]> {
  const done: string[] = []
  for (let quiet = 0; quiet < 3; ) {
    await world.settle()
    const got = device.takePublishes()
    quiet = got.length === 0 ? quiet + 1 : 0
    for (const message of got) {
      done.push(message.payload)
      answer(device, message, 0)
    }
  }
  return done
}

async function publish(world: DurableWorld, count: number, from = 1): Promise<Device> {
  const publisher = await world.ready('publisher', {})
  for (let n = from; n < from + count; n++) {
    publisher.publish('jobs/a', String(n), { qos: 1 })
    // No more unanswered than it may have.
    if (n % 500 === 0) await world.settle()
  }
  return publisher
}

describe('a stored queue', () => {
  it('says that it is busy while a page of it is read or it is emptied for somebody else', async () => {
    const before = worldOf()
    await publish(before, 5)
    await before.settle()
    const world = await before.restart()
    const queues = new BrokerQueues(world.broker)
    const seen: string[][] = []
    const look = () =>
      queues.peek({ namespace: 'default', name: 'jobs' }, '', 10, ({ messages }) =>
        seen.push(messages.map(({ message }) => new TextDecoder().decode(message.payload))),
      )
    expect([look(), look()]).toEqual(['begun', 'busy'])
    await world.settle()
    expect(look()).toBe('begun')
    await world.settle()
    expect(seen).toEqual([
      ['1', '2', '3', '4', '5'],
      ['1', '2', '3', '4', '5'],
    ])
    const purged: number[] = []
    const empty = () => queues.purge({ namespace: 'default', name: 'jobs' }, null, (count) => purged.push(count))
    expect([empty(), empty()]).toEqual(['begun', 'busy'])
    await world.settle()
    expect([purged, queueOf(world).count]).toEqual([[5], 0])
  })

  it('has its publisher acknowledged when the commit that holds the message is done, and not before', async () => {
    const world = worldOf()
    const publisher = await publish(world, 1)
    world.turn()
    expect(publisher.take()).toEqual([])
    await world.settle()
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
  })

  it('writes nothing of a message that was done before its batch went', async () => {
    const world = worldOf({}, 2)
    const a = await worker(world, 'a')
    const batches = world.store.batches.length
    const publisher = await world.ready('p', {})
    publisher.publish('jobs/a', 'x', { qos: 1 })
    // The log gets its name once.
    await world.settle()
    for (const message of a.takePublishes()) answer(a, message, 0)
    await world.settle()
    const named = world.store.batches.length
    expect(named).toBeGreaterThan(batches)
    publisher.take()
    publisher.publish('jobs/a', 'y', { qos: 1 })
    answer(a, a.takePublishes()[0]!, 0)
    world.turn()
    expect(publisher.take()).toMatchObject([{ type: 'puback' }])
    expect(world.store.batches.length).toBe(named)
  })

  it('keeps what has no verdict over a restart, in order, with its attempts, and nobody has it then', async () => {
    const world = worldOf({ prefetchMax: 3 })
    await publish(world, 20)
    const a = await worker(world, 'a')
    const [one, two, three] = a.takePublishes()
    answer(a, one!, 0)
    answer(a, two!, 0x80, { reasonString: 'busy' })
    await world.settle()
    expect(stateOf(queueOf(world))).toEqual({ ready: 15, leased: 3, waiting: 1 })
    const next = await world.restart()
    expect(queueOf(next).count).toBe(19)
    const b = await worker(next, 'b')
    expect(three!.payload).toBe('3')
    expect(payloads(b.takePublishes())).toEqual(['3', '4', '5'])
    b.disconnect()
    next.advance(1000)
    const c = await worker(next, 'c')
    const again = c.takePublishes()
    expect([again[0]!.payload, property(again[0]!, 'queue-attempt')]).toEqual(['2', '2'])
    for (const message of again) answer(c, message, 0)
    expect(await work(next, c)).toEqual(Array.from({ length: 16 }, (_, index) => String(index + 5)))
    await next.settle()
    expect(queueOf(await next.restart()).count).toBe(0)
  })

  it('keeps the order of a key over a restart while the first of it waits for its next attempt', async () => {
    const world = worldOf({ orderBy: 'topic' })
    await publish(world, 3)
    const a = await worker(world, 'a')
    answer(a, a.takePublishes()[0]!, 0x80)
    a.disconnect()
    await world.settle()
    const next = await world.restart()
    const b = await worker(next, 'b')
    expect(b.takePublishes()).toEqual([])
    next.advance(1000)
    expect(await work(next, b)).toEqual(['1', '2', '3'])
  })

  it('is worked on to its end though all but the head of it is in the store only', async () => {
    const world = worldOf()
    await publish(world, 3000)
    await world.settle()
    expect([...queueOf(world).lanes].find((lane) => lane !== null)!.messages.size).toBe(5)
    const all = Array.from({ length: 3000 }, (_, index) => String(index + 1))
    expect(await work(world, await worker(world, 'a'))).toEqual(all)
    expect(queueOf(world)).toMatchObject({ count: 0, bytes: 0, leased: 0, waiting: 0 })
    await world.settle()
    expect(queueOf(await world.restart()).count).toBe(0)
  })

  it('hands the highest priority out first though it came last and all is in the store only', async () => {
    const world = worldOf({ prefetchMax: 1 })
    await publish(world, 50)
    const publisher = await world.ready('urgent', {})
    for (let n = 0; n < 8; n++) publishWith(publisher, 'jobs/now', `urgent ${n}`, { priority: '9' })
    await world.settle()
    const next = await world.restart()
    const done = await work(next, await worker(next, 'a'))
    expect(done.slice(0, 8)).toEqual(Array.from({ length: 8 }, (_, n) => `urgent ${n}`))
    expect(done).toHaveLength(58)
  })

  it('keeps dead letters over a restart with the reason, and gives them back', async () => {
    const world = worldOf({ attemptsMax: 1 })
    await publish(world, 3)
    const a = await worker(world, 'a')
    for (const message of a.takePublishes()) answer(a, message, 0x83, { reasonString: `no ${message.payload}` })
    await world.settle()
    const next = await world.restart()
    expect([queueOf(next).count, queueOf(next, 'jobs.dead').count]).toEqual([0, 3])
    const reader = await next.ready('reader', {})
    reader.subscribe('$queue/jobs.dead', 1)
    await next.settle()
    const dead = reader.takePublishes()
    expect(dead.map((message) => [message.payload, property(message, 'dead-letter-text')])).toEqual([
      ['1', 'no 1'],
      ['2', 'no 2'],
      ['3', 'no 3'],
    ])
  })

  it('drops its oldest though that is in the store only', async () => {
    const world = worldOf({ overflow: 'drop-oldest', messagesMax: 30 })
    await publish(world, 30)
    await world.settle()
    const next = await world.restart()
    await publish(next, 5, 31)
    await next.settle()
    const done = await work(next, await worker(next, 'a'))
    // The first that came after the restart may be there beside the thirty until the oldest had been read.
    expect(done.slice(-25)).toEqual(Array.from({ length: 25 }, (_, index) => String(index + 11)))
    expect(queueOf(next).count).toBe(0)
  })

  it('has its consumers of stored sessions after a restart, before their clients are back', async () => {
    const world = worldOf()
    const a = await worker(world, 'a', lasting)
    a.drop()
    await world.settle()
    const next = await world.restart()
    await publish(next, 1)
    const back = next.device().connect({ clientId: 'a', ...lasting })
    await next.settle()
    expect(payloads(back.takePublishes())).toEqual(['1'])
    expect(next.broker.defaultNamespace.gauges().subscriptions).toBe(1)
  })

  it('keeps a message with a session that lives on out of that session’s own log', async () => {
    const world = worldOf()
    const a = await worker(world, 'a', lasting)
    a.subscribe('other', 1)
    await publish(world, 2)
    const publisher = await world.ready('p2', {})
    publisher.publish('other', 'own', { qos: 1 })
    await world.settle()
    const [one, two, own] = a.takePublishes()
    expect(payloads([one!, two!, own!])).toEqual(['1', '2', 'own'])
    answer(a, own!, 0)
    a.drop()
    await world.settle()
    const back = world.device().connect({ clientId: 'a', ...lasting })
    await world.settle()
    const again = back.takePublishes()
    expect(again.map(({ payload, dup, packetId }) => [payload, dup, packetId])).toEqual([
      ['1', true, one!.packetId],
      ['2', true, two!.packetId],
    ])
    for (const message of again) answer(back, message, 0)
    await world.settle()
    const next = await world.restart()
    expect(queueOf(next).count).toBe(0)
    expect(next.broker.defaultNamespace.sessions.get('a')!.queue.waiting).toBe(0)
  })

  it('waits, and gives nobody anything, while nobody declares it', async () => {
    const world = worldOf()
    await publish(world, 3)
    await world.settle()
    const without = await world.restart(world.store, { queues: [] })
    const queue = queueOf(without)
    expect([queue.declared, queue.count]).toEqual([false, 3])
    const a = await without.ready('a', {})
    a.subscribe('$queue/jobs', 1)
    await without.settle()
    expect(a.take()).toMatchObject([{ type: 'suback', reasonCodes: [0x8f] }])
    const next = await without.restart(without.store, { queues: [declared('jobs')] })
    expect(await work(next, await worker(next, 'b'))).toEqual(['1', '2', '3'])
  })
})
