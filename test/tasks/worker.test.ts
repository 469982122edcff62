/** A worker against a broker that says when: what a job's deliveries, verdicts and extensions may do to each other. */
import { expect, test } from 'vitest'
import { waitMs } from '../../src/tasks/back-off.ts'
import type { Delivery, IntakeOptions, TaskBroker } from '../../src/tasks/broker.ts'
import { type DefineOptions, type TaskJob, Worker } from '../../src/tasks/worker.ts'
import { eventually } from '../e2e/eventually.ts'
import { gate } from './programs.ts'

/** Hands out jobs, and writes down what is said of them. */
class ScriptedBroker implements TaskBroker {
  readonly answerPrefix = 'replies/test'
  readonly said: string[] = []
  /** What is done before a verdict is answered. */
  onVerdict: (verdict: string) => void = () => {}
  isOurs = true
  #intake!: IntakeOptions

  hand(name: string, attempt: number): void {
    const say = async (verdict: string) => {
      this.said.push(`${name} ${verdict}`)
      this.onVerdict(verdict)
      await Promise.resolve()
      return this.isOurs
    }
    const delivery: Delivery = {
      payload: new Uint8Array(),
      responseTopic: undefined,
      correlationData: undefined,
      attempt,
      property: (property) => (property === 'task-id' ? 'the job' : undefined),
      ack: () => say('ack'),
      nack: () => say('nack'),
      reject: () => say('reject'),
      release: () => say('release'),
      extend: () => say('extend'),
    }
    this.#intake.onJob(delivery)
  }

  async consume(_queue: string, options: IntakeOptions) {
    this.#intake = options
    return { takeNoMore: async () => {}, close: async () => {} }
  }

  async add(): Promise<boolean> {
    return true
  }
  async publish(): Promise<boolean> {
    return true
  }
  async onAnswer(): Promise<void> {}
  onFault(): void {}
  onState(): void {}
  async close(): Promise<void> {}
}

const silent = { done() {}, failed() {}, dead() {}, abandoned() {}, fault() {} }

async function workerOf(handler: (data: never, job: TaskJob) => unknown, options: DefineOptions<never> = {}) {
  const broker = new ScriptedBroker()
  const worker = new Worker('task', { broker, events: silent }, handler, options)
  await worker.start()
  return { broker, worker }
}

test('a job that comes again before its failure is answered is done again', async () => {
  const attempts: number[] = []
  const { broker } = await workerOf((_data, { attempt }) => {
    attempts.push(attempt)
    if (attempt === 1) throw new Error('once')
  })
  broker.onVerdict = (verdict) => {
    if (verdict === 'nack') broker.hand('second', 2)
  }
  broker.hand('first', 1)
  await eventually(() => broker.said).toEqual(['first nack', 'second ack'])
  expect(attempts).toEqual([1, 2])
})

test('a job that is handed out again to the one who is at it is not begun again, and its verdict is on the last', async () => {
  const go = gate()
  let begun = 0
  const { broker } = await workerOf(() => {
    begun++
    return go.promise
  })
  broker.hand('first', 1)
  broker.hand('second', 1)
  go.resolve()
  await eventually(() => broker.said).toEqual(['second ack'])
  expect(begun).toBe(1)
})

test('the gateway hears that a job is under way; when that is somebody else’s by now, its signal says so and nothing is judged', async () => {
  const reasons: unknown[] = []
  const handler = async (_data: never, { signal }: TaskJob) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    reasons.push(signal.reason)
    throw signal.reason
  }
  const { broker, worker } = await workerOf(handler, { extendEveryMs: 1 })
  broker.hand('first', 1)
  await eventually(() => broker.said.length).toBeGreaterThan(2)
  broker.isOurs = false
  await eventually(() => reasons).toMatchObject([{ name: 'AbandonedError', cause: 'lease-lost' }])
  await worker.stop(0)
  expect(new Set(broker.said)).toEqual(new Set(['first extend']))
})

test('waits grow by the factor up to the longest, with their part of chance', () => {
  const backOff = { firstMs: 100, factor: 3, maxMs: 1000, jitter: 0 }
  expect([1, 2, 3, 4].map((failures) => waitMs(backOff, failures, 0.9))).toEqual([100, 300, 900, 1000])
  expect([0, 0.5, 1].map((random) => waitMs({ ...backOff, jitter: 0.2 }, 1, random))).toEqual([80, 100, 120])
})
