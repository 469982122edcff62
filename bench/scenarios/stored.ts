/** What waits in the broker: durable sessions online and offline, queues, retained messages. */
import type { Answer, Figures } from '../generator/job.ts'
import { defaultLoad, type LoadSpec } from '../generator/load.ts'
import { residentBytes } from '../proc.ts'
import {
  costPerDelivery,
  deliveries,
  eventLoopDelay,
  type Figure,
  type GrowthPoint,
  rounds,
  type Scenario,
  type Stage,
  throughput,
} from './scenario.ts'

/** Enough for a broker that gives memory back when traffic pauses. */
const idleMs = 12_000

/** Every size of a growth scenario delivers as much in all, so that a broker's cold start weighs the same. */
const growthDeliveries = 100_000

export const acknowledged: Figure = { name: 'acknowledgedPerSecond', unit: 'per second', better: 'higher' }
/** After `kill -9`, with the amount that the figure `forAmount` says. */
function restartFigures(forAmount: string): [Figure, Figure, Figure, Figure] {
  return [
    { name: 'restartSeconds', unit: 'seconds', better: 'lower', forAmount },
    { name: 'residentAfterFillBytes', unit: 'bytes', better: 'lower', forAmount },
    { name: 'residentWhenIdleBytes', unit: 'bytes', better: 'lower', forAmount },
    { name: 'residentAfterRestartBytes', unit: 'bytes', better: 'lower', forAmount },
  ]
}

export const drained: Figure = { name: 'drain.deliveredPerSecond', unit: 'per second', better: 'higher' }

const online: Scenario[] = ([1, 2] as const).map((qos) =>
  throughput({
    name: `durable-qos${qos}-online`,
    title: `QoS ${qos}, 10 to 10 durable sessions online, 64 B, 2,000 outstanding`,
    group: 'durable',
    store: 'durable',
    quick: true,
    varies: qos === 2,
    figures: [deliveries, costPerDelivery, eventLoopDelay],
    load: { publishQos: qos, subscribeQos: qos, durable: true, windowMessages: 2000 },
  }),
)

function prefixed(prefix: string, figures: Figures): Figures {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}.${name}`, value]))
}

function sentByPublisher(figures: Figures, publishers: number): number[] {
  return Array.from({ length: publishers }, (_, index) => figures[`sent.${index}`] ?? 0)
}

/** Ends the broker with SIGKILL and starts it again on its files; says how long that took and what it holds before and after. */
async function restarted({ broker }: Stage): Promise<Figures> {
  const residentAfterFillBytes = residentBytes(broker.pids)
  await new Promise((resolve) => setTimeout(resolve, idleMs))
  const residentWhenIdleBytes = residentBytes(broker.pids)
  await broker.restart('SIGKILL')
  const residentAfterRestartBytes = residentBytes(broker.pids)
  const resident = { residentAfterFillBytes, residentWhenIdleBytes, residentAfterRestartBytes }
  return { ...resident, restartSeconds: broker.readySeconds }
}

/** Fills the queues of offline sessions, restarts the broker if asked to, then drains them and accounts for every message. */
export async function fillAndDrain(stage: Stage, spec: LoadSpec, messages: number, restart: boolean): Promise<Answer> {
  // A peer that rewrites its whole database for every change would fill for hours.
  const fillMsMax = restart && !stage.quick ? 20_000 : 5000
  const fill = await stage.generate({ kind: 'fill', spec, messages, fillMsMax })
  if (fill.faults.length > 0) return fill
  const figures = { ...fill.figures }
  if (restart) Object.assign(figures, await restarted(stage))
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
  figures: [acknowledged, drained, eventLoopDelay],
  quick: qos === 1,
  varies: qos === 2,
  rounds: qos === 1 ? rounds.compared : rounds.once,
  expectedSeconds: 7,
  run(stage) {
    const qosLoad = { publishQos: qos, subscribeQos: qos } as const
    const spec: LoadSpec = { ...defaultLoad, ...qosLoad, durable: true, windowMessages: 2000 }
    return fillAndDrain(stage, spec, stage.quick ? 50_000 : 1_000_000, false)
  },
}))

const longQueue: Scenario = {
  name: 'queue-1m-restart',
  title:
    'one offline session: 1,000,000 messages of 256 B queued (100,000 with --quick; what fits into 20 s), kill -9, restart, drain',
  group: 'durable',
  needs: [],
  store: 'surviving',
  figures: [
    ...restartFigures('acknowledged'),
    acknowledged,
    drained,
    eventLoopDelay,
    { name: 'acknowledged', unit: 'count', better: 'higher' },
  ],
  quick: false,
  varies: false,
  rounds: rounds.once,
  expectedSeconds: 28,
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
  varies: false,
  rounds: rounds.once,
  expectedSeconds: 5,
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

const retainedSpec: LoadSpec = { ...defaultLoad, topology: 'fan-in', publishQos: 1, subscribeQos: 0 }
const retainMsMax = 20_000

/** Stores retained messages, restarts the broker if asked to, then has `collectors` clients receive them all. */
async function retainedRun(
  stage: Stage,
  spec: LoadSpec,
  messages: number,
  collectors: number,
  restart: boolean,
): Promise<Answer> {
  const stored = await stage.generate({ kind: 'retain', spec, messages, fillMsMax: retainMsMax })
  if (stored.faults.length > 0) return stored
  const after = restart ? await restarted(stage) : {}
  const { figures, faults } = await stage.generate({
    kind: 'collect',
    spec: { ...spec, subscribers: collectors },
    sentByPublisher: sentByPublisher(stored.figures, spec.publishers),
    topicsPerPublisher: Math.ceil(messages / spec.publishers),
  })
  return { figures: { ...stored.figures, ...after, ...figures }, faults }
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
  varies: false,
  rounds: rounds.once,
  expectedSeconds: 6,
  run: (stage) => retainedRun(stage, retainedSpec, 100_000, 1, false),
}

const sizes = [1000, 10_000, 100_000] as const

const growthFields = {
  group: 'growth',
  varies: true,
  store: 'memory',
  quick: false,
  rounds: rounds.once,
  expectedSeconds: 4,
} as const

function growth(dimension: string, size: number, unit: string) {
  const point: GrowthPoint = { dimension, size, unit }
  const series = `growth-${dimension}`
  return { name: `${series}-${size}`, title: `cost per message with ${size} ${unit}`, growth: point, series }
}

/** How the cost of one stored message grows with their number. */
export const storedGrowth: readonly Scenario[] = [
  ...sizes.map((size): Scenario => {
    const common = { ...growthFields, needs: ['retained'], figures: [costPerDelivery] } as const
    return {
      ...growth('retained', size, 'retained messages'),
      ...common,
      run: (stage) => retainedRun(stage, retainedSpec, size, growthDeliveries / size, false),
    }
  }),
  ...sizes.map((size): Scenario => {
    const cost: Figure = { name: 'drain.brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' }
    const common = { ...growthFields, needs: [], figures: [cost] } as const
    return {
      ...growth('queue', size, 'queued messages per session'),
      ...common,
      run: (stage) => drainRun(stage, growthDeliveries / size),
    }
  }),
]

const sessionsRestart: Scenario = {
  name: 'sessions-100k-restart',
  title:
    '100,000 durable sessions with 3 subscriptions each (10,000 with --quick; what fits into a minute), kill -9, restart: seconds until ready',
  group: 'durable',
  needs: ['many-sessions'],
  store: 'surviving',
  figures: [
    ...restartFigures('sessions'),
    { name: 'sessionsPerSecond', unit: 'per second', better: 'higher' },
    { name: 'sessions', unit: 'count', better: 'higher' },
  ],
  quick: false,
  varies: false,
  rounds: rounds.once,
  expectedSeconds: 50,
  async run(stage) {
    const sessions = stage.quick ? 10_000 : 100_000
    const msMax = stage.quick ? 5000 : 60_000
    const made = await stage.generate({ kind: 'make-sessions', sessions, filtersEach: 3, msMax })
    if (made.faults.length > 0) return made
    const after = await restarted(stage)
    const there = made.figures['sessions'] ?? 0
    const found = await stage.generate({ kind: 'find-sessions', sessions: there, step: 100 })
    return { figures: { ...made.figures, ...after, ...found.figures }, faults: found.faults }
  },
}

const retainedRestart: Scenario = {
  name: 'retained-10k-restart',
  title: '10,000 retained messages of 1 KB stored (QoS 1), kill -9, restart: seconds until ready',
  group: 'durable',
  needs: ['retained'],
  store: 'surviving',
  figures: [
    ...restartFigures('retained'),
    { name: 'storedPerSecond', unit: 'per second', better: 'higher' },
    { name: 'retained', unit: 'count', better: 'higher' },
  ],
  quick: false,
  varies: false,
  rounds: rounds.once,
  expectedSeconds: 5,
  run: (stage) => retainedRun(stage, { ...retainedSpec, payloadBytes: 1024 }, 10_000, 1, true),
}

/** Whether the store costs anything where it has nothing to store. */
const withoutRecipient = throughput({
  name: 'qos1-no-durable-recipient',
  title: 'QoS 1, 10 to 10 clean sessions, 64 B: the default store against --in-memory',
  group: 'durable',
  store: 'own',
  figures: [deliveries, costPerDelivery, eventLoopDelay],
  load: { publishQos: 1, subscribeQos: 1 },
})

export const storedScenarios: readonly Scenario[] = [
  ...online,
  ...offline,
  withoutRecipient,
  drain,
  longQueue,
  sessionsRestart,
  retained,
  retainedRestart,
]
