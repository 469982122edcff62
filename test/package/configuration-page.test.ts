import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { configurationPage, withTable } from '../../scripts/configuration-table.ts'

describe('docs/configuration.md', () => {
  it('lists every option with its values, default and meaning (if not: npm run docs)', () => {
    const page = readFileSync(configurationPage, 'utf8')
    expect(page).toBe(withTable(page))
    expect(page).toContain('| `limits.packetBytesMax` |')
  })
})
