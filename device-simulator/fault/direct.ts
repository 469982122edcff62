/**
 * The runner's hand in the faults: it starts and stops them at their times in all parts of the swarm, sends the strangers,
 * and kills and restarts a broker that the simulator started.
 */
import type { Broker } from '../broker.ts'
import type { FaultSummary } from '../report/summary.ts'
import type { FaultOf, FaultSpec } from '../scenario/fault-schema.ts'
import type { Part, PartSnapshot } from '../swarm/part.ts'
import { type FaultCounts, isForDevices } from './disturb.ts'
import { Strangers } from './stranger.ts'

export interface Stage {
  now(): number
  parts(): readonly Part[]
  broker(name: string | undefined): Broker | undefined
  note(text: string): void
  problem(text: string): void
}

interface Planned {
  id: number
  spec: FaultSpec
  scope: 'stage' | 'run'
  fromMs: number
  toMs: number | undefined
  timers: NodeJS.Timeout[]
  strangers: Strangers | undefined
  counts: FaultCounts
  note: string
  isActive: boolean
}

export class FaultDirector {
  readonly #stage: Stage
  readonly #planned: Planned[] = []
  readonly #restarts = new Set<Promise<void>>()

  constructor(stage: Stage) {
    this.#stage = stage
  }

  get isRestarting(): boolean {
    return this.#restarts.size > 0
  }

  plan(spec: FaultSpec, scope: 'stage' | 'run'): void {
    const planned: Planned = {
      id: this.#planned.length,
      spec,
      scope,
      fromMs: this.#stage.now() + spec.at,
      toMs: undefined,
      timers: [],
      strangers: undefined,
      counts: { events: 0, asExpected: 0, unexpected: 0 },
      note: '',
      isActive: false,
    }
    this.#planned.push(planned)
    if (spec.at === 0) void this.#start(planned)
    else planned.timers.push(setTimeout(() => void this.#start(planned), spec.at))
    if (spec.for !== undefined) planned.timers.push(setTimeout(() => void this.#stop(planned), spec.at + spec.for))
  }

  /** The types that are at work now. */
  active(): string[] {
    return this.#planned.filter(({ isActive }) => isActive).map(({ spec }) => spec.type)
  }

  async stopStage(): Promise<void> {
    await Promise.all(this.#planned.filter(({ scope }) => scope === 'stage').map((planned) => this.#stop(planned)))
  }

  /** Also waits for a broker that is being restarted. */
  async stopAll(): Promise<void> {
    await Promise.all(this.#planned.map((planned) => this.#stop(planned)))
    await Promise.all(this.#restarts)
  }

  /** Takes over what the parts have counted. */
  count(snapshots: readonly PartSnapshot[]): void {
    for (const planned of this.#planned) {
      if (!isForDevices(planned.spec)) continue
      const counts: FaultCounts = { events: 0, asExpected: 0, unexpected: 0 }
      for (const { faults } of snapshots) {
        counts.events += faults[planned.id]?.events ?? 0
        counts.asExpected += faults[planned.id]?.asExpected ?? 0
        counts.unexpected += faults[planned.id]?.unexpected ?? 0
      }
      planned.counts = counts
    }
  }

  summary(): FaultSummary[] {
    return this.#planned
      .filter(({ fromMs }) => fromMs <= this.#stage.now())
      .map(({ spec, fromMs, toMs, counts, note, strangers }) => ({
        type: spec.type,
        fromSeconds: Math.round(fromMs) / 1000,
        toSeconds: Math.round(toMs ?? this.#stage.now()) / 1000,
        ...(strangers?.counts ?? counts),
        note:
          strangers === undefined || strangers.accepted.size === 0
            ? note
            : `accepted: ${[...strangers.accepted].join(', ')}`,
      }))
  }

  async #start(planned: Planned): Promise<void> {
    const { spec } = planned
    planned.isActive = true
    planned.fromMs = this.#stage.now()
    if (spec.type === 'broker-restart') {
      this.#scheduleRestarts(planned, spec)
    } else if (isForDevices(spec)) {
      await Promise.all(this.#stage.parts().map((part) => part.startFault(planned.id, spec)))
    } else {
      const broker = this.#stage.broker(undefined)
      const isPlain = broker?.url.startsWith('mqtt:') || broker?.url.startsWith('ws:')
      if (!isPlain) planned.note = 'not tried: strangers speak mqtt:// and ws:// only'
      else if (spec.type === 'malformed' || spec.type === 'oversize' || spec.type === 'wrong-credentials') {
        planned.strangers = new Strangers(spec, () => new URL(broker!.url))
      }
    }
  }

  async #stop(planned: Planned): Promise<void> {
    for (const timer of planned.timers.splice(0)) clearTimeout(timer)
    if (!planned.isActive) return
    planned.isActive = false
    planned.toMs = this.#stage.now()
    planned.strangers?.stop()
    if (isForDevices(planned.spec)) {
      await Promise.all(this.#stage.parts().map((part) => part.stopFault(planned.id)))
    }
  }

  #scheduleRestarts(planned: Planned, spec: FaultOf<'broker-restart'>): void {
    const broker = this.#stage.broker(undefined)
    if (broker === undefined || !broker.isOwn) {
      planned.note = 'not done: the simulator restarts only a broker that it started'
      planned.isActive = false
      this.#stage.note(
        'broker-restart: this broker was not started by the simulator, so it is not restarted; ' +
          'write brokers: { main: { gateway: {} } } or { command: [...], url } to have it started',
      )
      return
    }
    const again = (): void => {
      const restart = this.#restart(planned, spec, broker).finally(() => {
        this.#restarts.delete(restart)
        if (spec.every !== undefined || !planned.isActive) return
        planned.isActive = false
        planned.toMs = this.#stage.now()
      })
      this.#restarts.add(restart)
    }
    again()
    if (spec.every !== undefined) {
      const timer = setInterval(again, spec.every)
      planned.timers.push(timer)
    }
  }

  async #restart(planned: Planned, { signal, down }: FaultOf<'broker-restart'>, broker: Broker): Promise<void> {
    if (this.isRestarting) return
    planned.counts.events += 1
    this.#stage.note(`${signal} to the broker ${broker.name}; it starts again after ${down / 1000} s`)
    try {
      await broker.kill(signal)
      await new Promise((resolve) => setTimeout(resolve, down))
      const startedMs = this.#stage.now()
      await broker.restart()
      planned.counts.asExpected += 1
      this.#stage.note(
        `the broker ${broker.name} was ready again ${Math.round(this.#stage.now() - startedMs)} ms after its start`,
      )
    } catch (error) {
      planned.counts.unexpected += 1
      this.#stage.problem(`the broker did not come back: ${(error as Error).message}`)
    }
  }
}
