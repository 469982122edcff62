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
  unit: 'per second' | 'microseconds' | 'bytes' | 'seconds' | 'share' | 'count'
  better: 'higher' | 'lower'
  /** Name of the figure that says how much there was: a ratio between brokers that stored different amounts would mean nothing. */
  forAmount?: string
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
   * - own: the gateway alone, with its default store and in memory
   */
  store: 'memory' | 'durable' | 'surviving' | 'own'
  /** The first is the one that is compared. */
  figures: readonly [Figure, ...Figure[]]
  /** Part of the selection that `--quick` runs by itself. */
  quick: boolean
  growth?: GrowthPoint
  /** A broker that does not finish one scenario of a series in time is left out of those that follow it. */
  series?: string
  /** Another row with one thing changed: one round, a shorter span, and slow starters left out when everything runs. */
  varies: boolean
  /** Rounds of the alternation, unless the command line says otherwise: fewer where the spread tells nothing. */
  rounds: number
  /** What one run takes with a quick broker, start and stop included; the time left is estimated from it. */
  expectedSeconds: number
  run(stage: Stage): Promise<Answer>
}

/** What a scenario works with: one freshly started broker and a generator. */
export interface Stage {
  broker: RunningBroker
  quick: boolean
  warmupMs: number
  measureMs: number
  /** Runs one job in a generator process of its own; a job that fails has its reason among the answer's faults. */
  generate(job: JobBody, transport?: Transport, publishers?: Transport): Promise<Answer>
}

type WithoutFrame<T> = T extends Job ? Omit<T, 'target' | 'connectTimeoutMs'> : never
/** A job without what the stage adds: the target and the timeout. */
export type JobBody = WithoutFrame<Job>

export function targetOf(broker: RunningBroker, transport: Transport, publishers: Transport = 'tcp'): Target {
  const { metricsUrl, pids: brokerPids } = broker
  const endpoints = { publishers: broker.endpoint(publishers), subscribers: broker.endpoint(transport) }
  return { ...endpoints, brokerPids, ...(metricsUrl === undefined ? {} : { metricsUrl }) }
}

/** Rounds of what is compared, and of what only varies it or hardly changes from one round to the next. */
export const rounds = { compared: 3, once: 1 } as const
/** A closed-loop run: start, connections, warm-up, measured span, stop. */
const throughputSeconds = 4.5

export const deliveries: Figure = { name: 'deliveredPerSecond', unit: 'per second', better: 'higher' }
export const eventLoopDelay: Figure = { name: 'eventLoopDelayP99', unit: 'microseconds', better: 'lower' }
export const costPerDelivery: Figure = { name: 'brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' }

export interface ThroughputFields {
  name: string
  title: string
  group?: Group
  needs?: readonly Capability[]
  store?: Scenario['store']
  transport?: Transport
  /** Of the publishers; TCP where it isn't given. */
  publisherTransport?: Transport
  quick?: boolean
  crowdSubscriptions?: number
  figures?: Scenario['figures']
  growth?: GrowthPoint
  series?: string
  varies?: boolean
  expectedSeconds?: number
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
    ...(fields.series === undefined ? {} : { series: fields.series }),
    varies: fields.varies ?? false,
    rounds: fields.varies === true ? rounds.once : rounds.compared,
    expectedSeconds: fields.expectedSeconds ?? throughputSeconds,
    run({ generate, warmupMs, measureMs }) {
      const crowdSubscriptions = fields.crowdSubscriptions ?? 0
      return generate(
        { kind: 'throughput', spec, crowdSubscriptions, warmupMs, measureMs },
        fields.transport,
        fields.publisherTransport,
      )
    },
  }
}
