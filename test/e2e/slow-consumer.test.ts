/** A subscriber that stops reading costs its own messages and nobody else's. Counted, not timed. */
import { describe, expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { connectPacket, connectRaw, type RawClient } from './raw-client.ts'

const healthyClients = 5
const messages = 600
const outputBufferBytesMax = 1024 * 1024
/** 600 of them are far more than the kernel's socket buffers and the gateway's output buffer hold together. */
const payload = Buffer.alloc(32_000, 'x')
/** As many as fit into every healthy client's output buffer, so that none of theirs may be dropped. */
const batch = 20
/** Megabytes through one process, beside whatever else the machine does. */
const patience = { timeout: 120_000 }

describe.each(['TCP', 'WebSocket'] as const)('one of many subscribers stops reading over %s', (kind) => {
  async function scene(qos: 0 | 1) {
    const gateway = await startGateway({ limits: { outputBufferBytesMax } })
    const paused = await connectRaw(gateway, kind)
    paused.sendPacket(connectPacket('paused'))
    paused.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'load/#', qos }] })
    await paused.until(() => paused.packets.length === 2)
    paused.pause()
    const healthy = await Promise.all(Array.from({ length: healthyClients }, () => connectClient(gateway)))
    for (const { mqtt } of healthy) await mqtt.subscribeAsync('load/#', { qos })
    const publisher = await connectClient(gateway)
    for (let sent = 0; sent < messages; sent += batch) {
      const numbers = Array.from({ length: batch }, (_, index) => sent + index)
      await Promise.all(numbers.map((number) => publisher.mqtt.publishAsync(`load/${number}`, payload, { qos })))
      await Promise.all(healthy.map((client) => client.until(sent + batch)))
    }
    const expected = Array.from({ length: messages }, (_, index) => `load/${index}`)
    for (const client of healthy) expect(client.received.map((packet) => packet.topic)).toEqual(expected)
    return { gateway, paused, expected }
  }

  const topicsOf = (client: RawClient) =>
    client.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.topic] : []))

  test(
    'QoS 0: the others get everything; what the paused one missed was dropped and counted, the rest keeps its order',
    patience,
    async () => {
      const { gateway, paused, expected } = await scene(0)
      const dropped = gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0
      expect(dropped).toBeGreaterThan(0)
      expect(dropped).toBeLessThan(messages)
      paused.resume()
      await paused.until(() => topicsOf(paused).length === messages - dropped)
      const arrived = new Set(topicsOf(paused))
      expect(topicsOf(paused)).toEqual(expected.filter((topic) => arrived.has(topic)))
      // It is served again like any other.
      await gateway.publish({ topic: 'load/after', payload: 'again' })
      await paused.until(() => topicsOf(paused).at(-1) === 'load/after')
      expect(topicsOf(paused).length).toBe(messages - dropped + 1)
      paused.destroy()
    },
  )

  test(
    'QoS 1: the others get everything; the paused one gets all of it later, once each and in order',
    patience,
    async () => {
      const { gateway, paused, expected } = await scene(1)
      await eventually(() => gateway.metrics()['mqtt_queued_messages']).toBeGreaterThan(0)
      paused.onPacket((packet) => {
        if (packet.cmd === 'publish') paused.sendPacket({ cmd: 'puback', messageId: packet.messageId! })
      })
      paused.resume()
      await paused.until(() => topicsOf(paused).length >= messages)
      expect(topicsOf(paused)).toEqual(expected)
      await eventually(() => gateway.metrics()['mqtt_inflight']).toBe(0)
      expect(gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}']).toBe(0)
      paused.destroy()
    },
  )
})

test('a subscriber that reads slowly holds no more of the gateway than its output buffer', patience, async () => {
  const gateway = await startGateway({ limits: { outputBufferBytesMax } })
  const slow = await connectRaw(gateway, 'TCP')
  slow.sendPacket(connectPacket('slow'))
  slow.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'load', qos: 0 }] })
  await slow.until(() => slow.packets.length === 2)
  slow.pause()
  const published = 4000
  for (let index = 0; index < published; index++) {
    await gateway.publish({ topic: 'load', payload })
    // About one message is read for every ten that are published.
    if (index % 20 === 19) await slow.readOnce()
  }
  const readAlong = slow.bytesReceived()
  const dropped = gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0
  slow.resume()
  await slow.until(() => slow.packets.filter((packet) => packet.cmd === 'publish').length === published - dropped)
  // What the kernel holds for both sockets of a connection, generously.
  const kernelBytesMax = 16 * 1024 * 1024
  expect(slow.bytesReceived() - readAlong).toBeLessThan(outputBufferBytesMax + kernelBytesMax)
  slow.destroy()
})
