/** Queues with real clients: workers that share, die, say no, come back; jobs redriven by the command; and the program that the gateway is part of. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IClientOptions } from 'mqtt'
import { describe, expect, it } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { type Client, connectClient, cut, startGateway } from './gateway.ts'
import { runCommand } from './program.ts'

const options: GatewayOptions = {
  queues: { orders: { filter: 'shop/+/orders', attemptsMax: 3, retry: { firstMs: 10 }, reconnectGraceMs: 50 } },
}

async function enqueue(gateway: Gateway, ...jobs: string[]): Promise<void> {
  for (const payload of jobs) await gateway.publish({ topic: 'shop/7/orders', payload, qos: 1 })
}

const figure = (gateway: Gateway, name: string, queue = 'orders'): number | undefined =>
  gateway.metrics()[`mqtt_queue_${name}{namespace="default",queue="${queue}"}`]
const messages = (gateway: Gateway, state: string, queue = 'orders'): number | undefined =>
  gateway.metrics()[`mqtt_queue_messages{namespace="default",queue="${queue}",state="${state}"}`]

/** A worker that does jobs by `work`: a PUBACK with its reason code, or none at all. */
async function startWorker(
  gateway: Gateway,
  clientId: string,
  work: (job: string) => number | undefined,
  more: IClientOptions = {},
): Promise<Client & { jobs: string[] }> {
  const jobs: string[] = []
  const client = await connectClient(gateway, {
    clientId,
    protocolVersion: 5,
    customHandleAcks: (_topic, payload, _packet, done) => {
      const job = payload.toString()
      jobs.push(job)
      const code = work(job)
      if (code !== undefined) done(code)
    },
    ...more,
  })
  await client.mqtt.subscribeAsync('$queue/orders', { qos: 1 })
  return { ...client, jobs }
}

const done = () => 0
const never = () => undefined

describe('workers with MQTT.js', () => {
  it('share jobs: each is done once, and is gone then', async () => {
    const gateway = await startGateway(options)
    const workers = [await startWorker(gateway, 'one', done), await startWorker(gateway, 'two', done)]
    const jobs = Array.from({ length: 20 }, (_, i) => `${i}`)
    await enqueue(gateway, ...jobs)
    await eventually(() => figure(gateway, 'settled_total')).toBe(20)
    expect(workers.flatMap((worker) => worker.jobs).toSorted((a, b) => Number(a) - Number(b))).toEqual(jobs)
    for (const worker of workers) expect(worker.jobs).toHaveLength(10)
  })

  it('get jobs that came while nobody was there, in order, under their own topic', async () => {
    const gateway = await startGateway(options)
    await enqueue(gateway, '1', '2', '3')
    const worker = await connectClient(gateway, { protocolVersion: 4 })
    await worker.mqtt.subscribeAsync('$queue/orders/shop/+/orders', { qos: 1 })
    await worker.until(3)
    expect(worker.received.map(({ topic, payload, qos }) => [topic, payload.toString(), qos])).toEqual([
      ['shop/7/orders', '1', 1],
      ['shop/7/orders', '2', 1],
      ['shop/7/orders', '3', 1],
    ])
    await eventually(() => figure(gateway, 'settled_total')).toBe(3)
  })

  it('acknowledge when they are done: until then the job is with them, and nobody else has it', async () => {
    const gateway = await startGateway(options)
    const finish: (() => void)[] = []
    const worker = await connectClient(gateway, { protocolVersion: 4 })
    worker.mqtt.handleMessage = (_packet, callback) => finish.push(() => callback())
    await worker.mqtt.subscribeAsync('$queue/orders', { qos: 1 })
    await enqueue(gateway, '1')
    await eventually(() => finish.length).toBe(1)
    expect([messages(gateway, 'leased'), figure(gateway, 'settled_total')]).toEqual([1, 0])
    finish[0]!()
    await eventually(() => [messages(gateway, 'leased'), figure(gateway, 'settled_total')]).toEqual([0, 1])
  })

  it('that lose their connection leave their jobs to others, and the first of these has failed', async () => {
    const gateway = await startGateway(options)
    const dying = await startWorker(gateway, 'dying', never)
    await enqueue(gateway, '1', '2')
    // MQTT.js shows one after the other.
    await eventually(() => [dying.jobs, messages(gateway, 'leased')]).toEqual([['1'], 2])
    const other = await startWorker(gateway, 'other', done)
    await cut(dying)
    await eventually(() => other.jobs.toSorted()).toEqual(['1', '2'])
    expect([figure(gateway, 'retried_total'), figure(gateway, 'returned_total')]).toEqual([1, 1])
  })

  it('that come back in time go on with what they had, marked as sent before', async () => {
    const patient = { queues: { orders: { ...options.queues!['orders'], reconnectGraceMs: 600_000 } } }
    const gateway = await startGateway(patient)
    const session = { clean: false, properties: { sessionExpiryInterval: 600 } }
    const worker = await startWorker(gateway, 'back', never, session)
    await enqueue(gateway, '1')
    await eventually(() => worker.jobs).toEqual(['1'])
    await cut(worker)
    const again = await connectClient(gateway, { clientId: 'back', protocolVersion: 5, ...session })
    await again.until(1)
    expect(again.received[0]).toMatchObject({ dup: true, topic: 'shop/7/orders' })
    await eventually(() => figure(gateway, 'settled_total')).toBe(1)
    expect(figure(gateway, 'retried_total')).toBe(0)
  })

  it('that leave in order give back what they have, and nothing has failed', async () => {
    const gateway = await startGateway(options)
    const leaving = await startWorker(gateway, 'leaving', never)
    await enqueue(gateway, '1')
    await eventually(() => leaving.jobs).toEqual(['1'])
    await leaving.mqtt.endAsync()
    const other = await startWorker(gateway, 'other', done)
    await eventually(() => other.jobs).toEqual(['1'])
    expect(figure(gateway, 'retried_total')).toBe(0)
  })

  it('say no: a job is tried again, then a dead letter, and after a redrive it is done', async () => {
    const gateway = await startGateway(options)
    const worker = await startWorker(gateway, 'worker', (job) => (job === 'poison' ? 0x80 : 0))
    await enqueue(gateway, 'poison', 'good')
    await eventually(() => worker.jobs.toSorted()).toEqual(['good', 'poison', 'poison', 'poison'])
    await eventually(() => messages(gateway, 'ready', 'orders.dead')).toBe(1)
    await worker.mqtt.endAsync()
    const { port } = gateway.addresses.http!
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-token-'))
    writeFileSync(join(folder, 'token'), gateway.addApiToken('operator', 'operator'))
    const queues = async (...words: string[]) => {
      const more = ['--url', `http://127.0.0.1:${port}`, '--token-file', join(folder, 'token')]
      const { stdout, stderr } = await runCommand(['queues', ...words, ...more])
      return stdout.toString() + stderr
    }
    expect(await queues('list')).toMatch(/default +orders\.dead +1 +0 +0/)
    expect(await queues('peek', 'orders.dead')).toMatch(/shop\/7\/orders .* poison .* orders +attempts +3/)
    expect(await queues('redrive', 'orders.dead', '--filter', 'shop/8/#')).toBe('0 redriven\n')
    expect(await queues('redrive', 'orders.dead')).toBe('1 redriven\n')
    const repaired = await startWorker(gateway, 'repaired', done)
    await eventually(() => repaired.jobs).toEqual(['poison'])
    expect(await queues('show', 'orders')).toMatch(/clientId +connected[\s\S]*repaired +true/)
    await enqueue(gateway, 'more')
    await eventually(() => figure(gateway, 'settled_total')).toBe(3)
    await repaired.mqtt.endAsync()
    await enqueue(gateway, 'a', 'b')
    expect(await queues('purge', 'orders')).toBe('2 dropped\n')
    expect(await queues('show', 'nothing')).toMatch(/there is no queue of this name/)
    rmSync(folder, { recursive: true })
  })

  it('of 3.1.1 say no by publishing before they acknowledge', async () => {
    const gateway = await startGateway(options)
    const worker = await connectClient(gateway, { protocolVersion: 4 })
    worker.mqtt.handleMessage = (_packet, callback) => {
      worker.mqtt.publish('$queue/orders/$reject', '{"reason":"no such shop"}', { qos: 1 }, () => callback())
    }
    await worker.mqtt.subscribeAsync('$queue/orders', { qos: 1 })
    await enqueue(gateway, '1')
    await eventually(() => messages(gateway, 'ready', 'orders.dead')).toBe(1)
    expect(figure(gateway, 'settled_total')).toBe(0)
  })
})

describe('a subscriber of a queue', () => {
  it.each([
    ['a queue that is not there', '$queue/other', 1, 0x8f],
    ['another filter', '$queue/orders/shop/#', 1, 0x8f],
    ['a share group', '$share/g/$queue/orders', 1, 0x8f],
    ['QoS 0', '$queue/orders', 0, 0x83],
    ['wildcards in the name', '$queue/+', 1, 0x8f],
    ['every queue', '$queue/#', 1, 0x8f],
  ] as const)('is told that there is no such thing as %s', async (_what, filter, qos, code) => {
    const gateway = await startGateway(options)
    const five = await connectClient(gateway, { protocolVersion: 5 })
    const refused = await five.mqtt.subscribeAsync(filter, { qos }).catch((error: unknown) => error)
    expect(JSON.stringify(refused)).toContain(String(code))
    const four = await connectClient(gateway, { protocolVersion: 4 })
    const answer = await four.mqtt.subscribeAsync(filter, { qos }).catch((error: unknown) => error)
    expect(answer instanceof Error || (answer as { qos: number }[])[0]!.qos === 128).toBe(true)
    expect(five.mqtt.connected && four.mqtt.connected).toBe(true)
  })

  it('at QoS 2 is granted QoS 1', async () => {
    const gateway = await startGateway(options)
    const client = await connectClient(gateway, { protocolVersion: 5 })
    expect(await client.mqtt.subscribeAsync('$queue/orders', { qos: 2 })).toMatchObject([{ qos: 1 }])
  })

  it('of everything gets no messages of queues, nor what is published to one', async () => {
    const gateway = await startGateway(options)
    const client = await connectClient(gateway, { protocolVersion: 5 })
    await client.mqtt.subscribeAsync(['#', '+/#'], { qos: 1 })
    await client.mqtt.publishAsync('$queue/orders', 'to the queue', { qos: 1 })
    await client.mqtt.publishAsync('shop/7/orders', 'to all', { qos: 1 })
    await eventually(() => client.texts().includes('to all')).toBe(true)
    expect(client.texts()).not.toContain('to the queue')
    expect(messages(gateway, 'ready')).toBe(2)
  })
})

describe('a publisher', () => {
  it.each([
    ['a verb in the middle', '$queue/orders/$ack/1', 0x90],
    ['a verb that is none', '$queue/orders/$done', 0x90],
    ['a queue without a name', '$queue/', 0x90],
    ['a verdict on nothing', '$queue/orders/$nack', 0x83],
  ])('is told of %s', async (_what, topic, code) => {
    const gateway = await startGateway(options)
    const client = await connectClient(gateway, { protocolVersion: 5 })
    const answer = await client.mqtt.publishAsync(topic, 'x', { qos: 1 }).catch((error: { code: number }) => error)
    expect(answer).toMatchObject({ code })
  })

  it('of a full queue gets 0x97, or is closed, and nobody gets a message that it can send again', async () => {
    const gateway = await startGateway({ queues: { orders: { filter: '#', messagesMax: 1 } } })
    const watcher = await connectClient(gateway)
    await watcher.mqtt.subscribeAsync('a', { qos: 1 })
    const five = await connectClient(gateway, { protocolVersion: 5 })
    await five.mqtt.publishAsync('a', '1', { qos: 1 })
    const answer = await five.mqtt.publishAsync('a', '2', { qos: 1 }).catch((error: { code: number }) => error)
    expect(answer).toMatchObject({ code: 0x97 })
    const four = await connectClient(gateway, { protocolVersion: 4 })
    const closed = new Promise<void>((resolve) => four.mqtt.once('close', () => resolve()))
    four.mqtt.publish('a', '3', { qos: 1 })
    await closed
    await five.mqtt.publishAsync('a', '4', { qos: 0 })
    await eventually(() => figure(gateway, 'refused_total')).toBe(3)
    // Of QoS 0 only the queue gets nothing: nobody could be told.
    await eventually(() => watcher.texts()).toEqual(['1', '4'])
  })
})

describe('a program that the gateway is part of', () => {
  it('adds jobs and works on them, beside consumers of MQTT', async () => {
    const { Reject } = await import('../../src/gateway.ts')
    const gateway = await startGateway(options)
    expect(() => gateway.queue('other')).toThrow(RangeError)
    const orders = gateway.queue('orders')
    await orders.add({ payload: 'low', priority: 0 })
    await orders.add({ payload: 'high', priority: 9, topic: 'shop/1/orders' })
    const seen: string[] = []
    for await (const job of orders.consume()) {
      seen.push(`${job.topic} ${Buffer.from(job.payload).toString()} ${job.attempt}`)
      expect(await job.ack()).toBe(true)
      expect(await job.ack()).toBe(false)
      if (seen.length === 2) break
    }
    expect(seen).toEqual(['shop/1/orders high 1', 'orders low 1'])
    const worker = orders.work(
      (job) => {
        const text = Buffer.from(job.payload).toString()
        if (text === 'bad') throw new Reject('no such shop')
        if (text === 'late' && job.attempt === 1) throw new Error('not yet')
      },
      { concurrency: 4 },
    )
    for (const payload of ['bad', 'late', 'good']) await orders.add({ payload })
    await eventually(() => figure(gateway, 'settled_total')).toBe(4)
    await worker.stop()
    const [dead] = [(await gateway.queue('orders.dead').consume().next()).value]
    expect(dead?.deadLetter).toMatchObject({ queue: 'orders', reason: 'rejected', text: 'no such shop' })
    await expect(orders.add({ payload: 'x', topic: 'a/#' })).rejects.toThrow(RangeError)
    expect(() => orders.consume({ concurrency: 0 })).toThrow(RangeError)
  })

  it('gives back what it has when it leaves the loop, and never has more than it wanted', async () => {
    const gateway = await startGateway(options)
    await enqueue(gateway, '1', '2')
    for await (const job of gateway.queue('orders').consume()) {
      expect(Buffer.from(job.payload).toString()).toBe('1')
      expect([messages(gateway, 'leased'), messages(gateway, 'ready')]).toEqual([1, 1])
      break
    }
    expect([messages(gateway, 'leased'), messages(gateway, 'ready')]).toEqual([0, 2])
  })
  it('goes on with the next job where the queue hands out only so many per second', async () => {
    const gateway = await startGateway({ queues: { orders: { dispatchPerSecondMax: 5 } } })
    const orders = gateway.queue('orders')
    const payloads = Array.from({ length: 9 }, (_, n) => `${n}`)
    for (const payload of payloads) await orders.add({ payload })
    const seen: string[] = []
    const worker = orders.work((job) => seen.push(Buffer.from(job.payload).toString()))
    await eventually(() => seen).toEqual(payloads)
    await worker.stop()
  })
})

describe('a reload', () => {
  it('adds queues, changes them, keeps their filter, and what one that is gone has waits until it is declared again', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-queues-'))
    const own = { mqttPort: 0, httpPort: false, dataDir, logLevel: 'silent' } as const
    const gateway = await createGateway({ ...own, queues: { orders: { filter: 'shop/+/orders' } } })
    await gateway.listen()
    try {
      await enqueue(gateway, '1', '2')
      await gateway.reload({ ...own, queues: { orders: { filter: 'other/#', messagesMax: 2 }, jobs: {} } })
      await expect(enqueue(gateway, '3')).rejects.toThrow(/no room/)
      await gateway.queue('jobs').add({ payload: 'x' })
      await gateway.reload({ ...own })
      expect(() => gateway.queue('orders')).toThrow(RangeError)
      await enqueue(gateway, '4')
      expect(messages(gateway, 'ready')).toBe(2)
      await gateway.reload({ ...own, queues: { orders: { filter: 'shop/+/orders' } } })
      const job = await gateway.queue('orders').consume().next()
      expect(Buffer.from(job.value!.payload).toString()).toBe('1')
    } finally {
      await gateway.close()
      rmSync(dataDir, { recursive: true })
    }
  })
})
