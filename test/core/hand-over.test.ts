/** What a member of a share group leaves behind is lost by no crash, no full queue and no slow member (section 4.8.2). */
import { describe, expect, it } from 'vitest'
import type { BrokerOptions } from '../../src/core/options.ts'
import { DurableWorld, lasting, receive } from './durable-world.ts'
import { filter, member, publish, range } from './group-members.ts'
import type { Device } from './world.ts'

/** A member with messages 0 to 3 sent and not acknowledged. */
async function leaver(options: Partial<BrokerOptions> = {}) {
  const world = new DurableWorld()
  Object.assign(world.broker.options, options)
  const leaving = await member(world, 'leaver')
  await publish(world, range(0, 4))
  expect(leaving.takePublishes()).toHaveLength(4)
  return { world, leaving }
}

function queueOf(world: DurableWorld, clientId: string) {
  return world.broker.defaultNamespace.sessions.get(clientId)!.queue
}

describe('a member that leaves while its session lives on', () => {
  it('gives what it has to a stored member, and a crash at any commit loses none of it', async () => {
    const { world, leaving } = await leaver()
    const heir = await member(world, 'heir')
    leaving.drop()
    heir.take()
    await world.settle()
    for (let batches = 1; batches <= world.store.batches.length; batches++) {
      const after = await world.restart(await world.store.cut(batches))
      const waiting = [...after.broker.defaultNamespace.sessions.values()].reduce(
        (sum, { queue }) => sum + queue.waiting,
        0,
      )
      if (after.broker.defaultNamespace.sessions.get('leaver')?.queue.nextPosition) expect(waiting).toBe(4)
    }
    expect(queueOf(world, 'leaver').waiting).toBe(0)
  })

  it('keeps it when the other member is at QoS 0 and its output is full', async () => {
    const { world, leaving } = await leaver()
    const zero = await member(world, 'zero', 0)
    zero.link.full = true
    leaving.drop()
    await world.settle()
    const again = world.device().connect({ clientId: 'leaver', ...lasting })
    expect(await receive(world, again)).toEqual(range(0, 4))
  })

  it('keeps it when the other member ends with its connection: a crash would lose it there', async () => {
    const { world, leaving } = await leaver()
    const brief = await member(world, 'brief', 1, {})
    leaving.drop()
    await world.settle()
    expect(brief.take()).toEqual([])
    expect((await world.restart()).broker.defaultNamespace.sessions.get('leaver')!.queue.waiting).toBe(4)
  })

  it('waits while the queue of the other member is full, and gives on when that has room', async () => {
    const { world, leaving } = await leaver()
    const heir = await member(world, 'heir')
    heir.link.full = true
    world.broker.options.sessionQueueMessagesMax = 2
    leaving.drop()
    await world.settle()
    expect([queueOf(world, 'leaver').waiting, queueOf(world, 'heir').waiting]).toEqual([2, 2])
    heir.link.full = false
    heir.client.pump()
    world.advance(1000)
    await world.settle()
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(0)
    expect(await receive(world, heir)).toEqual(range(0, 4))
  })

  it('has its messages back when its client comes before anybody had room', async () => {
    const { world, leaving } = await leaver()
    const heir = await member(world, 'heir')
    world.broker.options.sessionQueueMessagesMax = 0
    heir.link.full = true
    leaving.drop()
    await world.settle()
    const again = world.device().connect({ clientId: 'leaver', ...lasting })
    world.advance(5000)
    expect(await receive(world, again)).toEqual(range(0, 4))
  })

  it('gives on what is in the store only too, page by page', async () => {
    const world = new DurableWorld()
    ;(await member(world, 'leaver')).drop()
    await publish(world, range(0, 1500))
    const heir = await member(world, 'heir')
    const again = world.device().connect({ clientId: 'leaver', ...lasting })
    again.link.full = true
    await world.settle()
    again.drop()
    expect(await receive(world, heir)).toEqual(range(0, 1500))
    expect(world.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0 })
  })

  it('leaves holes that a full queue knows of: its oldest go, one for each that comes', async () => {
    const world = new DurableWorld()
    const leaving = await member(world, 'leaver')
    leaving.subscribe('a', 1)
    await world.settle()
    leaving.drop()
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 40; i++) publisher.publish(i % 2 === 0 ? 't' : 'a', String(i), { qos: 1 })
    await world.settle()
    const heir = await member(world, 'heir')
    const again = world.device().connect({ clientId: 'leaver', ...lasting })
    again.link.full = true
    await world.settle()
    again.drop()
    expect(await receive(world, heir)).toHaveLength(20)
    world.broker.options.sessionQueueMessagesMax = 20
    for (let i = 0; i < 5; i++) {
      publisher.publish('a', `new ${i}`, { qos: 1 })
      await world.settle()
    }
    expect(queueOf(world, 'leaver').waiting).toBe(20)
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(5)
    const back = world.device().connect({ clientId: 'leaver', ...lasting })
    const odd = Array.from({ length: 15 }, (_, i) => String(2 * i + 11))
    expect(await receive(world, back)).toEqual([...odd, ...range(0, 5).map((i) => `new ${i}`)])
  })

  it('an acknowledgement that waits for its reference leaves when that is stored, though it has moved meanwhile', async () => {
    const world = new DurableWorld(undefined, 2)
    const leaving = await member(world, 'leaver')
    const heir = await member(world, 'heir')
    const publisher = await world.ready('p', {})
    publisher.publish('t', 'x', { qos: 1 })
    world.turn()
    const [from, to] = leaving.link === undefined ? [leaving, heir] : owners(leaving, heir)
    from.drop()
    to.link.full = true
    world.turn()
    while (publisher.take().length === 0) {
      world.now += 2
      world.fireTimers()
      await world.store.finish()
      world.turn()
    }
    const after = await world.restart()
    expect(
      [...after.broker.defaultNamespace.sessions.values()].reduce((sum, { queue }) => sum + queue.waiting, 0),
    ).toBe(1)
  })
})

function owners(a: Device, b: Device): [Device, Device] {
  return a.client.session!.load > 0 ? [a, b] : [b, a]
}

describe('a member whose session ends', () => {
  it('[MQTT-3.3.2-5] gives on nothing that has expired, not at QoS 0 either', async () => {
    const world = new DurableWorld()
    const leaving = await member(world, 'leaver')
    const publisher = await world.ready('p', {})
    publisher.publish('t', 'old', { qos: 1, expiry: 5 })
    publisher.publish('t', 'fresh', { qos: 1 })
    await world.settle()
    expect(leaving.takePublishes()).toHaveLength(2)
    const zero = await member(world, 'zero', 0)
    leaving.drop()
    world.advance(3_600_000)
    await world.settle()
    expect(zero.takePublishes().map(({ payload }) => payload)).toEqual(['fresh'])
    expect(world.broker.counters.messagesDropped.get('expired')).toBe(1)
  })

  it.each(['expiry', 'clean start'])('gives on what is in the store only, by %s', async (how) => {
    const world = new DurableWorld()
    ;(await member(world, 'leaver')).drop()
    await publish(world, range(0, 1500))
    const heir = (await world.ready('heir')).subscribe(filter, 1)
    await world.settle()
    if (how === 'expiry') world.advance(3_600_000)
    else world.device().connect({ clientId: 'leaver', cleanStart: true })
    expect(await receive(world, heir)).toEqual(range(0, 1500))
    const after = await world.restart()
    expect(after.broker.gauges().queuedMessages).toBe(0)
    expect(after.broker.sessionsByNumber.size).toBe(1)
  })

  it('gives on what a page brings that was asked for before the end', async () => {
    const world = new DurableWorld()
    const heir = await member(world, 'heir')
    const leaving = await member(world, 'leaver')
    heir.unsubscribe(filter)
    await publish(world, range(0, 4))
    leaving.take()
    leaving.drop()
    heir.subscribe(filter, 1)
    await world.settle()
    const after = await world.restart()
    const again = after.device().connect({ clientId: 'heir', ...lasting })
    await after.settle()
    after
      .device()
      .connect({ clientId: 'leaver', ...lasting })
      .drop()
    after.device().connect({ clientId: 'leaver', cleanStart: true })
    expect([...heir.takePublishes().map(({ payload }) => payload), ...(await receive(after, again))]).toEqual(
      range(0, 4),
    )
  })

  it('goes on after a crash in the middle, beside its successor by the same client id', async () => {
    const world = new DurableWorld()
    ;(await member(world, 'leaver')).drop()
    await publish(world, range(0, 2500))
    ;(await world.ready('heir')).subscribe(filter, 1).drop()
    await world.settle()
    world.device().connect({ clientId: 'leaver', cleanStart: true, properties: { sessionExpiryInterval: 3600 } })
    for (let i = 0; i < 4; i++) {
      world.turn()
      await world.store.finish()
      await new Promise((resolve) => setImmediate(resolve))
    }
    world.store.abandon()
    const next = await world.restart()
    expect(next.broker.defaultNamespace.sessions.get('leaver')?.queue.waiting).toBe(0)
    const heir = next.device().connect({ clientId: 'heir', ...lasting })
    expect(await receive(next, heir)).toEqual(range(0, 2500))
    expect((await next.restart()).broker.sessionsByNumber.size).toBe(2)
  })

  it('gives to a member that ends with its connection only when no stored one is left', async () => {
    const { world, leaving } = await leaver()
    const brief = await member(world, 'brief', 1, {})
    leaving.drop()
    world.advance(3_600_000)
    expect(await receive(world, brief)).toEqual(range(0, 4))
    expect((await world.restart()).broker.gauges().queuedMessages).toBe(0)
  })

  it('keeps what nobody has room for until somebody has, and forgets it when nobody is left', async () => {
    const { world, leaving } = await leaver()
    const zero = await member(world, 'zero', 0)
    zero.link.full = true
    leaving.drop()
    world.advance(3_600_000)
    await world.settle()
    expect(zero.take()).toEqual([])
    expect((await world.restart()).broker.sessionsByNumber.size).toBe(2)
    zero.link.full = false
    world.advance(1000)
    expect(zero.takePublishes().map(({ payload }) => payload)).toEqual(range(0, 4))
    await world.settle()
    expect((await world.restart()).broker.sessionsByNumber.size).toBe(1)
  })

  it('[MQTT-4.8.2-5] does not give on QoS 2 that an earlier process sent', async () => {
    const world = new DurableWorld()
    const leaving = await member(world, 'leaver', 2)
    await publish(world, ['sent'], 2)
    expect(leaving.takePublishes()).toHaveLength(1)
    leaving.drop()
    await publish(world, ['kept'], 2)
    const next = await world.restart()
    const heir = (await next.ready('heir')).subscribe(filter, 2)
    await next.settle()
    heir.take()
    next.advance(3_600_000)
    await next.settle()
    expect(heir.takePublishes().map(({ payload }) => payload)).toEqual(['kept'])
    expect(next.broker.counters.messagesDropped.get('session_ended')).toBe(1)
  })
})
