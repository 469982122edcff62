/** The programs of `examples/tasks` as a reader runs them, with the sources in place of the built package. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { startToBeKilled } from '../e2e/killed-gateway.ts'

const fileOf = (name: string) => fileURLToPath(new URL(`../../examples/tasks/${name}`, import.meta.url))
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function run(name: string, url: string): { child: ChildProcess; output(): string } {
  const copy = fileOf(name.replace('.mjs', `-${process.pid}.mjs`))
  writeFileSync(copy, readFileSync(fileOf(name), 'utf8').replace("'mqtide/tasks'", "'../../src/tasks/index.ts'"))
  const child = spawn(process.execPath, [copy, url], { stdio: ['ignore', 'pipe', 'inherit'] })
  closers.push(async () => {
    rmSync(copy)
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return { child, output: () => output }
}

test('a worker does what another program enqueues, tells it what came out, and stops when it is told to', async () => {
  const gateway = await startToBeKilled('--config', fileOf('mqtide.yaml'))
  closers.push(() => gateway.remove())
  const worker = run('worker.mjs', gateway.mqtt)
  await eventually(worker.output).toContain('working')
  const program = run('enqueue.mjs', gateway.mqtt)
  await once(program.child, 'exit')
  expect(program.output().replace(/stored: .*/, 'stored: …')).toBe(
    [
      'stored: …',
      'taken back: true',
      '25 %',
      '50 %',
      '75 %',
      "{ file: '320-busy.png', bytes: 32000 }",
      'TaskFailedError: notes.txt is no picture',
      '',
    ].join('\n'),
  )
  expect(program.child.exitCode).toBe(0)
  worker.child.kill('SIGTERM')
  await once(worker.child, 'exit')
  expect(worker.child.exitCode).toBe(0)
  const said = worker.output()
  expect(said).toContain('report of today')
  expect(said).toMatch(/resize failed: the disk is busy; again in \d+ ms/)
  expect(said).toContain('resize given up: notes.txt is no picture')
  expect(said).toContain('stopped')
})
