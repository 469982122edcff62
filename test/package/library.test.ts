import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const run = promisify(execFile)
const mark = '<!-- run by test/package/library.test.ts -->'
const root = new URL('../../', import.meta.url)

/** What each example prints, in the order of the page. */
const printed = [
  ['bill 3 lamps'],
  [
    'connected: kitchen 5 false',
    'delivered: sensors/kitchen/temperature 21.5 1 to kitchen',
    'dropped: picture hook_refused 1',
    'Publish error: Quota exceeded',
    'session ended: kitchen disconnected',
  ],
]

test('each example of the page about the library runs as it stands and prints what it says', async () => {
  const text = await readFile(new URL('docs/library.md', root), 'utf8')
  const examples = text.split(mark).slice(1)
  expect(examples).toHaveLength(printed.length)
  const folder = await mkdtemp(join(tmpdir(), 'mqtide-library-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await symlink(new URL('node_modules', root), join(folder, 'node_modules'))
  for (const [index, example] of examples.entries()) {
    const code = /^```js\n([\s\S]*?)^```$/m.exec(example)![1]!
    const library = code.replace("from 'mqtide'", `from '${new URL('src/gateway.ts', root).href}'`)
    await writeFile(join(folder, 'example.mjs'), library)
    const { stdout, stderr } = await run(process.execPath, ['example.mjs'], { cwd: folder, timeout: 60_000 })
    expect(stderr).toBe('')
    expect(stdout.trim().split('\n').toSorted()).toEqual(printed[index]!.toSorted())
  }
}, 120_000)
