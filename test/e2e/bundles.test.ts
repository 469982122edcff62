/** All or nothing with real programs: jobs settled with their results, by the library, and over HTTP while the gateway is killed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BundleRefusedError, type Job } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { startToBeKilled } from './killed-gateway.ts'

const queues = { orders: { filter: 'orders/#' }, results: { filter: 'results/#', messagesMax: 3 } }

describe('gateway.publishAll', () => {
  it('settles a job with its results, and the worker gets the next one', async () => {
    const gateway = await startGateway({ queues })
    const reader = await connectClient(gateway)
    await reader.mqtt.subscribeAsync('results/#', { qos: 1 })
    const orders = gateway.queue('orders')
    for (const payload of ['1', '2']) await orders.add({ payload })
    const seen: string[] = []
    for await (const job of orders.consume()) {
      const order = Buffer.from(job.payload).toString()
      seen.push(order)
      await gateway.publishAll([{ topic: `results/${order}`, payload: 'done', qos: 1 }], { settle: [job] })
      // It is settled: what is said of it now says nothing.
      expect(await job.nack()).toBe(false)
      if (order === '2') break
    }
    await reader.until(2)
    expect(seen).toEqual(['1', '2'])
    expect(gateway.metrics()['mqtt_queue_settled_total{namespace="default",queue="orders"}']).toBe(2)
  })

  it('rejects with the item that was refused, and everything is as before', async () => {
    const gateway = await startGateway({ queues })
    const orders = gateway.queue('orders')
    await orders.add({ payload: 'x' })
    let failed: unknown
    const worker = orders.work(async (job: Job) => {
      if (failed !== undefined) return
      const results = Array.from({ length: 4 }, (_, n) => ({ topic: `results/${n}`, qos: 1 as const }))
      failed = await gateway
        .publishAll(results, { settle: [{ job, verdict: 'reject' }] })
        .catch((error: unknown) => error)
    })
    await eventually(() => gateway.metrics()['mqtt_queue_settled_total{namespace="default",queue="orders"}']).toBe(1)
    expect(failed).toBeInstanceOf(BundleRefusedError)
    expect(failed).toMatchObject({ part: 'messages', index: 3, reason: 'no_room' })
    expect(gateway.metrics()['mqtt_queue_enqueued_total{namespace="default",queue="results"}']).toBe(0)
    await worker.stop()
    await expect(gateway.publishAll([])).rejects.toThrow(RangeError)
    await expect(gateway.publishAll([{ topic: 'a/#' }])).rejects.toThrow(RangeError)
    await expect(gateway.publishAll([{ topic: 'a', namespace: 'none' }])).rejects.toThrow(RangeError)
  })
})

interface Leased {
  messages: { delivery: string; message: { payload: string } }[]
}

describe('a worker over HTTP', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'mqtide-bundles-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('has one result for each job, however often the gateway is killed', { timeout: 240_000 }, async () => {
    const file = join(folder, 'mqtide.yaml')
    writeFileSync(
      file,
      'queues: { orders: { filter: orders/#, attemptsMax: 1000, retry: { firstMs: 1 } }, results: {} }\n',
    )
    const gateway = await startToBeKilled('--config', file)
    try {
      const call = async <Body>(path: string, body?: unknown): Promise<Body> => {
        const headers = { 'content-type': 'application/json', authorization: `Bearer ${gateway.token()}` }
        const asked = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) }
        return (await (await fetch(`${gateway.http}/api/v1${path}`, asked)).json()) as Body
      }
      const count = 60
      const jobs = Array.from({ length: count }, (_, n) => ({ topic: `orders/${n}`, payload: `${n}`, qos: 1 }))
      expect(await call('/publish', { messages: jobs, atomic: true })).toHaveProperty('results')
      const kills = [5, 11, 23, 31, 44]
      for (let attempts = 0, left = count; left > 0; attempts++) {
        const isKilled = kills.includes(attempts)
        try {
          const [job] = (await call<Leased>('/queues/orders/receive', { waitMs: 500, leaseMs: 1000 })).messages
          const settled =
            job === undefined
              ? Promise.resolve()
              : call('/publish', {
                  messages: [{ topic: '$queue/results', payload: job.message.payload, qos: 1 }],
                  settle: [{ queue: 'orders', delivery: job.delivery }],
                  atomic: true,
                })
          if (isKilled) {
            settled.catch(() => {})
            // While it is under way: before, within or after the commit.
            await new Promise((resolve) => setTimeout(resolve, attempts % 4))
            await gateway.kill()
          }
          await settled
        } catch (error) {
          if (!isKilled) throw error
        }
        if (isKilled) await gateway.start()
        left = (await call<{ messages: number }>('/queues/orders')).messages
      }
      const { messages } = await call<Leased>('/queues/results/receive', { max: 1000, waitMs: 10_000 })
      const results = messages.map(({ message }) => Number(message.payload))
      expect(results.toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n))
    } finally {
      await gateway.remove()
    }
  })
})
