/** What a queue has seen does not come in twice: by `message-id` for a time or until settled, and by `seq`; also after a restart. */
import { describe, expect, it } from 'vitest'
import { BrokerQueues } from '../../src/core/inspection/queues.ts'
import { type Dedupe, noDedupe } from '../../src/core/logs/definition.ts'
import { declareQueues } from '../../src/core/logs/queue-set.ts'
import { DurableWorld, SlowStore } from './durable-world.ts'
import { answer, declared, payloads, publishWith, queueOf, queueWorld, worker } from './queue-world.ts'
import type { Device, World } from './world.ts'

const jobs = { namespace: 'default', name: 'jobs' }
const dedupe = (over: Partial<Dedupe>): { dedupe: Dedupe } => ({ dedupe: { ...noDedupe, ...over } })

const send = (device: Device, id: string, topic = 'jobs/a', more: Record<string, string> = {}): number =>
  publishWith(device, topic, id, { 'message-id': id, ...more })
const count = (device: Device, seq: number | string): number =>
  publishWith(device, 'jobs/a', `${seq}`, { seq: `${seq}` })

const figures = (world: World) => {
  const { count: messages, totals } = queueOf(world)
  return { messages, duplicates: totals.duplicates, forgotten: totals.forgotten }
}

describe('message-id', () => {
  it('of a message that came within the window is acknowledged, told of, and not taken in again', () => {
    const world = queueWorld(dedupe({ windowMs: 1000 }))
    const reader = world.connected('reader')
    reader.subscribe('jobs/#', 1)
    reader.take()
    const p = world.connected('p')
    expect(send(p, 'one')).toBe(0)
    // Into the queue alone, and from somebody else: it is the same queue.
    expect(send(world.connected('q'), 'one', '$queue/jobs')).toBe(0)
    expect(send(p, 'two')).toBe(0)
    expect(send(p, 'one')).toBe(0)
    expect(figures(world)).toEqual({ messages: 2, duplicates: 2, forgotten: 0 })
    // Others are no queues: they get it as ever.
    expect(payloads(reader.takePublishes())).toEqual(['one', 'two', 'one'])
    world.advance(1000)
    expect(send(p, 'one')).toBe(0)
    expect(figures(world).messages).toBe(3)
  })

  it('is said to be a duplicate in the reason string, unless the client wants none', () => {
    const world = queueWorld(dedupe({ windowMs: 1000 }))
    const p = world.connected('p')
    send(p, 'one')
    const reasons = () => p.link.takeOutput().map((frame) => new TextDecoder().decode(frame).includes('duplicate'))
    const again = (device: Device) => {
      device.publish('jobs/a', 'x', { qos: 1, properties: { userProperties: [['message-id', 'one']] } })
    }
    again(p)
    expect(reasons()).toEqual([true])
    const quiet = world.connected('quiet', { properties: { requestProblemInformation: 0 } })
    again(quiet)
    expect(quiet.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    expect(figures(world).duplicates).toBe(2)
  })

  it('may come again at QoS 0 and 2 as well, and is answered as its QoS says', () => {
    const world = queueWorld(dedupe({ windowMs: 1000 }))
    const p = world.connected('p')
    send(p, 'one')
    for (const qos of [0, 2] as const) publishWith(p, 'jobs/a', 'x', { 'message-id': 'one' }, qos)
    expect(figures(world)).toMatchObject({ messages: 1, duplicates: 2 })
  })

  it('is no reason to refuse a duplicate when the queue is full', () => {
    const world = queueWorld({ messagesMax: 1, ...dedupe({ windowMs: 1000 }) })
    const p = world.connected('p')
    expect(send(p, 'one')).toBe(0)
    expect([send(p, 'one'), send(p, 'one', '$queue/jobs'), send(p, 'two')]).toEqual([0, 0, 0x97])
    expect(figures(world)).toMatchObject({ messages: 1, duplicates: 2 })
  })

  it('of a refused message is not remembered', () => {
    const world = queueWorld({ messagesMax: 1, ...dedupe({ windowMs: 1000 }) })
    const p = world.connected('p')
    send(p, 'one')
    expect(send(p, 'two')).toBe(0x97)
    const a = worker(world, 'a')
    answer(a, a.takePublishes()[0]!, 0)
    expect([send(p, 'two'), figures(world)]).toEqual([0, { messages: 1, duplicates: 0, forgotten: 0 }])
  })

  it('that is empty or too long is refused before anybody has the message', () => {
    const world = queueWorld(dedupe({ windowMs: 1000 }))
    const reader = world.connected('reader')
    reader.subscribe('jobs/#', 1)
    reader.take()
    const p = world.connected('p')
    for (const topic of ['jobs/a', '$queue/jobs']) {
      expect([send(p, '', topic), send(p, 'x'.repeat(257), topic), send(p, 'x'.repeat(256), topic)]).toEqual([
        ...[0x83, 0x83, 0],
      ])
    }
    expect(payloads(reader.takePublishes())).toHaveLength(1)
    const add = (id: string) => {
      const queues = new BrokerQueues(world.broker)
      const property = [0x26, 0, 10, ...Buffer.from('message-id'), id.length >> 8, id.length & 255, ...Buffer.from(id)]
      const none = { topic: '', payload: new Uint8Array(0), publisher: '', expiresAt: Infinity }
      return queues.add(jobs, { ...none, properties: Uint8Array.from(property) })
    }
    expect([add(''), add('new'), add('new')]).toEqual(['malformed-id', 'added', 'duplicate'])
  })

  it('means nothing to a queue that does not ask', () => {
    const world = queueWorld()
    const p = world.connected('p')
    for (let n = 0; n < 2; n++) expect(send(p, '')).toBe(0)
    expect(figures(world)).toEqual({ messages: 2, duplicates: 0, forgotten: 0 })
  })

  it('is remembered until its message is settled, where the queue says so', () => {
    const world = queueWorld({ attemptsMax: 1, ...dedupe({ until: 'settled' }) })
    const p = world.connected('p')
    const a = worker(world, 'a')
    send(p, 'one')
    world.advance(1_000_000)
    send(p, 'one')
    expect(figures(world)).toMatchObject({ messages: 1, duplicates: 1 })
    answer(a, a.takePublishes()[0]!, 0)
    send(p, 'one')
    // It fails for good, and has left the queue: another one may come.
    answer(a, a.takePublishes()[0]!, 0x80)
    send(p, 'one')
    expect(figures(world)).toMatchObject({ messages: 1, duplicates: 1 })
    expect(queueOf(world, 'jobs.dead').count).toBe(1)
    // The dead letter comes back, and another of its id is there: its end does not free the id of that one.
    new BrokerQueues(world.broker).redrive({ ...jobs, name: 'jobs.dead' }, 10, null, () => {})
    expect(figures(world).messages).toBe(2)
    const [first, redriven] = a.takePublishes()
    answer(a, redriven!, 0)
    send(p, 'one')
    expect(figures(world)).toMatchObject({ messages: 1, duplicates: 2 })
    answer(a, first!, 0)
    send(p, 'one')
    expect(figures(world).messages).toBe(1)
  })

  it('of a settled message means nothing where it was remembered for a time and is now until the message is settled', () => {
    const world = queueWorld(dedupe({ windowMs: 1000 }))
    const p = world.connected('p')
    const a = worker(world, 'a')
    send(p, 'one')
    answer(a, a.takePublishes()[0]!, 0)
    send(p, 'two')
    declareQueues(world.broker, [declared('jobs', dedupe({ until: 'settled' }))])
    send(p, 'one')
    send(p, 'two')
    expect(payloads(a.takePublishes())).toEqual(['two', 'one'])
    expect(figures(world)).toMatchObject({ messages: 2, duplicates: 1 })
  })

  it('frees a place for others at the limit: the oldest is forgotten, counted', () => {
    const world = queueWorld(dedupe({ windowMs: 1000, idsMax: 2 }))
    const p = world.connected('p')
    for (const id of ['1', '2', '3']) send(p, id)
    expect(figures(world)).toMatchObject({ messages: 3, forgotten: 1 })
    send(p, '3')
    send(p, '2')
    expect(figures(world)).toMatchObject({ messages: 3, duplicates: 2 })
    send(p, '1')
    expect(figures(world)).toMatchObject({ messages: 4, forgotten: 2 })
  })

  it('holds for delayed messages when they are due, and for wills', () => {
    const world = queueWorld(dedupe({ windowMs: 60_000 }))
    const p = world.connected('p')
    send(p, 'one', '$delayed/1/jobs/a')
    send(p, 'one', '$delayed/2/jobs/a')
    const properties = { userProperties: [['message-id', 'one'] as const] }
    const will = { topic: 'jobs/w', payload: new Uint8Array(0), qos: 1, retain: false, properties } as const
    const q = world.connected('q', { will: will as never })
    world.advance(3000)
    q.drop()
    expect(figures(world)).toMatchObject({ messages: 1, duplicates: 2 })
  })
})

describe('seq', () => {
  it('grows with each message of a publisher, with gaps; what is not above the last one was there before', () => {
    const world = queueWorld(dedupe({ sequence: true }))
    const [p, q] = [world.connected('p'), world.connected('q')]
    expect([1, 5, 5, 2, 6].map((seq) => count(p, seq))).toEqual([0, 0, 0, 0, 0])
    expect(figures(world)).toMatchObject({ messages: 3, duplicates: 2 })
    count(q, 1)
    world.connected('r').publish('jobs/a', 'without', { qos: 1 })
    expect(figures(world)).toMatchObject({ messages: 5, duplicates: 2 })
    expect(['', '-1', '1.5', 'x', '1234567890123456'].map((seq) => count(p, seq))).toEqual(Array(5).fill(0x83))
  })

  it('says nothing of a message that waited: later ones may have overtaken it', () => {
    const world = queueWorld(dedupe({ sequence: true }))
    const p = world.connected('p')
    publishWith(p, '$delayed/1/jobs/a', 'later', { seq: '1' })
    count(p, 2)
    world.advance(1000)
    expect(figures(world)).toMatchObject({ messages: 2, duplicates: 0 })
  })

  it('forgets who was silent for longest at the limit, counted', () => {
    const world = queueWorld(dedupe({ sequence: true, publishersMax: 2 }))
    const [p, q, r] = ['p', 'q', 'r'].map((id) => world.connected(id))
    count(p!, 9)
    count(q!, 9)
    count(p!, 10)
    count(r!, 9)
    expect(figures(world)).toMatchObject({ messages: 4, forgotten: 1 })
    count(p!, 10)
    count(q!, 9)
    expect(figures(world)).toMatchObject({ messages: 5, duplicates: 1, forgotten: 2 })
  })
})

const worldOf = (over: Partial<Dedupe>, elisionWaitMs = 0): DurableWorld =>
  new DurableWorld(new SlowStore(), elisionWaitMs, undefined, {}, { queues: [declared('jobs', dedupe(over))] })

async function restarted(world: DurableWorld, over: Partial<Dedupe>): Promise<DurableWorld> {
  await world.settle()
  return world.restart(world.store, { queues: [declared('jobs', dedupe(over))] })
}

describe('on a store', () => {
  it('a duplicate is acknowledged no sooner than the commit that has the message', async () => {
    for (const over of [{ windowMs: 1000 }, { sequence: true }]) {
      const world = worldOf(over, 2)
      const a = await world.ready('a', {})
      a.subscribe('$queue/jobs', 1)
      const [p, q] = [await world.ready('p', {}), await world.ready('q', {})]
      const properties = { 'message-id': 'one', seq: '1' }
      const publisher = 'sequence' in over ? p : q
      expect(publishWith(p, 'jobs/a', 'x', properties)).toBe(-1)
      expect(publishWith(publisher, 'jobs/a', 'x', properties)).toBe(-1)
      // In the same turn, in a later one, and with the commit under way.
      world.turn()
      expect(publishWith(publisher, 'jobs/a', 'x', properties)).toBe(-1)
      // Though its message is done by now, and needs no record any more.
      answer(a, a.takePublishes()[0]!, 0)
      world.turn()
      const committed = async () =>
        (
          await await world.restart(await world.store.cut(world.store.batches.length - world.store.waiting), {
            queues: [declared('jobs', dedupe(over))],
          })
        ).broker
      for (let step = 0; step < 6; step++) {
        const told = [...p.take(), ...q.take()].filter(({ type }) => type === 'puback').length
        if (told > 0) {
          // Nobody is told before a process that starts now knows the message for a duplicate.
          const next = await committed()
          expect(queueOf({ broker: next } as World).seen).toMatchObject({ ids: over.windowMs === undefined ? 0 : 1 })
        }
        world.now += 2
        world.fireTimers()
        world.turn()
        await world.store.finish()
      }
      await world.settle()
      expect(queueOf(world).totals).toMatchObject({ enqueued: 1, duplicates: 2 })
    }
  })

  it('ids and numbers survive a restart, and age meanwhile', async () => {
    const over = { windowMs: 10_000, sequence: true }
    const world = worldOf(over)
    const p = await world.ready('p', {})
    send(p, 'old', 'jobs/a', { seq: '1' })
    world.advance(9000)
    send(p, 'new', 'jobs/a', { seq: '2' })
    world.advance(2000)
    const next = await restarted(world, over)
    const again = await next.ready('p', {})
    send(again, 'new')
    send(again, 'old')
    send(again, 'other', 'jobs/a', { seq: '2' })
    await next.settle()
    expect(figures(next)).toMatchObject({ messages: 3, duplicates: 2 })
    // What is too old has gone from the store too.
    next.advance(20_000)
    send(again, 'newest')
    await next.settle()
    const last = await restarted(next, over)
    expect(queueOf(last).seen).toMatchObject({ ids: 1, publishers: 1 })
  })

  it('no number is stored that a later turn counted up to', async () => {
    const over = { sequence: true }
    const world = worldOf(over, 2)
    const a = await world.ready('a', {})
    a.subscribe('$queue/jobs', 1)
    const p = await world.ready('p', {})
    count(p, 1)
    await world.settle()
    const before = world.store.batches.length
    count(p, 2)
    world.turn()
    count(p, 3)
    await world.settle()
    for (let batches = before; batches <= world.store.batches.length; batches++) {
      const next = await world.restart(await world.store.cut(batches), { queues: [declared('jobs', dedupe(over))] })
      const again = await next.ready('p', {})
      // Whatever was not stored can be sent again.
      for (const seq of [1, 2, 3]) count(again, seq)
      await next.settle()
      expect(figures(next).messages).toBe(3)
    }
  })

  it('an id that is remembered until its message is settled survives as long as that, and no longer', async () => {
    const over = { until: 'settled' } as const
    const world = worldOf(over)
    const p = await world.ready('p', {})
    send(p, 'one')
    send(p, 'two')
    const next = await restarted(world, over)
    const again = await next.ready('p', {})
    send(again, 'one')
    await next.settle()
    expect(figures(next)).toMatchObject({ messages: 2, duplicates: 1 })
    // Purged where it is in the store only.
    new BrokerQueues(next.broker).purge(jobs, null, () => {})
    await next.settle()
    expect(queueOf(next).seen!.ids).toBe(0)
    send(again, 'one')
    const last = await restarted(next, over)
    expect(queueOf(last).seen!.ids).toBe(1)
  })

  it('an id of a settled message means nothing after a restart by which it is remembered until then', async () => {
    const world = worldOf({ windowMs: 10_000 })
    const p = await world.ready('p', {})
    const a = await world.ready('a', {})
    a.subscribe('$queue/jobs', 1)
    await world.settle()
    a.take()
    send(p, 'one')
    send(p, 'two')
    await world.settle()
    const [first] = a.takePublishes()
    answer(a, first!, 0)
    await world.settle()
    const next = await restarted(world, { until: 'settled' })
    const again = await next.ready('p', {})
    const b = await next.ready('b', {})
    b.subscribe('$queue/jobs', 1)
    await next.settle()
    b.take()
    send(again, 'one')
    send(again, 'two')
    await next.settle()
    expect(figures(next)).toMatchObject({ messages: 2, duplicates: 1 })
  })

  it('a queue that does not ask any more forgets, at once and after a restart; one that is not declared keeps', async () => {
    const over = { windowMs: 10_000, sequence: true }
    const world = worldOf(over)
    const p = await world.ready('p', {})
    send(p, 'one', 'jobs/a', { seq: '1' })
    await world.settle()
    const gone = await world.restart(world.store, { queues: [] })
    await gone.settle()
    const back = await restarted(gone, over)
    expect(queueOf(back).seen).toMatchObject({ ids: 1, publishers: 1 })
    const quiet = await restarted(back, {})
    await quiet.settle()
    expect(queueOf(await restarted(quiet, over)).seen).toMatchObject({ ids: 0, publishers: 0 })
    const other = worldOf(over)
    send(await other.ready('p', {}), 'one', 'jobs/a', { seq: '1' })
    declareQueues(other.broker, [declared('jobs')])
    expect(queueOf(await restarted(other, over)).seen).toMatchObject({ ids: 0, publishers: 0 })
  })
})
