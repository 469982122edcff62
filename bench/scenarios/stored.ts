/** What waits in the broker: durable sessions online and offline, queues, retained messages. */
import type { Answer, Figures } from '../generator/job.ts'
import { defaultLoad, type LoadSpec } from '../generator/load.ts'
import { type Figure, type GrowthPoint, type Scenario, type Stage, throughput } from './scenario.ts'

/** Every size of a growth scenario delivers as much in all, so that a broker's cold start weighs the same. */
const growthDeliveries = 100_000

const acknowledged: Figure = { name: 'acknowledgedPerSecond', unit: 'per second', better: 'higher' }
const drained: Figure = { name: 'drain.deliveredPerSecond', unit: 'per second', better: 'higher' }

const online: Scenario[] = ([1, 2] as const).map((qos) =>
  throughput({
    name: `durable-qos${qos}-online`,
    title: `QoS ${qos}, 10 to 10 durable sessions online, 64 B, 2,000 outstanding`,
    group: 'durable',
    store: 'durable',
    quick: true,
    load: { publishQos: qos, subscribeQos: qos, durable: true, windowMessages: 2000 },
  }),
)

function prefixed(prefix: string, figures: Figures): Figures {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}.${name}`, value]))
}

function sentByPublisher(figures: Figures, publishers: number): number[] {
  return Array.from({ length: publishers }, (_, index) => figures[`sent.${index}`] ?? 0)
}

/** Fills the queues of offline sessions, restarts the broker if asked to, then drains them and accounts for every message. */
async function fillAndDrain(stage: Stage, spec: LoadSpec, messages: number, restart: boolean): Promise<Answer> {
  // A peer that rewrites its whole database for every change would fill for hours.
  const fillMsMax = stage.quick ? 5000 : restart ? 60_000 : 20_000
  const fill = await stage.generate({ kind: 'fill', spec, messages, fillMsMax })
  if (fill.faults.length > 0) return fill
  const figures = { ...fill.figures }
  if (restart) {
    await stage.broker.restart('SIGKILL')
    figures['restartSeconds'] = stage.broker.readySeconds
  }
  const sent = sentByPublisher(fill.figures, spec.publishers)
  const drain = await stage.generate({ kind: 'drain', spec, sentByPublisher: sent })
  return { figures: { ...figures, ...prefixed('drain', drain.figures) }, faults: drain.faults }
}

const offline: Scenario[] = ([1, 2] as const).map((qos) => ({
  name: `durable-qos${qos}-offline`,
  title: `QoS ${qos}, 10 publishers to 10 durable sessions offline, 64 B, 2,000 outstanding; then drained`,
  group: 'durable',
  needs: qos === 2 ? ['qos2'] : [],
  store: 'durable',
  figures: [acknowledged, drained],
  quick: qos === 1,
  run(stage) {
    const qosLoad = { publishQos: qos, subscribeQos: qos } as const
    const spec: LoadSpec = { ...defaultLoad, ...qosLoad, durable: true, windowMessages: 2000 }
    return fillAndDrain(stage, spec, stage.quick ? 50_000 : 300_000, false)
  },
}))

const longQueue: Scenario = {
  name: 'queue-1m-restart',
  title: 'one offline session: 1,000,000 messages of 256 B queued (100,000 with --quick), kill -9, restart, drain',
  group: 'durable',
  needs: [],
  store: 'surviving',
  figures: [
    { name: 'restartSeconds', unit: 'seconds', better: 'lower' },
    acknowledged,
    drained,
    { name: 'brokerResidentBytes', unit: 'bytes', better: 'lower' },
    { name: 'acknowledged', unit: 'messages', better: 'higher' },
  ],
  quick: false,
  run(stage) {
    const qos = { publishQos: 1, subscribeQos: 1 } as const
    const shape = {
      topology: 'fan-in',
      publishers: 10,
      subscribers: 1,
      payloadBytes: 256,
      windowMessages: 2000,
    } as const
    const spec: LoadSpec = { ...defaultLoad, ...qos, ...shape, durable: true }
    return fillAndDrain(stage, spec, stage.quick ? 100_000 : 1_000_000, true)
  },
}

const drain: Scenario = {
  name: 'queue-drain',
  title: 'queue drain in memory: 100,000 messages of 256 B wait for one session',
  group: 'durable',
  needs: [],
  store: 'memory',
  figures: [{ name: 'drain.deliveredPerSecond', unit: 'per second', better: 'higher' }],
  quick: true,
  run: (stage) => drainRun(stage, 1),
}

/** Drains the queues of `sessions` offline sessions, 100,000 messages in all. */
function drainRun(stage: Stage, sessions: number): Promise<Answer> {
  const qos = { publishQos: 1, subscribeQos: 1 } as const
  const one = { topology: 'fan-in', publishers: 10, subscribers: 1 } as const
  const shape = sessions === 1 ? one : ({ topology: 'pair', publishers: sessions, subscribers: sessions } as const)
  return fillAndDrain(
    stage,
    { ...defaultLoad, ...qos, ...shape, payloadBytes: 256, durable: true },
    growthDeliveries,
    false,
  )
}

function retainedRun(stage: Stage, messages: number, collectors: number): Promise<Answer> {
  const spec: LoadSpec = { ...defaultLoad, topology: 'fan-in', publishQos: 1, subscribeQos: 0 }
  return stage.generate({ kind: 'retained', spec, messages, collectors })
}

const retained: Scenario = {
  name: 'retained-100k',
  title: '100,000 retained messages stored (QoS 1), then one wildcard subscription receives them all',
  group: 'durable',
  needs: ['retained'],
  store: 'memory',
  figures: [
    { name: 'deliveredPerSecond', unit: 'per second', better: 'higher' },
    { name: 'storedPerSecond', unit: 'per second', better: 'higher' },
    { name: 'bytesPerRetained', unit: 'bytes', better: 'lower' },
  ],
  quick: true,
  run: (stage) => retainedRun(stage, 100_000, 1),
}

const sizes = [1000, 10_000, 100_000] as const

function growth(dimension: string, size: number, unit: string): { name: string; title: string; growth: GrowthPoint } {
  const point = { dimension, size, unit }
  return { name: `growth-${dimension}-${size}`, title: `cost per message with ${size} ${unit}`, growth: point }
}

/** How the cost of one stored message grows with their number. */
export const storedGrowth: readonly Scenario[] = [
  ...sizes.map((size): Scenario => {
    const cost: Figure = { name: 'brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' }
    const common = { group: 'growth', needs: ['retained'], store: 'memory', figures: [cost], quick: false } as const
    return {
      ...growth('retained', size, 'retained messages'),
      ...common,
      run: (stage) => retainedRun(stage, size, growthDeliveries / size),
    }
  }),
  ...sizes.map((size): Scenario => {
    const cost: Figure = { name: 'drain.brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' }
    const common = { group: 'growth', needs: [], store: 'memory', figures: [cost], quick: false } as const
    return {
      ...growth('queue', size, 'queued messages per session'),
      ...common,
      run: (stage) => drainRun(stage, growthDeliveries / size),
    }
  }),
]

export const storedScenarios: readonly Scenario[] = [...online, ...offline, drain, longQueue, retained]
