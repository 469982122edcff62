/** Queues through the API: what is in them, what is done about it, and being a consumer. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GatewayOptions } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type Api, allPages, apiOf, expectProblem } from './api.ts'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-queues-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, maxRetries: 5 }))

const options: GatewayOptions = {
  queues: {
    orders: { filter: 'shop/+/orders', attemptsMax: 2, retry: { firstMs: 1, jitter: 0 } },
    jobs: { deadLetter: false, messagesMax: 3 },
  },
  namespaces: { plant: { queues: { jobs: { filter: '#' } } } },
}
const start = async (more: GatewayOptions = {}): Promise<Api> => apiOf(await startGateway({ ...options, ...more }))

interface Queue {
  namespace: string
  name: string
  ready: number
  totals: Record<string, number>
}

interface Message {
  delivery: string
  state: string
  attempt: number
  deadLetter: { queue: string; reason: string; attempts: number; text: string } | null
  message: { topic: string; payload: string }
}

const fill = async ({ gateway }: Api, count: number, topic = 'shop/7/orders'): Promise<void> => {
  for (let i = 0; i < count; i++) await gateway.publish({ topic, payload: `${i}`, qos: 1 })
}
const post = (api: Api, path: string, body: unknown) => api.admin(path, { method: 'POST', body })
const receive = async (api: Api, path: string, body: object = {}): Promise<Message[]> => {
  const answer = await api.admin<{ messages: Message[] }>(`${path}/receive`, { method: 'POST', body })
  expect(answer.status).toBe(200)
  return answer.body.messages
}
const settle = async (api: Api, path: string, ...verdicts: object[]) =>
  (await post(api, `${path}/settle`, verdicts)).body

describe('GET /queues', () => {
  it('lists those that are declared and those of their dead letters, by namespace, sorted and filtered', async () => {
    const api = await start()
    await fill(api, 3)
    const all = await allPages<Queue>(api, '/queues?limit=2')
    expect(all.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual([
      'default/jobs',
      'default/orders',
      'default/orders.dead',
      'plant/jobs',
      'plant/jobs.dead',
    ])
    expect(all[1]).toMatchObject({
      ...{ address: '$queue/orders', filter: 'shop/+/orders', declared: true },
      ...{ messages: 3, ready: 3, leased: 0, waiting: 0, consumers: 0, totals: { enqueued: 3, settled: 0 } },
    })
    const names = async (query: string) =>
      (await allPages<Queue>(api, `/queues?limit=9&${query}`)).map(({ name }) => name)
    expect((await names('sort=-ready'))[0]).toBe('orders')
    expect(await names('filter=namespace:plant')).toEqual(['jobs', 'jobs.dead'])
    expect(await names('filter=*.dead')).toEqual(['orders.dead', 'jobs.dead'])
  })

  it('shows one with its options and who consumes it', async () => {
    const api = await start()
    const worker = await connectClient(api.gateway, { clientId: 'worker', protocolVersion: 5 })
    await worker.mqtt.subscribeAsync('$queue/orders', { qos: 1 })
    const { body } = await api.call('/queues/orders')
    expect(body).toMatchObject({
      name: 'orders',
      consumers: 1,
      consumerList: [{ clientId: 'worker', connected: true, leased: 0, paused: false }],
      options: { filter: 'shop/+/orders', attemptsMax: 2, prefetchMax: 100, deadLetter: true },
    })
    expect((await api.call('/queues/orders.dead')).body).toMatchObject({ options: null, filter: null, declared: true })
    for (const path of ['/queues/other', '/queues/orders?namespace=plant', '/queues/orders?namespace=nowhere']) {
      expectProblem(await api.call(path), 404)
    }
  })
})

describe('the messages of a queue', () => {
  it.each([
    ['in memory', true],
    ['in the store', false],
  ])('are shown in order, page by page, and leased to nobody by that: %s', async (_, inMemory) => {
    const api = await start({ inMemory, dataDir })
    // More than stay in memory.
    const payloads = Array.from({ length: 1100 }, (_, i) => `${i}`)
    await Promise.all(payloads.map((payload) => api.gateway.publish({ topic: 'shop/7/orders', payload, qos: 1 })))
    for (const limit of [300, 1000]) {
      const found = await allPages<Message>(api, `/queues/orders/messages?limit=${limit}`)
      expect(found.map(({ message }) => message.payload)).toEqual(payloads)
      expect(found[0]).toMatchObject({ state: 'ready', attempt: 1, deadLetter: null })
    }
    // Whoever is not first is told to come again, and nothing else.
    const cursors = Array.from({ length: 8 }, () => api.call('/queues/orders/messages?limit=1000&cursor=4:1000'))
    const statuses = (await Promise.all(cursors)).map(({ status }) => status)
    expect(statuses).toContain(200)
    expect(statuses.filter((status) => status !== 200 && status !== 503)).toEqual([])
    expect((await api.call('/queues/orders')).body).toMatchObject({ ready: 1100, leased: 0 })
    expectProblem(await api.call('/queues/orders/messages?cursor=nonsense!'), 400)
    expectProblem(await api.call('/queues/other/messages'), 404)
  })

  it.each([
    ['in memory', true],
    ['in the store', false],
  ])('are purged by topic, but for those that are with somebody: %s', async (_, inMemory) => {
    const api = await start({ inMemory, dataDir })
    await fill(api, 3, 'shop/1/orders')
    await fill(api, 3, 'shop/2/orders')
    expect(await receive(api, '/queues/orders')).toMatchObject([{ message: { topic: 'shop/1/orders' } }])
    const purge = (query: string) => api.admin(`/queues/orders/messages${query}`, { method: 'DELETE' })
    expect((await purge('?filter=shop/1/%23')).body).toEqual({ purged: 2 })
    expect((await api.call('/queues/orders')).body).toMatchObject({ ready: 3, leased: 1, totals: { purged: 2 } })
    expect((await purge('')).body).toEqual({ purged: 3 })
    expectProblem(await purge('?filter=a/%23/b'), 400)
    expectProblem(await api.call('/queues/orders/messages', { method: 'DELETE' }), 401)
    expectProblem(await api.admin('/queues/other/messages', { method: 'DELETE' }), 404)
  })
})

describe('a consumer over HTTP', () => {
  it('leases messages and settles them, each once', async () => {
    const api = await start()
    await fill(api, 3)
    const [first, second] = await receive(api, '/queues/orders', { max: 2 })
    expect([first?.message.payload, second?.message.payload]).toEqual(['0', '1'])
    expect((await api.call('/queues/orders')).body).toMatchObject({ ready: 1, leased: 2 })
    const { delivery } = first!
    expect(await settle(api, '/queues/orders', { delivery, verdict: 'ack' })).toEqual({ outcomes: ['done'] })
    expect(await settle(api, '/queues/orders', { delivery: second!.delivery, verdict: 'release' })).toEqual({
      outcomes: ['done'],
    })
    expect(await settle(api, '/queues/orders', { delivery: 'x', verdict: 'nack' })).toEqual({ outcomes: ['unknown'] })
    expect((await receive(api, '/queues/orders', { max: 9 })).map(({ message }) => message.payload)).toEqual(['1', '2'])
    expect((await api.call('/queues/orders')).body).toMatchObject({ totals: { settled: 1, returned: 1 } })
  })

  it('waits for the first message as long as it said, and no longer', async () => {
    const api = await start()
    expect(await receive(api, '/queues/orders', { waitMs: 1 })).toEqual([])
    const waiting = receive(api, '/queues/orders', { waitMs: 30_000 })
    await fill(api, 1)
    expect(await waiting).toHaveLength(1)
  })

  it('that goes away while it waits keeps nothing', async () => {
    const api = await start()
    const gone = new AbortController()
    const init = {
      method: 'POST',
      body: '{"waitMs":30000,"leaseMs":100}',
      headers: { 'content-type': 'application/json' },
    }
    const waiting = fetch(`${api.url}/queues/orders/receive`, { ...init, signal: gone.signal }).catch(() => 'gone')
    await new Promise((resolve) => setTimeout(resolve, 100))
    gone.abort()
    expect(await waiting).toBe('gone')
    await fill(api, 1)
    expect(await receive(api, '/queues/orders', { waitMs: 30_000 })).toHaveLength(1)
  })

  it('loses what it does not settle in time, and that counts as a failure', async () => {
    const api = await start()
    await fill(api, 1)
    expect(await receive(api, '/queues/orders', { leaseMs: 100 })).toMatchObject([{ attempt: 1 }])
    expect(await receive(api, '/queues/orders', { waitMs: 30_000 })).toMatchObject([{ attempt: 2 }])
    expect((await api.call('/queues/orders')).body).toMatchObject({ totals: { timedOut: 1, retried: 1 } })
  })

  it.each([
    ['a queue that is not there', '/queues/other/receive', {}, 404],
    ['no message', '/queues/orders/receive', { max: 0 }, 400],
    ['too many messages', '/queues/orders/receive', { max: 1001 }, 400],
    ['a lease of nothing', '/queues/orders/receive', { leaseMs: 0 }, 400],
    ['a wait of an hour', '/queues/orders/receive', { waitMs: 3_600_000 }, 400],
    ['what is not known', '/queues/orders/receive', { count: 1 }, 400],
    ['a verdict that is none', '/queues/orders/settle', [{ delivery: 'x', verdict: 'maybe' }], 400],
    ['a verdict on nothing', '/queues/orders/settle', [{ verdict: 'ack' }], 400],
    ['no verdict at all', '/queues/orders/settle', [], 400],
    ['a longer lease that is not said', '/queues/orders/settle', [{ delivery: 'x', verdict: 'extend' }], 400],
    ['a verdict for a queue that is not there', '/queues/other/settle', [{ delivery: 'x' }], 404],
    ['a redrive of nothing', '/queues/orders.dead/redrive', { max: 0 }, 400],
    ['a redrive of a queue that is not there', '/queues/other/redrive', {}, 404],
    ['a redrive by what is no filter', '/queues/orders.dead/redrive', { filter: 'a/#/b' }, 400],
  ])('is told of %s', async (_, path, body, status) => {
    expectProblem(await post(await start(), path, body), status)
  })
})

describe('dead letters', () => {
  it.each([
    ['in memory', true],
    ['in the store', false],
  ])('are kept with the reason, and redriven as if nothing had happened: %s', async (_, inMemory) => {
    const api = await start({ inMemory, dataDir })
    await fill(api, 3)
    const [bad] = await receive(api, '/queues/orders')
    await settle(api, '/queues/orders', { delivery: bad!.delivery, verdict: 'reject', reason: 'no such shop' })
    for (const attempt of [1, 2]) {
      const [failing] = await receive(api, '/queues/orders', { waitMs: 10_000 })
      expect(failing).toMatchObject({ attempt, message: { payload: '1' } })
      await settle(api, '/queues/orders', { delivery: failing!.delivery, verdict: 'nack', delayMs: 0, reason: 'busy' })
    }
    const dead = await allPages<Message>(api, '/queues/orders.dead/messages?limit=9')
    expect(dead.map(({ deadLetter }) => deadLetter)).toEqual([
      { queue: 'orders', reason: 'rejected', attempts: 1, text: 'no such shop' },
      { queue: 'orders', reason: 'attempts', attempts: 2, text: 'busy' },
    ])
    expect((await post(api, '/queues/orders.dead/redrive', { max: 1 })).body).toEqual({ redriven: 1 })
    expect((await post(api, '/queues/orders.dead/redrive', {})).body).toEqual({ redriven: 1 })
    const back = await receive(api, '/queues/orders', { max: 9 })
    expect(back.map(({ message, attempt }) => [message.payload, attempt])).toEqual(
      expect.arrayContaining([
        ['0', 1],
        ['1', 1],
        ['2', 1],
      ]),
    )
    expect((await api.call('/queues/orders.dead')).body).toMatchObject({ messages: 0, totals: { redriven: 2 } })
  })

  it('of a queue that has none are dropped, and counted', async () => {
    const api = await start()
    await api.admin('/publish', { method: 'POST', body: { topic: '$queue/jobs', payload: 'x', qos: 1 } })
    const [bad] = await receive(api, '/queues/jobs')
    expect(bad).toMatchObject({ message: { topic: 'jobs', payload: 'x' } })
    await settle(api, '/queues/jobs', { delivery: bad!.delivery, verdict: 'reject' })
    expect((await api.call('/queues/jobs')).body).toMatchObject({ messages: 0, totals: { dropped: 1 } })
    expect(api.gateway.metrics()['mqtt_messages_dropped_total{reason="queue_rejected"}']).toBe(1)
  })
})

describe('a queue that is full', () => {
  it('refuses a message over HTTP too, and counts it', async () => {
    const api = await start()
    const publish = () =>
      api.admin('/publish', { method: 'POST', body: { topic: '$queue/jobs', payload: 'x', qos: 1 } })
    for (let i = 0; i < 3; i++) expect((await publish()).status).toBe(200)
    expectProblem(await publish(), 503)
    expect((await api.call('/queues/jobs')).body).toMatchObject({ messages: 3, totals: { refused: 1 } })
  })
})

describe('a token of one namespace', () => {
  it('sees and works on the queues of it only', async () => {
    const api = await start()
    const token = api.gateway.addApiToken('plant', 'operator', { namespace: 'plant' })
    const call = (path: string, body?: object) =>
      api.call<{ items: Queue[] }>(path, { token, ...(body !== undefined && { method: 'POST', body }) })
    expect((await call('/queues')).body.items.map(({ name }) => name)).toEqual(['jobs', 'jobs.dead'])
    expect((await call('/queues/jobs')).body).toMatchObject({ namespace: 'plant', filter: '#' })
    expectProblem(await call('/queues/orders'), 404)
    expectProblem(await call('/queues/orders/receive?namespace=default', {}), 403)
    expect((await call('/queues/jobs/receive', {})).body).toEqual({ messages: [] })
  })
})

describe('metrics and $SYS', () => {
  it('say of each queue how much is in it, how old, and what became of it', async () => {
    const api = await start()
    await fill(api, 2)
    const [one] = await receive(api, '/queues/orders')
    await settle(api, '/queues/orders', { delivery: one!.delivery, verdict: 'ack' })
    const labels = 'namespace="default",queue="orders"'
    const metrics = api.gateway.metrics()
    expect(metrics).toMatchObject({
      [`mqtt_queue_messages{${labels},state="ready"}`]: 1,
      [`mqtt_queue_messages{${labels},state="leased"}`]: 0,
      [`mqtt_queue_enqueued_total{${labels}}`]: 2,
      [`mqtt_queue_settled_total{${labels}}`]: 1,
      [`mqtt_queue_consumers{${labels}}`]: 0,
    })
    expect(metrics[`mqtt_queue_oldest_age_seconds{${labels}}`]).toBeGreaterThanOrEqual(0)
    const text = await (await fetch(api.url.replace('/api/v1', '/metrics'))).text()
    expect(text).toContain(`mqtt_queue_messages{${labels},state="ready"} 1`)
    expect(text).toContain(`mqtt_queue_settled_total{${labels}} 1`)
  })

  it('are below $SYS/broker/queues in the namespace of the queue', async () => {
    const api = await start()
    const sys = async (topic: string) =>
      (await api.admin(`/retained/${encodeURIComponent(`$SYS/broker/queues/${topic}`)}`)).body['payload']
    await eventually(() => sys('orders/ready')).toBe('0')
    expect(await sys('orders.dead/consumers')).toBe('0')
    expect(await sys('orders/dead_lettered')).toBe('0')
  })
})
