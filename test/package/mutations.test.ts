import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { mutations, occurrences } from '../../scripts/mutations.ts'

const root = resolve(fileURLToPath(new URL('../..', import.meta.url)))

/** Whether the tests catch them is for `npm run mutate`, which takes minutes. */
describe('a fault of `npm run mutate`', () => {
  it.each(mutations)('"$name" has its text in $file exactly once', (mutation) => {
    expect(occurrences(readFileSync(join(root, mutation.file), 'utf8'), mutation)).toBe(1)
    expect(mutation.to).not.toBe(mutation.from)
  })

  it.each(mutations)('"$name" names tests that exist', ({ test }) => {
    expect(test.filter((path) => !existsSync(join(root, path)))).toEqual([])
  })
})
