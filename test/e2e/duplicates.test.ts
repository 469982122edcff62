/** What comes twice, with real clients: a publisher that sends again, after a crash of the gateway too, HTTP and the program. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { apiOf } from '../api/api.ts'
import { connectClient, startGateway } from './gateway.ts'

const options: GatewayOptions = {
  queues: {
    orders: { filter: 'orders/#', dedupe: { windowMs: 3_600_000 } },
    unique: { dedupe: { until: 'settled' } },
    counted: { filter: 'counted/#', dedupe: { sequence: true } },
  },
}

const named = (id: string, name = 'message-id') => ({ qos: 1, properties: { userProperties: { [name]: id } } }) as const

const figure = (gateway: Gateway, name: string, queue: string) =>
  gateway.metrics()[`mqtt_queue_${name}_total{namespace="default",queue="${queue}"}`]

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-duplicates-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, maxRetries: 5 }))

it('a publisher that sends again is told so, over MQTT, HTTP and in the program', async () => {
  const gateway = await startGateway(options)
  const { mqtt } = await connectClient(gateway, { protocolVersion: 5 })
  const acks: unknown[] = []
  mqtt.on('packetreceive', (packet) => {
    if (packet.cmd === 'puback') acks.push([packet.reasonCode ?? 0, packet.properties?.reasonString])
  })
  for (let n = 0; n < 2; n++) await mqtt.publishAsync('orders/7', 'x', named('order-7'))
  expect(acks).toEqual([
    [0, undefined],
    [0, 'duplicate'],
  ])
  const { call } = apiOf(gateway)
  const body = { topic: 'orders/7', qos: 1, properties: { userProperties: [['message-id', 'order-7']] } }
  expect((await call('/publish', { method: 'POST', body })).body).toEqual({ outcome: 'duplicate' })
  const bundle = { messages: [body, { ...body, topic: '$queue/counted' }], atomic: true }
  expect((await call('/publish', { method: 'POST', body: bundle })).body).toEqual({
    results: [{ outcome: 'duplicate' }, { outcome: 'delivered' }],
  })
  const long = { ...body, properties: { userProperties: [['message-id', 'x'.repeat(257)]] } }
  expect((await call('/publish', { method: 'POST', body: long })).status).toBe(400)
  expect((await call('/publish', { method: 'POST', body: { messages: [long], atomic: true } })).status).toBe(400)
  await expect(mqtt.publishAsync('orders/7', 'x', named(''))).rejects.toMatchObject({ code: 0x83 })
  expect([figure(gateway, 'enqueued', 'orders'), figure(gateway, 'duplicates', 'orders')]).toEqual([1, 3])
  expect((await call<{ totals: object }>('/queues/orders')).body.totals).toMatchObject({ duplicates: 3, forgotten: 0 })
  const unique = gateway.queue('unique')
  expect([await unique.add({ id: 'job' }), await unique.add({ id: 'job' })]).toEqual(['added', 'duplicate'])
  for await (const job of unique.consume()) {
    await job.ack()
    break
  }
  expect(await unique.add({ id: 'job' })).toBe('added')
  await expect(unique.add({ id: '' })).rejects.toThrow(RangeError)
})

it('ids and counters are there after a restart', async () => {
  const start = async () => {
    const gateway = await createGateway({ ...options, dataDir, mqttPort: 0, httpPort: false, logLevel: 'silent' })
    await gateway.listen()
    return gateway
  }
  const send = async (gateway: Gateway) => {
    const client = await connectAsync(`mqtt://127.0.0.1:${gateway.addresses.mqtt!.port}`, {
      protocolVersion: 5,
      clientId: 'p',
    })
    await client.publishAsync('orders/7', 'x', named('order-7'))
    for (const seq of ['1', '2']) await client.publishAsync('counted/a', seq, named(seq, 'seq'))
    await client.endAsync()
  }
  const before = await start()
  await send(before)
  await before.close()
  const after = await start()
  await send(after)
  expect([figure(after, 'duplicates', 'orders'), figure(after, 'duplicates', 'counted')]).toEqual([1, 2])
  expect([figure(after, 'enqueued', 'orders'), figure(after, 'enqueued', 'counted')]).toEqual([0, 0])
  await after.close()
})
