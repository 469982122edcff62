/** Connections themselves: storms, idle memory, a stalled subscriber; and latency at a share of capacity. */
import { defaultLoad, type LoadSpec } from '../generator/load.ts'
import { fanOutLoad } from './messages.ts'
import { deliveries, type Figure, rounds, type Scenario } from './scenario.ts'

const bytesEach = (count: number): Figure => ({ name: `bytesEach.${count}`, unit: 'bytes', better: 'lower' })

/** A broker that can't take 10,000 connections in time won't take 18,000. */
const series = 'many-connections'

const storm: Scenario = {
  name: 'connection-storm',
  series,
  title: '10,000 clients connect at once: seconds until every one has its CONNACK',
  group: 'connections',
  needs: [],
  store: 'memory',
  figures: [{ name: 'seconds', unit: 'seconds', better: 'lower' }],
  quick: true,
  varies: false,
  rounds: rounds.once,
  expectedSeconds: 4,
  run: ({ generate }) => generate({ kind: 'storm', connections: 10_000, pendingMax: 2000 }),
}

/** The client's side of a handshake costs a generator as much as the broker's side costs that: its own processor time counts. */
function handshakes(name: string, how: string, resumed: boolean): Scenario {
  return {
    name,
    title: `TLS 1.3 with an ECDSA P-256 key, 2,000 clients connect with ${how}: processor time of the broker for each`,
    group: 'connections',
    needs: ['tls'],
    store: 'memory',
    figures: [
      { name: 'brokerMicrosecondsPerConnect', unit: 'microseconds', better: 'lower' },
      { name: 'connectsPerSecond', unit: 'per second', better: 'higher' },
    ],
    quick: false,
    varies: false,
    rounds: rounds.compared,
    expectedSeconds: 8,
    run: ({ generate }) => generate({ kind: 'storm', connections: 2000, pendingMax: 64, resumed }, 'tls'),
  }
}

function idle(name: string, connections: readonly [number, ...number[]], quick: boolean): Scenario {
  const last = connections.at(-1)!
  const after: Figure = { name: `bytesEachAfterTraffic.${last}`, unit: 'bytes', better: 'lower' }
  return {
    name,
    title: `resident memory per idle connection at ${connections.join(', ')}; at the end again after 64 KB both ways on each`,
    group: 'connections',
    ...(last > 10_000 ? { series } : {}),
    needs: [],
    store: 'memory',
    figures: [after, ...connections.map(bytesEach)],
    quick,
    varies: false,
    rounds: rounds.once,
    expectedSeconds: last > 1000 ? 40 : 6,
    run: ({ generate }) => generate({ kind: 'idle', connections, carryBytes: 65_536 }),
  }
}

const stalled: Scenario = {
  name: 'stalled-subscriber',
  title: 'QoS 0 fan-out 1 to 100, one subscriber stops reading: share of throughput the other 99 keep',
  group: 'connections',
  needs: [],
  store: 'memory',
  figures: [
    { name: 'keptShare', unit: 'share', better: 'higher' },
    { name: 'stalledPerSecond', unit: 'per second', better: 'higher' },
  ],
  quick: true,
  varies: false,
  rounds: rounds.compared,
  expectedSeconds: 8,
  run({ generate, warmupMs, measureMs }) {
    return generate({ kind: 'stalled', spec: { ...defaultLoad, ...fanOutLoad(100) }, warmupMs, measureMs })
  },
}

function latency(name: string, title: string, load: Partial<LoadSpec>, quick: boolean): Scenario {
  const at = (share: number, percentile: string): Figure => {
    return { name: `at${share}.${percentile}`, unit: 'microseconds', better: 'lower' }
  }
  return {
    name,
    title: `${title}: latency at 10, 50 and 80 % of the broker's own capacity (open loop, from the time due)`,
    group: 'latency',
    needs: [],
    store: 'memory',
    figures: [
      at(50, 'p99'),
      at(10, 'p50'),
      at(10, 'p99'),
      at(50, 'p50'),
      at(50, 'p999'),
      at(80, 'p50'),
      at(80, 'p99'),
      deliveries,
    ],
    quick,
    varies: false,
    rounds: rounds.once,
    expectedSeconds: 12,
    run({ generate, warmupMs, measureMs }) {
      const spec = { ...defaultLoad, ...load }
      return generate({ kind: 'latency', spec, shares: [0.1, 0.5, 0.8], warmupMs, measureMs })
    },
  }
}

export const connectionScenarios: readonly Scenario[] = [
  storm,
  handshakes('tls-handshakes', 'full handshakes', false),
  handshakes('tls-handshakes-resumed', 'resumed sessions', true),
  idle('idle-memory', [1000, 10_000, 18_000], false),
  idle('idle-memory-1k', [1000], true),
  stalled,
  latency('latency-qos0', 'QoS 0, 10 to 10, 64 B', {}, false),
  latency('latency-qos1', 'QoS 1, 10 to 10, 64 B', { publishQos: 1, subscribeQos: 1 }, false),
  latency('latency-fan-out-500', 'QoS 0 fan-out 1 to 500, 64 B', fanOutLoad(500), false),
]
