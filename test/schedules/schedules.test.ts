/** Schedules: when they come, over changes of summer time, set clocks, restarts and reloads. */
import { describe, expect, it } from 'vitest'
import type { Schedule } from '../../src/config/schedules.ts'
import { Schedules } from '../../src/schedules/schedules.ts'
import { DurableWorld } from '../core/durable-world.ts'
import { type Device, World } from '../core/world.ts'

const hour = 3_600_000
const day = 24 * hour
const nightly: Schedule = {
  ...{ name: 'nightly', cron: '30 2 * * *', timeZone: 'Europe/Berlin', topic: 'report', payload: 'go' },
  ...{ qos: 1, retain: false, missed: 'skip', namespace: 'default' },
}
const missed: object[] = []

function schedulesOf(world: World, ...all: Schedule[]): Schedules {
  missed.length = 0
  const schedules = new Schedules(world.broker, (fields) => missed.push(fields))
  schedules.change(all)
  return schedules
}

const wallOf = ({ broker, now }: World) => new Date(now + broker.wallOffset).toISOString()

/** When messages came, to the second, while so much time passed. */
function comings(world: World, reader: Device, ms: number, stepMs = 60_000): string[] {
  const times: string[] = []
  for (const end = world.now + ms; world.now < end; ) {
    world.advance(stepMs)
    for (const _ of reader.takePublishes()) times.push(wallOf(world))
  }
  return times
}

function worldAt(date: string): { world: World; reader: Device } {
  const world = new World({ namespaces: { plant: {} } })
  world.broker.setWallOffset(Date.parse(date) - world.now)
  const reader = world.connected('r').subscribe('#')
  reader.take()
  return { world, reader }
}

describe('a schedule', () => {
  it('comes at the moment of the change where its time of day is left out, and once where it comes twice', () => {
    const spring = worldAt('2027-03-27T12:00:00Z')
    schedulesOf(spring.world, nightly)
    expect(comings(spring.world, spring.reader, 2 * day)).toEqual([
      '2027-03-28T01:00:00.000Z',
      '2027-03-29T00:30:00.000Z',
    ])
    const autumn = worldAt('2027-10-30T12:00:00Z')
    schedulesOf(autumn.world, nightly)
    expect(comings(autumn.world, autumn.reader, 2 * day)).toEqual([
      '2027-10-31T00:30:00.000Z',
      '2027-11-01T01:30:00.000Z',
    ])
  })

  it('of every half hour goes on evenly through both changes', () => {
    for (const date of ['2027-03-28T00:00:00Z', '2027-10-31T00:00:00Z']) {
      const { world, reader } = worldAt(date)
      schedulesOf(world, { ...nightly, cron: '*/30 * * * *' })
      expect(comings(world, reader, 3 * hour)).toHaveLength(6)
    }
  })

  it('has the topic, payload, QoS, RETAIN and namespace that it was given, and is no message of any client', () => {
    const { world } = worldAt('2027-01-01T00:00:00Z')
    const reader = world.connected('p', {}, 'plant').subscribe('#', 2)
    reader.take()
    schedulesOf(world, { ...nightly, cron: '*/5 * * * * *', payload: 'ö', qos: 2, retain: true, namespace: 'plant' })
    const writer = world.connected('w', {}, 'plant')
    writer.publish('$delayed/cancel/nightly', '', { qos: 1 })
    expect(writer.take()).toMatchObject([{ reasonCode: 0x10 }])
    world.advance(5_000)
    expect(reader.takePublishes()).toMatchObject([{ topic: 'report', payload: 'ö', qos: 2, retain: false }])
    const late = world.connected('l', {}, 'plant').subscribe('report')
    expect(late.takePublishes()).toMatchObject([{ payload: 'ö', retain: true }])
  })

  it.each(['skip', 'once'] as const)(
    'that was missed, by a clock put forward, is left out or made up for once: %s',
    (policy) => {
      const { world, reader } = worldAt('2027-01-01T00:00:00Z')
      schedulesOf(world, { ...nightly, cron: '0 * * * *', missed: policy })
      world.broker.setWallOffset(world.broker.wallOffset + 5 * hour + 120_000)
      world.advance(0)
      expect(reader.takePublishes()).toHaveLength(policy === 'once' ? 1 : 0)
      expect(missed).toMatchObject([
        { schedule: 'nightly', since: '2027-01-01T01:00:00.000Z', published: policy === 'once' },
      ])
      expect(world.broker.counters).toMatchObject({ schedulesMissed: 1, schedulesPublished: policy === 'once' ? 1 : 0 })
      expect(comings(world, reader, hour)).toEqual(['2027-01-01T06:00:00.000Z'])
    },
  )

  it('comes again for what lies between when the clock is put back', () => {
    const { world, reader } = worldAt('2099-01-01T00:00:00Z')
    schedulesOf(world, nightly)
    world.broker.setWallOffset(Date.parse('2027-01-01T00:00:00Z') - world.now)
    expect(comings(world, reader, day)).toEqual(['2027-01-01T01:30:00.000Z'])
  })

  it('that did not change goes on over a reload, one that did is reckoned anew, one that is gone comes no more', () => {
    const { world, reader } = worldAt('2027-01-01T00:00:00Z')
    const hourly = { ...nightly, name: 'hourly', cron: '0 * * * *' }
    const schedules = schedulesOf(world, nightly, hourly)
    const { recurring } = world.broker.delayed
    const before = recurring.all()
    schedules.change([nightly, hourly])
    expect(recurring.all()).toEqual(before)
    schedules.change([{ ...hourly, cron: '30 * * * *' }])
    expect(comings(world, reader, 3 * hour)).toEqual(['00', '01', '02'].map((one) => `2027-01-01T${one}:30:00.000Z`))
    schedules.change([])
    expect(world.broker.gauges()).toMatchObject({ delayedMessages: 0, delayedBytes: 0 })
  })

  it('is not refused by limits, and goes on when one occurrence is taken back', () => {
    const { world, reader } = worldAt('2027-01-01T00:00:00Z')
    world.broker.budgets.delayedMessages.max = 0
    schedulesOf(world, { ...nightly, cron: '0 * * * *' })
    const { delayed } = world.broker
    expect(delayed.remove(delayed.orders.system.first!)).toBe(true)
    expect(comings(world, reader, 2 * hour)).toEqual(['2027-01-01T02:00:00.000Z'])
  })
})

describe('a schedule on a store', () => {
  const hourly: Schedule = { ...nightly, cron: '0 * * * *', timeZone: 'UTC' }

  async function restarted(world: DurableWorld, wall: number, ...all: Schedule[]): Promise<DurableWorld> {
    world.now += wall
    const next = await world.restart()
    next.broker.setWallOffset(world.broker.wallOffset)
    schedulesOf(next, ...all)
    return next
  }

  it.each(['skip', 'once'] as const)(
    'that came while the gateway was down is left out or made up for once: %s',
    async (policy) => {
      const world = new DurableWorld()
      const schedule = { ...hourly, missed: policy }
      world.broker.setWallOffset(Date.parse('2027-01-01T00:10:00Z') - world.now)
      schedulesOf(world, schedule)
      await world.settle()
      const next = await restarted(world, 5 * hour, schedule)
      const reader = await next.ready('r', {})
      reader.subscribe('#')
      await next.settle()
      reader.take()
      next.advance(0)
      await next.settle()
      expect(reader.takePublishes()).toHaveLength(policy === 'once' ? 1 : 0)
      const last = await restarted(next, 0, schedule)
      await last.settle()
      last.advance(0)
      expect(last.broker.counters.schedulesMissed).toBe(0)
      expect(last.broker.delayed.orders.system.first).toMatchObject({ dueAt: Date.parse('2027-01-01T06:00:00Z') })
    },
  )

  it('is there once after a crash at whatever point, and what it published is not published again', async () => {
    const world = new DurableWorld()
    world.broker.setWallOffset(Date.parse('2027-01-01T00:59:00Z') - world.now)
    schedulesOf(world, { ...hourly, retain: true })
    await world.settle()
    const stored = world.store.batches.length
    world.advance(60_000)
    await world.settle()
    for (let batches = stored; batches <= world.store.batches.length; batches++) {
      const cut = await world.restart(await world.store.cut(batches))
      cut.broker.setWallOffset(world.broker.wallOffset)
      schedulesOf(cut, { ...hourly, retain: true })
      const isRetained = cut.broker.gauges().retainedMessages === 1
      await cut.settle()
      cut.advance(0)
      expect(cut.broker.counters.schedulesPublished).toBe(isRetained ? 0 : 1)
      expect(cut.broker.gauges()).toMatchObject({ delayedMessages: 1, retainedMessages: 1 })
    }
  })
})
