/** `npm run bench`: see docs/performance.md for how to measure and how to read the results. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BaseCheckout, checkOutBase } from './base.ts'
import { type Plan, plannedRuns, runScenario } from './experiment.ts'
import { growthPlots } from './growth-plots.ts'
import { type BenchOptions, parseOptions, UsageError, usage } from './options.ts'
import type { Broker } from './peers/broker.ts'
import { gateway } from './peers/mqtide.ts'
import { findPeers } from './peers/registry.ts'
import { type CpuProfile, ownTime, renderOwnTime } from './profile.ts'
import { Progress } from './progress.ts'
import { commitOf, isDisturbed, isSaturated, isWaiting, machine, type Results, type Run } from './results.ts'
import { scenarios } from './scenarios/all.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { figureTitle, formatFigure, renderReport } from './table.ts'

const repository = fileURLToPath(new URL('..', import.meta.url))
const subject = 'MQTide'

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}

function tellRun(scenario: Scenario, broker: Broker, run: Run, progress: Progress): void {
  const [figure] = scenario.figures
  const value = run.figures[figure.name]
  const shown = value === undefined ? '' : `${formatFigure(value, figure.unit)} ${figureTitle(figure.name)}`
  const busy = (['broker', 'generator', 'others'] as const).flatMap((name) => {
    const cores = run.figures[`${name}Busy`]
    return cores === undefined ? [] : [`${name} ${cores.toFixed(2)}`]
  })
  const used = busy.length === 0 ? '' : ` (${busy.join(', ')} cores)`
  const marks = [
    ...(isSaturated(run.figures) ? ['generator saturated'] : []),
    ...(isWaiting(run.figures) ? ['neither at its limit'] : []),
    ...(isDisturbed(run.figures) ? ['disturbed'] : []),
    ...run.faults,
  ]
  const text = `${shown}${used}${marks.map((mark) => `; ${mark}`).join('')}`
  note(`[${progress}] ${scenario.name} round ${run.round} ${broker.label}: ${text}; took ${run.seconds.toFixed(1)} s`)
}

interface Lineup {
  brokers: Broker[]
  missing: string[]
  base: BaseCheckout | undefined
}

function gatherBrokers(options: BenchOptions, profileFolder: string): Lineup {
  const profile = options.profile ? { profileFolder } : {}
  const own = gateway({ folder: repository, name: subject, version: commitOf(repository), ...profile })
  const missing = own.length === 0 ? [`${subject}: bin/mqtide.js is not in this checkout`] : []
  const base = options.base === undefined ? undefined : checkOutBase(repository, options.base)
  const baseBrokers = base === undefined ? [] : gateway(base)
  if (base !== undefined && baseBrokers.length === 0)
    missing.push(`${base.name}: bin/mqtide.js is not in that revision`)
  const found = findPeers(options.peers)
  return { brokers: [...own, ...baseBrokers, ...found.brokers], missing: [...missing, ...found.missing], base }
}

/** Returns the report and the names of the files. */
function writeResults(results: Results, folder: string): { report: string; files: string } {
  mkdirSync(folder, { recursive: true })
  const name = `${results.date}-${results.commit}${results.quick ? '-quick' : ''}`
  const plots = growthPlots(results).map(({ dimension, svg }) => {
    const file = `${name}-growth-${dimension}.svg`
    writeFileSync(join(folder, file), svg)
    return file
  })
  const report = renderReport(results, plots)
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(join(folder, `${name}.md`), report)
  return { report, files: `${join(folder, name)}.json, .md${plots.length > 0 ? ` and ${plots.length} plots` : ''}` }
}

async function runBench(options: BenchOptions, lineup: Lineup, dataFolder: string): Promise<void> {
  const { brokers, missing } = lineup
  const { rounds, quick, scenarios } = options
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    commit: commitOf(repository),
    rounds: rounds ?? Math.max(...scenarios.map((scenario) => scenario.rounds)),
    quick,
    machine: machine(dataFolder),
    subject,
    brokers: brokers.map(({ label, version, configuration }) => ({ label, version, configuration })),
    missing,
    scenariosPlanned: scenarios.length,
    scenarios: [],
  }
  for (const line of missing) note(`missing: ${line}`)
  if (results.machine.dataFileSystem === 'tmpfs')
    note('note: the data folder is in memory, so durable figures mean nothing')
  if (!results.machine.pinned) note('note: broker and generator share their cores (needs taskset and two cores)')
  const subjects = [subject, lineup.base?.name ?? subject]
  const plan: Plan = { brokers, subjects, rounds, quick, everything: options.everything, dataFolder, onRun }
  const progress = new Progress(plannedRuns(scenarios, plan))
  function onRun(scenario: Scenario, broker: Broker, run: Run): void {
    progress.ended(scenario.name, broker.name, run.seconds)
    tellRun(scenario, broker, run, progress)
  }
  note(`${progress}`)
  for (const scenario of scenarios) {
    results.scenarios.push(await runScenario(scenario, plan, results.scenarios))
    progress.closed(scenario.name)
    // Whoever interrupts an hour's work keeps what was measured.
    const { report, files } = writeResults(results, resolve(options.results))
    if (results.scenarios.length < scenarios.length) continue
    process.stdout.write(report)
    note(`written: ${files}`)
  }
}

async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv, scenarios)
  if (parsed.action === 'help') {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  if (parsed.action === 'list') {
    for (const { name, quick, title, rounds } of scenarios)
      process.stdout.write(`${name}${quick ? ' (quick)' : ''}: ${title}; ${rounds} round${rounds === 1 ? '' : 's'}\n`)
    return 0
  }
  const { options } = parsed
  const resultsFolder = resolve(options.results)
  const dataParent = resolve(options.dataFolder ?? join(repository, 'data'))
  mkdirSync(dataParent, { recursive: true })
  const dataFolder = mkdtempSync(join(dataParent, 'bench-'))
  let lineup: Lineup | undefined
  // On exit, so that an interrupted run leaves nothing behind either.
  process.once('exit', () => {
    lineup?.base?.remove()
    rmSync(dataFolder, { recursive: true, force: true, maxRetries: 5 })
  })
  const profileFolder = join(resultsFolder, 'profiles')
  lineup = gatherBrokers(options, profileFolder)
  if (lineup.brokers.length === 0) {
    note(`no broker to measure:\n${lineup.missing.join('\n')}`)
    return 1
  }
  await runBench(options, lineup, dataFolder)
  if (options.profile) printProfiles(profileFolder)
  return 0
}

/** The main thread's and the workers' profiles, newest last. */
function printProfiles(folder: string): void {
  for (const name of readdirSync(folder).sort()) {
    if (!name.endsWith('.cpuprofile')) continue
    const shares = ownTime(JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile)
    process.stdout.write(`\n${name}, own time without idle:\n${renderOwnTime(shares, 25)}\n`)
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  note(
    error instanceof UsageError
      ? `${error.message}\n\n${usage}`
      : `bench: ${error instanceof Error ? error.message : error}`,
  )
  process.exitCode = error instanceof UsageError ? 2 : 1
}
