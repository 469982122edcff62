/**
 * Tasks of one program: jobs that it asks for, and handlers that do them. A task is a queue of the gateway by its name; each job is one message.
 */
import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { Outgoing, TaskBroker } from './broker.ts'
import { requireMs, requireOptions, requireWhole } from './options.ts'
import { taskIdProperty, writeData } from './payload.ts'
import { Requests } from './requests.ts'
import type { DataOf, NameOf, ResultOf, TaskMap } from './task-map.ts'
import { type AttemptEvent, type DefineOptions, type TaskJob, Worker, type WorkerEvents } from './worker.ts'

export type Handler<Map, Name extends keyof Map> = (
  data: DataOf<Map, Name>,
  job: TaskJob,
) => ResultOf<Map, Name> | Promise<ResultOf<Map, Name>>

export interface EnqueueOptions {
  /** 0 to 9, 9 first. 4 */
  priority?: number
  /** Not begun within this time, it becomes a dead letter. Counted in seconds, and rounded up. */
  expireMs?: number
  /** For the queue's `orderBy: property:NAME` and the like. */
  properties?: Readonly<Record<string, string>>
}

export interface UniqueOptions extends EnqueueOptions {
  /**
   * A job of this name that the queue knows already is not put in again: until that one has ended, or for a time, as the queue's `dedupe` says.
   * A queue without it takes all.
   */
  unique?: string
}

export interface RequestOptions extends EnqueueOptions {
  /** How long to wait for the result. 60,000 */
  timeoutMs?: number
  /** Stops the waiting; the job goes on. */
  signal?: AbortSignal
  onProgress?: (value: unknown) => void
}

export interface ScheduleOptions extends EnqueueOptions {
  /** When: a date, or a time from now. One of both, in whole seconds, rounded up. */
  at?: Date
  delayMs?: number
  /** One of the same name is replaced. Made up where absent. */
  id?: string
}

/** A job that is not due yet. */
export interface Scheduled {
  readonly id: string
  /** False: it was due already, or replaced by another program's. */
  cancel(): Promise<boolean>
}

export interface StopOptions {
  /** How long jobs under way may take to end; then they are given back. 30,000 */
  timeoutMs?: number
}

export interface TaskEvents {
  done: [event: AttemptEvent]
  /** It will be tried again, in `retryInMs`. */
  failed: [event: AttemptEvent]
  /** It will not be. */
  dead: [event: AttemptEvent]
  /** A handler that did not come to its end in time was left alone. */
  abandoned: [event: AttemptEvent]
  /** Of the connection, of a verdict or an answer: what no promise tells of. */
  fault: [error: Error]
  connected: []
  disconnected: []
}

/** What is a name of a queue. */
const namePattern = /^[0-9a-zA-Z][-.0-9a-zA-Z_]*$/
const scheduleIdCharactersMax = 256
const messageIdCharactersMax = 256
/** Seconds below this are from now on, others since 1970. */
const delaySecondsMax = 42_949_669
const enqueueOptions = ['priority', 'expireMs', 'properties']

export class Tasks<Map extends TaskMap<Map>> extends EventEmitter<TaskEvents> {
  readonly #broker: TaskBroker
  readonly #workers = new globalThis.Map<string, Worker>()
  readonly #requests: Requests
  #stopped: Promise<void> | undefined

  /** @internal */
  constructor(broker: TaskBroker) {
    super()
    this.#broker = broker
    this.#requests = new Requests(broker)
    broker.onFault((error) => this.emit('fault', error))
    broker.onState((state) => this.emit(state))
  }

  /** Does jobs of a task from here on. Resolves when they may come, and rejects where the gateway has no such queue. */
  async define<Name extends NameOf<Map>>(
    name: Name,
    handler: Handler<Map, Name>,
    options: DefineOptions<DataOf<Map, Name>> = {},
  ): Promise<void> {
    this.#requireRunning()
    requireName(name)
    if (this.#workers.has(name)) throw new Error(`${name} is defined already`)
    const parts = { broker: this.#broker, events: this.#events }
    const worker = new Worker(
      name,
      parts,
      handler as (data: never, job: TaskJob) => unknown,
      options as DefineOptions<never>,
    )
    this.#workers.set(name, worker)
    try {
      await worker.start()
    } catch (cause) {
      this.#workers.delete(name)
      throw cause
    }
  }

  /** Resolves with the job's id when the gateway has stored it; `isNew` false: one of the same `unique` is there, and this one is not put in. */
  async enqueue<Name extends NameOf<Map>>(
    name: Name,
    data: DataOf<Map, Name>,
    options: UniqueOptions = {},
  ): Promise<{ id: string; isNew: boolean }> {
    requireOptions('enqueue', options, [...enqueueOptions, 'unique'])
    const id = randomUUID()
    const isNew = await this.#add(name, withName(jobOf(id, data, options), options.unique))
    return { id, isNew }
  }

  /** Resolves with the result. Rejects with a `TaskFailedError` when the job has failed for good, a `TaskTimeoutError` when it takes too long. */
  async request<Name extends NameOf<Map>>(
    name: Name,
    data: DataOf<Map, Name>,
    options: RequestOptions = {},
  ): Promise<ResultOf<Map, Name>> {
    requireOptions('request', options, [...enqueueOptions, 'timeoutMs', 'signal', 'onProgress'])
    const { timeoutMs = 60_000, signal, onProgress } = options
    requireMs('timeoutMs', timeoutMs)
    this.#requireRunning()
    const id = randomUUID()
    const waiting = await this.#requests.begin(id, { task: name, timeoutMs, signal, onProgress })
    try {
      await this.#add(name, { ...jobOf(id, data, options), ...waiting.asks })
    } catch (cause) {
      waiting.end(cause)
    }
    return (await waiting.result) as ResultOf<Map, Name>
  }

  /** Enqueues it later. Resolves when the gateway has stored that. */
  async schedule<Name extends NameOf<Map>>(
    name: Name,
    data: DataOf<Map, Name>,
    options: ScheduleOptions,
  ): Promise<Scheduled> {
    requireOptions('schedule', options, [...enqueueOptions, 'at', 'delayMs', 'id'])
    this.#requireRunning()
    requireName(name)
    const id = options.id ?? randomUUID()
    if (id === '' || id.length > scheduleIdCharactersMax || /[#+]/.test(id)) {
      throw new RangeError(`expected an id of 1 to ${scheduleIdCharactersMax} characters without # and +`)
    }
    const job = jobOf(randomUUID(), data, options)
    const scheduled = { ...job, userProperties: [...(job.userProperties ?? []), ['schedule-id', id] as const] }
    await this.#broker.publish(`$delayed/${secondsOf(options)}/$queue/${name}`, scheduled)
    return { id, cancel: () => this.#broker.publish(`$delayed/cancel/${id}`, { payload: '' }) }
  }

  /** Takes no more jobs, lets those under way come to their end, gives back what does not, and closes. */
  stop({ timeoutMs = 30_000 }: StopOptions = {}): Promise<void> {
    requireWhole('timeoutMs', timeoutMs, 0, 2 ** 30)
    this.#stopped ??= this.#stop(timeoutMs)
    return this.#stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(timeoutMs: number): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop(timeoutMs)))
    this.#requests.endAll(new Error('the program stops'))
    await this.#broker.close()
  }

  async #add(name: string, job: Outgoing): Promise<boolean> {
    this.#requireRunning()
    requireName(name)
    return this.#broker.add(name, job)
  }

  #requireRunning(): void {
    if (this.#stopped !== undefined) throw new Error('these tasks are stopped')
  }

  get #events(): WorkerEvents {
    return {
      done: (event) => this.emit('done', event),
      failed: (event) => this.emit('failed', event),
      dead: (event) => this.emit('dead', event),
      abandoned: (event) => this.emit('abandoned', event),
      fault: (error) => this.emit('fault', error),
    }
  }
}

function requireName(name: string): void {
  if (!namePattern.test(name)) throw new RangeError(`${JSON.stringify(name)} is no name of a queue`)
}

function jobOf(id: string, data: unknown, { priority, expireMs, properties = {} }: EnqueueOptions): Outgoing {
  if (priority !== undefined) requireWhole('priority', priority, 0, 9)
  if (expireMs !== undefined) requireMs('expireMs', expireMs)
  const others = Object.entries(properties)
  const priorities = priority === undefined ? [] : [['priority', String(priority)] as const]
  return {
    payload: writeData(data),
    contentType: 'application/json',
    userProperties: [...others, ...priorities, [taskIdProperty, id]],
    ...(expireMs === undefined ? {} : { messageExpiryInterval: Math.ceil(expireMs / 1000) }),
  }
}

function withName(job: Outgoing, unique: string | undefined): Outgoing {
  if (unique === undefined) return job
  if (unique === '' || unique.length > messageIdCharactersMax) {
    throw new RangeError(`expected unique of 1 to ${messageIdCharactersMax} characters`)
  }
  return { ...job, userProperties: [...(job.userProperties ?? []), ['message-id', unique]] }
}

/** As `$delayed` takes it. */
function secondsOf({ at, delayMs }: ScheduleOptions): number {
  if ((at === undefined) === (delayMs === undefined)) throw new TypeError('schedule: one of at and delayMs is needed')
  if (delayMs !== undefined) {
    requireWhole('delayMs', delayMs, 0, delaySecondsMax * 1000)
    return Math.ceil(delayMs / 1000)
  }
  const seconds = Math.ceil(at!.getTime() / 1000)
  if (!(seconds > delaySecondsMax)) throw new RangeError(`at is no date to wait for: ${String(at)}`)
  return seconds
}
