/** The engine's time when the system's clock is set: nothing jumps, nothing goes back. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { systemClock, wallOffset } from '../../src/engine/clock.ts'
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
