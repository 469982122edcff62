/** Asks the store now and then for its sizes and the room that is left on its disk, and says when that is too little. */
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
  readonly #diskFreeBytesMin: number
  readonly #sink: DiskWatchSink
  #timer: NodeJS.Timeout | undefined
  #full = false
  #stopped = false

  constructor(store: Store, diskFreeBytesMin: number, sink: DiskWatchSink) {
    this.#store = store
    this.#diskFreeBytesMin = diskFreeBytesMin
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

  async #look(): Promise<void> {
    try {
      const statistics = await this.#store.statistics()
      this.#sink.onStatistics(statistics)
      const full = statistics.diskFreeBytes < this.#diskFreeBytesMin
      if (full === this.#full) return
      this.#full = full
      this.#sink.onFull(full)
    } catch (error) {
      if (!this.#stopped) this.#sink.onError(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
