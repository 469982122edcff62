/** Jobs in a queue that workers share: filled while they are away, worked off while it is filled, and what queues cost that get nothing. */
import { defaultLoad, type LoadSpec } from '../generator/load.ts'
import { costPerDelivery, deliveries, eventLoopDelay, rounds, type Scenario, throughput } from './scenario.ts'
import { acknowledged, drained, fillAndDrain } from './stored.ts'

const jobs: Partial<LoadSpec> = { topology: 'queue', publishQos: 1, subscribeQos: 1 }

/** More than the workers hold for as long as one job takes. */
const lateWindowMessages = 20_000
const lateMs = 50
/** `prefetch` in the gateway's declaration (`peers/mqtide.ts`). */
const workerJobsMax = 1000

const away: Scenario = {
  name: 'queue-away',
  title: 'a queue: 10 publishers at QoS 1, 10 workers away, 64 B, 2,000 outstanding; then worked off',
  group: 'durable',
  needs: ['mqtt-queues'],
  store: 'durable',
  figures: [acknowledged, drained, eventLoopDelay],
  quick: true,
  varies: false,
  rounds: rounds.compared,
  expectedSeconds: 10,
  run(stage) {
    const spec: LoadSpec = { ...defaultLoad, ...jobs, durable: true, windowMessages: 2000 }
    return fillAndDrain(stage, spec, stage.quick ? 50_000 : 1_000_000, false)
  },
}

interface OnlineFields {
  name: string
  title: string
  windowMessages: number
  answerAfterMs: number
}

/** Over MQTT where the broker's queues can be consumed so, else in its own protocol. */
function online({ name, title, windowMessages, answerAfterMs }: OnlineFields): Scenario {
  const overMqtt = throughput({
    name,
    title,
    group: 'durable',
    store: 'durable',
    needs: ['queues'],
    quick: true,
    figures: [deliveries, costPerDelivery, eventLoopDelay],
    load: { ...jobs, windowMessages, answerAfterMs },
  })
  return {
    ...overMqtt,
    run(stage) {
      const { broker, place } = stage.broker
      if (broker.workQueue === undefined) return overMqtt.run(stage)
      const { publishers, subscribers: workers, payloadBytes } = defaultLoad
      const spec = { publishers, workers, payloadBytes, windowMessages, answerAfterMs, prefetch: workerJobsMax }
      const { warmupMs, measureMs } = stage
      return stage.generate({ kind: 'work-queue', spec, endpoint: broker.workQueue(place), warmupMs, measureMs })
    },
  }
}

export const queueScenarios: readonly Scenario[] = [
  away,
  online({
    name: 'queue-online',
    title:
      'a queue: 10 publishers that wait for the broker, 10 workers that answer at once, so that most jobs are settled before their batch is written, 64 B',
    windowMessages: 4000,
    answerAfterMs: 0,
  }),
  online({
    name: 'queue-online-late',
    title: `a queue: 10 publishers that wait for the broker, 10 workers with up to ${workerJobsMax.toLocaleString('en')} jobs each that take ${lateMs} ms, so that every job is written, 64 B`,
    windowMessages: lateWindowMessages,
    answerAfterMs: lateMs,
  }),
  throughput({
    name: 'qos0-pair-idle-queues',
    title: 'QoS 0, 10 publishers to 10 subscribers, 64 B, beside 100 queues that get nothing: compare with qos0-pair',
    needs: ['idle-queues'],
    load: {},
  }),
]
