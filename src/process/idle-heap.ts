/**
 * Gives memory back to the system when a burst is over.
 *
 * V8 lets its heap grow with the traffic, which keeps collections rare, and never shrinks it by itself while nothing is allocated:
 * a process that filled a queue of a million messages, or greeted ten thousand devices, stays as large as that moment made it.
 * So, while the thread has next to nothing to do, the heap is compared with what it was after the last collection; if it
 * has grown much, V8 is asked for the collection that it makes before it would run out of memory, the only one that
 * returns all it can. It stops the thread for some tens of milliseconds per 20 MB that live, once for each burst.
 *
 * For the program and for the store's thread. A library does not do that to the process it lives in.
 */
import { performance } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const checkMs = 5_000
/** Of one thread's time. */
const busyShareMax = 0.05
/** Growth that is not worth the pause. */
const growthBytesMin = 16 * 1024 * 1024

export interface Heap {
  /** What V8 has of the system's memory for this thread, buffers outside its heap included. */
  committedBytes(): number
  /** The share of the time since the last call in which the thread was busy, 0 to 1. */
  busyShare(): number
  collect(): void
}

/** One look at the heap per `check`. */
export class IdleHeap {
  readonly #heap: Heap
  #keptBytes: number

  constructor(heap: Heap) {
    this.#heap = heap
    this.#keptBytes = heap.committedBytes()
  }

  /** Collects if the thread is idle and the heap has grown much; returns whether it did. */
  check(): boolean {
    const heap = this.#heap
    const idle = heap.busyShare() <= busyShareMax
    if (!idle || heap.committedBytes() < this.#keptBytes + growthBytesMin) return false
    heap.collect()
    this.#keptBytes = heap.committedBytes()
    return true
  }
}

/** This thread's heap. */
export function threadHeap(): Heap {
  let before = performance.eventLoopUtilization()
  return {
    committedBytes() {
      const { total_heap_size: heap, external_memory: external } = getHeapStatistics()
      return heap + external
    },
    busyShare() {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      return utilization
    },
    collect() {
      setFlagsFromString('--expose-gc')
      const collect = runInNewContext('gc') as (options: object) => void
      collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    },
  }
}

/** Looks every 5 seconds, and keeps nobody's process alive for that; returns what ends it. */
export function giveBackWhenIdle(): () => void {
  const idleHeap = new IdleHeap(threadHeap())
  const timer = setInterval(() => idleHeap.check(), checkMs)
  timer.unref()
  return () => clearInterval(timer)
}
