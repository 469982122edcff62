/** Chunks are used again, and what lies idle has a bound. */
import { expect, it } from 'vitest'
import { giveBackChunk, largeChunkBytes, smallChunkBytes, takeChunk } from '../../src/engine/output-buffers.ts'

const huge = 4 * 1024 * 1024

it.each([
  [1, smallChunkBytes],
  [smallChunkBytes, smallChunkBytes],
  [smallChunkBytes + 1, largeChunkBytes],
  [largeChunkBytes, largeChunkBytes],
  [largeChunkBytes + 1, 128 * 1024],
  [128 * 1024, 128 * 1024],
  [128 * 1024 + 1, 256 * 1024],
  [3_000_000, huge],
  [huge, huge],
  [huge + 1, huge + 1],
])('for %i bytes there is a chunk of %i, which is used again up to 4 MiB', (bytes, length) => {
  const chunk = takeChunk(bytes)
  expect(chunk).toHaveLength(length)
  giveBackChunk(chunk)
  const again = takeChunk(bytes)
  expect(again === chunk).toBe(length <= huge)
  expect(again).toHaveLength(length)
})

it('no chunk is given to two', () => {
  const chunks = Array.from({ length: 20 }, () => takeChunk(200_000))
  expect(new Set(chunks).size).toBe(20)
  for (const chunk of chunks) giveBackChunk(chunk)
  expect(new Set(Array.from({ length: 40 }, () => takeChunk(200_000))).size).toBe(40)
})

it('not more than 16 MiB of chunks above 64 KiB lie idle', () => {
  const chunks = Array.from({ length: 10 }, () => takeChunk(huge))
  for (const chunk of chunks) giveBackChunk(chunk)
  const again = Array.from({ length: 10 }, () => takeChunk(huge))
  expect(again.filter((chunk) => chunks.includes(chunk))).toHaveLength(4)
})
