import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const run = promisify(execFile)
const mark = '<!-- run by test/package/readme.test.ts -->'

/** The code blocks that follow the mark, as a reader would copy them. */
async function markedExamples(page: string): Promise<string[]> {
  const text = await readFile(new URL(`../../${page}`, import.meta.url), 'utf8')
  return text
    .split(mark)
    .slice(1)
    .map((part) => /^```js\n([\s\S]*?)^```$/m.exec(part)?.[1] ?? '')
}

describe('the library examples run as they stand and print what they receive', () => {
  it.each([
    ['README.md', 'sensors/kitchen 21.5\n'],
    ['docs/library.md', 'public/notice hello text/plain\ntrue\n'],
  ])(
    '%s',
    async (page, printed) => {
      const examples = await markedExamples(page)
      expect(examples).toHaveLength(1)
      const library = new URL('../../src/gateway.ts', import.meta.url).href
      const code = examples[0]!.replace("from 'mqtide'", `from '${library}'`)
      expect(code).toContain(library)
      const folder = await mkdtemp(join(tmpdir(), 'mqtide-readme-'))
      try {
        await writeFile(join(folder, 'example.mjs'), code)
        const { stdout, stderr } = await run(process.execPath, ['example.mjs'], { cwd: folder, timeout: 60_000 })
        expect(stderr).toBe('')
        expect(stdout).toContain(printed)
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
    90_000,
  )
})
