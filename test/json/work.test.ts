/** The JSON WebSocket beyond publish and subscribe: requests with their answers, work on queues, subscriptions told apart. */
import { describe, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type JsonClient, openJson } from './json-client.ts'

const queues = { jobs: { attemptsMax: 2, retry: { firstMs: 1 }, deadLetter: 'dead' }, dead: {} }

async function worker(options: object = {}) {
  const gateway = await startGateway({ queues } as never)
  const page = await openJson(gateway)
  expect(await page.ask({ op: 'consume', queue: 'jobs', ...options })).toMatchObject({ op: 'consuming', granted: [1] })
  return { gateway, page }
}

const add = (page: JsonClient, payload: string) => page.ask({ op: 'publish', topic: '$queue/jobs', payload, qos: 1 })

async function nextJob(page: JsonClient, count = 1) {
  await eventually(() => page.messages().length).toBe(count)
  const job = page.messages()[count - 1]!
  const { userProperties } = job['properties'] as { userProperties: [string, string][] }
  return { packet: job['packet'], payload: job['payload'], ...Object.fromEntries(userProperties) } as Record<
    string,
    string
  >
}

describe('a request', () => {
  test('is answered by what a device publishes to where it was asked to', async () => {
    const gateway = await startGateway()
    const device = await connectClient(gateway, { protocolVersion: 5 })
    await device.mqtt.subscribeAsync('lamp/set', { qos: 1 })
    device.mqtt.on('message', (_topic, payload, { properties }) => {
      const { responseTopic, correlationData } = properties!
      device.mqtt.publish(responseTopic!, `${payload} done`, { properties: { correlationData: correlationData! } })
    })
    const page = await openJson(gateway)
    for (const qos of [0, 1]) {
      const answer = await page.ask({ op: 'request', topic: 'lamp/set', payload: `on ${qos}`, qos })
      expect(answer).toMatchObject({ op: 'response', payload: `on ${qos} done`, encoding: 'utf8' })
    }
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
    // Nothing else was said of them.
    expect(page.received).toHaveLength(2)
  })

  test('that nobody is there for is answered at once, one that nobody answers in time', async () => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    const asked = { op: 'request', topic: 'lamp/set', payload: 'on', timeoutMs: 50 }
    for (const qos of [0, 1]) expect(await page.ask({ ...asked, qos })).toMatchObject({ op: 'error', reason: 16 })
    const device = await connectClient(gateway)
    await device.mqtt.subscribeAsync('lamp/set')
    expect(await page.ask(asked)).toMatchObject({ op: 'error', reason: 128, message: 'no answer in 50 ms' })
    expect(await page.ask({ ...asked, topic: 'a/#' })).toMatchObject({ op: 'error', reason: 144 })
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
  })

  test('needs an id, and there are a hundred at a time; they end with the connection', async () => {
    const gateway = await startGateway()
    const device = await connectClient(gateway)
    await device.mqtt.subscribeAsync('silent')
    const page = await openJson(gateway)
    page.send({ op: 'request', topic: 'silent' })
    await page.until(({ op, message }) => op === 'error' && message === 'id is missing')
    for (let id = 1; id <= 101; id++) page.send({ op: 'request', id: `r${id}`, topic: 'silent', timeoutMs: 600_000 })
    expect(await page.until(({ id }) => id === 'r101')).toMatchObject({ op: 'error', reason: 151 })
    expect(gateway.metrics()['mqtt_subscriptions']).toBe(101)
    await page.close()
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
  })
})

describe('work on a queue', () => {
  test('is taken by consume and done by ack, one after the other', async () => {
    const { gateway, page } = await worker({ prefetch: 1, settle: 'ack' })
    for (const payload of ['first', 'second']) await add(page, payload)
    const first = await nextJob(page)
    expect(first).toMatchObject({ payload: 'first', 'queue-attempt': '1' })
    page.send({ op: 'ack', packet: first['packet'] })
    const second = await nextJob(page, 2)
    expect(second).toMatchObject({ payload: 'second' })
    page.send({ op: 'ack', packet: second['packet'] })
    const settled = () =>
      Object.entries(gateway.metrics()).find(([name]) => /^mqtt_queue_settled_total\{.*jobs/.test(name))
    await eventually(() => settled()?.[1]).toBe(2)
  })

  test('that failed comes again, and is set aside with the reason that an ack gives', async () => {
    const { gateway, page } = await worker({ settle: 'ack' })
    await add(page, 'job')
    const first = await nextJob(page)
    page.send({ op: 'ack', packet: first['packet'], reason: 128, message: 'no paper', delayMs: 1 })
    const second = await nextJob(page, 2)
    expect(second).toMatchObject({ 'queue-attempt': '2' })
    page.send({ op: 'ack', packet: second['packet'], reason: 0x99, message: 'no such printer' })
    const other = await openJson(gateway)
    await other.ask({ op: 'consume', queue: 'dead' })
    const dead = await nextJob(other)
    expect(JSON.stringify(dead)).toContain('no such printer')
  })

  test('is judged by settle, with its delivery: extended, failed, refused for good, done', async () => {
    const { page } = await worker({ settle: 'explicit', prefetch: 2 })
    await add(page, 'job')
    const { 'queue-delivery': delivery, packet } = await nextJob(page)
    page.send({ op: 'ack', packet })
    const settle = (verdict: string, more = {}) => page.ask({ op: 'settle', queue: 'jobs', verdict, ...more })
    expect(await settle('extend', { delivery, delayMs: 60_000 })).toMatchObject({ op: 'settled', reason: 0 })
    expect(await settle('nack', { delivery, delayMs: 1, reason: 'busy' })).toMatchObject({ op: 'settled' })
    const again = await nextJob(page, 2)
    expect(await settle('reject', { delivery: again['queue-delivery'] })).toMatchObject({ op: 'settled' })
    expect(await settle('nack', { delivery: 'nothing' })).toMatchObject({ op: 'error', reason: 131 })
    expect(await settle('ack', { queue: 'none' })).toMatchObject({ op: 'error', reason: 144 })
  })

  test('that can not be had is refused in words', async () => {
    const gateway = await startGateway({ queues } as never)
    const page = await openJson(gateway)
    expect(await page.ask({ op: 'consume', queue: 'none' })).toMatchObject({
      ...{ op: 'error', reason: 143, message: expect.stringContaining('there is no queue none') },
    })
    expect(await page.ask({ op: 'consume', queue: 'a/b' })).toMatchObject({ op: 'error', reason: 144 })
    expect(await page.ask({ op: 'consume', queue: 'jobs', settle: 'puback' })).toMatchObject({
      op: 'error',
      reason: 130,
    })
    expect(await page.ask({ op: 'settle', queue: 'jobs', verdict: 'burn' })).toMatchObject({ op: 'error', reason: 130 })
  })
})

describe('subscriptions with identify', () => {
  test('are named by each message that comes by them, at either QoS, retained or after a return', async () => {
    const gateway = await startGateway()
    await gateway.publish({ topic: 'a/kept', payload: 'x', retain: true })
    const connect = { op: 'connect', clientId: 'page', sessionExpirySeconds: 60 }
    const page = await openJson(gateway)
    await page.ask(connect)
    page.send({ op: 'subscribe', id: 7000, filters: [{ filter: 'a/#' }], identify: true })
    page.send({
      op: 'subscribe',
      id: 268_435_455,
      filters: [{ filter: 'a/+', qos: 1 }, { filter: 'b' }],
      identify: true,
    })
    page.send({ op: 'subscribe', id: 7002, filters: [{ filter: 'c', qos: 1 }] })
    await page.until(({ id }) => id === 7002)
    await eventually(() => page.messages().length).toBe(2)
    for (const topic of ['a/1', 'b', 'c']) await gateway.publish({ topic, payload: 'x', qos: 1 })
    await eventually(() => page.messages().length).toBe(5)
    const named = page.messages().map(({ topic, subscriptions, packet }) => [topic, subscriptions, typeof packet])
    expect(named).toEqual([
      ['a/kept', [7000], 'undefined'],
      ['a/kept', [268_435_455], 'undefined'],
      ['a/1', [7000, 268_435_455], 'number'],
      ['b', [268_435_455], 'undefined'],
      ['c', undefined, 'number'],
    ])
    await page.close()
    const again = await openJson(gateway)
    expect(await again.ask(connect)).toMatchObject({ sessionPresent: true })
    await eventually(() => again.messages().length).toBe(2)
    expect(again.messages()[0]).toMatchObject({ topic: 'a/1', dup: true, subscriptions: [7000, 268_435_455] })
  })

  test('need a number that MQTT has', async () => {
    const page = await openJson(await startGateway())
    for (const id of ['text', 0, -1, 268_435_456]) {
      page.send({ op: 'subscribe', id, filters: [{ filter: 'a' }], identify: true })
      expect(await page.until((one) => one['id'] === id)).toMatchObject({ op: 'error', reason: 130 })
    }
  })
})
