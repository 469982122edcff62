/** Messages and verdicts that are taken together: all or none, whatever is wrong with one of them, and whenever the process ends. */
import { describe, expect, it } from 'vitest'
import { BrokerQueues } from '../../src/core/inspection/queues.ts'
import type { QueueDefinition } from '../../src/core/logs/definition.ts'
import type { BundledVerdict } from '../../src/core/ports/bundle.ts'
import type { QueueVerdict } from '../../src/core/ports/queues.ts'
import { publishBundle } from '../../src/core/publish/bundle.ts'
import { newMessage } from '../../src/engine/own-message.ts'
import type { Qos } from '../../src/mqtt/packet.ts'
import { UserPropertyBytes } from '../../src/mqtt/user-property.ts'
import { DurableWorld, lasting, SlowStore } from './durable-world.ts'
import { declared, queueOf, queueWorld, stateOf, worker } from './queue-world.ts'
import { declaredStream } from './stream-world.ts'
import { World } from './world.ts'

const jobs = { namespace: 'default', name: 'jobs' }

interface Told {
  qos?: Qos
  retain?: boolean
  properties?: Record<string, string>
}

type Item = readonly [topic: string, payload: string, told?: Told]

const none = new Uint8Array(0)

function bundle({ broker }: World, items: readonly Item[], verdicts: readonly BundledVerdict[] = []) {
  const messages = items.map(([name, payload, told = {}]) => {
    const { retain = false, properties = {} } = told
    const qos: Qos = told.qos ?? 1
    const user = new UserPropertyBytes(none)
    for (const [key, value] of Object.entries(properties)) user.add(key, value)
    const own = { name, payload: new TextEncoder().encode(payload), forwardProperties: user.bytes, qos }
    const message = newMessage({ ...own, expiresAt: Infinity, publishedAt: broker.now })
    return { namespace: broker.defaultNamespace, message, retain }
  })
  return publishBundle(broker, { messages, verdicts, publisher: null })
}

const verdict = (delivery: string, said: QueueVerdict = 'ack', name = jobs): BundledVerdict => {
  return { queue: name, delivery, verdict: said }
}

function leased(world: World, name = jobs): string {
  return new BrokerQueues(world.broker).receive(name, 1, 60_000)![0]!.delivery
}

describe('a bundle', () => {
  it('is published message by message, with what became of each', () => {
    const world = queueWorld()
    const reader = world.connected('reader')
    reader.subscribe('#', 1)
    reader.take()
    const result = bundle(world, [
      ['jobs/a', '1'],
      ['b', '2', { qos: 0, retain: true }],
      ['$queue/jobs', '3'],
      ['$delayed/60/c', '4'],
    ])
    expect(result).toEqual({ outcomes: ['delivered', 'delivered', 'delivered', 'delivered'] })
    expect(reader.takePublishes().map(({ payload }) => payload)).toEqual(['1', '2'])
    expect(stateOf(queueOf(world))).toEqual({ ready: 2, leased: 0, waiting: 0 })
    expect(world.broker.gauges()).toMatchObject({ retainedMessages: 1, delayedMessages: 1 })
    expect(world.broker.counters.bundlesTaken).toBe(1)
  })

  it('leaves nothing behind when any of its messages is refused, and names that one', () => {
    const world = queueWorld({ messagesMax: 3 })
    const reader = world.connected('reader')
    reader.subscribe('#', 1)
    const job = () => world.connected('p').publish('jobs/a', 'job', { qos: 1 })
    job()
    const delivery = leased(world)
    reader.take()
    const last: readonly [Item, string][] = [
      [['a/+', 'x'], 'malformed'],
      [['$SYS/x', 'x'], 'not_authorized'],
      [['$queue/none', 'x'], 'malformed'],
      [['$queue/jobs/$ack', 'x'], 'malformed'],
      [['$delayed/soon/a', 'x'], 'malformed'],
      [['$delayed/1/$queue/none', 'x'], 'malformed'],
      [['$delayed/1/a', 'x', { properties: { 'schedule-id': '' } }], 'malformed'],
      [['big', 'x'.repeat(world.broker.options.packetBytesMax)], 'too_large'],
    ]
    for (const [item, reason] of last) {
      const items: Item[] = [['a', '1', { retain: true }], ['jobs/a', '2'], ['$delayed/60/c', '3'], item]
      expect(bundle(world, items, [verdict(delivery)])).toMatchObject({ part: 'messages', index: 3, reason })
    }
    expect(world.broker.counters.bundlesRefused.get('malformed')).toBe(6)
    expect(reader.take()).toEqual([])
    expect(stateOf(queueOf(world))).toEqual({ ready: 0, leased: 1, waiting: 0 })
    expect(world.broker.gauges()).toMatchObject({ retainedMessages: 0, delayedMessages: 0 })
  })

  it('counts what comes before it in the same bundle: a queue with room for one refuses two', () => {
    const world = queueWorld({ messagesMax: 2 })
    world.connected('p').publish('jobs/a', 'job', { qos: 1 })
    const two: Item[] = [
      ['jobs/a', '1'],
      ['$queue/jobs', '2'],
    ]
    expect(bundle(world, two)).toMatchObject({ part: 'messages', index: 1, reason: 'no_room' })
    expect(stateOf(queueOf(world)).ready).toBe(1)
    expect(queueOf(world).totals.refused).toBe(1)
    expect(bundle(world, two.slice(0, 1))).toEqual({ outcomes: ['delivered'] })
  })

  it('has the room of the jobs that it settles', () => {
    const world = queueWorld({ messagesMax: 1 })
    world.connected('p').publish('jobs/a', 'job', { qos: 1 })
    const delivery = leased(world)
    const again: Item[] = [['jobs/a', 'again']]
    expect(bundle(world, again)).toMatchObject({ reason: 'no_room' })
    expect(bundle(world, again, [verdict(delivery, 'nack')])).toMatchObject({ reason: 'no_room' })
    expect(bundle(world, again, [verdict(delivery)])).toEqual({ outcomes: ['delivered'] })
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 0, waiting: 0 })
  })

  it('is refused for bytes too, of a queue and of its namespace, at QoS 0 as well', () => {
    const world = queueWorld({ bytesMax: 100 })
    const items: Item[] = Array.from({ length: 3 }, () => ['jobs/a', 'x'.repeat(60), { qos: 0 }])
    expect(bundle(world, items)).toMatchObject({ index: 2, reason: 'no_room' })
    world.broker.defaultNamespace.quotas.queuedBytes.max = 50
    expect(bundle(world, items.slice(0, 2))).toMatchObject({ index: 1, reason: 'no_room' })
    expect(queueOf(world).count).toBe(0)
  })

  it('pushes others out of a queue that drops its oldest, and never a part of itself', () => {
    const world = queueWorld({ messagesMax: 2, overflow: 'drop-oldest' })
    for (const payload of ['1', '2']) world.connected('p').publish('jobs/a', payload, { qos: 1 })
    const items = (count: number): Item[] => Array.from({ length: count }, (_, n) => ['jobs/a', `new ${n}`])
    expect(bundle(world, items(3))).toMatchObject({ index: 2, reason: 'no_room' })
    expect(bundle(world, items(2))).toMatchObject({ outcomes: ['delivered', 'delivered'] })
    const a = worker(world, 'a')
    expect(a.takePublishes().map(({ payload }) => payload)).toEqual(['new 0', 'new 1'])
    // Nothing can go that is being worked on.
    expect(bundle(world, items(1))).toMatchObject({ index: 0, reason: 'no_room' })
  })

  it('is refused where sessions refuse: one session for all it would get, a share group when nobody has room', () => {
    const options = { sessionQueueFull: 'reject', sessionQueueMessagesMax: 2 } as const
    const world = new World({ ...options, queues: [declared('jobs')] })
    for (const [clientId, filter] of [
      ['own', 'own'],
      ['g1', '$share/g/shared'],
      ['g2', '$share/g/shared'],
    ] as const) {
      const device = world.connected(clientId, lasting)
      device.subscribe(filter, 1)
      device.drop()
    }
    const items = (topic: string, count: number): Item[] => Array.from({ length: count }, () => [topic, 'x'])
    expect(bundle(world, items('own', 3))).toMatchObject({ index: 2, reason: 'no_room' })
    expect(bundle(world, items('own', 2))).toMatchObject({ outcomes: ['delivered', 'delivered'] })
    // Nobody knows who of the group would get which.
    expect(bundle(world, items('shared', 3))).toMatchObject({ index: 2, reason: 'no_room' })
    expect(bundle(world, items('shared', 2))).toMatchObject({ outcomes: ['delivered', 'delivered'] })
    expect(world.broker.gauges().queuedMessages).toBe(4)
  })

  it('is refused where the retained or the delayed messages have no room for all of it', () => {
    const world = new World({ retainedMessagesMax: 2, delayedMessagesMax: 2 })
    const retained = (count: number): Item[] =>
      Array.from({ length: count }, (_, n) => [`r/${n}`, 'x', { retain: true }])
    expect(bundle(world, retained(3))).toMatchObject({ index: 2, reason: 'no_room' })
    expect(bundle(world, retained(2))).toMatchObject({ outcomes: ['no-subscribers', 'no-subscribers'] })
    // In the place of others.
    expect(bundle(world, retained(2))).toMatchObject({ outcomes: ['no-subscribers', 'no-subscribers'] })
    const delayed = (count: number): Item[] => Array.from({ length: count }, () => ['$delayed/60/a', 'x'])
    expect(bundle(world, delayed(3))).toMatchObject({ index: 2, reason: 'no_room' })
    expect(bundle(world, delayed(2))).toMatchObject({ outcomes: ['delivered', 'delivered'] })
    expect(world.broker.gauges()).toMatchObject({ retainedMessages: 2, delayedMessages: 2 })
  })

  it('is refused when the store is full and any of it would have to be kept', async () => {
    const world = new DurableWorld(undefined, 0, undefined, {}, { queues: [declared('jobs')] })
    world.broker.storeFull = true
    for (const item of [
      ['jobs/a', 'x', { qos: 1 }],
      ['$queue/jobs', 'x'],
      ['r', 'x', { retain: true }],
      ['$delayed/60/a', 'x'],
    ] as const) {
      expect(bundle(world, [['free', 'x'], item])).toMatchObject({ index: 1, reason: 'no_room' })
    }
    expect(bundle(world, [['free', 'x']])).toEqual({ outcomes: ['no-subscribers'] })
    const streams = new DurableWorld(undefined, 0, undefined, {}, { streams: [declaredStream('meters')] })
    streams.broker.storeFull = true
    for (const qos of [0, 1] as const) {
      expect(bundle(streams, [['meters/1', 'x', { qos }]])).toMatchObject({ index: 0, reason: 'no_room' })
    }
  })

  it('settles what its worker still holds, and nothing else', () => {
    const world = queueWorld({}, declared('other'))
    const p = world.connected('p')
    for (const payload of ['1', '2', '3', '4']) p.publish('jobs/a', payload, { qos: 1 })
    const one = leased(world)
    const result: Item[] = [['result', 'x', { retain: true }]]
    const refusal = (reason: string, index = 0) => ({ part: 'settle', index, reason })
    const other = { namespace: 'default', name: 'other' }
    expect(bundle(world, result, [verdict('1-2-3')])).toMatchObject(refusal('not_held'))
    expect(bundle(world, result, [verdict(one), verdict(one)])).toMatchObject(refusal('not_held', 1))
    expect(bundle(world, result, [verdict(one, 'ack', other)])).toMatchObject(refusal('not_held'))
    expect(bundle(world, result, [verdict(one, 'ack', { ...jobs, name: 'none' })])).toMatchObject(
      refusal('unknown_queue'),
    )
    expect(bundle(world, result, [verdict(one, 'extend')])).toMatchObject(refusal('malformed'))
    // The lease ends, and the message goes to somebody else: he may say that it is done, the first may not publish its result.
    world.advance(60_000)
    world.advance(1000)
    const two = leased(world)
    expect(bundle(world, result, [verdict(one)])).toMatchObject(refusal('not_held'))
    expect(world.broker.gauges().retainedMessages).toBe(0)
    expect(stateOf(queueOf(world))).toEqual({ ready: 3, leased: 1, waiting: 0 })
    const verdicts = [
      verdict(two),
      verdict(leased(world), 'nack'),
      verdict(leased(world), 'reject'),
      verdict(leased(world), 'release'),
    ]
    expect(bundle(world, result, verdicts)).toEqual({ outcomes: ['no-subscribers'] })
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 0, waiting: 1 })
    expect(stateOf(queueOf(world, 'jobs.dead')).ready).toBe(1)
    expect(bundle(world, result, [verdict(two)])).toMatchObject(refusal('not_held'))
  })
})

const queues = (over: Partial<QueueDefinition> = {}) => [declared('jobs', over), declared('results')]
const durable = (elisionWaitMs: number, over: Partial<QueueDefinition> = {}): DurableWorld =>
  new DurableWorld(new SlowStore(), elisionWaitMs, undefined, {}, { queues: queues(over) })

/** What a process finds that starts on so many batches. */
async function found(world: DurableWorld, batches: number): Promise<{ jobs: number; results: number; dead: number }> {
  const next = await world.restart(await world.store.cut(batches), { queues: queues() })
  const [job, result, dead] = ['jobs', 'results', 'jobs.dead'].map((name) => queueOf(next, name).count)
  return { jobs: job!, results: result!, dead: dead! }
}

describe('a bundle on a store', () => {
  it.each([0, 2])(
    'is one batch: its verdict and its messages are there together or not at all (%i ms)',
    async (wait) => {
      const world = durable(wait)
      const p = await world.ready('p', {})
      p.publish('jobs/a', 'job', { qos: 1 })
      await world.settle()
      expect(p.take()).toMatchObject([{ type: 'puback' }])
      const before = world.store.batches.length
      expect(
        bundle(
          world,
          [
            ['results/a', '1'],
            ['results/b', '2'],
          ],
          [verdict(leased(world))],
        ),
      ).toHaveProperty('outcomes')
      await world.settle()
      expect(world.store.batches.length).toBe(before + 1)
      expect(await found(world, before)).toEqual({ jobs: 1, results: 0, dead: 0 })
      expect(await found(world, before + 1)).toEqual({ jobs: 0, results: 2, dead: 0 })
    },
  )

  it.each(['ack', 'reject'] as const)(
    'leaves an acknowledged job or its result at every moment, also where the job itself is not written yet (%s)',
    async (said) => {
      const world = durable(2)
      const p = await world.ready('p', {})
      // Somebody is connected who might have it settled before it is written.
      const other = await world.ready('other')
      other.subscribe('$queue/jobs', 1, {}, { userProperties: [['prefetch', '1']] })
      await world.settle()
      for (const payload of ['busy', 'job']) p.publish('jobs/a', payload, { qos: 1 })
      const kept = await world.ready('kept')
      kept.subscribe('results/#', 1)
      await world.settle()
      p.take()
      const looked = async () => {
        const acknowledged = p.take().filter(({ type }) => type === 'puback').length
        const { jobs: left, results, dead } = await found(world, world.store.batches.length - world.store.waiting)
        return { acknowledged, left: left - 2, results, dead }
      }
      p.publish('jobs/a', 'new', { qos: 1 })
      // It waits in a turn of its own for somebody who has it done before it is written.
      world.turn()
      expect(p.take()).toEqual([])
      const verdicts = [verdict(leased(world), said), verdict(leased(world), said)]
      bundle(world, [['results/a', 'x']], verdicts)
      let acknowledged = 0
      for (let step = 0; step < 20; step++) {
        const now = await looked()
        acknowledged += now.acknowledged
        // Before the commit: the first job, and the second if its publisher was told.
        const isDone = now.results === 1
        expect([isDone, now.left, now.dead]).toEqual(
          isDone ? [true, -1, said === 'reject' ? 2 : 0] : [false, expect.any(Number), 0],
        )
        if (!isDone) expect(now.left).toBeGreaterThanOrEqual(acknowledged)
        world.turn()
        world.now += 2
        world.fireTimers()
        if (step % 2 === 1) await world.store.finish()
      }
      expect(acknowledged).toBe(1)
      expect((await looked()).results).toBe(1)
    },
  )

  it('that was refused has written nothing', async () => {
    const world = durable(0)
    const before = world.committer.appended
    expect(
      bundle(world, [
        ['results/a', '1', { retain: true }],
        ['a/+', '2'],
      ]),
    ).toMatchObject({ reason: 'malformed' })
    expect(world.committer.appended).toBe(before)
  })
})
