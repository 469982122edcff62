#!/usr/bin/env node
/**
 * The command `mqtide`: says in words when Node is too old, then starts the program.
 *
 * Plain JavaScript without static imports, so that an old Node reaches the check instead of failing on syntax. In a
 * checkout the TypeScript source runs directly; a published package holds no sources and runs what was built from them.
 */
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

function start(fs) {
  const source = new URL('../src/main.ts', import.meta.url)
  if (!fs.existsSync(source)) return import('../dist/src/main.js')
  if (!process.features.typescript) {
    return refuse(
      `This checkout's sources are TypeScript, which Node ${process.versions.node} does not run by itself ` +
        '(22.18 and later 22 releases do, and 23.6 and later).\n',
    )
  }
  return import(source.href)
}

if (olderThan(process.versions.node, OLDEST)) {
  refuse(`mqtide needs Node ${OLDEST.join('.')} or newer, and this is Node ${process.versions.node}.\n`)
} else {
  import('node:fs').then(start).catch((error) => {
    process.stderr.write(`mqtide: ${error.stack}\n`)
    process.exitCode = 1
  })
}
