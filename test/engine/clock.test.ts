/** The engine's time when the system's clock is set: nothing jumps, nothing goes back. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Clock, StoredClock, systemClock, wallOffset, wallTimes } from '../../src/engine/clock.ts'
import { ClockKeeper } from '../../src/engine/clock-keeper.ts'
import { createGateway, type Gateway } from '../../src/gateway.ts'
import { connack, connect, publish, suback, subscribe } from '../conformance/bytes.ts'
import { openTcp } from '../conformance/client.ts'

const hour = 3_600_000

describe('the clock of the engine', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it.each([hour, -hour])('goes on when the clock of the system is set by %i ms', (jump) => {
    const before = systemClock.now()
    expect(Number.isInteger(before)).toBe(true)
    vi.setSystemTime(Date.now() + jump)
    const passed = systemClock.now() - before
    expect(passed).toBeGreaterThanOrEqual(0)
    expect(passed).toBeLessThan(hour / 2)
    expect(Math.abs(wallOffset(systemClock) - jump)).toBeLessThan(hour / 2)
  })

  it('is the one by which messages expire', async () => {
    const gateway: Gateway = await createGateway({ inMemory: true, mqttPort: 0, httpPort: false, logLevel: 'silent' })
    try {
      await gateway.listen()
      const client = await openTcp(gateway.addresses.mqtt!)
      client.send(connect({ clientId: 'c', keepAlive: 60 }))
      await client.expectPacket(connack())
      await gateway.publish({ topic: 't', payload: 'x', retain: true, properties: { messageExpiryInterval: 60 } })
      vi.setSystemTime(Date.now() + hour)
      client.send(subscribe(1, [['t', 0]]))
      await client.expectPacket(suback(1, 0))
      await client.expectPacket(publish({ topic: 't', payload: 'x', retain: true }))
      client.destroy()
    } finally {
      await gateway.close()
    }
  })
})

/** A machine: real time passes, and its clock is set. */
class Machine {
  elapsed = 5_000_000
  wallTime = start
  readonly clock: Clock = { now: () => this.elapsed, wall: () => this.wallTime, after: () => () => {} }

  pass(ms: number): void {
    this.elapsed += ms
    this.wallTime += ms
  }

  /** Another process: what has passed is counted from elsewhere. */
  reboot(wallTime: number): void {
    this.elapsed = 77_000
    this.wallTime = wallTime
  }
}

const start = 1_800_000_000_000
const day = 24 * hour

describe('on a real store, what was to last an hour lasts an hour', () => {
  let dataDir: string
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'mqtide-clock-'))
  })
  afterEach(() => rmSync(dataDir, { recursive: true }))

  /** Retains a message for an hour, does something to the clock, and starts again. Returns whether it is still there. */
  async function survives(before: (machine: Machine) => void, between: (machine: Machine) => void): Promise<boolean> {
    const machine = new Machine()
    const options = { dataDir, mqttPort: 0, httpPort: false, logLevel: 'silent' } as const
    const first = await createGateway(options, { clock: machine.clock })
    await first.listen()
    await first.publish({ topic: 't', payload: 'x', retain: true, properties: { messageExpiryInterval: 3600 } })
    before(machine)
    await first.close()
    between(machine)
    const second = await createGateway(options, { clock: machine.clock })
    await second.listen()
    const kept = second.broker.defaultNamespace.retained.get('t') !== null
    await second.close()
    return kept
  }

  it.each([
    ['the clock is right, and half an hour passes', () => {}, start + hour / 2, true],
    ['the clock is right, and more than an hour passes', () => {}, start + hour + 1, false],
    ['the clock is set forward by a day', (m: Machine) => (m.wallTime += day), start + day + hour / 2, true],
    ['and then more than an hour passes', (m: Machine) => (m.wallTime += day), start + day + hour + 1, false],
    ['the clock is set back by a day', (m: Machine) => (m.wallTime -= day), start - day + hour / 2, true],
    ['and then more than an hour passes too', (m: Machine) => (m.wallTime -= day), start - day + hour + 1, false],
    ['a device without a clock begins in 1970 again', () => {}, 0, true],
    ['a device that began in 1970 was told the time', (m: Machine) => (m.wallTime += 50 * 365 * day), 0, true],
  ])('%s', async (_what, before, restartAt, kept) => {
    expect(await survives(before, (machine) => machine.reboot(restartAt))).toBe(kept)
  })

  it('though a device begins in 1970 at each start and is told the time each time', async () => {
    const machine = new Machine()
    machine.reboot(0)
    const options = { dataDir, mqttPort: 0, httpPort: false, logLevel: 'silent' } as const
    const times: number[] = []
    for (let round = 0; round < 4; round++) {
      const gateway = await createGateway(options, { clock: machine.clock })
      await gateway.listen()
      if (round === 0) {
        await gateway.publish({ topic: 't', payload: 'x', retain: true, properties: { messageExpiryInterval: 3600 } })
      }
      expect(gateway.broker.defaultNamespace.retained.get('t')).not.toBeNull()
      times.push(gateway.broker.now)
      machine.pass(hour / 8)
      machine.wallTime = start + round * day
      await gateway.close()
      machine.reboot(0)
    }
    expect(times).toEqual([...times].sort((a, b) => a - b))
  })
})

describe('what is kept of the clock', () => {
  function keeping(offset: number | null = 0) {
    const machine = new Machine()
    const clock = new StoredClock(machine.clock)
    clock.continueFrom(0, offset ?? 0)
    const stored: [number, number][] = []
    const warned: object[] = []
    const records = {
      appended: 0,
      clock: (...record: [number, number]) => {
        records.appended++
        stored.push(record)
      },
    }
    const context = {
      clock,
      records,
      inTurn: (action: () => void) => action(),
      warn: (fields: object) => warned.push(fields),
    }
    return { machine, records, stored, warned, clock, keeper: new ClockKeeper(context, offset) }
  }

  it('is stored once a minute in which something was, and not otherwise', () => {
    const { machine, records, stored, keeper } = keeping()
    keeper.start()
    machine.pass(hour)
    keeper.start()
    expect(stored).toEqual([])
    records.appended++
    keeper.start()
    expect(stored).toEqual([[start + hour, 0]])
    records.appended++
    machine.pass(59_999)
    keeper.start()
    expect(stored).toHaveLength(1)
  })

  it('is stored for a new database, and at the end if something was', () => {
    const { machine, records, stored, keeper } = keeping(null)
    keeper.start()
    expect(stored).toEqual([[start, 0]])
    machine.pass(10)
    keeper.stop()
    expect(stored).toHaveLength(1)
    records.appended++
    keeper.stop()
    expect(stored).toEqual([
      [start, 0],
      [start + 10, 0],
    ])
  })

  it('is stored and told of as soon as the clock of the system was set, not for what passing corrections do', () => {
    const { machine, stored, warned, clock, keeper } = keeping()
    machine.wallTime += 1999
    keeper.start()
    expect(stored).toEqual([])
    machine.wallTime += hour
    keeper.start()
    expect(stored).toEqual([[start, hour + 1999]])
    expect(warned).toMatchObject([{ byMs: hour + 1999 }])
    expect(clock.now()).toBe(start)
  })
})

describe('times for people', () => {
  it('do not change their order when two clocks round differently, and follow a wall clock that is set', () => {
    let offset = 0
    const times = wallTimes({ now: () => 1_000, wall: () => 1_000 + offset, after: () => () => {} })
    const first = times(500)
    offset = -1
    expect(times(500)).toBe(first)
    offset = hour
    expect(times(500)).toBe(first + hour)
  })
})
