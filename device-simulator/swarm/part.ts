/** The orders that a part of the swarm takes, whether it runs in this thread or in a worker: plain data both ways. */

import type { RunIdentity } from '../context.ts'
import type { FaultCounts } from '../fault/disturb.ts'
import type { MeasuresSnapshot } from '../measure/measures.ts'
import type { FaultSpec } from '../scenario/fault-schema.ts'
import type { Scenario } from '../scenario/schema.ts'
import type { SenderFacts } from '../verdict/judge.ts'
import type { QueueFacts } from '../verdict/judge-queues.ts'
import type { ReceiverSnapshot } from '../verdict/receiver.ts'

export interface PartInit {
  scenario: Scenario
  /** Where the scenario's file names are relative to. */
  folder: string
  identity: RunIdentity
  ledger: SharedArrayBuffer
  part: number
  parts: number
}

export interface BrokerPlace {
  url: string
}

export interface RampPlan {
  /** Share of each group that is online at the end. */
  to: number
  durationMs: number
  groups: readonly string[] | undefined
}

export interface PartSnapshot {
  measures: MeasuresSnapshot
  devices: number
  online: number
  ready: number
  pending: number
  faults: Record<number, FaultCounts>
}

export interface Progress {
  /** Messages not yet acknowledged and commands not yet answered. */
  pending: number
  received: number
  /** Every publication has a limit and has reached it. */
  finished: boolean
}

export interface PartFacts {
  senders: SenderFacts[]
  receivers: ReceiverSnapshot[]
  queues: QueueFacts[]
  /** Group -> how many of its devices wanted a connection and never got one. */
  shutOut: Record<string, number>
}

export interface Part {
  setBroker(name: string, place: BrokerPlace | undefined): Promise<void>
  /** Brings the groups that only listen online. */
  gather(): Promise<void>
  ramp(plan: RampPlan): Promise<void>
  storm(groups: readonly string[] | undefined, spreadMs: number): Promise<void>
  setRate(rate: number): Promise<void>
  setMeasured(fromMs: number, toMs: number): Promise<void>
  startFault(id: number, spec: FaultSpec): Promise<void>
  stopFault(id: number): Promise<void>
  collect(): Promise<PartSnapshot>
  /** Listeners that have subscribed. */
  ready(): Promise<number>
  progress(): Promise<Progress>
  facts(): Promise<PartFacts>
  end(): Promise<void>
}
