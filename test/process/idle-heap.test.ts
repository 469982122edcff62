/** When memory is given back: only while nothing else is to be done, and only if there is something to give. */
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { IdleHeap } from '../../src/process/idle-heap.ts'

const megabyte = 1024 * 1024

function heapOf(committedMegabytes: number) {
  const heap = { megabytes: committedMegabytes, live: committedMegabytes, busy: 0, collections: 0 }
  return Object.assign(heap, {
    committedBytes: () => heap.megabytes * megabyte,
    busyShare: () => heap.busy,
    collect: () => {
      heap.collections++
      heap.megabytes = heap.live
    },
  })
}

describe('an idle heap', () => {
  it('that has grown is collected, once', () => {
    const heap = heapOf(40)
    const idleHeap = new IdleHeap(heap)
    heap.megabytes = 200
    expect([idleHeap.check(), idleHeap.check(), idleHeap.check()]).toEqual([true, false, false])
    expect(heap.collections).toBe(1)
  })

  it('is left alone while the thread works, and collected after', () => {
    const heap = heapOf(40)
    const idleHeap = new IdleHeap(heap)
    heap.megabytes = 200
    heap.busy = 0.2
    expect(idleHeap.check()).toBe(false)
    heap.busy = 0.01
    expect(idleHeap.check()).toBe(true)
  })

  it('that has grown a little is left alone', () => {
    const heap = heapOf(40)
    const idleHeap = new IdleHeap(heap)
    heap.megabytes = 50
    expect(idleHeap.check()).toBe(false)
  })

  it('whose growth is alive is not collected again until it grows further', () => {
    const heap = heapOf(40)
    const idleHeap = new IdleHeap(heap)
    heap.megabytes = 200
    heap.live = 190
    expect(idleHeap.check()).toBe(true)
    expect(idleHeap.check()).toBe(false)
    heap.megabytes = 250
    expect(idleHeap.check()).toBe(true)
  })
})

const garbage = [
  ['objects', "Array.from({ length: 400_000 }, (_, index) => ({ index, text: 'x' + index }))"],
  ['buffers, as of messages that waited', 'Array.from({ length: 50 }, () => Buffer.alloc(1024 * 1024))'],
]

it.each(garbage)('a thread gives back what garbage made it take: %s', async (_name, expression) => {
  const module = new URL('../../src/process/idle-heap.ts', import.meta.url).href
  const worker = new Worker(
    `import(${JSON.stringify(module)}).then(({ threadHeap }) => {
      const heap = threadHeap()
      let kept = ${expression}
      const grown = heap.committedBytes()
      kept = undefined
      heap.collect()
      require('node:worker_threads').parentPort.postMessage({ grown, after: heap.committedBytes() })
    })`,
    { eval: true },
  )
  const { grown, after } = await new Promise<{ grown: number; after: number }>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  await worker.terminate()
  expect(after).toBeLessThan(grown / 2)
})
