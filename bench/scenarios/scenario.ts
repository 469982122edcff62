/** What a scenario is: which broker it needs, what it does with it, and which figure counts. */
import type { Answer, Job, Target } from '../generator/job.ts'
import type { Transport } from '../generator/link.ts'
import { defaultLoad, type LoadSpec } from '../generator/load.ts'
import type { Capability } from '../peers/broker.ts'
import type { RunningBroker } from '../running.ts'

export const groups = ['throughput', 'routing', 'durable', 'connections', 'latency', 'growth'] as const
export type Group = (typeof groups)[number]

export interface Figure {
  /** Name in the answer's figures. */
  name: string
  unit: 'per second' | 'microseconds' | 'bytes' | 'seconds' | 'share' | 'messages'
  better: 'higher' | 'lower'
}

export interface GrowthPoint {
  dimension: string
  /** What grows, as a number on the plot's x axis. */
  size: number
  unit: string
}

export interface Scenario {
  name: string
  /** What is measured, in words. */
  title: string
  group: Group
  needs: readonly Capability[]
  /**
   * - durable: each broker runs with every durable setting it has, peers also in memory for comparison
   * - surviving: durable settings only, because the scenario ends the broker meanwhile
   */
  store: 'memory' | 'durable' | 'surviving'
  /** The first is the one that is compared. */
  figures: readonly [Figure, ...Figure[]]
  /** Part of the selection that `--quick` runs by itself. */
  quick: boolean
  growth?: GrowthPoint
  run(stage: Stage): Promise<Answer>
}

/** What a scenario works with: one freshly started broker and a generator. */
export interface Stage {
  broker: RunningBroker
  quick: boolean
  warmupMs: number
  measureMs: number
  /** Runs one job in a generator process of its own; a job that fails has its reason among the answer's faults. */
  generate(job: JobBody, transport?: Transport): Promise<Answer>
}

type WithoutFrame<T> = T extends Job ? Omit<T, 'target' | 'connectTimeoutMs'> : never
/** A job without what the stage adds: the target and the timeout. */
export type JobBody = WithoutFrame<Job>

export function targetOf(broker: RunningBroker, transport: Transport): Target {
  return { publishers: broker.endpoint('tcp'), subscribers: broker.endpoint(transport), brokerPids: broker.pids }
}

export const deliveries: Figure = { name: 'deliveredPerSecond', unit: 'per second', better: 'higher' }
export const costPerDelivery: Figure = { name: 'brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' }

export interface ThroughputFields {
  name: string
  title: string
  group?: Group
  needs?: readonly Capability[]
  store?: Scenario['store']
  transport?: Transport
  quick?: boolean
  crowdSubscriptions?: number
  figures?: Scenario['figures']
  growth?: GrowthPoint
  load: Partial<LoadSpec>
}

/** A closed-loop throughput scenario. */
export function throughput(fields: ThroughputFields): Scenario {
  const spec: LoadSpec = { ...defaultLoad, ...fields.load }
  const needs = new Set<Capability>(fields.needs ?? [])
  if (fields.transport === 'websocket') needs.add('websocket')
  if (fields.transport === 'tls') needs.add('tls')
  if (spec.publishQos === 2) needs.add('qos2')
  if (spec.version === 5) needs.add('mqtt5')
  return {
    name: fields.name,
    title: fields.title,
    group: fields.group ?? 'throughput',
    needs: [...needs],
    store: fields.store ?? 'memory',
    figures: fields.figures ?? [deliveries, costPerDelivery],
    quick: fields.quick ?? false,
    ...(fields.growth === undefined ? {} : { growth: fields.growth }),
    run({ generate, warmupMs, measureMs }) {
      const crowdSubscriptions = fields.crowdSubscriptions ?? 0
      return generate({ kind: 'throughput', spec, crowdSubscriptions, warmupMs, measureMs }, fields.transport)
    },
  }
}
