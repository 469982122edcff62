/** A store around a store: each call is served when the life says so, one after the other, and may be made to fail. */
import {
  type DelayedPage,
  type DelayedQuery,
  type Durability,
  type QueuePage,
  type Recovery,
  type Store,
  StoreError,
} from '../../src/store/store.ts'

interface Call {
  isCommit: boolean
  serve: () => Promise<void>
  refuse: (error: Error) => void
}

export class PatientStore implements Store {
  readonly durable = true
  readonly #inner: Store
  #waiting: Call[] = []
  /** Commits find no room: they wait, and what comes behind them. */
  full = false

  constructor(inner: Store) {
    this.#inner = inner
  }

  get waiting(): number {
    return this.#waiting.length
  }

  open(recovery: Recovery) {
    return this.#inner.open(recovery)
  }

  commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    return this.#later(true, () => this.#inner.commit(batch, durability))
  }

  readQueue(...query: Parameters<Store['readQueue']>): Promise<QueuePage> {
    return this.#later(false, () => this.#inner.readQueue(...query))
  }

  readDelayed(query: DelayedQuery): Promise<DelayedPage> {
    return this.#later(false, () => this.#inner.readDelayed(query))
  }

  statistics() {
    return this.#inner.statistics()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  #later<Result>(isCommit: boolean, call: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const serve = () => call().then(resolve, reject)
      this.#waiting.push({ isCommit, serve, refuse: reject })
    })
  }

  /** Serves the oldest call, if there is one that can be. */
  async serve(): Promise<void> {
    if (this.full && this.#waiting[0]?.isCommit === true) return
    await this.#waiting.shift()?.serve()
  }

  /** fsync fails: the oldest commit may or may not be there, and its caller is told that it is not. */
  failCommit(): (() => Promise<void>) | undefined {
    const first = this.#waiting.findIndex(({ isCommit }) => isCommit)
    if (first < 0) return undefined
    const [call] = this.#waiting.splice(first, 1)
    call!.refuse(new StoreError('io', 'the disk failed'))
    return call!.serve
  }

  /** The process dies: nothing that waits is served any more. Returns the commit that was under way. */
  abandon(): (() => Promise<void>) | undefined {
    const [first] = this.#waiting
    this.#waiting = []
    return first?.isCommit === true ? first.serve : undefined
  }
}
