/**
 * `npm run build`: `dist/` as it's published. Made anew each time, so that nothing of a file that's gone is left in it.
 *
 * The compiler emits what it compiles. The dashboard beside it is Vite's, built anew only where its sources have changed: tests may
 * be reading it.
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')

for (const folder of ['dist/src', 'dist/device-simulator']) rmSync(join(root, folder), { recursive: true, force: true })
const run = (program: string, ...words: string[]) => {
  const { status } = spawnSync(process.execPath, [program, ...words], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
run(tsc, '-p', 'tsconfig.build.json')
run('scripts/dashboard.js')
