/** Requests that wait for their results. Answers come to a topic of this program alone, and say by their correlation data to what. */
import { readAnswer, type Status } from './answer.ts'
import type { Incoming, Outgoing, TaskBroker } from './broker.ts'
import { TaskFailedError, TaskTimeoutError } from './errors.ts'

export interface RequestSettings {
  task: string
  timeoutMs: number
  signal: AbortSignal | undefined
  onProgress: ((value: unknown) => void) | undefined
}

export interface Waiting {
  /** What the job says of where the answers go. */
  asks: Pick<Outgoing, 'responseTopic' | 'correlationData'>
  result: Promise<unknown>
  end(cause: unknown): void
}

/** Requests at a time. */
const requestsMax = 100_000

interface Pending {
  take(status: Status, value: unknown): void
  end(cause: unknown): void
}

export class Requests {
  readonly #broker: TaskBroker
  readonly #pending = new Map<string, Pending>()
  #listening: Promise<void> | undefined

  constructor(broker: TaskBroker) {
    this.#broker = broker
  }

  /** Resolves when an answer could come. */
  async begin(id: string, settings: RequestSettings): Promise<Waiting> {
    const { signal } = settings
    signal?.throwIfAborted()
    if (this.#pending.size >= requestsMax) throw new RangeError(`${requestsMax} requests wait already`)
    this.#listening ??= this.#broker.onAnswer((answer) => this.#take(answer))
    await this.#listening.catch((cause: unknown) => {
      this.#listening = undefined
      throw cause
    })
    const pending = this.#pend(id, settings)
    const asks = { responseTopic: `${this.#broker.answerPrefix}/${settings.task}`, correlationData: Buffer.from(id) }
    return { asks, ...pending }
  }

  endAll(cause: Error): void {
    for (const { end } of [...this.#pending.values()]) end(cause)
  }

  #pend(id: string, { task, timeoutMs, signal, onProgress }: RequestSettings): Omit<Waiting, 'asks'> {
    const { promise: result, resolve, reject } = Promise.withResolvers<unknown>()
    // It may fail before anybody looks at it.
    result.catch(() => {})
    const onAbort = () => end(signal!.reason)
    const forget = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      this.#pending.delete(id)
    }
    const end = (cause: unknown) => {
      forget()
      reject(cause)
    }
    const late = () => end(new TaskTimeoutError(`${task}: no result within ${timeoutMs} ms`, id))
    const timer = setTimeout(late, timeoutMs)
    signal?.addEventListener('abort', onAbort)
    const take = (status: Status, value: unknown) => {
      if (status === 'progress') onProgress?.(value)
      if (status === 'dead') end(failureOf(id, value))
      if (status !== 'done') return
      forget()
      resolve(value)
    }
    this.#pending.set(id, { take, end })
    // While its topic was being subscribed to.
    if (signal?.aborted === true) onAbort()
    return { result, end }
  }

  #take(answer: Incoming): void {
    const id = Buffer.from(answer.correlationData ?? []).toString()
    const pending = this.#pending.get(id)
    const read = pending === undefined ? undefined : readAnswer(answer)
    if (read !== undefined) pending!.take(read.status, read.value)
  }
}

/** What a worker says of a job that it gave up. */
function failureOf(jobId: string, value: unknown): TaskFailedError {
  const { message = 'the job failed', attempts = 1 } = (value ?? {}) as { message?: unknown; attempts?: unknown }
  return new TaskFailedError(String(message), { jobId, attempts: Number(attempts) })
}
