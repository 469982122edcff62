import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/reliability.md', root), 'utf8')
/** Rows that end with a test's file and its name. */
const rows = [...page.matchAll(/^\|.*\| `(test\/[^`]+)` \| (.+) \|$/gm)].map(
  ([, file, name]) => [file!, name!] as const,
)

describe('the test of each fault in docs/reliability.md', () => {
  it('are found in its tables', () => expect(rows.length).toBeGreaterThan(60))

  it.each(rows)('%s: %s', (file, name) => {
    const path = fileURLToPath(new URL(file, root))
    expect(existsSync(path)).toBe(true)
    // Names stand in the sources as they are, but for quotes.
    expect(readFileSync(path, 'utf8').replaceAll("\\'", "'")).toContain(name)
  })
})
