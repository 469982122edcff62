/**
 * `npm run torture -- [--minutes N] [--seed S] [--runs N] [--steps N] [--sqlite | --memory]`: random lives of the gateway, one
 * after the other from a first seed on; every second one on SQLite's files unless told otherwise. Prints what each life saw,
 * and the seed of one that broke a promise, which repeats it.
 */
import { parseArgs } from 'node:util'
import { Life } from './life.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    runs: { type: 'string' },
    minutes: { type: 'string' },
    steps: { type: 'string', default: '5000' },
    sqlite: { type: 'boolean', default: false },
    memory: { type: 'boolean', default: false },
    /** Go on after a failure. */
    /** After a failure, the lines of the life's log that contain this. */
    log: { type: 'string' },
    all: { type: 'boolean', default: false },
  },
})
const first = Number(values.seed)
const steps = Number(values.steps)
const runs = Number(values.runs ?? (values.minutes === undefined ? 100 : Number.POSITIVE_INFINITY))
const until = values.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.minutes) * 60_000
const total = {
  lives: 0,
  steps: 0,
  acknowledged: 0,
  received: 0,
  crashes: 0,
  drops: 0,
  wills: 0,
  delayed: 0,
  retained: 0,
  filled: 0,
  salvaged: 0,
  failed: 0,
}

for (let seed = first; seed < first + runs && Date.now() < until; seed++) {
  const onFiles = values.sqlite || (!values.memory && seed % 2 === 0)
  const life = new Life(seed, onFiles)
  const report = await life.live(steps)
  total.lives++
  for (const name of [
    'steps',
    'acknowledged',
    'received',
    'crashes',
    'drops',
    'wills',
    'delayed',
    'retained',
    'filled',
    'salvaged',
  ] as const) {
    total[name] += report[name]
  }
  process.stdout.write(`${JSON.stringify({ seed, onFiles, ...report })}\n`)
  if (report.faults.length === 0) continue
  total.failed++
  process.exitCode = 1
  const repeat = `--seed ${seed} --runs 1 --steps ${steps} ${onFiles ? '--sqlite' : '--memory'}`
  process.stderr.write(`failed; repeat with: npm run torture -- ${repeat}\n`)
  if (values.log !== undefined) {
    for (const line of life.books.log)
      if (line.includes(values.log) || /^\d+ [A-Zs]/.test(line)) process.stderr.write(`${line}\n`)
  }
  if (!values.all) break
}
process.stdout.write(`total: ${JSON.stringify(total)}\n`)
