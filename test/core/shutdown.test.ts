/** What a planned restart makes of wills: a thousand devices that are back in a second are not said to be gone. */
import { describe, expect, it } from 'vitest'
import type { ConnectPacket } from '../../src/mqtt/packet.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld } from './durable-world.ts'
import { World } from './world.ts'

const graceMs = 30_000

function willOf(topic: string, delay = 0): Partial<ConnectPacket> {
  const properties = delay === 0 ? {} : { willDelayInterval: delay }
  const will = { topic, payload: encodeUtf8('gone'), qos: 1, retain: true, properties } as const
  return { will: { ...will, forwardProperties: new Uint8Array(0) } }
}

/** As `Gateway.close` does it. */
async function shutDown(world: DurableWorld): Promise<void> {
  world.broker.shutDown()
  for (const device of world.devices) device.client.withDurability(() => device.client.disconnect(0x8b))
  await world.settle()
}

const retainedTopics = (world: World): string[] =>
  ['clean', 'short', 'lasting', 'delayed', 'left'].filter(
    (topic) => world.broker.defaultNamespace.retained.get(topic) !== null,
  )

async function worldWithWills(): Promise<DurableWorld> {
  const world = new DurableWorld()
  await world.ready('clean', willOf('clean'))
  await world.ready('short', { ...willOf('short'), properties: { sessionExpiryInterval: 1 } })
  await world.ready('lasting', { ...willOf('lasting'), cleanStart: false, properties: { sessionExpiryInterval: 3600 } })
  await world.ready('delayed', { ...willOf('delayed', 60), properties: { sessionExpiryInterval: 3600 } })
  return world
}

describe('a planned restart', () => {
  it('publishes no will, tells 5.0 clients, and wills are due after the grace for who stays away', async () => {
    const world = await worldWithWills()
    await shutDown(world)
    expect(world.devices.map((device) => device.take().at(-1))).toMatchObject(
      Array(4).fill({ type: 'disconnect', reasonCode: 0x8b }),
    )
    expect(retainedTopics(world)).toEqual([])
    const next = await world.restart()
    next.advance(graceMs - 1)
    expect(retainedTopics(next)).toEqual([])
    next.advance(1)
    expect(retainedTopics(next)).toEqual(['clean', 'short', 'lasting'])
    next.advance(60_000 - graceMs)
    expect(retainedTopics(next)).toEqual(['clean', 'short', 'lasting', 'delayed'])
    expect(next.broker.defaultNamespace.sessions.has('clean')).toBe(false)
    expect(next.broker.defaultNamespace.sessions.has('short')).toBe(false)
  })

  it('publishes no will of a client that is back in time', async () => {
    const world = await worldWithWills()
    await shutDown(world)
    const next = await world.restart()
    next.advance(1000)
    for (const clientId of ['clean', 'short', 'lasting', 'delayed']) {
      await next.ready(clientId, { cleanStart: false, properties: { sessionExpiryInterval: 3600 } })
    }
    next.advance(3_000_000)
    expect(retainedTopics(next)).toEqual([])
  })

  it('still publishes the will of a client that left before', async () => {
    const world = new DurableWorld()
    const device = await world.ready('left', willOf('left'))
    device.drop()
    await shutDown(world)
    expect(retainedTopics(world)).toEqual(['left'])
  })

  it('on a store that keeps nothing publishes no will either', () => {
    const world = new World()
    const device = world.connected('clean', willOf('clean'))
    world.broker.shutDown()
    device.client.disconnect(0x8b)
    expect(retainedTopics(world)).toEqual([])
    expect(world.broker.connections).toBe(0)
  })
})
