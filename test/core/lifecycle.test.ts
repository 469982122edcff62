import { describe, expect, it } from 'vitest'
import { noBytes, type Will } from '../../src/mqtt/packet.ts'
import { World } from './world.ts'

const day = 86_400_000

function session(sessionExpiryInterval: number) {
  return { cleanStart: false, properties: { sessionExpiryInterval } }
}

function will(options: Partial<Will> = {}): Will {
  const base = { topic: 'will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }
  return { ...base, properties: {}, forwardProperties: noBytes, ...options }
}

function watcher(world: World) {
  const device = world.connected('watcher')
  device.subscribe('will', 2).take()
  return device
}

describe('session expiry', () => {
  it('[MQTT-3.1.2-23] a session ends when its interval has passed since the connection closed, not before', () => {
    const world = new World()
    world.connected('s', session(60)).drop()
    world.advance(59_999)
    expect(world.broker.defaultNamespace.sessions.has('s')).toBe(true)
    world.advance(1)
    expect(world.broker.defaultNamespace.sessions.has('s')).toBe(false)
    expect(world.broker.counters.sessionsExpired).toBe(1)
  })

  it('an interval beyond 2^31 ms is kept exactly, and 0xFFFFFFFF never ends', () => {
    const world = new World()
    world.connected('months', session(100 * 86_400)).drop()
    world.connected('ever', session(0xffffffff)).drop()
    world.advance(100 * day - 1)
    expect(world.broker.defaultNamespace.sessions.has('months')).toBe(true)
    world.advance(1)
    expect(world.broker.defaultNamespace.sessions.has('months')).toBe(false)
    world.advance(50 * 365 * day)
    expect(world.broker.defaultNamespace.sessions.has('ever')).toBe(true)
  })

  it('the clock stops while the client is back', () => {
    const world = new World()
    world.connected('s', session(60)).drop()
    world.advance(50_000)
    const again = world.connected('s', session(60))
    world.advance(1_000_000)
    again.drop()
    world.advance(59_000)
    expect(world.connected('s', session(60)).sessionPresent).toBe(true)
  })

  it('[MQTT-3.14.2-2] DISCONNECT may change the interval, but not give one to a session without', () => {
    const world = new World()
    world.connected('a', session(600)).disconnect(0, { sessionExpiryInterval: 0 })
    expect(world.broker.defaultNamespace.sessions.has('a')).toBe(false)
    const without = world.connected('b', session(0))
    without.disconnect(0, { sessionExpiryInterval: 60 })
    expect(without.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x82 }])
    expect(world.broker.defaultNamespace.sessions.has('b')).toBe(false)
  })

  it('a session resumed with interval 0 keeps its queue for this connection and ends with it', () => {
    const world = new World()
    world.connected('s', session(60)).subscribe('t', 1).drop()
    world.connected('p').publish('t', 'x', { qos: 1 })
    const again = world.device().connect({ clientId: 's', ...session(0) })
    expect(again.take()).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'publish', payload: 'x' },
    ])
    again.drop()
    expect(world.broker.defaultNamespace.sessions.has('s')).toBe(false)
    expect(world.broker.defaultNamespace.index.count).toBe(0)
  })

  it('a 3.x session without Clean Session lasts, at most as long as the limit allows', () => {
    const world = new World({ sessionExpirySecondsMax: 3600 })
    world.connected('s', { version: 4, cleanStart: false }).drop()
    world.advance(3_599_000)
    expect(world.broker.defaultNamespace.sessions.has('s')).toBe(true)
    world.advance(1000)
    expect(world.broker.defaultNamespace.sessions.has('s')).toBe(false)
  })
})

describe('wills', () => {
  it('[MQTT-3.1.2-8] a will is published when the connection is lost, with its QoS and without Will Delay Interval', () => {
    const world = new World()
    const seen = watcher(world)
    world.connected('s', { will: will({ properties: { willDelayInterval: 5 } }) }).drop()
    // The session ends with the connection, and with it the delay.
    expect(seen.takePublishes()).toMatchObject([{ topic: 'will', payload: 'gone', qos: 1, properties: {} }])
  })

  it('[MQTT-3.1.2-10] DISCONNECT 0x00 removes the will; 0x04 keeps it', () => {
    const world = new World()
    const seen = watcher(world)
    world.connected('a', { will: will() }).disconnect(0)
    expect(seen.take()).toEqual([])
    world.connected('b', { will: will() }).disconnect(4)
    expect(seen.takePublishes()).toHaveLength(1)
  })

  it('[MQTT-3.1.3-9] a delayed will is not sent if the client is back in time', () => {
    const world = new World()
    const seen = watcher(world)
    const delayed = { ...session(600), will: will({ properties: { willDelayInterval: 30 } }) }
    world.connected('s', delayed).drop()
    world.advance(29_999)
    expect(seen.take()).toEqual([])
    const again = world.connected('s', delayed)
    world.advance(60_000)
    expect(seen.take()).toEqual([])
    again.drop()
    world.advance(30_000)
    expect(seen.takePublishes()).toHaveLength(1)
    world.advance(600_000)
    expect(seen.take()).toEqual([])
  })

  it('the end of the session ends the delay', () => {
    const world = new World()
    const seen = watcher(world)
    world.connected('s', { ...session(10), will: will({ properties: { willDelayInterval: 3600 } }) }).drop()
    world.advance(10_000)
    expect(seen.takePublishes()).toHaveLength(1)
  })

  it('a clean start ends the old session, and its delayed will is sent at once', () => {
    const world = new World()
    const seen = watcher(world)
    world.connected('s', { ...session(600), will: will({ properties: { willDelayInterval: 60 } }) }).drop()
    world.connected('s', { cleanStart: true })
    expect(seen.takePublishes()).toHaveLength(1)
  })

  it('a retained will is retained, and expires as it says from when it was published', () => {
    const world = new World()
    world.connected('s', { will: will({ retain: true, properties: { messageExpiryInterval: 10 } }) }).drop()
    world.advance(4_000)
    const late = world.connected('late').subscribe('will', 1)
    expect(late.takePublishes()).toMatchObject([{ retain: true, properties: { messageExpiryInterval: 6 } }])
    world.advance(6_000)
    expect(world.broker.defaultNamespace.retained.count).toBe(0)
  })
})

describe('take-over', () => {
  it('[MQTT-3.1.4-3] the older connection gets 0x8E, its will, and the newer one its session', () => {
    const world = new World()
    const seen = watcher(world)
    const first = world.connected('s', { ...session(60), will: will() })
    first.subscribe('t', 1).take()
    const second = world.device().connect({ clientId: 's', ...session(60) })
    expect(first.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x8e }])
    expect(first.link.closed).toBe('session_taken_over')
    expect(second.take()).toMatchObject([{ type: 'connack', sessionPresent: true }])
    expect(seen.takePublishes()).toHaveLength(1)
    world.connected('p').publish('t', 'x', { qos: 1 })
    expect(second.takePublishes()).toHaveLength(1)
  })

  it('a hundred connects with one id leave one session and one connection', () => {
    const world = new World()
    const devices = Array.from({ length: 100 }, (_, i) =>
      world.connected('s', i % 2 === 0 ? session(60) : { version: 4 }),
    )
    expect(world.broker.defaultNamespace.sessions.size).toBe(1)
    expect(world.broker.connections).toBe(1)
    expect(devices.filter((device) => device.link.closed === undefined)).toEqual([devices[99]])
    expect(world.broker.counters.sessionsTakenOver).toBe(99)
  })

  it('a session moves between 3.1.1 and 5.0 with what is in flight', () => {
    const world = new World()
    const old = world.connected('s', { version: 4, cleanStart: false })
    old.subscribe('t', 1).take()
    world.connected('p').publish('t', 'x', { qos: 1 })
    const [delivery] = old.takePublishes()
    const next = world.device(5).connect({ clientId: 's', ...session(60) })
    expect(next.takePublishes()).toMatchObject([{ payload: 'x', dup: true, packetId: delivery!.packetId }])
  })
})

describe('keep alive', () => {
  it('[MQTT-3.1.2-22] a silent client is let go after one and a half intervals; any packet starts them anew', () => {
    const world = new World()
    const device = world.connected('s', { keepAlive: 10 })
    world.advance(14_000)
    device.publish('t', '')
    world.advance(14_999)
    expect(device.link.closed).toBeUndefined()
    world.advance(1)
    expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x8d }])
  })

  it.each([1, 65_535])('keep alive %i is exact', (keepAlive) => {
    const world = new World()
    const device = world.connected('s', { keepAlive })
    world.advance(keepAlive * 1500 - 1)
    expect(device.link.closed).toBeUndefined()
    world.advance(1)
    expect(device.link.closed).toBe('keep_alive_timeout')
  })

  it('a connection without CONNECT is closed after connectTimeoutMs', () => {
    const world = new World({ connectTimeoutMs: 500 })
    const device = world.device()
    world.advance(499)
    expect(device.link.closed).toBeUndefined()
    world.advance(1)
    expect(device.link.closed).toBe('connect_timeout')
    expect(device.take()).toEqual([])
  })
})

describe('message expiry', () => {
  it('[MQTT-3.3.2-5, MQTT-3.3.2-6] what waits too long is not sent; what is sent says what remains', () => {
    const world = new World()
    world.connected('s', session(3600)).subscribe('t', 1).drop()
    const publisher = world.connected('p')
    publisher.publish('t', 'short', { qos: 1, expiry: 10 })
    publisher.publish('t', 'long', { qos: 1, expiry: 100 })
    world.advance(10_000)
    const again = world.device().connect({ clientId: 's', ...session(3600) })
    expect(again.takePublishes()).toMatchObject([{ payload: 'long', properties: { messageExpiryInterval: 90 } }])
    expect(world.broker.counters.messagesDropped.get('expired')).toBe(1)
  })

  it('[MQTT-4.3.3-7] expiry never removes what was already sent', () => {
    const world = new World()
    const first = world.connected('s', session(3600))
    first.subscribe('t', 2).take()
    world.connected('p').publish('t', 'x', { qos: 2, expiry: 1 })
    expect(first.takePublishes()).toHaveLength(1)
    first.drop()
    world.advance(60_000)
    const again = world.device().connect({ clientId: 's', ...session(3600) })
    expect(again.takePublishes()).toMatchObject([{ payload: 'x', dup: true }])
  })
})
