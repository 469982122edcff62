/** A stream: filled while nobody reads, replayed by one reader from its beginning, and followed at its end by a thousand. */
import { defaultLoad, type LoadSpec } from '../generator/load.ts'
import { costPerDelivery, deliveries, eventLoopDelay, rounds, type Scenario, throughput } from './scenario.ts'
import { acknowledged, drained, fillAndDrain } from './stored.ts'

const replay: Scenario = {
  name: 'stream-replay',
  title: 'a stream: 10 publishers at QoS 1, its one reader away, 64 B, 2,000 outstanding; then read from its beginning',
  group: 'durable',
  needs: ['streams'],
  store: 'durable',
  figures: [acknowledged, drained, eventLoopDelay],
  quick: true,
  varies: false,
  rounds: rounds.compared,
  expectedSeconds: 10,
  run(stage) {
    const qosLoad = { publishQos: 1, subscribeQos: 1 } as const
    const spec: LoadSpec = { ...defaultLoad, ...qosLoad, topology: 'stream', subscribers: 1, windowMessages: 2000 }
    return fillAndDrain(stage, { ...spec, durable: true }, stage.quick ? 50_000 : 1_000_000, false)
  },
}

export const streamScenarios: readonly Scenario[] = [
  replay,
  throughput({
    name: 'stream-tail-1000',
    title:
      'a stream: 1 publisher at QoS 1, 1,000 readers at its end at QoS 1, 64 B: compare with the fan-out to as many subscribers',
    group: 'durable',
    store: 'durable',
    needs: ['streams'],
    quick: false,
    figures: [deliveries, costPerDelivery, eventLoopDelay],
    load: {
      topology: 'stream',
      publishQos: 1,
      subscribeQos: 1,
      publishers: 1,
      subscribers: 1000,
      windowMessages: 50_000,
    },
  }),
]
