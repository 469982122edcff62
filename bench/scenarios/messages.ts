/** How many messages pass: pairs, fan-out, fan-in, payload sizes, MQTT 5, routing. */

import type { LoadSpec } from '../generator/load.ts'
import { benchUser } from '../peers/access.ts'
import { type Scenario, throughput } from './scenario.ts'

const qosPairs: Scenario[] = ([0, 1, 2] as const).map((qos) =>
  throughput({
    name: `qos${qos}-pair`,
    title: `QoS ${qos}, 10 publishers to 10 subscribers, 64 B, clean sessions`,
    quick: true,
    load: { publishQos: qos, subscribeQos: qos },
  }),
)

/** Publishes outstanding towards all subscribers: enough that the broker never waits for the generator. */
const fanOutPublishes = 32

export function fanOutLoad(subscribers: number): Partial<LoadSpec> {
  const windowMessages = Math.max(4000, subscribers * fanOutPublishes)
  return { topology: 'fan-out', publishers: 1, subscribers, windowMessages }
}

const transports = { tcp: 'TCP', websocket: 'WebSocket', tls: 'TLS' } as const

function fanOut(subscribers: number, transport: keyof typeof transports): Scenario {
  return throughput({
    name: `fan-out-${subscribers}${transport === 'tcp' ? '' : `-${transport}`}`,
    title: `QoS 0 fan-out 1 to ${subscribers}, 64 B, ${transports[transport]} subscribers`,
    transport,
    quick: subscribers === 500 && transport !== 'tls',
    varies: subscribers !== 500 || transport === 'tls',
    load: fanOutLoad(subscribers),
  })
}

const fanOuts: Scenario[] = [
  ...[10, 100, 500, 2000].map((subscribers) => fanOut(subscribers, 'tcp')),
  ...[10, 100, 500, 2000].map((subscribers) => fanOut(subscribers, 'websocket')),
  fanOut(100, 'tls'),
  fanOut(500, 'tls'),
]

const fanIns: Scenario[] = [
  throughput({
    name: 'fan-in-500',
    title: 'QoS 0 fan-in 500 to 1, 64 B, 20 messages of each publisher outstanding',
    quick: true,
    load: { topology: 'fan-in', publishers: 500, subscribers: 1, windowMessages: 10_000 },
  }),
  throughput({
    name: 'fan-in-500-single',
    title: 'QoS 0 fan-in 500 to 1, 64 B, one message per write (the system calls decide)',
    quick: true,
    load: { topology: 'fan-in', publishers: 500, subscribers: 1, windowMessages: 5000, burstMessagesMax: 1 },
  }),
]

const payloadSizes = { '16b': 16, '256b': 256, '4kb': 4096, '256kb': 262_144 } as const
const payloads: Scenario[] = Object.entries(payloadSizes).map(([name, payloadBytes]) =>
  throughput({
    name: `payload-${name}`,
    title: `QoS 0, 10 publishers to 10 subscribers, ${payloadBytes} B`,
    varies: true,
    load: { payloadBytes, windowMessages: payloadBytes > 65_536 ? 100 : 4000 },
  }),
)

const five: Scenario[] = [
  throughput({
    name: 'mqtt5-properties',
    title: 'MQTT 5, QoS 0, 10 to 10, 64 B, six properties per message',
    varies: true,
    load: { version: 5, properties: true },
  }),
  throughput({
    name: 'mqtt5-aliases',
    title: 'MQTT 5, QoS 0, 10 to 10, 64 B, six properties, topic aliases from the publishers',
    quick: true,
    load: { version: 5, properties: true, topicAliases: true },
  }),
  throughput({
    name: 'mqtt5-qos1',
    title: 'MQTT 5, QoS 1, 10 to 10, 64 B, six properties',
    varies: true,
    load: { version: 5, properties: true, publishQos: 1, subscribeQos: 1 },
  }),
  throughput({
    name: 'shared',
    title: 'QoS 0, 10 publishers, one shared subscription of 10 members, 64 B',
    needs: ['shared'],
    load: { topology: 'shared' },
  }),
  throughput({
    name: 'shared-qos1',
    title: 'QoS 1, 10 publishers, one shared subscription of 10 members, 64 B',
    varies: true,
    needs: ['shared'],
    load: { topology: 'shared', publishQos: 1, subscribeQos: 1 },
  }),
]

/** The topics go round, so a cache smaller than them all never holds the one that comes next. */
const manyTopics: Scenario[] = [10_000, 200_000].map((topics) =>
  throughput({
    name: `topics-${topics}`,
    title: `QoS 0, 10 to 10, ${topics.toLocaleString('en')} topics in turn, wildcard subscriptions, 64 B`,
    group: 'routing',
    varies: true,
    load: { topicsPerPublisher: topics / 10 },
  }),
)

const crowds: Scenario[] = (
  [
    ['1k', 1000],
    ['100k', 100_000],
    ['1m', 1_000_000],
  ] as const
).map(([name, crowdSubscriptions]) =>
  throughput({
    name: `subscriptions-${name}`,
    title: `QoS 0, 10 to 10 over 100,000 topics in turn, among ${crowdSubscriptions.toLocaleString('en')} other subscriptions, 10 % with wildcards`,
    group: 'routing',
    quick: crowdSubscriptions <= 100_000,
    series: 'subscriptions',
    varies: true,
    expectedSeconds: crowdSubscriptions > 100_000 ? 15 : 5,
    crowdSubscriptions,
    figures: [
      { name: 'deliveredPerSecond', unit: 'per second', better: 'higher' },
      { name: 'brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' },
      { name: 'bytesPerSubscription', unit: 'bytes', better: 'lower' },
    ],
    load: { topicsPerPublisher: 10_000 },
  }),
)

/** Declared so that they appear in every table until the gateway offers what they need. */
const notYet: Scenario[] = [
  throughput({
    name: 'fan-out-500-json-websocket',
    title: 'Fan-out 1 to 500 browsers on the JSON WebSocket, 64 B',
    needs: ['json-websocket'],
    transport: 'websocket',
    load: fanOutLoad(500),
  }),
]

/** What it costs to be safe: compare with the rows of the same name without. */
const guarded: Scenario[] = [
  throughput({
    name: 'qos0-pair-password-acl',
    title: 'QoS 0, 10 to 10, 64 B, users with passwords and an ACL file of 100 lines',
    needs: ['password', 'acl'],
    load: benchUser,
  }),
  ...([0, 1] as const).map((qos) =>
    throughput({
      name: `qos${qos}-pair-tls`,
      title: `QoS ${qos}, 10 publishers to 10 subscribers, 64 B, all of them over TLS`,
      transport: 'tls',
      publisherTransport: 'tls',
      load: { publishQos: qos, subscribeQos: qos },
    }),
  ),
]

export const messageScenarios: readonly Scenario[] = [
  ...qosPairs,
  ...fanOuts,
  ...fanIns,
  ...payloads,
  ...five,
  ...guarded,
  ...notYet,
  ...manyTopics,
  ...crowds,
]
