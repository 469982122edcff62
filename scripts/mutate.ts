/**
 * `npm run mutate [-- --only TEXT] [--list]`: would the tests notice?
 *
 * Each fault of `mutations.ts` is put into a copy of this tree, one at a time, and the tests that are said to catch it must
 * fail. A fault that they let pass is a hole in them: exit code 1. Tests that fail without any fault prove nothing: exit code 2.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Mutation, mutations, occurrences } from './mutations.ts'

const root = resolve(fileURLToPath(new URL('..', import.meta.url)))
const notCopied = ['node_modules', '.git', 'dist', 'data']
const testTimeoutMs = 180_000

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, list: { type: 'boolean', default: false } },
})
const chosen = mutations.filter(({ name, file }) => `${name} ${file}`.includes(values.only))

/** Whether these tests pass in the copy, and what they printed. */
function passes(
  copy: string,
  { test, title = '' }: Pick<Mutation, 'test' | 'title'>,
): { passed: boolean; output: string } {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const filter = title === '' ? [] : ['-t', title]
  const run = spawnSync(process.execPath, [vitest, 'run', ...test, ...filter, '--bail', '1', '--reporter', 'dot'], {
    cwd: copy,
    encoding: 'utf8',
    timeout: testTimeoutMs,
    env: { ...process.env, NO_COLOR: '1' },
  })
  return { passed: run.status === 0, output: `${run.stdout}${run.stderr}` }
}

function caught(copy: string, mutation: Mutation): boolean {
  const path = join(copy, mutation.file)
  const whole = readFileSync(path, 'utf8')
  if (occurrences(whole, mutation) !== 1)
    throw new Error(`${mutation.file}: the text of "${mutation.name}" is not there once`)
  writeFileSync(
    path,
    whole.replace(mutation.from, () => mutation.to),
  )
  try {
    return !passes(copy, mutation).passed
  } finally {
    writeFileSync(path, whole)
  }
}

function main(): number {
  if (values.list) {
    for (const { name, file } of chosen) process.stdout.write(`${file}: ${name}\n`)
    return 0
  }
  const copy = mkdtempSync(join(tmpdir(), 'mqtide-mutate-'))
  try {
    cpSync(root, copy, { recursive: true, filter: (path) => !notCopied.includes(basename(path)) || path === root })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const tests = [...new Map(chosen.map((one) => [`${one.test} ${one.title}`, one])).values()]
    for (const one of tests) {
      const { passed, output } = passes(copy, one)
      if (passed) continue
      process.stderr.write(`${output.slice(-3000)}\nmutate: ${one.test.join(' ')} fails without any fault\n`)
      return 2
    }
    const missed = chosen.filter((mutation) => {
      const found = caught(copy, mutation)
      process.stdout.write(`${found ? 'caught' : 'MISSED'}  ${mutation.name}  (${mutation.file})\n`)
      return !found
    })
    process.stdout.write(`${chosen.length - missed.length} of ${chosen.length} caught\n`)
    return missed.length === 0 ? 0 : 1
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

process.exitCode = main()
