/** Retained messages follow the pace of the subscriber's socket: none is dropped, and nobody else waits. */
import { expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { connectPacket, connectRaw } from './raw-client.ts'

const payload = Buffer.alloc(32_000, 'x')
const outputBufferBytesMax = 1024 * 1024
/** Megabytes through one process, beside whatever else the machine does. */
const patience = { timeout: 120_000 }

test(
  'a subscriber that never reads its retained messages holds nobody up, and gets all of them when it does',
  patience,
  async () => {
    const gateway = await startGateway({ limits: { outputBufferBytesMax } })
    const count = 300
    for (let index = 0; index < count; index++) {
      await gateway.publish({ topic: `kept/${index}`, payload, qos: 1, retain: true })
    }
    const paused = await connectRaw(gateway, 'TCP')
    paused.sendPacket(connectPacket('paused'))
    await paused.until(() => paused.packets.length === 1)
    paused.pause()
    paused.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'kept/#', qos: 0 }] })
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
    const other = await connectClient(gateway)
    await other.mqtt.subscribeAsync('kept/#', { qos: 0 })
    await other.until(count)
    paused.resume()
    const topics = () => paused.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.topic] : []))
    await paused.until(() => topics().length === count)
    expect(new Set(topics()).size).toBe(count)
    paused.destroy()
  },
)
