/**
 * `npm run build`: `dist/` as it's published. Made anew each time, so that nothing of a file that's gone is left in it.
 *
 * The compiler emits what it compiles; the page's own files, which browsers get as they stand, are copied beside it.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')

rmSync(join(root, 'dist'), { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
cpSync(join(root, 'src/http/page'), join(root, 'dist/src/http/page'), { recursive: true })
