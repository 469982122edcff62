/** One part of the swarm: its devices, their schedule, and what the runner orders them to do. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { TlsFiles } from '../client/stream.ts'
import { type Context, processNowMs } from '../context.ts'
import { Device, type Shared } from '../device.ts'
import { type Disturbance, needsLink, startDisturbance } from '../fault/disturb.ts'
import { type GroupLayout, Layout } from '../layout.ts'
import { Measures } from '../measure/measures.ts'
import { loadPayloadFiles } from '../payload/files.ts'
import { Random } from '../random.ts'
import type { FaultSpec } from '../scenario/fault-schema.ts'
import type { GroupSpec, Scenario } from '../scenario/schema.ts'
import { type Entry, Schedule } from '../schedule.ts'
import { JobBooks } from '../verdict/job-books.ts'
import type { SenderFacts } from '../verdict/judge.ts'
import type { BrokerPlace, Part, PartFacts, PartInit, PartSnapshot, Progress, RampPlan } from './part.ts'

/** Listeners connect at this pace before the first stage. */
const gatherPerSecond = 500
const rampTickMs = 5

/** Its devices listen and do nothing else: they are there before anyone speaks. */
export function isListener(spec: GroupSpec): boolean {
  return (spec.subscriptions.length > 0 || spec.consumes !== undefined) && spec.publications.length === 0
}

interface Climber {
  device: Device
  /** Place within its group, 0 to 1: a ramp to 0.5 takes the devices below 0.5. */
  position: number
}

export async function createFleet(init: PartInit): Promise<Fleet> {
  const files = await loadPayloadFiles(init.scenario, init.folder)
  return new Fleet(init, files)
}

export class Fleet implements Part {
  readonly #context: Context
  readonly #devices: Device[] = []
  readonly #climbers: Climber[] = []
  readonly #listeners: Device[] = []
  readonly #shared: Shared
  readonly #brokers = new Map<string, URL>()
  readonly #tls = new Map<string, TlsFiles>()
  readonly #faults = new Map<number, Disturbance>()
  readonly #pastFaults = new Map<number, Disturbance>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ticker: NodeJS.Timeout
  #level = new Map<string, number>()

  constructor(init: PartInit, files: Context['files']) {
    const { scenario, identity } = init
    const layout = new Layout(scenario, identity.startNumber)
    const now = (): number => processNowMs() - identity.epochMs
    const unflushed = new Set<{ flush(): void }>()
    const { localAddresses } = scenario
    this.#context = {
      scenario,
      layout,
      identity,
      files,
      measures: new Measures(),
      schedule: new Schedule(now, () => this.#flush()),
      ledger: new Int32Array(init.ledger),
      clockStartMs: Date.parse(scenario.epoch),
      now,
      rate: 1,
      address: (broker) => this.#brokers.get(broker),
      tls: (group) => this.#tls.get(group),
      localAddress: (device) => localAddresses?.[device % localAddresses.length],
      unflushed,
    }
    this.#shared = { receivers: new Map(), books: new JobBooks(layout) }
    for (const group of layout.groups) this.#addGroup(group, init)
    this.#climbers.sort((a, b) => a.position - b.position)
    this.#context.schedule.start()
    this.#ticker = setInterval(() => this.#tick(), 1000)
  }

  async setBroker(name: string, place: BrokerPlace | undefined): Promise<void> {
    if (place === undefined) this.#brokers.delete(name)
    else this.#brokers.set(name, new URL(place.url))
  }

  async gather(): Promise<void> {
    for (const [i, device] of this.#listeners.entries())
      this.#after((i / gatherPerSecond) * 1000, () => device.goOnline())
  }

  async ramp({ to, durationMs, groups }: RampPlan): Promise<void> {
    const startMs = this.#context.now()
    const moves: { atMs: number; device: Device; online: boolean }[] = []
    const names = new Set(groups ?? this.#context.layout.groups.map(({ name }) => name))
    for (const { device, position } of this.#climbers) {
      const { name } = device.group
      if (!names.has(name)) continue
      const from = this.#level.get(name) ?? 0
      const isMoved = to > from ? position > from && position <= to : position <= from && position > to
      if (isMoved)
        moves.push({ atMs: startMs + durationMs * ((position - from) / (to - from)), device, online: to > from })
    }
    for (const name of names) this.#level.set(name, to)
    moves.sort((a, b) => a.atMs - b.atMs)
    let next = 0
    const timer = setInterval(() => {
      const now = this.#context.now()
      for (let move = moves[next]; move !== undefined && move.atMs <= now; move = moves[++next]) {
        if (move.online) move.device.goOnline()
        else move.device.goOffline()
      }
      if (next >= moves.length) {
        clearInterval(timer)
        this.#timers.delete(timer)
      }
    }, rampTickMs)
    this.#timers.add(timer)
  }

  async storm(groups: readonly string[] | undefined, spreadMs: number): Promise<void> {
    const { seed } = this.#context.identity
    for (const { device } of this.#climbers) {
      if (groups !== undefined && !groups.includes(device.group.name)) continue
      device.die(spreadMs * new Random(seed, ['storm', device.number]).next())
    }
  }

  async setRate(rate: number): Promise<void> {
    this.#context.rate = rate
    if (rate === 0) return
    const now = this.#context.now()
    for (const device of this.#devices) {
      for (const publication of device.publications) publication.retime(now)
    }
    this.#context.schedule.rebuild()
    for (const device of this.#devices) device.startSending()
  }

  async setMeasured(fromMs: number, toMs: number): Promise<void> {
    this.#context.measures.fromMs = fromMs
    this.#context.measures.toMs = toMs
  }

  async startFault(id: number, spec: FaultSpec): Promise<void> {
    this.#faults.set(id, startDisturbance(this.#context, this.#devices, spec, id))
  }

  async stopFault(id: number): Promise<void> {
    const fault = this.#faults.get(id)
    if (fault === undefined) return
    fault.stop()
    this.#faults.delete(id)
    this.#pastFaults.set(id, fault)
  }

  async collect(): Promise<PartSnapshot> {
    let online = 0
    let ready = 0
    let pending = 0
    for (const device of this.#devices) {
      if (device.online) online += 1
      if (device.ready) ready += 1
      pending += device.pending
    }
    const faults = Object.fromEntries([...this.#pastFaults, ...this.#faults].map(([id, { counts }]) => [id, counts]))
    return { measures: this.#context.measures.take(), devices: this.#devices.length, online, ready, pending, faults }
  }

  async ready(): Promise<number> {
    return this.#listeners.filter((device) => device.ready).length
  }

  async progress(): Promise<Progress> {
    let pending = 0
    let finished = true
    for (const device of this.#devices) {
      pending += device.pending + device.outstandingCommands
      finished &&= device.publications.every((publication) => publication.finished)
      finished &&= device.group.spec.requests.length === 0
    }
    // A part without publications has nothing to wait for, and nothing to end the stage for.
    if (!this.#devices.some((device) => device.publications.length > 0)) finished = this.#context.layout.slotCount > 0
    return { pending, received: this.#context.measures.counters.received, finished }
  }

  async facts(): Promise<PartFacts> {
    const senders: SenderFacts[] = []
    for (const device of this.#devices) {
      const group = device.group
      for (const publication of device.publications) {
        for (const stream of publication.streams) {
          if (stream === undefined || stream.sent === 0) continue
          senders.push({
            ...stream.snapshot(),
            group: group.name,
            broker: this.#context.layout.brokerOf(group),
            clientId: device.clientId,
            durable: group.spec.session === 'durable',
            topicVaries: publication.spec.payload.module !== undefined,
            inProperty: publication.identity === 'property',
          })
        }
      }
    }
    const receivers = [...this.#devices.flatMap((device) => device.inbox.receivers), ...this.#shared.receivers.values()]
    const shutOut: Record<string, number> = {}
    for (const { isShutOut, group } of this.#devices)
      if (isShutOut) shutOut[group.name] = (shutOut[group.name] ?? 0) + 1
    return {
      senders,
      receivers: receivers.map((receiver) => receiver.snapshot()),
      queues: this.#shared.books.facts(),
      shutOut,
    }
  }

  async end(): Promise<void> {
    clearInterval(this.#ticker)
    for (const timer of this.#timers) clearInterval(timer)
    this.#context.schedule.stop()
    for (const fault of this.#faults.values()) fault.stop()
    for (const device of this.#devices) device.end()
  }

  #addGroup(group: GroupLayout, init: PartInit): void {
    const disturbed = isDisturbed(init.scenario, group.name)
    const { tls } = group.spec
    if (tls !== undefined) this.#tls.set(group.name, readTls(tls, init.folder))
    for (let i = 0; i < group.spec.count; i++) {
      // Devices are dealt out in turn, so that the members of a small group share the threads, too.
      // Workers of a queue stay together: only who sees all of them can say what may not be.
      const part = group.spec.consumes === undefined ? (group.firstDevice + i) % init.parts : 0
      if (part !== init.part) continue
      const device = new Device(this.#context, group, i, this.#shared, disturbed)
      this.#devices.push(device)
      if (isListener(group.spec)) this.#listeners.push(device)
      else this.#climbers.push({ device, position: (i + 0.5) / group.spec.count })
      if (group.spec.duty !== undefined) this.#addDuty(device, group.spec.duty)
    }
  }

  #addDuty(device: Device, { online, offline }: { online: number; offline: number }): void {
    const random = new Random(this.#context.identity.seed, [device.group.name, device.number, 'duty'])
    const entry: Entry = {
      dueMs: this.#context.now() + online + random.next() * (online + offline),
      fire: () => {
        entry.dueMs += online + offline
        if (this.#context.rate > 0) device.sleep(offline)
      },
    }
    this.#context.schedule.add(entry)
  }

  #flush(): void {
    const { unflushed } = this.#context
    for (const device of unflushed) device.flush()
    unflushed.clear()
  }

  #tick(): void {
    const now = this.#context.now()
    for (const device of this.#devices) device.tick(now)
  }

  #after(delayMs: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, delayMs)
    this.#timers.add(timer)
  }
}

/** Whether a fault of the scenario needs to reach into the connections of a group. */
function isDisturbed(scenario: Scenario, group: string): boolean {
  const all = [...scenario.faults, ...(scenario.stages ?? []).flatMap(({ faults }) => faults)]
  return all.some((fault) => needsLink(fault) && (fault.groups === undefined || fault.groups.includes(group)))
}

export function readTls(spec: NonNullable<GroupSpec['tls']>, folder: string): TlsFiles {
  const tls: TlsFiles = { rejectUnauthorized: spec.rejectUnauthorized }
  if (spec.ca !== undefined) tls.ca = readFileSync(resolve(folder, spec.ca))
  if (spec.cert !== undefined) tls.cert = readFileSync(resolve(folder, spec.cert))
  if (spec.key !== undefined) tls.key = readFileSync(resolve(folder, spec.key))
  if (spec.servername !== undefined) tls.servername = spec.servername
  return tls
}
