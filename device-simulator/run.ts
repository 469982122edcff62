/**
 * A run from beginning to end: brokers, parts of the swarm, stages and faults in their order, a snapshot each second, the
 * drain, and the summary. It ends early when it is interrupted or when the broker is gone for good; the summary of what
 * happened so far comes in every case.
 */
import { type Broker, openBroker, unreachable } from './broker.ts'
import { processNowMs } from './context.ts'
import { drain, progressOf } from './drain.ts'
import { FaultDirector } from './fault/direct.ts'
import { defaultWorkers, Layout } from './layout.ts'
import { type Machine, preflight, thisMachine } from './preflight.ts'
import { summarise } from './report/summarise.ts'
import type { FaultSummary, Second, StageSummary, Summary } from './report/summary.ts'
import { Tally } from './report/tally.ts'
import type { Scenario, StageSpec } from './scenario/schema.ts'
import { isListener } from './swarm/fleet.ts'
import type { Part } from './swarm/part.ts'
import { createParts } from './swarm/threads.ts'

export interface RunOptions {
  scenario: Scenario
  folder: string
  seed: number
  startNumber: number
  workers: number | undefined
  /** Called after each second and once at the start. */
  onSecond: (state: RunState) => void
  onNote: (text: string) => void
  signal: AbortSignal
  /** For tests: a machine with other limits, and less patience with a dead broker. */
  machine?: Machine
  brokerGoneSeconds?: number
}

/** What the views show while it runs. */
export interface RunState {
  name: string
  stage: string
  stageShare: number
  stagesLeft: number
  second: Second
  tally: Tally
  devices: number
}

/** The run could not start: said with what helps, ended with exit code 2. */
export class CannotRun extends Error {}

/** Without any device online for so long, outside of a restart of ours, the broker is taken to be dead. */
const brokerGoneSecondsDefault = 30
const gatherTimeoutMs = 30_000

export const defaultStages: readonly StageSpec[] = [
  { type: 'ramp', duration: 3000, rate: 1, to: 1, spread: 0, faults: [] },
  { type: 'hold', duration: 30_000, rate: 1, to: 1, spread: 0, faults: [] },
  { type: 'drain', duration: 15_000, rate: 1, to: 1, spread: 0, faults: [] },
]

export class Run {
  readonly #options: RunOptions
  readonly #scenario: Scenario
  readonly #layout: Layout
  readonly #run = Math.floor(Math.random() * 0x1000000)
  #epochMs = processNowMs()
  readonly #startedAt = new Date()
  readonly #brokers = new Map<string, Broker>()
  readonly #tally: Tally
  readonly #series: Second[] = []
  readonly #stages: StageSummary[] = []
  readonly #problems: string[] = []
  readonly #director: FaultDirector
  #parts: Part[] = []
  #stage = 'start'
  #stageFromMs = 0
  #stageForMs = 1
  #stagesLeft = 0
  #secondsWithoutDevice = 0
  #hasBeenOnline = false
  #collecting: Promise<void> | undefined
  #isOver = false
  #cutShort = false
  readonly #baselineBytes = process.memoryUsage().rss
  readonly #workers: number

  constructor(options: RunOptions) {
    this.#options = options
    this.#scenario = options.scenario
    this.#layout = new Layout(options.scenario, options.startNumber)
    this.#workers =
      options.scenario.client === 'lean' ? (options.workers ?? options.scenario.workers ?? defaultWorkers()) : 0
    this.#tally = new Tally(this.#layout.deviceCount)
    this.#director = new FaultDirector({
      now: () => this.#now(),
      parts: () => this.#parts,
      broker: (name) => (name === undefined ? [...this.#brokers.values()][0] : this.#brokers.get(name)),
      note: options.onNote,
      problem: (text) => this.#problems.push(text),
    })
  }

  /** @throws CannotRun before the first device connects; after that there is always a summary */
  async execute(): Promise<Summary> {
    try {
      await this.#prepare()
    } catch (error) {
      await this.#close()
      throw error
    }
    const timer = setInterval(() => void this.#everySecond(), 1000)
    try {
      await this.#live()
    } finally {
      clearInterval(timer)
      await this.#collecting
    }
    return this.#finish()
  }

  #now(): number {
    return processNowMs() - this.#epochMs
  }

  async #prepare(): Promise<void> {
    const { scenario, folder, seed, startNumber, onNote } = this.#options
    const specs = Object.entries(scenario.brokers ?? { default: { url: 'mqtt://127.0.0.1:1883' } })
    const needsDisk = [...scenario.faults, ...(scenario.stages ?? []).flatMap(({ faults }) => faults)].some(
      ({ type }) => type === 'broker-restart',
    )
    for (const [name, spec] of specs) {
      try {
        this.#brokers.set(name, await openBroker(name, spec, needsDisk))
      } catch (error) {
        throw new CannotRun(`broker ${name}: ${(error as Error).message}`)
      }
    }
    const urls = new Map([...this.#brokers].map(([name, { url }]) => [name, url]))
    const problems = preflight(this.#options.machine ?? thisMachine(), {
      layout: this.#layout,
      urls,
      localAddresses: scenario.localAddresses,
    })
    for (const [name, broker] of this.#brokers) {
      const reason = await unreachable(broker.url)
      if (reason !== undefined) {
        problems.push(
          `broker ${name} at ${broker.url} can't be reached (${reason}): start it, or name another with --broker URL`,
        )
      }
    }
    if (problems.length > 0) throw new CannotRun(problems.join('\n'))
    const ledger = new SharedArrayBuffer(Math.max(4, this.#layout.slotCount * 4))
    // The run's clock starts with the swarm, whatever time a broker took to start.
    this.#epochMs = processNowMs()
    const identity = { seed, run: this.#run, epochMs: this.#epochMs, startNumber }
    try {
      this.#parts = await createParts({ scenario, folder, identity, ledger }, this.#workers)
    } catch (error) {
      throw new CannotRun((error as Error).message)
    }
    for (const part of this.#parts) for (const [name, url] of urls) await part.setBroker(name, { url })
    for (const broker of this.#brokers.values()) onNote(`broker ${broker.name}: ${broker.description}`)
  }

  async #live(): Promise<void> {
    const stages = this.#scenario.stages ?? defaultStages
    const [first] = stages
    await this.#gather()
    this.#stagesLeft = stages.length
    if (first?.type !== 'ramp' && !this.#ended)
      await this.#each((part) => part.ramp({ to: 1, durationMs: 1000, groups: undefined }))
    let areFaultsOn = false
    for (const [i, stage] of stages.entries()) {
      if (this.#ended) break
      this.#stagesLeft = stages.length - i - 1
      if (stage.type !== 'ramp' && stage.type !== 'drain' && !areFaultsOn) {
        areFaultsOn = true
        for (const fault of this.#scenario.faults) this.#director.plan(fault, 'run')
      }
      await this.#liveStage(stage, i)
    }
    if (!this.#ended && stages.at(-1)?.type !== 'drain') await this.#drain(defaultStages[2]!.duration)
    await this.#director.stopAll()
  }

  get #ended(): boolean {
    return this.#isOver || this.#options.signal.aborted
  }

  async #gather(): Promise<void> {
    const listeners = this.#layout.groups
      .filter(({ spec }) => isListener(spec))
      .reduce((sum, { spec }) => sum + spec.count, 0)
    if (listeners === 0) return
    this.#enter('gather', gatherTimeoutMs)
    await this.#each((part) => part.gather())
    const deadline = this.#now() + gatherTimeoutMs
    while (!this.#ended && this.#now() < deadline) {
      let ready = 0
      for (const part of this.#parts) ready += await part.ready()
      if (ready >= listeners) return
      if (this.#tally.counters.refusedConnects > 0 && this.#tally.counters.connects === 0) {
        this.#giveUp('the broker refuses every connection: check the credentials of the groups')
        return
      }
      await this.#wait(50)
    }
    if (!this.#ended) this.#giveUp(`not all of ${listeners} consumers had subscribed after ${gatherTimeoutMs / 1000} s`)
  }

  async #liveStage(stage: StageSpec, i: number): Promise<void> {
    const name = stage.name ?? `${stage.type}${i > 0 && stage.type === 'hold' ? ` ${i}` : ''}`
    const isMeasured = stage.measure ?? (stage.type === 'hold' || stage.type === 'storm')
    this.#enter(name, stage.duration)
    const fromMs = this.#now()
    if (stage.type === 'drain') {
      await this.#each((part) => part.setMeasured(this.#tally.measuredFromMs, fromMs))
      await this.#director.stopAll()
      await this.#drain(stage.duration)
    } else {
      await this.#measure(isMeasured, fromMs)
      await this.#each((part) => part.setRate(stage.rate))
      for (const fault of stage.faults) this.#director.plan(fault, 'stage')
      if (stage.type === 'ramp') {
        await this.#each((part) => part.ramp({ to: stage.to, durationMs: stage.duration, groups: stage.groups }))
      }
      if (stage.type === 'storm') await this.#each((part) => part.storm(stage.groups, stage.spread))
      await this.#untilStageEnds(stage)
      await this.#director.stopStage()
    }
    const seconds = (ms: number): number => Math.round(ms) / 1000
    this.#stages.push({
      name,
      type: stage.type,
      fromSeconds: seconds(fromMs),
      toSeconds: seconds(this.#now()),
      measured: isMeasured,
    })
  }

  /** A hold ends early when every publication has reached its limit. */
  async #untilStageEnds({ type, duration }: StageSpec): Promise<void> {
    const deadline = this.#now() + duration
    while (!this.#ended && this.#now() < deadline) {
      await this.#wait(Math.min(250, deadline - this.#now()))
      if (type !== 'ramp' && (await progressOf(this.#parts)).finished) return
    }
  }

  /** Latencies count from the first measured stage to the end of the last one before a stage that is not. */
  async #measure(isMeasured: boolean, nowMs: number): Promise<void> {
    if (isMeasured) {
      if (this.#tally.measuredFromMs === Number.POSITIVE_INFINITY) this.#tally.measuredFromMs = nowMs
      await this.#each((part) => part.setMeasured(this.#tally.measuredFromMs, Number.POSITIVE_INFINITY))
    } else if (this.#tally.measuredFromMs !== Number.POSITIVE_INFINITY) {
      await this.#each((part) => part.setMeasured(this.#tally.measuredFromMs, nowMs))
    }
  }

  async #drain(durationMs: number): Promise<void> {
    this.#cutShort = await drain({
      parts: this.#parts,
      durationMs,
      now: () => this.#now(),
      wait: (ms) => this.#wait(ms),
      ended: () => this.#ended,
    })
  }

  #enter(stage: string, durationMs: number): void {
    this.#stage = stage
    this.#stageFromMs = this.#now()
    this.#stageForMs = durationMs
  }

  async #everySecond(): Promise<void> {
    if (this.#collecting !== undefined) return
    this.#collecting = this.#collect()
    await this.#collecting
    this.#collecting = undefined
  }

  async #collect(): Promise<void> {
    const snapshots = await Promise.all(this.#parts.map((part) => part.collect()))
    const second = this.#tally.take(snapshots, this.#now() / 1000, this.#stage, this.#director.active())
    this.#series.push(second)
    this.#director.count(snapshots)
    this.#watchBroker(second)
    this.#options.onSecond({
      name: this.#scenario.name,
      stage: this.#stage,
      stageShare: Math.min(1, (this.#now() - this.#stageFromMs) / this.#stageForMs),
      stagesLeft: this.#stagesLeft,
      second,
      tally: this.#tally,
      devices: this.#layout.deviceCount,
    })
  }

  #watchBroker({ online }: Second): void {
    if (online > 0) {
      this.#hasBeenOnline = true
      this.#secondsWithoutDevice = 0
    } else if (this.#hasBeenOnline && !this.#director.isRestarting) {
      this.#secondsWithoutDevice += 1
      const brokerGoneSeconds = this.#options.brokerGoneSeconds ?? brokerGoneSecondsDefault
      if (this.#secondsWithoutDevice >= brokerGoneSeconds) {
        this.#giveUp(`the broker is gone: no device has been online for ${brokerGoneSeconds} s`)
      }
    }
  }

  #giveUp(problem: string): void {
    this.#problems.push(problem)
    this.#isOver = true
  }

  async #each(act: (part: Part) => Promise<void>): Promise<void> {
    await Promise.all(this.#parts.map(act))
  }

  /** Ends early when the run does. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#options
      const deadline = this.#now() + ms
      const check = (): void => {
        const left = deadline - this.#now()
        if (left <= 0 || this.#ended) resolve()
        else setTimeout(check, Math.min(left, 100))
      }
      if (signal.aborted) resolve()
      else check()
    })
  }

  async #finish(): Promise<Summary> {
    await this.#director.stopAll()
    await this.#collect()
    const residentBytes = process.memoryUsage().rss
    const facts = await Promise.all(this.#parts.map((part) => part.facts()))
    const faults: FaultSummary[] = this.#director.summary()
    try {
      return await summarise({
        scenario: this.#scenario,
        layout: this.#layout,
        seed: this.#options.seed,
        run: this.#run,
        workers: this.#workers,
        brokers: this.#brokers,
        startedAt: this.#startedAt,
        durationSeconds: this.#now() / 1000,
        stages: this.#stages,
        faults,
        tally: this.#tally,
        facts,
        residentBytes,
        baselineBytes: this.#baselineBytes,
        problems: this.#problems,
        interrupted: this.#options.signal.aborted,
        cutShort: this.#cutShort || this.#options.signal.aborted,
        folder: this.#options.folder,
        series: this.#series,
      })
    } finally {
      await this.#close()
    }
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#parts.map((part) => part.end()))
    await Promise.allSettled([...this.#brokers.values()].map((broker) => broker.close()))
  }
}
