/** What only a connection can do to tasks: it breaks, the gateway goes and comes back, the other side is no program of ours. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { createTasks, type Tasks } from '../../src/tasks/index.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient } from '../e2e/gateway.ts'
import { type KilledGateway, startToBeKilled } from '../e2e/killed-gateway.ts'
import { gate, mqttOf, overMqtt, startWithQueues } from './programs.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function configFile(options: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-tasks-'))
  closers.push(async () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'mqtide.yaml')
  writeFileSync(file, JSON.stringify(options))
  return file
}

test('a job that is under way when the connection breaks is not begun a second time', async () => {
  const gateway = await startWithQueues()
  const tasks = await overMqtt(gateway, { clientId: 'worker', mqtt: { reconnectPeriod: 10 } })
  const go = gate()
  const attempts: number[] = []
  await tasks.define('resize', async (_data, { attempt }) => {
    attempts.push(attempt)
    await go.promise
  })
  await tasks.enqueue('resize', 1)
  await eventually(() => attempts).toEqual([1])
  const back = new Promise<void>((resolve) => tasks.once('connected', resolve))
  gateway.disconnectClient('worker')
  await back
  go.resolve()
  await eventually(() => gateway.metrics()['mqtt_queue_settled_total{namespace="default",queue="resize"}']).toBe(1)
  expect(attempts).toEqual([1])
})

test('a gateway that is killed and started again loses no job, and no verdict of one', async () => {
  const gateway: KilledGateway = await startToBeKilled('--config', configFile({ queues: { resize: {} } }))
  closers.push(() => gateway.remove())
  const tasks = await createTasks({ url: gateway.mqtt, mqtt: { reconnectPeriod: 20 } })
  closers.push(() => tasks.stop({ timeoutMs: 0 }))
  const done = new Map<number, number>()
  const failedOnce = new Set<number>()
  const held = gate()
  const handler = async (data: unknown) => {
    const job = data as number
    await held.promise
    if (job % 3 === 0 && !failedOnce.has(job)) {
      failedOnce.add(job)
      throw new Error('once')
    }
    done.set(job, (done.get(job) ?? 0) + 1)
  }
  await tasks.define('resize', handler, { concurrency: 5, backoff: { firstMs: 1, maxMs: 1 } })
  const jobs = Array.from({ length: 30 }, (_, job) => job)
  await Promise.all(jobs.map((job) => tasks.enqueue('resize', job)))
  await gateway.kill()
  await gateway.start()
  held.resolve()
  await eventually(() => [...done.keys()].toSorted((one, other) => one - other)).toEqual(jobs)
  expect(failedOnce.size).toBe(10)
})

test('any client can put a job in and ask for its result', async () => {
  const gateway = await startWithQueues()
  const tasks = await overMqtt(gateway)
  await tasks.define('resize', (data) => ({ doubled: Number(data) * 2 }))
  const client = await connectClient(gateway, { protocolVersion: 5 })
  await client.mqtt.subscribeAsync('answers', { qos: 1 })
  const properties = { responseTopic: 'answers', correlationData: Buffer.from('7') }
  await client.mqtt.publishAsync('$queue/resize', '21', { qos: 1, properties })
  await client.until(1)
  expect(client.texts()).toEqual(['{"doubled":42}'])
  expect(client.received[0]!.properties).toMatchObject({ userProperties: { 'task-status': 'done' } })
  expect(String(client.received[0]!.properties!.correlationData)).toBe('7')
})

test('wrong credentials, and a client id that can be no level of a topic, are refused at once', async () => {
  const gateway = await startWithQueues({ authenticator: { authenticate: () => ({ reasonCode: 0x86 }) } })
  const settings = { url: mqttOf(gateway), username: 'worker', password: 'wrong' }
  await expect(createTasks(settings)).rejects.toMatchObject({ code: 0x86 })
  await expect(createTasks({ ...settings, clientId: 'a/b' })).rejects.toThrow('a client id without')
})

test('programs beside each other share the jobs, each one with one of them', async () => {
  const gateway = await startWithQueues()
  const programs: Tasks<Record<string, (data: unknown) => unknown>>[] = []
  const seen: number[][] = [[], [], []]
  for (const mine of seen) {
    const tasks = await overMqtt(gateway)
    await tasks.define('resize', (data) => mine.push(data as number), { concurrency: 2 })
    programs.push(tasks)
  }
  const jobs = Array.from({ length: 60 }, (_, job) => job)
  await Promise.all(jobs.map((job) => programs[0]!.enqueue('resize', job)))
  await eventually(() => seen.flat().toSorted((one, other) => one - other)).toEqual(jobs)
  expect(seen.every((mine) => mine.length > 0)).toBe(true)
})
