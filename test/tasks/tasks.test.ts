/** `mqtide/tasks` on queues of a real gateway, in its process and over MQTT: the same of both. */
import { describe, expect, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import {
  type AttemptEvent,
  RetryError,
  TaskFailedError,
  type TaskJob,
  TaskTimeoutError,
  UnrecoverableError,
} from '../../src/tasks/index.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient } from '../e2e/gateway.ts'
import { gate, startWithQueues, ways } from './programs.ts'

interface Plant {
  resize(picture: { file: string; width: number }): { bytes: number }
  other(text: string): string
}

const backoff = { firstMs: 1, maxMs: 1 }
const picture = { file: 'a.png', width: 320 }

/** Why dead letters of `resize` are there. */
async function deadLetters(gateway: Gateway, count: number): Promise<string[]> {
  const worker = await connectClient(gateway, { protocolVersion: 5 })
  await worker.mqtt.subscribeAsync('$queue/resize.dead', { qos: 1 })
  await worker.until(count)
  return worker.received.map(({ properties }) => String(properties!.userProperties!['dead-letter-text']))
}

const ready = (gateway: Gateway) =>
  gateway.metrics()['mqtt_queue_messages{namespace="default",queue="resize",state="ready"}']

describe.each(ways)('tasks $name', ({ start }) => {
  test('a handler gets what was enqueued, once, and may say what came out to whoever asks', async () => {
    const gateway = await startWithQueues()
    const [worker, program] = [await start<Plant>(gateway), await start<Plant>(gateway)]
    const seen: [string, number, string][] = []
    await worker.define('resize', async ({ file, width }, job) => {
      seen.push([file, width, job.id])
      await job.progress(0.5)
      return { bytes: width * 2 }
    })
    const { id } = await program.enqueue('resize', picture)
    await eventually(() => seen).toEqual([['a.png', 320, id]])
    const progress: unknown[] = []
    const result = await program.request(
      'resize',
      { file: 'b.png', width: 7 },
      { onProgress: (one) => progress.push(one) },
    )
    expect(result).toEqual({ bytes: 14 })
    expect(progress).toEqual([0.5])
    expect(seen.map(([file]) => file)).toEqual(['a.png', 'b.png'])
  })

  test('what fails is tried again after its back-off, and with its number of attempts', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const failed: AttemptEvent[] = []
    tasks.on('failed', (event) => failed.push(event))
    const attempts: number[] = []
    await tasks.define(
      'resize',
      (_picture, { attempt }) => {
        attempts.push(attempt)
        if (attempt === 1) throw new Error('disk full')
        if (attempt === 2) throw new RetryError('busy', { delayMs: 3 })
        return { bytes: attempt }
      },
      { backoff },
    )
    expect(await tasks.request('resize', picture)).toEqual({ bytes: 3 })
    expect(attempts).toEqual([1, 2, 3])
    await eventually(() => failed.map(({ attempt, retryInMs }) => [attempt, retryInMs])).toEqual([
      [1, 1],
      [2, 3],
    ])
  })

  test('what fails too often is a dead letter with its reason, and a request for it rejects', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const dead: AttemptEvent[] = []
    tasks.on('dead', (event) => dead.push(event))
    const handler = () => Promise.reject(new Error('no paper'))
    await tasks.define('resize', handler, { retries: 2, backoff })
    const request = tasks.request('resize', picture)
    await expect(request).rejects.toThrow(TaskFailedError)
    await expect(request).rejects.toMatchObject({ message: 'no paper', attempts: 3 })
    expect(await deadLetters(gateway, 1)).toEqual(['no paper'])
    await eventually(() => dead).toMatchObject([{ task: 'resize', attempt: 3 }])
  })

  test('an UnrecoverableError makes a dead letter at once', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    let attempts = 0
    await tasks.define('resize', () => {
      attempts++
      throw new UnrecoverableError('no such picture')
    })
    await expect(tasks.request('resize', picture)).rejects.toMatchObject({ message: 'no such picture', attempts: 1 })
    expect(await deadLetters(gateway, 1)).toEqual(['no such picture'])
    expect(attempts).toBe(1)
  })

  test('what is no JSON, or not what the task takes, never reaches the handler', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const seen: unknown[] = []
    const parse = (data: unknown) => {
      const { file, width } = data as { file?: unknown; width?: unknown }
      if (typeof file !== 'string' || typeof width !== 'number') throw new Error('expected file and width')
      return { file, width }
    }
    await tasks.define('resize', (data) => ({ bytes: seen.push(data) }), { parse })
    await gateway.queue('resize').add({ payload: '{no json' })
    await gateway.queue('resize').add({ payload: '{"file":1}' })
    await gateway.queue('resize').add({ payload: '{"file":"c","width":1,"more":true}' })
    const texts = await deadLetters(gateway, 2)
    expect(texts.every((text) => text.startsWith('not what the task takes: '))).toBe(true)
    expect(texts.join()).toContain('expected file and width')
    await eventually(() => seen).toEqual([{ file: 'c', width: 1 }])
  })

  test('an attempt that takes too long is told so by its signal, has failed, and is tried again', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const reasons: unknown[] = []
    const handler = async (_picture: unknown, { attempt, signal }: TaskJob) => {
      if (attempt > 1) return { bytes: attempt }
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      reasons.push(signal.reason)
      throw signal.reason
    }
    await tasks.define('resize', handler, { timeoutMs: 20, backoff })
    expect(await tasks.request('resize', picture)).toEqual({ bytes: 2 })
    expect(String(reasons[0])).toContain('took longer than 20 ms')
  })

  test('a handler that does not listen to its signal is left alone, and its place is another job’s', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const abandoned: AttemptEvent[] = []
    tasks.on('abandoned', (event) => abandoned.push(event))
    const never = gate()
    const handler = async (_picture: unknown, { attempt }: TaskJob) => {
      if (attempt === 1) await never.promise
      return { bytes: attempt }
    }
    await tasks.define('resize', handler, { timeoutMs: 20, graceMs: 10, backoff })
    expect(await tasks.request('resize', picture)).toEqual({ bytes: 2 })
    expect(abandoned).toMatchObject([{ task: 'resize', attempt: 1 }])
    never.resolve()
  })

  test('it has as many jobs at a time as it says, and the queue keeps the others', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const go = gate()
    let [running, most, done] = [0, 0, 0]
    const handler = async () => {
      most = Math.max(most, ++running)
      await go.promise
      running--
      return { bytes: ++done }
    }
    await tasks.define('resize', handler, { concurrency: 3 })
    await Promise.all(Array.from({ length: 10 }, () => tasks.enqueue('resize', picture)))
    await eventually(() => [running, ready(gateway)]).toEqual([3, 7])
    go.resolve()
    await eventually(() => done).toBe(10)
    expect(most).toBe(3)
  })

  test('priorities come first, and what is not begun in time is a dead letter', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    for (const [width, priority] of [
      [1, 1],
      [2, 9],
      [3, 4],
    ] as const) {
      await tasks.enqueue('resize', { file: '', width }, { priority, properties: { tenant: 'a' } })
    }
    const seen: number[] = []
    await tasks.define('resize', ({ width }) => ({ bytes: seen.push(width) }))
    await eventually(() => seen).toEqual([2, 3, 1])
  })

  test('a job of a name that the queue knows is not put in again, until that one has ended', async () => {
    const gateway = await startWithQueues({ queues: { other: { dedupe: { until: 'settled' } } } })
    const tasks = await start<Plant>(gateway)
    const enqueue = (unique: string) => tasks.enqueue('other', unique, { unique })
    const [first, again, another] = [await enqueue('report'), await enqueue('report'), await enqueue('bill')]
    expect([first.isNew, again.isNew, another.isNew]).toEqual([true, false, true])
    const seen: string[] = []
    tasks.on('done', ({ id }) => seen.push(id))
    await tasks.define('other', (text) => text)
    await eventually(() => seen).toEqual([first.id, another.id])
    expect((await enqueue('report')).isNew).toBe(true)
    await expect(enqueue('')).rejects.toThrow('unique of 1 to 256 characters')
  })

  test('a job that is scheduled is done when it is due, unless it is cancelled', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    const seen: number[] = []
    await tasks.define('resize', ({ width }) => ({ bytes: seen.push(width) }))
    const later = await tasks.schedule('resize', { file: '', width: 1 }, { delayMs: 3_600_000 })
    const tomorrow = new Date(Date.now() + 86_400_000)
    await tasks.schedule('resize', { file: '', width: 2 }, { at: tomorrow, id: 'tomorrow' })
    const moved = await tasks.schedule('resize', { file: '', width: 3 }, { at: tomorrow, id: 'tomorrow' })
    expect(
      gateway.metrics()['mqtt_delayed_messages{namespace="default"}'] ?? gateway.metrics()['mqtt_delayed_messages'],
    ).toBe(2)
    expect([await moved.cancel(), await moved.cancel(), await later.cancel()]).toEqual([true, false, true])
    await tasks.schedule('resize', { file: '', width: 4 }, { delayMs: 0 })
    await eventually(() => seen).toEqual([4])
    await expect(tasks.schedule('resize', picture, {})).rejects.toThrow('one of at and delayMs is needed')
  })

  test('a request that nobody answers in time, or that is not waited for any more, rejects', async () => {
    const gateway = await startWithQueues()
    const tasks = await start<Plant>(gateway)
    await expect(tasks.request('resize', picture, { timeoutMs: 5 })).rejects.toThrow(TaskTimeoutError)
    const waiting = new AbortController()
    const request = tasks.request('resize', picture, { signal: waiting.signal })
    waiting.abort(new Error('not any more'))
    await expect(request).rejects.toThrow('not any more')
  })

  test('a result that is no JSON is said to be none', async () => {
    const tasks = await start(await startWithQueues())
    await tasks.define('resize', () => 10n)
    await expect(tasks.request('resize', 1)).rejects.toThrow("the result can't be told")
    await expect(tasks.enqueue('resize', () => {})).rejects.toThrow("function can't be written as JSON")
  })

  test('stopping waits for what is under way and leaves the rest to others, as it was', async () => {
    const gateway = await startWithQueues()
    const [leaving, staying] = [await start<Plant>(gateway), await start<Plant>(gateway)]
    const go = gate()
    const [first, second] = [[] as number[], [] as [number, number][]]
    await leaving.define('resize', async ({ width }) => {
      first.push(width)
      await go.promise
      return { bytes: width }
    })
    for (const width of [1, 2, 3]) await staying.enqueue('resize', { file: '', width })
    await eventually(() => first).toEqual([1])
    const stopped = leaving.stop()
    await staying.define('resize', ({ width }, { attempt }) => ({ bytes: second.push([width, attempt]) }))
    go.resolve()
    await stopped
    await eventually(() => second.toSorted(([one], [other]) => one - other)).toEqual([
      [2, 1],
      [3, 1],
    ])
    expect(first).toEqual([1])
    await expect(leaving.enqueue('resize', picture)).rejects.toThrow('these tasks are stopped')
  })

  test('what does not end when the program stops is given back without a failure', async () => {
    const gateway = await startWithQueues()
    const [leaving, staying] = [await start<Plant>(gateway), await start<Plant>(gateway)]
    const begun = gate()
    const endless = async () => {
      begun.resolve()
      return new Promise<{ bytes: number }>(() => {})
    }
    await leaving.define('resize', endless, { graceMs: 1 })
    await leaving.enqueue('resize', picture)
    await begun.promise
    await leaving.stop({ timeoutMs: 1 })
    const attempts: number[] = []
    await staying.define('resize', (_picture, { attempt }) => ({ bytes: attempts.push(attempt) }))
    await eventually(() => attempts).toEqual([1])
  })

  test('a queue that is not there, an option that is none and a second handler are refused', async () => {
    const tasks = await start<Plant & { missing(data: string): void }>(await startWithQueues())
    await expect(tasks.define('missing', () => {})).rejects.toThrow(/missing/)
    await expect(tasks.enqueue('missing', 'x')).rejects.toThrow()
    await expect(tasks.define('other', (text) => text, { timeout: 1 } as object)).rejects.toThrow('no option timeout')
    await expect(tasks.define('other', (text) => text, { concurrency: 0 })).rejects.toThrow('concurrency from 1')
    await expect(tasks.enqueue('other', 'x', { priority: 10 })).rejects.toThrow('priority from 0 to 9')
    await tasks.define('other', (text) => text)
    await expect(tasks.define('other', (text) => text)).rejects.toThrow('defined already')
    expect(await tasks.request('other', 'echo')).toBe('echo')
  })
})
