/** The simulator's entry: arguments, signals, outputs, exit codes. The only file here that reads the process's own state. */
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { CommanderError } from 'commander'
import { unreachable } from './broker.ts'
import {
  type CliOptions,
  createCommand,
  listScenarios,
  resolveTask,
  scenarioJsonSchema,
  translateArguments,
  UsageError,
} from './cli.ts'
import { htmlReport } from './report/html.ts'
import { serveMetrics } from './report/metrics.ts'
import { exitCodes, type Summary } from './report/summary.ts'
import { CannotRun, Run, type RunState } from './run.ts'
import { ScenarioError } from './scenario/load.ts'
import { summaryText } from './view/summary-text.ts'
import { createJsonView, createView } from './view/view.ts'

const standardBroker = 'mqtt://127.0.0.1:1883'

async function main(): Promise<number> {
  // Whoever reads our output may stop reading, as `head` does.
  process.stdout.on('error', () => process.exit(exitCodes.ok))
  const command = createCommand()
  command.parse(translateArguments(process.argv.slice(2)), { from: 'user' })
  const options: CliOptions = command.opts()
  if (options.list) {
    for (const { name, description } of listScenarios()) process.stdout.write(`${name.padEnd(20)} ${description}\n`)
    return exitCodes.ok
  }
  if (options.schema) {
    process.stdout.write(scenarioJsonSchema())
    return exitCodes.ok
  }
  const task = resolveTask(command.args[0], options, process.env)
  if (options.check) return exitCodes.ok
  checkOutputs(options)
  if (task.isBrokerOpen) {
    const reason = await unreachable(standardBroker)
    if (reason === undefined) {
      task.scenario.brokers = { default: { url: standardBroker } }
    } else {
      process.stderr.write(`no broker answers at ${standardBroker} (${reason}): starting a gateway for this run\n`)
      task.scenario.brokers = { default: { gateway: { arguments: [] } } }
    }
  }
  return execute(task, options)
}

/** Better now than after the run. @throws UsageError */
function checkOutputs({ json, html }: CliOptions): void {
  for (const [flag, file] of [
    ['--json', json],
    ['--html', html],
  ] as const) {
    if (file === undefined || file === standardOutput) continue
    try {
      closeSync(openSync(file, 'a'))
    } catch (error) {
      throw new UsageError(`${flag} ${file}: can't be written (${(error as NodeJS.ErrnoException).code})`)
    }
  }
}

/** As the name of a file. */
const standardOutput = '-'

async function execute({ scenario, folder }: ReturnType<typeof resolveTask>, options: CliOptions): Promise<number> {
  const seed = scenario.seed ?? Math.floor(Math.random() * 0x100000000)
  const isPlain = options.json === standardOutput
  const view = isPlain ? createJsonView(process.stdout) : createView(process.stdout)
  const interruption = new AbortController()
  let interrupts = 0
  const onSignal = (): void => {
    interrupts += 1
    if (interrupts > 1) process.exit(exitCodes.interrupted)
    view.note('interrupted: finishing with what there is (again to leave at once)')
    interruption.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  let latest: RunState | undefined
  const metrics = options.metricsPort === undefined ? undefined : await serveMetrics(options.metricsPort, () => latest)
  if (metrics !== undefined) view.note(`metrics at ${metrics.url}`)
  view.note(`scenario ${scenario.name}, seed ${seed}`)
  try {
    const run = new Run({
      scenario,
      folder,
      seed,
      startNumber: options.startNumber ?? 0,
      workers: options.workers,
      onSecond(state) {
        latest = state
        view.show(state)
      },
      onNote: (text) => view.note(text),
      signal: interruption.signal,
    })
    const summary = await run.execute()
    view.end()
    write(summary, options)
    const text = isPlain ? process.stderr : process.stdout
    text.write(summaryText(summary, text.isTTY ?? false))
    return summary.exitCode
  } finally {
    view.end()
    await metrics?.close()
  }
}

function write(summary: Summary, { json, html }: CliOptions): void {
  try {
    if (json === standardOutput) process.stdout.write(`${JSON.stringify({ summary })}\n`)
    else if (json !== undefined) writeFileSync(json, `${JSON.stringify(summary, null, 2)}\n`)
    if (html !== undefined) writeFileSync(html, htmlReport(summary))
  } catch (error) {
    process.stderr.write(`can't write the report: ${(error as Error).message}\n`)
    summary.problems.push(`the report could not be written: ${(error as Error).message}`)
    summary.exitCode = exitCodes.failed
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.badScenario
  } else if (error instanceof ScenarioError || error instanceof UsageError || error instanceof CannotRun) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = exitCodes.badScenario
  } else {
    process.stderr.write(`${(error as Error).stack ?? error}\n`)
    process.exitCode = exitCodes.failed
  }
}
