/**
 * `npm run dashboard`: builds `src/dashboard/` into `dist/dashboard/`, with the client for pages as one file (`client.js`) beside it,
 * unless what is there was built from the same sources.
 *
 * npm runs it after `npm ci`, before `npm start` and before `npm test`, so that nobody has to. It is plain JavaScript, since an
 * installation without development dependencies may run it on a Node that strips no types; there Vite is missing as well,
 * and it says so. The new build takes the old one's place by a rename: a gateway that starts meanwhile finds one or the other.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const sources = join(root, 'src/dashboard')
const client = join(root, 'src/client')
const output = join(root, 'dist/dashboard')
const stamp = 'built-from.txt'
const bundled = ['preact', 'uplot', 'vite']

/** Everything that the build depends on, as one hash. */
function fingerprint() {
  const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)))
  for (const name of bundled) hash.update(readFileSync(join(root, 'node_modules', name, 'package.json')))
  for (const folder of [sources, client]) {
    for (const name of readdirSync(folder, { recursive: true }).sort()) {
      if (/\.\w+$/.test(name)) hash.update(name).update(readFileSync(join(folder, name)))
    }
  }
  return hash.digest('hex')
}

async function build(fingerprint) {
  const { build: buildWithVite } = await import('vite')
  const fresh = `${output}-${process.pid}`
  await buildWithVite({
    root: sources,
    configFile: false,
    logLevel: 'warn',
    publicDir: join(sources, 'public'),
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir: fresh,
      emptyOutDir: true,
      target: 'es2023',
      // Nothing of the page stands in its HTML or comes as data: the content security policy allows neither.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  })
  await buildWithVite({
    root: client,
    configFile: false,
    logLevel: 'warn',
    publicDir: false,
    build: {
      outDir: fresh,
      emptyOutDir: false,
      target: 'es2023',
      lib: { entry: join(client, 'index.ts'), formats: ['es'], fileName: () => 'client.js' },
      // Vite leaves the spaces of a library to whoever bundles it; pages load this one as it is.
      rolldownOptions: { output: { minify: true } },
    },
  })
  writeFileSync(join(fresh, stamp), fingerprint)
  rmSync(output, { recursive: true, force: true })
  renameSync(fresh, output)
}

function isInstalled(name) {
  return existsSync(join(root, 'node_modules', name))
}

if (!bundled.every(isInstalled)) {
  process.stderr.write(
    'The dashboard is not built: its tools are development dependencies, which are not installed here.\n',
  )
} else {
  const due = fingerprint()
  const built = join(output, stamp)
  if (!existsSync(built) || readFileSync(built, 'utf8') !== due) {
    mkdirSync(join(root, 'dist'), { recursive: true })
    await build(due)
  }
}
