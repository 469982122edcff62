/**
 * `$SYS/broker/…` with the names and formats of Mosquitto 2.0, which exporters and explorers read.
 *
 * Each namespace has its own, of what is its own; what there is but once (the heap, sockets before their CONNECT) stands in the default one.
 *
 * A pure function from the counters, the clock and what was published before to the topics whose payload changed; the
 * caller publishes them retained, at QoS 2 as Mosquitto does, every `sysIntervalMs`. Payloads are plain numbers except
 * `version` and `uptime`, and no name holds anything of a client's (those of queues and streams are the configuration's), since exporters make metrics of every topic they see.
 */
import type { Counters, NamespaceGauges, Traffic } from '../core/counters.ts'
import type { StreamState } from '../core/ports/streams.ts'
import type { QueueReading } from './queue-metrics.ts'

export const sysIntervalMs = 10_000
/** Queues, and streams, of a namespace that have topics, in the order of the configuration: each has several that are retained. */
export const sysNamedMax = 100

export interface SysReading {
  /** Of the gateway, for the default namespace; of another namespace else. */
  counters: Counters | Traffic
  gauges: NamespaceGauges
  /** Of the namespace, at most so many. */
  queues: readonly QueueReading[]
  streams: readonly StreamState[]
  /** Milliseconds of a clock that never goes back, as `startedMs`. */
  nowMs: number
  startedMs: number
  /** Undefined: not of the default namespace. */
  heapBytes: number | undefined
  version: string
}

/** What the next call has to be given back. */
export interface SysState {
  readonly published: ReadonlyMap<string, string>
  readonly atMs: number
  readonly loads: ReadonlyMap<string, Load>
  readonly clientsMaximum: number
  readonly heapMaximumBytes: number
}

interface Load {
  /** The counter as it was. */
  count: number
  /** Events per minute, averaged exponentially over 1, 5 and 15 minutes. */
  perMinute: readonly number[]
}

export interface SysMessage {
  topic: string
  payload: string
}

const loadMinutes = [1, 5, 15] as const

/** The messages that changed since `before` (all of them, where that is undefined) and the state for the next call. */
export function sysTopics(
  before: SysState | undefined,
  reading: SysReading,
): { messages: SysMessage[]; state: SysState } {
  const clientsMaximum = Math.max(before?.clientsMaximum ?? 0, reading.gauges.connections)
  const heapMaximumBytes = Math.max(before?.heapMaximumBytes ?? 0, reading.heapBytes ?? 0)
  const loads = nextLoads(before, reading)
  const published = new Map<string, string>([
    ['$SYS/broker/version', `mqtide version ${reading.version}`],
    ['$SYS/broker/uptime', `${Math.floor((reading.nowMs - reading.startedMs) / 1000)} seconds`],
    ...reading.queues.flatMap((queue) => numbers(`$SYS/broker/queues/${queue.name}/`, ofQueue(queue))),
    ...reading.streams.flatMap((stream) => numbers(`$SYS/broker/streams/${stream.name}/`, ofStream(stream))),
    ...numbers('$SYS/broker/', {
      ...totals(reading),
      'clients/maximum': clientsMaximum,
      ...(reading.heapBytes !== undefined && { 'heap/current': reading.heapBytes, 'heap/maximum': heapMaximumBytes }),
    }),
  ])
  for (const [name, load] of loads) {
    loadMinutes.forEach((minutes, index) => {
      published.set(`$SYS/broker/load/${name}/${minutes}min`, load.perMinute[index]!.toFixed(2))
    })
  }
  const messages: SysMessage[] = []
  for (const [topic, payload] of published) {
    if (before?.published.get(topic) !== payload) messages.push({ topic, payload })
  }
  return { messages, state: { published, atMs: reading.nowMs, loads, clientsMaximum, heapMaximumBytes } }
}

function numbers(prefix: string, values: Record<string, number>): [string, string][] {
  return Object.entries(values).map(([name, value]) => [prefix + name, String(value)])
}

function ofQueue({ ready, leased, waiting, bytes, consumers, totals: { settled, deadLettered } }: QueueReading) {
  return { ready, leased, waiting, bytes, consumers, settled, dead_lettered: deadLettered }
}

function ofStream({ messages, bytes, readers, nextOffset, totals: { appended, delivered } }: StreamState) {
  return { messages, bytes, readers, next_offset: nextOffset, appended, delivered }
}

function totals({ counters, gauges }: SysReading): Record<string, number> {
  const disconnected = Math.max(0, gauges.sessions - gauges.connections)
  const storedMessages = gauges.queuedMessages + gauges.retainedMessages
  return {
    'clients/total': Math.max(gauges.sessions, gauges.connections),
    'clients/inactive': disconnected,
    'clients/disconnected': disconnected,
    'clients/active': gauges.connections,
    'clients/connected': gauges.connections,
    'clients/expired': counters.sessionsExpired,
    'connections/socket/count': gauges.connections,
    'messages/stored': storedMessages,
    'messages/received': sum(counters.packetsReceived),
    'messages/sent': sum(counters.packetsSent),
    'store/messages/count': storedMessages,
    'store/messages/bytes': gauges.queuedBytes + gauges.retainedBytes,
    'subscriptions/count': gauges.subscriptions,
    'shared_subscriptions/count': gauges.sharedSubscriptions,
    'retained messages/count': gauges.retainedMessages,
    'delayed/count': gauges.delayedMessages,
    'delayed/bytes': gauges.delayedBytes,
    'delayed/published': counters.delayedPublished,
    'delayed/cancelled': counters.delayedCancelled,
    'publish/messages/dropped': sum(counters.messagesDropped.counts.values()),
    'publish/messages/received': sum(counters.messagesReceived),
    'publish/messages/sent': sum(counters.messagesSent),
    'publish/bytes/received': counters.publishBytesReceived,
    'publish/bytes/sent': counters.publishBytesSent,
    'bytes/received': counters.bytesReceived,
    'bytes/sent': counters.bytesSent,
  }
}

/** The counters that have a load average, by the name below `load/`. */
function loadCounts({ counters }: SysReading): Record<string, number> {
  return {
    'messages/received': sum(counters.packetsReceived),
    'messages/sent': sum(counters.packetsSent),
    'publish/dropped': sum(counters.messagesDropped.counts.values()),
    'publish/received': sum(counters.messagesReceived),
    'publish/sent': sum(counters.messagesSent),
    'bytes/received': counters.bytesReceived,
    'bytes/sent': counters.bytesSent,
    ...('connectionsAccepted' in counters && {
      sockets: counters.connectionsAccepted,
      connections: sum(counters.connects.counts.values()),
    }),
  }
}

/** Exponential averages as of a Unix load: a period of n minutes forgets all but 1/e of what was n minutes ago. */
function nextLoads(before: SysState | undefined, reading: SysReading): Map<string, Load> {
  const elapsedMinutes = (reading.nowMs - (before?.atMs ?? reading.startedMs)) / 60_000
  const loads = new Map<string, Load>()
  for (const [name, count] of Object.entries(loadCounts(reading))) {
    const last = before?.loads.get(name) ?? { count: 0, perMinute: loadMinutes.map(() => 0) }
    const rate = elapsedMinutes > 0 ? (count - last.count) / elapsedMinutes : 0
    const perMinute = loadMinutes.map((minutes, index) => {
      const kept = Math.exp(-elapsedMinutes / minutes)
      return rate + kept * (last.perMinute[index]! - rate)
    })
    loads.set(name, { count, perMinute })
  }
  return loads
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
