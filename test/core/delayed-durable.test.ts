/** Delayed messages on a store: acknowledged when stored, kept over restarts, read page by page, gone when published. */
import { expect, it } from 'vitest'
import { DurableWorld, lasting, receive } from './durable-world.ts'

const hour = 3_600_000
const named = (id: string) => ({ properties: { userProperties: [['schedule-id', id]] as [string, string][] } })

it('a delayed message is acknowledged when it is stored, whether anybody is subscribed or not', async () => {
  const world = new DurableWorld()
  const writer = await world.ready('w', {})
  writer.publish('$delayed/10/t', 'x', { qos: 1 })
  world.turn()
  expect(writer.take()).toEqual([])
  await world.settle()
  expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
})

it('delayed messages outlive the process; what is overdue comes at once and in order, and only once', async () => {
  const world = new DurableWorld()
  await (await world.ready('r')).subscribe('t', 1)
  const writer = await world.ready('w', {})
  writer.publish('$delayed/20/t', 'b', { qos: 1 })
  writer.publish('$delayed/10/t', 'a', { qos: 1 })
  writer.publish('$delayed/7200/t', 'c', { qos: 1 })
  await world.settle()
  world.store.abandon()
  world.now += 60_000
  const next = await world.restart()
  expect(next.broker.gauges().delayedMessages).toBe(3)
  await next.settle()
  const reader = await next.ready('r')
  next.advance(0)
  expect(await receive(next, reader)).toEqual(['a', 'b'])
  for (let hours = 0; hours < 3; hours++) {
    next.advance(hour / 2)
    await next.settle()
    next.advance(hour / 2)
    await next.settle()
  }
  expect(await receive(next, reader)).toEqual(['c'])
  const last = await next.restart()
  expect(last.broker.gauges()).toMatchObject({ delayedMessages: 0, delayedBytes: 0 })
})

it('the removal of a delayed message and what its delivery stores are one commit: cut anywhere, one of both is there', async () => {
  const world = new DurableWorld()
  const reader = await world.ready('r')
  reader.subscribe('t', 1)
  await world.settle()
  reader.drop()
  const writer = await world.ready('w', {})
  writer.publish('$delayed/10/t', 'x', { qos: 1 })
  await world.settle()
  const stored = world.store.batches.length
  world.advance(10_000)
  await world.settle()
  expect(world.store.batches.length).toBeGreaterThan(stored)
  for (let batches = stored; batches <= world.store.batches.length; batches++) {
    const cut = await world.restart(await world.store.cut(batches))
    cut.now = world.now
    await cut.settle()
    const again = cut.device()
    cut.advance(0)
    again.connect({ clientId: 'r', ...lasting })
    expect(await receive(cut, again), `${batches} batches`).toEqual(['x'])
  }
})

it('what is due later than in an hour is not in memory, and can be replaced and cancelled there, also after a restart', async () => {
  let world = new DurableWorld()
  const first = await world.ready('w', lasting)
  for (const id of ['kept', 'replaced', 'cancelled']) first.publish('$delayed/36000/t', id, { qos: 1, ...named(id) })
  first.publish('$delayed/36000/t', 'without', { qos: 1 })
  await world.settle()
  const bytes = world.broker.gauges().delayedBytes
  world = await world.restart()
  await world.settle()
  const { steady } = world.broker.delayed.orders
  expect(steady.residentMessages).toBe(0)
  expect(world.broker.gauges()).toMatchObject({ delayedMessages: 4, delayedBytes: bytes })
  const writer = await world.ready('w')
  writer.publish('$delayed/cancel/cancelled', '', { qos: 1 })
  writer.publish('$delayed/36001/t', 'anew', { qos: 1, ...named('replaced') })
  await world.settle()
  expect(writer.take()).toMatchObject([{ reasonCode: 0 }, { reasonCode: 0 }])
  expect(world.broker.gauges().delayedMessages).toBe(3)
  writer.subscribe('t')
  await world.settle()
  for (let half = 0; half < 21; half++) {
    world.advance(hour / 2)
    await world.settle()
  }
  expect(writer.takePublishes().map(({ payload }) => payload)).toEqual(['kept', 'without', 'anew'])
  expect(world.broker.gauges()).toMatchObject({ delayedMessages: 0, delayedBytes: 0 })
})

it('more than fit into memory are read as they come due, in order and each once, while others come and go', async () => {
  const world = new DurableWorld(undefined, undefined, undefined, {}, { inflightMessagesMax: 65_535 })
  const reader = await world.ready('r', {})
  reader.subscribe('t')
  const writer = await world.ready('w', {})
  const total = 25_000
  for (let i = 0; i < total; i++) {
    const id = (i * 7919) % total
    writer.publish(`$delayed/${1 + (id >> 4)}/t`, String(id >> 4), i % 1000 === 0 ? named(`n${id}`) : {})
    if (i % 5000 === 4999) await world.settle()
  }
  await world.settle()
  expect(world.broker.delayed.orders.steady.residentMessages).toBeLessThanOrEqual(10_000)
  const payloads: number[] = []
  reader.take()
  for (let round = 0; round < 120; round++) {
    world.advance(20_000)
    if (round < 100 && round % 4 === 0) {
      writer.publish(`$delayed/cancel/n${(round * 37 * 1000 * 7919) % total}`, '', { qos: 1 })
      const late = round + 2000
      writer.publish(`$delayed/${late - round * 20}/t`, String(late))
    }
    await world.settle()
    payloads.push(...reader.takePublishes().map(({ payload }) => Number(payload)))
  }
  const cancelled = world.broker.counters.delayedCancelled
  expect(payloads).toHaveLength(total + 25 - cancelled)
  expect(payloads.every((one, index) => index === 0 || payloads[index - 1]! <= one)).toBe(true)
  expect(world.broker.gauges()).toMatchObject({ delayedMessages: 0, delayedBytes: 0 })
})

it('waits at a due time until what may have been due earlier is read, without going round in circles', async () => {
  let world = new DurableWorld()
  const first = await world.ready('w', lasting)
  first.publish(`$delayed/${Math.floor(world.now / 1000) + 36_000}/t`, 'date', { qos: 1 })
  await world.settle()
  world = await world.restart()
  await world.settle()
  const reader = await world.ready('r')
  reader.subscribe('t').publish('$delayed/60/t', 'seconds', { qos: 1 })
  await world.settle()
  reader.take()
  world.broker.setWallOffset(48 * hour)
  world.advance(60_000)
  expect(reader.takePublishes()).toEqual([])
  await world.settle()
  world.advance(1)
  await world.settle()
  expect(reader.takePublishes().map(({ payload }) => payload)).toEqual(['date', 'seconds'])
})

it('nothing new is taken while the disk is full, and what is due waits for room', async () => {
  const world = new DurableWorld()
  const reader = await world.ready('r')
  reader.subscribe('t', 1)
  const writer = await world.ready('w', {})
  writer.publish('$delayed/10/t', 'x', { qos: 1 })
  await world.settle()
  world.broker.storeFull = true
  writer.take()
  writer.publish('$delayed/10/t', 'y', { qos: 1 })
  expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x97 }])
  reader.take()
  world.advance(20_000)
  expect(reader.takePublishes()).toEqual([])
  world.broker.storeFull = false
  world.advance(5_000)
  expect(reader.takePublishes()).toMatchObject([{ payload: 'x' }])
})
