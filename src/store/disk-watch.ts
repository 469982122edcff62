/** Asks the store now and then for its sizes; and says when the disk has become full or has room again, as the store finds it. */
import type { Store, StoreStatistics } from './store.ts'

const intervalMs = 5_000

export interface DiskWatchSink {
  onStatistics(statistics: StoreStatistics): void
  /** The disk is nearly full, or has room again. */
  onFull(full: boolean): void
  onError(error: Error): void
}

export class DiskWatch {
  readonly #store: Store
  readonly #sink: DiskWatchSink
  #timer: NodeJS.Timeout | undefined
  #full = false
  #stopped = false

  constructor(store: Store, sink: DiskWatchSink) {
    this.#store = store
    this.#sink = sink
  }

  /** Resolves after the first look. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => this.#look(), intervalMs)
    this.#timer.unref()
    await this.#look()
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
  }

  /** The store says so when it happens. */
  report(full: boolean): void {
    if (full === this.#full) return
    this.#full = full
    this.#sink.onFull(full)
  }

  async #look(): Promise<void> {
    try {
      const statistics = await this.#store.statistics()
      this.#sink.onStatistics(statistics)
      this.report(statistics.full)
    } catch (error) {
      if (!this.#stopped) this.#sink.onError(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
