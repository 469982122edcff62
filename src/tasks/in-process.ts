/**
 * Tasks of a gateway in the same process, which is met through the methods of its public interface that are named here.
 *
 * A job is leased for some minutes and the worker extends that while its handler runs. Leases end with the process, whose gateway gives the jobs
 * out again when it is back.
 */
import { randomUUID } from 'node:crypto'
import type { Delivery, Incoming, Intake, IntakeOptions, Outgoing, TaskBroker } from './broker.ts'

interface Properties {
  contentType?: string
  responseTopic?: string
  correlationData?: Uint8Array
  messageExpiryInterval?: number
  userProperties?: readonly (readonly [name: string, value: string])[]
}

interface Received {
  payload: Uint8Array
  properties: Properties
}

interface LeasedJob extends Received {
  attempt: number
  ack(): Promise<boolean>
  nack(details: { delayMs?: number; reason?: string }): Promise<boolean>
  reject(reason?: string): Promise<boolean>
  release(): Promise<boolean>
  extend(leaseMs: number): Promise<boolean>
}

/** What tasks use of a `Gateway`. */
export interface TaskGateway {
  queue(
    name: string,
    options?: { namespace?: string },
  ): {
    add(job: { payload?: string | Uint8Array; properties?: Properties }): Promise<unknown>
    consume(options?: { concurrency?: number; leaseMs?: number }): AsyncIterableIterator<LeasedJob>
  }
  publish(message: {
    topic: string
    payload?: string | Uint8Array
    qos?: 0 | 1 | 2
    properties?: Properties
    namespace?: string
  }): Promise<boolean>
  subscribe(filter: string, options?: { namespace?: string }): AsyncIterableIterator<Received>
}

/** Far longer than whatever may keep the process from extending it. */
const leaseMs = 300_000

export function inProcess(gateway: TaskGateway, namespace?: string): TaskBroker {
  return new InProcess(gateway, namespace === undefined ? {} : { namespace })
}

class InProcess implements TaskBroker {
  readonly answerPrefix = `replies/${randomUUID()}`
  readonly #gateway: TaskGateway
  readonly #where: { namespace?: string }
  #answers: AsyncIterableIterator<Received> | undefined
  #onFault: (error: Error) => void = () => {}

  constructor(gateway: TaskGateway, where: { namespace?: string }) {
    this.#gateway = gateway
    this.#where = where
  }

  async add(queue: string, { payload, ...properties }: Outgoing): Promise<boolean> {
    return (await this.#gateway.queue(queue, this.#where).add({ payload, properties })) !== 'duplicate'
  }

  publish(topic: string, { payload, ...properties }: Outgoing): Promise<boolean> {
    return this.#gateway.publish({ topic, payload, properties, qos: 1, ...this.#where })
  }

  async onAnswer(take: (message: Incoming) => void): Promise<void> {
    this.#answers ??= this.#gateway.subscribe(`${this.answerPrefix}/#`, this.#where)
    void this.#read(this.#answers, take)
  }

  async #read(answers: AsyncIterableIterator<Received>, take: (message: Incoming) => void): Promise<void> {
    try {
      for await (const received of answers) take(incoming(received))
    } catch (cause) {
      this.#onFault(cause as Error)
    }
  }

  async consume(queue: string, options: IntakeOptions): Promise<Intake> {
    const { concurrency } = options
    const jobs = this.#gateway.queue(queue, this.#where).consume({ concurrency, leaseMs })
    return new LocalIntake(jobs, options)
  }

  onFault(take: (error: Error) => void): void {
    this.#onFault = take
  }

  onState(): void {}

  async close(): Promise<void> {
    await this.#answers?.return?.()
  }
}

class LocalIntake implements Intake {
  readonly #jobs: AsyncIterableIterator<LeasedJob>
  #isEnding = false

  constructor(jobs: AsyncIterableIterator<LeasedJob>, { onJob, onEnd }: IntakeOptions) {
    this.#jobs = jobs
    void this.#take(onJob).then(
      () => {
        if (!this.#isEnding) onEnd()
      },
      (cause: Error) => onEnd(cause),
    )
  }

  async #take(onJob: (delivery: Delivery) => void): Promise<void> {
    for (;;) {
      const { done, value: job } = await this.#jobs.next()
      if (done === true) return
      if (!this.#isEnding) {
        onJob(delivery(job))
        continue
      }
      // The gateway had it under way when the end was said.
      await job.release()
      return
    }
  }

  async takeNoMore(): Promise<void> {
    this.#isEnding = true
  }

  async close(): Promise<void> {
    this.#isEnding = true
    await this.#jobs.return?.()
  }
}

function incoming({ payload, properties }: Received): Incoming {
  const { responseTopic, correlationData, userProperties = [] } = properties
  const property = (name: string) => userProperties.findLast(([key]) => key === name)?.[1]
  return { payload, responseTopic, correlationData, property }
}

function delivery(job: LeasedJob): Delivery {
  return {
    ...incoming(job),
    attempt: job.attempt,
    ack: () => job.ack(),
    nack: (details) => job.nack(details),
    reject: (reason) => job.reject(reason),
    release: () => job.release(),
    extend: () => job.extend(leaseMs),
  }
}
