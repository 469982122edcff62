/** Shaped subscriptions over real sockets: as MQTT, JSON and event streams ask for them. */
import { expect, onTestFinished, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { openJson } from '../json/json-client.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'

const shaped = (gateway: Gateway, by: string) => gateway.metrics()[`mqtide_messages_shaped_total{by="${by}"}`] ?? 0

async function publish(gateway: Gateway, topic: string, payloads: readonly unknown[]): Promise<void> {
  for (const payload of payloads) await gateway.publish({ topic, payload: JSON.stringify(payload), qos: 1 })
}

async function openStream(gateway: Gateway, query: string) {
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const url = `http://127.0.0.1:${gateway.addresses.http!.port}/api/v1/stream?${query}`
  const response = await fetch(url, { signal: controller.signal })
  let text = ''
  const read = async () => {
    for await (const chunk of response.body!) text += Buffer.from(chunk).toString()
  }
  read().catch(() => {})
  return { status: response.status, text: () => text }
}

test('a client of MQTT 5.0 says its wishes by user properties of SUBSCRIBE', async () => {
  const gateway = await startGateway()
  const device = await connectClient(gateway, { protocolVersion: 5 })
  const userProperties = { 'mqtide-where': 'temperature > 25 and @site = "north"', 'mqtide-sample': '2' }
  const [granted] = await device.mqtt.subscribeAsync('a/#', { qos: 1, properties: { userProperties } })
  expect(granted!.qos).toBe(0)
  const publisher = await connectClient(gateway, { protocolVersion: 5 })
  const reading = (temperature: number, site: string) =>
    publisher.mqtt.publishAsync('a/1', JSON.stringify({ temperature }), {
      qos: 1,
      properties: { userProperties: { site } },
    })
  for (const temperature of [26, 20, 27, 28, 29, 30]) await reading(temperature, 'north')
  await reading(31, 'south')
  await device.until(3)
  expect(device.texts()).toEqual(['{"temperature":26}', '{"temperature":28}', '{"temperature":30}'])
  expect([shaped(gateway, 'where'), shaped(gateway, 'sample')]).toEqual([2, 2])
  const bad = { properties: { userProperties: { 'mqtide-where': 'temperature >' } } }
  await expect(device.mqtt.subscribeAsync('b', { qos: 0, ...bad })).rejects.toThrow()
})

test('a page says them in subscribe, and is told in words what is wrong', async () => {
  const gateway = await startGateway()
  const page = await openJson(gateway)
  const filters = [{ filter: 'a/#', qos: 1 }]
  const answer = await page.ask({ op: 'subscribe', filters, where: 'temperature > 25' })
  expect(answer).toMatchObject({ op: 'subscribed', granted: [1] })
  await publish(gateway, 'a/1', [{ temperature: 20 }, { temperature: 26 }, { temperature: 25 }])
  await eventually(() => page.messages()).toMatchObject([{ payload: '{"temperature":26}', qos: 1 }])
  for (const [wish, reason, message] of [
    [{ where: 'temperature >' }, 143, 'where: expected a number'],
    [{ where: 7 }, 130, 'where: expected string'],
    [{ sample: 0 }, 130, 'sample'],
    [{ maxPerSecond: 2000 }, 130, 'maxPerSecond'],
    [{ latest: 'yes' }, 130, 'latest'],
  ] as const) {
    const refused = await page.ask({ op: 'subscribe', filters, ...wish })
    expect(refused).toMatchObject({ op: 'error', reason, message: expect.stringContaining(message) })
  }
})

test('of what comes too fast for a page, the latest value of each topic arrives', async () => {
  const gateway = await startGateway()
  const page = await openJson(gateway)
  const filters = [{ filter: 'a/#' }]
  await page.ask({ op: 'subscribe', filters, maxPerSecond: 20, latest: true })
  const last = 400
  for (const i of Array(last + 1).keys()) for (const topic of ['a/1', 'a/2']) await publish(gateway, topic, [i])
  const latestOf = (topic: string) => page.messages().findLast((one) => one['topic'] === topic)?.['payload']
  await eventually(() => [latestOf('a/1'), latestOf('a/2')]).toEqual([`${last}`, `${last}`])
  expect(page.messages().length + shaped(gateway, 'latest')).toBe(2 * (last + 1))
  expect(gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0).toBe(0)
})

test('an event stream says them by parameters; bad ones are answered 400, in words', async () => {
  const gateway = await startGateway()
  const stream = await openStream(gateway, `topic=a/%23&where=${encodeURIComponent('temperature > 25')}&sample=2`)
  await publish(gateway, 'a/1', [{ temperature: 26 }, { temperature: 2 }, { temperature: 27 }, { temperature: 28 }])
  await eventually(() => stream.text()).toContain('28')
  expect(stream.text()).not.toContain('27')
  for (const query of [
    'where=a%20%3E',
    'sample=0',
    'sample=x',
    'maxPerSecond=-1',
    'latest=yes',
    `where=${'a'.repeat(1001)}`,
  ]) {
    const refused = await openStream(gateway, `topic=a&${query}`)
    expect(refused.status).toBe(400)
    await eventually(() => refused.text()).toContain('detail')
  }
})
