/**
 * `npm run torture [-- --seed N] [--runs N] [--steps N] [--mixed]`: random lives of the broker; prints the seed of one that
 * fails. Mixed: with listeners at all levels of durability, and power cuts.
 */
import { parseArgs } from 'node:util'
import { torture } from './torture.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    runs: { type: 'string', default: '100' },
    steps: { type: 'string', default: '5000' },
    mixed: { type: 'boolean', default: false },
  },
})
const first = Number(values.seed)
for (let seed = first; seed < first + Number(values.runs); seed++) {
  const report = await torture(seed, Number(values.steps), values.mixed)
  process.stdout.write(`${JSON.stringify({ seed, ...report })}\n`)
  if (report.faults.length === 0) continue
  process.stderr.write(
    `failed; repeat with: npm run torture -- --seed ${seed} --runs 1 --steps ${values.steps}${values.mixed ? ' --mixed' : ''}\n`,
  )
  process.exitCode = 1
  break
}
