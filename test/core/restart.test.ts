/** What a new process makes of what the store holds. */
import { describe, expect, it } from 'vitest'
import { DurableWorld, lasting } from './durable-world.ts'
import type { Device } from './world.ts'

describe('restart', () => {
  it('a queue larger than memory comes back page by page, in order, and what may have been sent carries DUP', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 1).drop()
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 3000; i++) {
      publisher.publish('t', String(i), { qos: 1, packetId: 1 })
      if (i % 500 === 0) await world.settle()
    }
    await world.settle()
    const next = await world.restart()
    expect(next.broker.gauges().queuedMessages).toBe(3000)
    const again = next.device().connect({ clientId: 's', ...lasting })
    await next.settle()
    const received: string[] = []
    for (let i = 0; i < 1000 && received.length < 3000; i++) {
      received.push(...again.drain())
      await next.settle()
    }
    expect(received).toEqual(Array.from({ length: 3000 }, (_, i) => String(i)))
    await next.settle()
    expect(next.broker.gauges()).toMatchObject({ queuedMessages: 0, inflightMessages: 0 })
    expect((await next.restart()).broker.gauges().queuedMessages).toBe(0)
  })

  it('QoS 2 resumes in the right state in both directions', async () => {
    const world = new DurableWorld()
    const subscriber = await world.ready('s')
    subscriber.subscribe('t', 2)
    const publisher = await world.ready('p')
    for (const payload of ['a', 'b', 'c']) publisher.publish('t', payload, { qos: 2 })
    await world.settle()
    const sent = subscriber.takePublishes()
    subscriber.acknowledge('pubrec', sent[1]!.packetId)
    await world.settle()

    const next = await world.restart()
    const [s, p] = ['s', 'p'].map((clientId) => next.device().connect({ clientId, ...lasting })) as [Device, Device]
    await next.settle()
    expect(s.take()).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'publish', payload: 'a', dup: true, packetId: sent[0]!.packetId },
      { type: 'pubrel', packetId: sent[1]!.packetId },
      { type: 'publish', payload: 'c', dup: true, packetId: sent[2]!.packetId },
    ])
    p.take()
    p.publish('t', 'a', { qos: 2, packetId: 1, dup: true })
    await next.settle()
    expect(p.take()).toMatchObject([{ type: 'pubrec', packetId: 1 }])
    expect(s.take()).toEqual([])
  })

  it('the will of a client that was connected is sent when it does not return, and not if it does', async () => {
    const will = {
      topic: 'will',
      payload: Buffer.from('x'),
      qos: 1 as const,
      retain: false,
      properties: {},
      forwardProperties: new Uint8Array(0),
    }
    const world = new DurableWorld()
    await world.ready('stays-away', { ...lasting, will })
    await world.ready('returns', { ...lasting, will })
    await world.ready('short-lived', { will })
    const next = await world.restart()
    const watcher = await next.ready('watcher', {})
    watcher.subscribe('will', 1)
    await next.settle()
    watcher.take()
    await next.ready('returns')
    next.advance(29_999)
    expect(watcher.take()).toEqual([])
    next.advance(1)
    expect(watcher.takePublishes()).toHaveLength(2)
    expect(next.broker.defaultNamespace.sessions.has('short-lived')).toBe(false)
    expect(next.broker.defaultNamespace.sessions.has('stays-away')).toBe(true)
  })

  it('expiry goes on across the restart in absolute time', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).drop()
    await world.settle()
    world.now += 3_599_000
    const next = await world.restart()
    next.advance(999)
    expect(next.broker.defaultNamespace.sessions.has('s')).toBe(true)
    next.advance(1)
    expect(next.broker.defaultNamespace.sessions.has('s')).toBe(false)
    await next.settle()
    expect((await next.restart()).broker.defaultNamespace.sessions.has('s')).toBe(false)
  })

  it('again and again begins neither the expiry of a session nor the delay of its will anew', async () => {
    const world = new DurableWorld()
    const watcher = await world.ready('watcher')
    watcher.subscribe('gone', 1)
    const will = { topic: 'gone', payload: new TextEncoder().encode('x'), qos: 1 as const, retain: false }
    const properties = { willDelayInterval: 600 }
    await world.ready('s', { ...lasting, will: { ...will, properties, forwardProperties: new Uint8Array(0) } })
    await world.settle()

    let next = await world.restart()
    const restartedAt = next.now
    const delayed = () => next.broker.defaultNamespace.sessions.get('s')?.will?.deadline?.at
    const expires = () => next.broker.defaultNamespace.sessions.get('s')?.expiry?.at
    expect([delayed(), expires()]).toEqual([restartedAt + 600_000, restartedAt + 3_600_000])
    for (const afterMs of [200_000, 300_000]) {
      await next.settle()
      next.now += afterMs
      next = await next.restart()
      expect([delayed(), expires()]).toEqual([restartedAt + 600_000, restartedAt + 3_600_000])
    }
  })

  it('[MQTT-3.1.2-6] brings no session back whose end a CONNACK has said, though the connection that ended it had gone before', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 1).drop()
    await world.settle()
    world.device().connect({ clientId: 's', cleanStart: true }).drop()
    const again = world.device().connect({ clientId: 's', cleanStart: true })
    world.turn()
    expect(again.take()).toEqual([])
    while (again.take().length === 0) {
      await world.store.finish()
      world.turn()
    }
    world.store.abandon()
    expect((await world.restart()).broker.defaultNamespace.sessions.size).toBe(0)
  })
})
