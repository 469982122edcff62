/** Positions of a log out of which the lowest is taken first: a binary heap. */
export class PositionHeap {
  readonly #heap: number[] = []

  get size(): number {
    return this.#heap.length
  }

  /** The lowest; -1: there is none. */
  get first(): number {
    return this.#heap[0] ?? -1
  }

  push(position: number): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(position)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]! <= position) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = position
  }

  /** Removes the lowest. */
  shift(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++
      if (heap[child]! >= last) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}
