/** `consume` of `mqtide/client` on queues of a real gateway: done, failed, rejected, given back. */
import { afterEach, expect, test } from 'vitest'
import { type Connection, connect, type Job, JobError } from '../../src/client/index.ts'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { startGateway } from './gateway.ts'

const open: Connection[] = []
afterEach(() => Promise.all(open.splice(0).map((connection) => connection.close({ flushMs: 0 }))))

function client(url: string): Connection {
  const connection = connect(url, { backOff: { firstMs: 50, mostMs: 200 } })
  open.push(connection)
  return connection
}

const retry = { firstMs: 20, maxMs: 50 }
const queues = { jobs: { filter: 'work/#', attemptsMax: 3, retry } }
const httpOf = ({ addresses }: Gateway) => `http://127.0.0.1:${addresses.http!.port}`

test('workers share the jobs of a queue, each with as many at a time as it says', async () => {
  const connection = client(httpOf(await startGateway({ queues })))
  const [done, most] = [[] as string[], [0, 0]]
  const workers = [1, 3].map((prefetch, index) => {
    let running = 0
    const handler = async ({ message, attempt }: Job) => {
      most[index] = Math.max(most[index]!, ++running)
      await new Promise((resolve) => setTimeout(resolve, 5))
      running--
      done.push(`${message.topic} ${message.text} ${attempt}`)
    }
    return connection.consume('jobs', handler, { prefetch })
  })
  await Promise.all(workers.map(({ ready }) => ready))
  const jobs = Array.from({ length: 30 }, (_, index) => String(index))
  await Promise.all(jobs.map((job) => connection.publish('work/a', job)))
  await eventually(() => done.toSorted()).toEqual(jobs.map((job) => `work/a ${job} 1`).toSorted())
  expect(most[0]).toBe(1)
  expect(most[1]).toBeLessThanOrEqual(3)
})

test('what fails comes again, what fails too often or for good is a dead letter with its reason', async () => {
  const connection = client(httpOf(await startGateway({ queues })))
  const [attempts, dead] = [[] as string[], [] as string[]]
  const consumer = connection.consume('jobs', async ({ message, attempt, extend }) => {
    attempts.push(`${message.text} ${attempt}`)
    await extend()
    if (message.text === 'once' && attempt === 1) throw new JobError('later', { delayMs: 1 })
    if (message.text === 'never') throw new Error('out of paper')
    if (message.text === 'bad') throw new JobError('no such printer', { final: true })
  })
  await consumer.ready
  for (const text of ['once', 'never', 'bad']) await connection.publish('work/a', text)
  await eventually(() => attempts.toSorted()).toEqual(['bad 1', 'never 1', 'never 2', 'never 3', 'once 1', 'once 2'])
  const letters = connection.consume('jobs.dead', ({ message }) => dead.push(message.text))
  await letters.ready
  await eventually(() => dead.toSorted()).toEqual(['bad', 'never'])
})

test('a consumer that is closed ends its job and gives the others back', async () => {
  const connection = client(httpOf(await startGateway({ queues })))
  const [first, second] = [[] as string[], [] as string[]]
  let finish = () => {}
  const busy = connection.consume(
    'jobs',
    ({ message }) => {
      first.push(message.text)
      return new Promise<void>((resolve) => (finish = resolve))
    },
    { prefetch: 1 },
  )
  await busy.ready
  for (const text of ['1', '2', '3']) await connection.publish('work/a', text)
  await eventually(() => first).toEqual(['1'])
  const closing = busy.close()
  finish()
  await closing
  const next = connection.consume('jobs', ({ message }) => second.push(message.text))
  await next.ready
  await eventually(() => second).toEqual(['2', '3'])
  expect(first).toEqual(['1'])
})

test('a queue that is not there, or not allowed, is refused', async () => {
  const connection = client(httpOf(await startGateway({ queues })))
  const errors: string[] = []
  connection.on('error', ({ message }) => errors.push(message))
  await expect(connection.consume('other', () => {}).ready).rejects.toMatchObject({ code: 'refused' })
  expect(errors[0]).toContain('$queue/other')
})
