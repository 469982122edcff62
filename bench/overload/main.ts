/**
 * `npm run overload`: each case attacks a fresh gateway while another client measures its round trips; see docs/reliability.md.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { checkOutBase } from '../base.ts'
import { commitOf } from '../results.ts'
import { onCore } from '../running.ts'
import { type Case, cases } from './cases.ts'
import { GatewayProcess } from './gateway-process.ts'
import type { Measured } from './probe.ts'
import { type Outcome, renderOutcomes } from './table.ts'

const usage = `Usage: npm run overload [-- CASE…] [options]

  CASE               names of cases; none: all of them
  --list             print the cases and end
  --base REV         measure another revision of this repository first
  --only-base        measure that revision alone
  --heap-mb N        largest JavaScript heap of the gateway, so that it ends before the machine does (4000)
  --timeout-s N      the longest an attack may take (60)
  --rest-s N         how long after it memory is read again (12)`

const flags = {
  list: { type: 'boolean' },
  help: { type: 'boolean' },
  base: { type: 'string' },
  'only-base': { type: 'boolean' },
  'heap-mb': { type: 'string', default: '4000' },
  'timeout-s': { type: 'string', default: '60' },
  'rest-s': { type: 'string', default: '12' },
} as const

const repository = fileURLToPath(new URL('../..', import.meta.url))
/** The probe before the attack, and after its end. */
const marginMs = 500

/** What must not outlive us. */
const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

interface Limits {
  heapMegabytesMax: number
  timeoutMs: number
  restMs: number
}

function script(name: string, words: readonly string[]): ChildProcess {
  const path = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const [program, args] = onCore('generator', process.execPath, [path, ...words])
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.add(child)
  child.once('exit', () => children.delete(child))
  child.stdin!.on('error', () => {})
  return child
}

/** The next line that begins so; undefined when it does not come in time or the process ends. */
function line(child: ChildProcess, start: string, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = ''
    const finish = (found: string | undefined): void => {
      clearTimeout(timer)
      child.stdout!.off('data', onData)
      resolve(found)
    }
    const timer = setTimeout(() => finish(undefined), timeoutMs)
    const onData = (chunk: Buffer): void => {
      text += chunk.toString()
      const found = text.split('\n').find((one) => one.startsWith(start))
      if (found !== undefined) finish(found)
    }
    child.stdout!.on('data', onData)
    child.once('exit', () => finish(undefined))
  })
}

async function measure(one: Case, checkout: string, limits: Limits): Promise<Outcome> {
  const gateway = await GatewayProcess.start(checkout, one, limits.heapMegabytesMax)
  const { mqtt, http } = gateway.ports
  const attacker = script('attacker', [one.name, String(mqtt), String(http)])
  let probe: ChildProcess | undefined
  try {
    const prepared = await line(attacker, 'prepared', limits.timeoutMs)
    if (prepared === undefined) throw new Error('could not be prepared')
    probe = script('probe', [one.probe, String(mqtt), String(gateway.pid)])
    await line(probe, 'running', limits.timeoutMs)
    const before = gateway.memory().bytes
    gateway.forgetPeak()
    await delay(marginMs)
    attacker.stdin!.write('go\n')
    const done = await line(attacker, 'done', limits.timeoutMs)
    await delay(marginMs)
    const peak = gateway.memory().peakBytes
    const answer = line(probe, '{', limits.timeoutMs)
    probe.stdin!.end()
    const measured = JSON.parse((await answer) ?? '{}') as Partial<Measured>
    await delay(limits.restMs)
    const { bytes: after } = gateway.memory()
    return {
      attackMs: done === undefined ? undefined : Number(done.split(' ')[1]),
      ...measured,
      before,
      peak,
      after,
      died: gateway.ended,
    }
  } finally {
    attacker.kill('SIGKILL')
    probe?.kill('SIGKILL')
    await gateway.stop()
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...argv], options: flags, allowPositionals: true })
  if (values.help) process.stdout.write(`${usage}\n`)
  if (values.list) for (const { name, title } of cases) process.stdout.write(`${name}: ${title}\n`)
  if (values.help || values.list) return 0
  const chosen = positionals.length === 0 ? cases : cases.filter(({ name }) => positionals.includes(name))
  const base = values.base === undefined ? undefined : checkOutBase(repository, values.base)
  process.once('exit', () => base?.remove())
  const own = { folder: repository, name: `now (${commitOf(repository)})` }
  const other = base === undefined ? [] : [{ folder: base.folder, name: `before (${base.version})` }]
  const checkouts = values['only-base'] ? other : [...other, own]
  const seconds = (text: string): number => Number(text) * 1000
  const limits = {
    heapMegabytesMax: Number(values['heap-mb']),
    timeoutMs: seconds(values['timeout-s']),
    restMs: seconds(values['rest-s']),
  }
  const rows: { title: string; outcomes: (Outcome | string)[] }[] = []
  for (const one of chosen) {
    const outcomes: (Outcome | string)[] = []
    for (const { folder, name } of checkouts) {
      const outcome = await measure(one, folder, limits).catch((error: Error) => error.message)
      outcomes.push(outcome)
      process.stderr.write(`${one.name}, ${name}: ${JSON.stringify(outcome)}\n`)
    }
    rows.push({ title: one.title, outcomes })
  }
  process.stdout.write(
    renderOutcomes(
      checkouts.map(({ name }) => name),
      rows,
    ),
  )
  return 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.exit(await main(process.argv.slice(2)))
