/** Presence in the core: what subscribers are told of who comes and goes, and what late ones find. */
import { describe, expect, it } from 'vitest'
import { presenceLevel } from '../../src/core/presence.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import { type Device, World } from './world.ts'

const options = { presence: { default: 'presence/' } }

const told = (device: Device) =>
  device.takePublishes().map(({ topic, payload, retain }) => {
    const { state, reason } = payload === '' ? { state: 'gone', reason: undefined } : JSON.parse(payload)
    return [topic, reason === undefined ? state : `${state} ${reason}`, retain ? 'retained' : 'now']
  })

/** Everything that is to be published has been. */
function settle(world: World): void {
  do world.turn()
  while (world.broker.turnWanted)
}

function watching(world: World): Device {
  const watcher = world.connected('watcher').subscribe('presence/#', 1)
  settle(world)
  watcher.take()
  return watcher
}

describe('presence', () => {
  it('is told as it changes, and retained of whom the gateway knows', () => {
    const world = new World(options)
    const watcher = watching(world)
    const meter = world.connected('meter', lasting)
    settle(world)
    expect(told(watcher)).toEqual([['presence/meter', 'online', 'now']])
    meter.drop()
    settle(world)
    expect(told(watcher)).toEqual([['presence/meter', 'offline socket_error', 'now']])
    const late = world.connected('late').subscribe('presence/#', 1)
    settle(world)
    expect(told(late).slice(0, 2)).toEqual(
      expect.arrayContaining([
        ['presence/meter', 'offline socket_error', 'retained'],
        ['presence/watcher', 'online', 'retained'],
      ]),
    )
    world.advance(3_600_001)
    settle(world)
    expect(told(watcher)).toEqual([
      ['presence/late', 'online', 'now'],
      ['presence/meter', 'gone', 'now'],
    ])
  })

  it('says how a client without a session left, and then nothing', () => {
    const world = new World(options)
    const watcher = watching(world)
    const visitor = world.connected('visitor')
    settle(world)
    visitor.disconnect()
    settle(world)
    expect(told(watcher)).toEqual([
      ['presence/visitor', 'online', 'now'],
      ['presence/visitor', expect.stringMatching(/^offline /), 'now'],
      ['presence/visitor', 'gone', 'now'],
    ])
    expect(world.broker.defaultNamespace.retained.get('presence/visitor')).toBe(null)
  })

  it('has the times of the system, and when its client was last heard', () => {
    const world = new World(options)
    world.broker.wallTime = (time) => time + 1000
    const watcher = watching(world)
    const meter = world.connected('meter', lasting)
    const cameAt = world.broker.now
    settle(world)
    expect(JSON.parse(watcher.takePublishes()[0]!.payload)).toEqual({ state: 'online', since: cameAt + 1000 })
    world.advance(5000)
    meter.publish('t', 'x')
    const heardAt = world.broker.now
    world.advance(7000)
    const leftAt = world.broker.now
    meter.drop()
    settle(world)
    const left = JSON.parse(watcher.takePublishes()[0]!.payload)
    expect(left).toEqual({ state: 'offline', reason: 'socket_error', since: leftAt + 1000, lastSeen: heardAt + 1000 })
  })

  it('is silent about who is back before anybody could see it away', () => {
    const world = new World(options)
    const watcher = watching(world)
    world.connected('meter', lasting)
    settle(world)
    told(watcher)
    world.connected('meter', lasting)
    settle(world)
    expect(told(watcher)).toEqual([['presence/meter', 'online', 'now']])
  })

  it('is for clients to read only', () => {
    const world = new World(options)
    const liar = world.connected('liar')
    liar.publish('presence/meter', '{"state":"online"}', { qos: 1, retain: true })
    expect(liar.take()).toMatchObject([{ type: 'puback', reasonCode: 0x87 }])
    expect(world.broker.defaultNamespace.retained.get('presence/meter')).toBe(null)
  })

  it('is of one namespace, and nothing in those that do not ask for it', () => {
    const world = new World({ presence: { plant: 'presence/' }, namespaces: { plant: {} } })
    const here = world.connected('here').subscribe('#', 1)
    const there = world.connected('there', {}, 'plant').subscribe('#', 1)
    settle(world)
    here.take()
    there.take()
    world.connected('meter')
    world.connected('gauge', {}, 'plant')
    settle(world)
    expect(told(here)).toEqual([])
    expect(told(there)).toEqual([['presence/gauge', 'online', 'now']])
  })

  it('has a client id as one level of its topic, whatever is in it', () => {
    expect(['a/b', '+', '#', '50%', 'ü', '$x'].map(presenceLevel)).toEqual(['a%2Fb', '%2B', '%23', '50%25', 'ü', '$x'])
    const world = new World(options)
    const watcher = watching(world)
    world.connected('a/+')
    settle(world)
    expect(told(watcher)).toEqual([['presence/a%2F%2B', 'online', 'now']])
  })

  it('does not leave somebody online who is not, where there is no room to say so', () => {
    const world = new World({ ...options, sessionQueueFull: 'reject', sessionQueueMessagesMax: 1 })
    const meter = world.connected('meter', lasting)
    world.connected('full', lasting).subscribe('#', 1).drop()
    world.connected('filler').publish('t', 'x', { qos: 1 })
    settle(world)
    meter.drop()
    settle(world)
    const { retained } = world.broker.defaultNamespace
    expect(String.fromCharCode(...retained.get('presence/meter')!.payload)).toContain('"offline"')
    expect(world.broker.counters.messagesDropped.get('presence_refused')).toBeGreaterThan(0)
    const tight = new World({ ...options, retainedMessagesMax: 1 })
    tight.connected('first')
    settle(tight)
    tight.connected('second')
    settle(tight)
    expect(tight.broker.defaultNamespace.retained.count).toBe(1)
    expect(tight.broker.counters.messagesDropped.get('presence_refused')).toBe(1)
  })

  it('is of nobody who is not there after a crash, and of everybody who has a session', async () => {
    const before = new DurableWorld(undefined, undefined, undefined, {}, options)
    await before.ready('there')
    const away = await before.ready('away')
    before.advance(10_000)
    away.drop()
    const leftAt = before.broker.now
    before.advance(20_000)
    await before.ready('visitor', {})
    await before.settle()
    // The process ends without a word; its store is all that is left.
    const world = await before.restart(undefined, options)
    for (let n = 0; n < 3; n++) await world.settle()
    const state = (clientId: string) => {
      const message = world.broker.defaultNamespace.retained.get(`presence/${clientId}`)
      return message === null ? null : JSON.parse(new TextDecoder().decode(message.payload))
    }
    expect(state('there')).toEqual({ state: 'offline', reason: 'gateway_restarted', since: expect.any(Number) })
    expect(state('away')).toEqual({ state: 'offline', reason: 'unknown', since: leftAt })
    expect(state('visitor')).toBe(null)
    await world.ready('there')
    for (let n = 0; n < 3; n++) await world.settle()
    expect(state('there')).toMatchObject({ state: 'online' })
  })

  it('of a client with a will comes beside it', () => {
    const world = new World(options)
    const watcher = world.connected('watcher').subscribe('presence/#', 1).subscribe('w', 1)
    settle(world)
    watcher.take()
    const none = { properties: {}, forwardProperties: new Uint8Array(0) }
    const will = { topic: 'w', payload: encodeUtf8('{"state":"will"}'), qos: 1 as const, retain: false, ...none }
    world.connected('meter', { ...lasting, will }).drop()
    settle(world)
    expect(told(watcher)).toEqual([
      ['w', 'will', 'now'],
      ['presence/meter', 'offline socket_error', 'now'],
    ])
  })
})
