/**
 * A worker of one task: takes jobs of its queue, as many at a time as it may, and says what became of each.
 *
 * What fails is given back with the time that it is to wait, what failed too often or for good is rejected, and both become dead letters where
 * the queue has it so. Progress and result go to whoever asked for them, before the verdict: a worker that dies in between does the job again,
 * and tells twice rather than never.
 */

import { answerTo, type Status } from './answer.ts'
import { Attempt, type AttemptLimits, type Outcome } from './attempt.ts'
import { type BackOff, backOffDefaults, waitMs } from './back-off.ts'
import type { Delivery, Intake, Outgoing, TaskBroker } from './broker.ts'
import { RetryError, textOf, UnrecoverableError } from './errors.ts'
import { delayMsMax, requireMs, requireOptions, requireWhole } from './options.ts'
import { readData, taskIdProperty } from './payload.ts'

export interface DefineOptions<Data = unknown> {
  /** Jobs at a time. 1 */
  concurrency?: number
  /** How often a job that failed is tried again. 9 */
  retries?: number
  backoff?: BackOff
  /** How long one attempt may take. Absent: as long as it likes. */
  timeoutMs?: number
  /** What a job is given, checked; whatever throws here makes a dead letter. */
  parse?: (data: unknown) => Data
  /** How often the gateway is told that a job is still under way. 30,000 */
  extendEveryMs?: number
  /** How long a handler may take to end whose signal was aborted. 5,000 */
  graceMs?: number
}

/** What a handler is given beside the data. */
export interface TaskJob {
  /** The same in each attempt. */
  readonly id: string
  readonly task: string
  /** From 1. */
  readonly attempt: number
  /** Aborted when nobody waits for this attempt any more. */
  readonly signal: AbortSignal
  /** To whoever asked for the result. */
  progress(value: unknown): Promise<void>
}

/** What became of an attempt. */
export interface AttemptEvent {
  task: string
  id: string
  attempt: number
  error?: unknown
  /** When it is tried again. */
  retryInMs?: number
}

export interface WorkerEvents {
  done(event: AttemptEvent): void
  failed(event: AttemptEvent): void
  dead(event: AttemptEvent): void
  abandoned(event: AttemptEvent): void
  fault(error: Error): void
}

type Settings = Required<Omit<DefineOptions, 'backoff' | 'timeoutMs' | 'parse'>> &
  Pick<DefineOptions, 'timeoutMs' | 'parse'> & { backoff: Required<BackOff> }

const concurrencyMax = 10_000
const retriesMax = 1_000_000
/** A timer of Node's does not reach further. */
const timerMsMax = 2 ** 31 - 1
/** For the last verdicts to be stored, when the program stops: without a connection they never are. */
const verdictMs = 5000
/** More of a reason is not kept. */
const reasonCharactersMax = 500

/** @throws RangeError for what is no option, or out of bounds */
export function settingsOf(options: DefineOptions<never>): Settings {
  requireOptions('define', options, known)
  const { concurrency = 1, retries = 9, extendEveryMs = 30_000, graceMs = 5000, timeoutMs, parse } = options
  requireWhole('concurrency', concurrency, 1, concurrencyMax)
  requireWhole('retries', retries, 0, retriesMax)
  for (const [name, value] of Object.entries({ extendEveryMs, timeoutMs: timeoutMs ?? 1 })) {
    requireWhole(name, value, 1, timerMsMax)
  }
  requireWhole('graceMs', graceMs, 0, timerMsMax)
  return {
    ...{ concurrency, retries, extendEveryMs, graceMs, backoff: backOffOf(options.backoff) },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(parse === undefined ? {} : { parse }),
  }
}

const known = ['concurrency', 'retries', 'backoff', 'timeoutMs', 'parse', 'extendEveryMs', 'graceMs']

function backOffOf(given: BackOff = {}): Required<BackOff> {
  requireOptions('backoff', given, Object.keys(backOffDefaults))
  const backOff = { ...backOffDefaults, ...given }
  requireMs('backoff.firstMs', backOff.firstMs)
  requireMs('backoff.maxMs', backOff.maxMs)
  if (!(backOff.factor >= 1)) throw new RangeError(`expected backoff.factor from 1, got ${backOff.factor}`)
  if (!(backOff.jitter >= 0 && backOff.jitter <= 1)) {
    throw new RangeError(`expected backoff.jitter from 0 to 1, got ${backOff.jitter}`)
  }
  return backOff
}

export class Worker {
  readonly task: string
  readonly #broker: TaskBroker
  readonly #handler: (data: never, job: TaskJob) => unknown
  readonly #settings: Settings
  readonly #events: WorkerEvents
  /** By the job's id, or by itself where it has none. */
  readonly #underWay = new Map<string | Delivery, { attempt: Attempt; ended: Promise<void> }>()
  #intake: Intake | undefined
  #isStopping = false

  constructor(
    task: string,
    { broker, events }: { broker: TaskBroker; events: WorkerEvents },
    handler: (data: never, job: TaskJob) => unknown,
    options: DefineOptions<never>,
  ) {
    this.task = task
    this.#broker = broker
    this.#events = events
    this.#handler = handler
    this.#settings = settingsOf(options)
  }

  /** Resolves when jobs may come. */
  async start(): Promise<void> {
    this.#intake = await this.#broker.consume(this.task, {
      concurrency: this.#settings.concurrency,
      onJob: (delivery) => this.#take(delivery),
      onEnd: (error) => {
        if (error !== undefined) this.#events.fault(error)
      },
    })
    if (this.#isStopping) await this.#intake.close()
  }

  /** Takes no more jobs, waits for those under way, and after `timeoutMs` gives back what has not ended. */
  async stop(timeoutMs: number): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    await this.#intake?.takeNoMore()
    const impatient = setTimeout(() => {
      for (const { attempt } of this.#underWay.values()) attempt.abandon('stopped', 'the program stops')
    }, timeoutMs)
    const settled = async () => {
      while (this.#underWay.size > 0) await Promise.all([...this.#underWay.values()].map(({ ended }) => ended))
    }
    const longest = Promise.withResolvers<void>()
    const hopeless = setTimeout(longest.resolve, timeoutMs + this.#settings.graceMs + verdictMs)
    await Promise.race([settled(), longest.promise])
    clearTimeout(impatient)
    clearTimeout(hopeless)
    await this.#intake?.close()
  }

  #take(delivery: Delivery): void {
    const key = delivery.property(taskIdProperty) ?? delivery
    const running = this.#underWay.get(key)
    if (running === undefined) this.#begin(key, delivery)
    // The verdict that is under way is about an earlier delivery.
    else if (!running.attempt.adopt(delivery)) void running.ended.then(() => this.#take(delivery))
  }

  #begin(key: string | Delivery, delivery: Delivery): void {
    // It goes back when the intake closes.
    if (this.#isStopping) return
    const attempt = new Attempt(delivery, this.#limits)
    const ended = this.#do(attempt)
      .catch((error: Error) => this.#events.fault(error))
      .finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, { attempt, ended })
  }

  get #limits(): AttemptLimits {
    const { timeoutMs, extendEveryMs, graceMs } = this.#settings
    return { timeoutMs, extendEveryMs, graceMs }
  }

  async #do(attempt: Attempt): Promise<void> {
    const { delivery } = attempt
    const id = delivery.property(taskIdProperty) ?? ''
    const event: AttemptEvent = { task: this.task, id, attempt: delivery.attempt }
    let data: unknown
    try {
      data = readData(delivery.payload)
      data = this.#settings.parse === undefined ? data : this.#settings.parse(data)
    } catch (cause) {
      await this.#giveUp(attempt, event, new UnrecoverableError(`not what the task takes: ${textOf(cause)}`))
      return
    }
    const outcome = await attempt.run((signal) => this.#handler(data as never, this.#jobOf(event, attempt, signal)))
    await this.#judge(attempt, event, outcome)
  }

  #jobOf({ task, id, attempt: number }: AttemptEvent, attempt: Attempt, signal: AbortSignal): TaskJob {
    const progress = (value: unknown) => this.#answer(attempt.delivery, 'progress', value)
    return { task, id, attempt: number, signal, progress }
  }

  async #judge(attempt: Attempt, event: AttemptEvent, outcome: Outcome): Promise<void> {
    if (outcome.kind === 'done') {
      await this.#answer(attempt.delivery, 'done', outcome.result)
      // That the work is done holds, whoever has the job by now.
      await attempt.delivery.ack()
      this.#events.done(event)
      return
    }
    const { error } = outcome
    if (outcome.kind === 'left') this.#events.abandoned({ ...event, error })
    const { abandoned } = attempt
    // It is somebody else's, or nobody's: not ours to judge.
    if (abandoned?.cause === 'lease-lost') return
    if (abandoned?.cause === 'stopped') {
      await attempt.delivery.release()
      return
    }
    const failure = abandoned?.cause === 'timeout' ? abandoned : error
    if (failure instanceof UnrecoverableError || event.attempt > this.#settings.retries) {
      await this.#giveUp(attempt, event, failure)
      return
    }
    await this.#retry(attempt, event, failure)
  }

  async #retry({ delivery }: Attempt, event: AttemptEvent, error: unknown): Promise<void> {
    const { backoff } = this.#settings
    const wished = error instanceof RetryError ? error.delayMs : waitMs(backoff, event.attempt, Math.random())
    const delayMs = Math.min(Math.max(0, Math.round(wished)), delayMsMax)
    await this.#answer(delivery, 'failed', { message: textOf(error), retryInMs: delayMs })
    await delivery.nack({ delayMs, reason: reasonOf(error) })
    this.#events.failed({ ...event, error, retryInMs: delayMs })
  }

  async #giveUp({ delivery }: Attempt, event: AttemptEvent, error: unknown): Promise<void> {
    await this.#answer(delivery, 'dead', { message: textOf(error), attempts: event.attempt })
    await delivery.reject(reasonOf(error))
    this.#events.dead({ ...event, error })
  }

  /** To whoever asked for it, if somebody did. That nobody can be told is no fault of the job. */
  async #answer(delivery: Delivery, status: Status, value: unknown): Promise<void> {
    const { responseTopic } = delivery
    if (responseTopic === undefined) return
    try {
      await this.#broker.publish(responseTopic, written(delivery, status, value))
    } catch (cause) {
      const error = new Error(`the answer to ${responseTopic} was refused: ${textOf(cause)}`, { cause })
      this.#events.fault(error)
    }
  }
}

/** What can't be written as JSON can't be waited for either. */
function written(delivery: Delivery, status: Status, value: unknown): Outgoing {
  try {
    return answerTo(delivery, status, value)
  } catch (cause) {
    if (status === 'progress') throw cause
    const message = `done, but the result can't be told: ${textOf(cause)}`
    return answerTo(delivery, 'dead', { message, attempts: delivery.attempt })
  }
}

const reasonOf = (error: unknown): string => textOf(error).slice(0, reasonCharactersMax)
