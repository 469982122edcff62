/**
 * Says in words when Node is too old, then loads a program: its TypeScript source in a checkout, what was built from it in
 * a published package, which holds no sources.
 *
 * Plain JavaScript without static imports of anything newer, so that an old Node reaches the check instead of failing on
 * syntax.
 */
import { fileURLToPath } from 'node:url'

const OLDEST = [22, 18]

const checkoutAdvice =
  'In a checkout, `npm ci && npm start` runs it on the Node that its dev dependency `node` brings.\n' +
  'Elsewhere, install Node 24 from https://nodejs.org or with your version manager.\n'

function olderThan(version, oldest) {
  const parts = version.split('.').map(Number)
  return parts[0] < oldest[0] || (parts[0] === oldest[0] && parts[1] < oldest[1])
}

function refuse(reason) {
  process.stderr.write(reason + checkoutAdvice)
  process.exitCode = 1
}

function start(fs, source, built) {
  if (!fs.existsSync(source)) return import(built.href)
  if (!process.features.typescript) {
    return refuse(
      `This checkout's sources are TypeScript, which Node ${process.versions.node} does not run by itself ` +
        '(22.18 and later 22 releases do, and 23.6 and later).\n',
    )
  }
  return importSource(fs, source)
}

/** Keeps the JavaScript that was made of the sources, where there is room: later starts need not load the compiler, 30 MB in all. */
function importSource(fs, source) {
  return import('node:module').then(({ enableCompileCache }) => {
    const modules = new URL('../node_modules/', import.meta.url)
    const directory = fileURLToPath(new URL('.cache/mqtide', modules))
    if (fs.existsSync(modules)) {
      enableCompileCache?.(directory)
      // For the threads that it starts.
      process.env.NODE_COMPILE_CACHE ??= directory
    }
    return import(source.href)
  })
}

/** `program` is its folder and name below the package, as in "src/main". */
export function load(command, program) {
  if (olderThan(process.versions.node, OLDEST)) {
    refuse(`${command} needs Node ${OLDEST.join('.')} or newer, and this is Node ${process.versions.node}.\n`)
    return
  }
  const source = new URL(`../${program}.ts`, import.meta.url)
  const built = new URL(`../dist/${program}.js`, import.meta.url)
  import('node:fs')
    .then((fs) => start(fs, source, built))
    .catch((error) => {
      process.stderr.write(`${command}: ${error.stack}\n`)
      process.exitCode = 1
    })
}
