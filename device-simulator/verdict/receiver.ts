/**
 * The receiver's side of the books. A receiver is one session with its plain subscriptions, or one shared subscription
 * with all its members; a flow is what one receiver got of one sender's stream.
 *
 * Judging waits for the end of the run; here only facts are kept: which sequences arrived, which twice, which after a
 * higher one, and which could not be expected because a clean session was away.
 */
import { RangeSet } from './range-set.ts'

export const offendersMax = 5
/** Copies in flight to a member of a shared subscription when its clean session ended; they may die with it. */
const sharedWindowMessages = 1000

export const streamKey = (device: number, stream: number): number => device * 4096 + stream

export class Flow {
  readonly key: number
  readonly topic: string
  readonly received = new RangeSet()
  highest = -1
  duplicates = 0
  duplicated: RangeSet | undefined
  outOfOrder = 0
  readonly firstOutOfOrder: number[] = []
  excused: RangeSet | undefined
  /** The sequence after the highest when a clean session last ended. */
  awayFrom = 0

  constructor(key: number, topic: string) {
    this.key = key
    this.topic = topic
  }

  /** What there is to say about it, before the verdict. */
  take(sequence: number): 'first' | 'duplicate' | 'late' {
    let kind: 'first' | 'duplicate' | 'late' = 'first'
    if (!this.received.add(sequence)) {
      this.duplicates += 1
      this.duplicated ??= new RangeSet()
      this.duplicated.add(sequence)
      kind = 'duplicate'
    } else if (sequence < this.highest) {
      this.outOfOrder += 1
      if (this.firstOutOfOrder.length < offendersMax) this.firstOutOfOrder.push(sequence)
      kind = 'late'
    }
    if (sequence > this.highest) this.highest = sequence
    return kind
  }

  excuse(first: number, last: number): void {
    if (last < first) return
    this.excused ??= new RangeSet()
    this.excused.addRange(first, last)
  }
}

export interface ReceiverSubscription {
  filter: string
  /** As granted in the SUBACK; 128 or more when refused, -1 before any. */
  granted: number
  /** The client's own messages are not for it. */
  noLocal: boolean
}

export interface ReceiverIdentity {
  id: string
  group: string
  broker: string
  durable: boolean
  shared: boolean
  /** Speaks MQTT 5.0; a shared subscription reads what all its members can read. */
  readsProperties: boolean
}

export class Receiver {
  readonly id: string
  readonly group: string
  readonly broker: string
  readonly durable: boolean
  readonly shared: boolean
  readonly readsProperties: boolean
  readonly subscriptions: ReceiverSubscription[]
  readonly flows = new Map<number, Flow>()
  corrupted = 0
  misrouted = 0
  /** First copies that did not come with the lower one of the QoS published and granted. */
  wrongQos = 0
  retainedDeliveries = 0
  sessionsLost = 0
  isAway = true
  /** Connections of the session, or of all members of the shared subscription. */
  online = 0
  readonly firstCorrupted: string[] = []
  readonly firstMisrouted: string[] = []
  readonly firstWrongQos: string[] = []

  constructor(identity: ReceiverIdentity, filters: readonly { filter: string; noLocal: boolean }[]) {
    this.id = identity.id
    this.group = identity.group
    this.broker = identity.broker
    this.durable = identity.durable
    this.shared = identity.shared
    this.readsProperties = identity.readsProperties
    this.subscriptions = filters.map(({ filter, noLocal }) => ({ filter, granted: -1, noLocal }))
  }

  flow(device: number, stream: number, topic: string): Flow {
    const key = streamKey(device, stream)
    let flow = this.flows.get(key)
    if (flow === undefined) {
      flow = new Flow(key, topic)
      this.flows.set(key, flow)
    }
    return flow
  }

  /**
   * A clean session has ended. What comes next may come before its SUBACK does, so the gap is measured from here; a
   * connection that broke before its SUBACK belongs to the same gap.
   */
  onAway(): void {
    if (this.isAway) return
    this.isAway = true
    for (const flow of this.flows.values()) flow.awayFrom = flow.highest + 1
  }

  /** Everything up to `sentSoFar` (exclusive) that has not arrived was published while a clean session was away. */
  excuseUpTo(device: number, stream: number, topic: string, sentSoFar: number): void {
    if (sentSoFar === 0) return
    const flow = this.flow(device, stream, topic)
    const from = this.shared ? Math.max(0, flow.highest + 1 - sharedWindowMessages) : flow.awayFrom
    flow.excuse(from, sentSoFar - 1)
  }

  corrupt(topic: string): void {
    this.corrupted += 1
    if (this.firstCorrupted.length < offendersMax) this.firstCorrupted.push(topic)
  }

  misroute(topic: string): void {
    this.misrouted += 1
    if (this.firstMisrouted.length < offendersMax) this.firstMisrouted.push(topic)
  }

  mistakeQos(text: string): void {
    this.wrongQos += 1
    if (this.firstWrongQos.length < offendersMax) this.firstWrongQos.push(text)
  }

  snapshot(): ReceiverSnapshot {
    return {
      id: this.id,
      group: this.group,
      broker: this.broker,
      durable: this.durable,
      shared: this.shared,
      readsProperties: this.readsProperties,
      subscriptions: this.subscriptions,
      corrupted: this.corrupted,
      misrouted: this.misrouted,
      wrongQos: this.wrongQos,
      online: this.online,
      retainedDeliveries: this.retainedDeliveries,
      sessionsLost: this.sessionsLost,
      firstCorrupted: this.firstCorrupted,
      firstMisrouted: this.firstMisrouted,
      firstWrongQos: this.firstWrongQos,
      flows: [...this.flows.values()].map((flow) => ({
        key: flow.key,
        topic: flow.topic,
        received: flow.received.toPairs(),
        duplicates: flow.duplicates,
        duplicated: flow.duplicated?.toPairs() ?? [],
        outOfOrder: flow.outOfOrder,
        firstOutOfOrder: flow.firstOutOfOrder,
        excused: flow.excused?.toPairs() ?? [],
      })),
    }
  }
}

/** Plain data, for another thread. */
export interface FlowSnapshot {
  key: number
  topic: string
  received: number[]
  duplicates: number
  duplicated: number[]
  outOfOrder: number
  firstOutOfOrder: number[]
  excused: number[]
}

export interface ReceiverSnapshot extends ReceiverIdentity {
  subscriptions: ReceiverSubscription[]
  corrupted: number
  misrouted: number
  wrongQos: number
  online: number
  retainedDeliveries: number
  sessionsLost: number
  firstCorrupted: string[]
  firstMisrouted: string[]
  firstWrongQos: string[]
  flows: FlowSnapshot[]
}

/** Members of one shared subscription may have run in several threads: one receiver per id comes out. */
export function mergeReceivers(snapshots: readonly ReceiverSnapshot[]): ReceiverSnapshot[] {
  const merged = new Map<string, ReceiverSnapshot>()
  for (const snapshot of snapshots) {
    const known = merged.get(snapshot.id)
    merged.set(snapshot.id, known === undefined ? snapshot : mergeTwo(known, snapshot))
  }
  return [...merged.values()]
}

function mergeTwo(a: ReceiverSnapshot, b: ReceiverSnapshot): ReceiverSnapshot {
  const flows = new Map(a.flows.map((flow) => [flow.key, flow]))
  for (const flow of b.flows) {
    const known = flows.get(flow.key)
    flows.set(flow.key, known === undefined ? flow : mergeFlows(known, flow))
  }
  return {
    ...a,
    durable: a.durable && b.durable,
    readsProperties: a.readsProperties && b.readsProperties,
    subscriptions: a.subscriptions.map((subscription, i) => ({
      filter: subscription.filter,
      noLocal: subscription.noLocal,
      granted: Math.max(subscription.granted, b.subscriptions[i]?.granted ?? -1),
    })),
    corrupted: a.corrupted + b.corrupted,
    misrouted: a.misrouted + b.misrouted,
    wrongQos: a.wrongQos + b.wrongQos,
    online: a.online + b.online,
    retainedDeliveries: a.retainedDeliveries + b.retainedDeliveries,
    sessionsLost: a.sessionsLost + b.sessionsLost,
    firstCorrupted: [...a.firstCorrupted, ...b.firstCorrupted].slice(0, offendersMax),
    firstMisrouted: [...a.firstMisrouted, ...b.firstMisrouted].slice(0, offendersMax),
    firstWrongQos: [...a.firstWrongQos, ...b.firstWrongQos].slice(0, offendersMax),
    flows: [...flows.values()],
  }
}

function mergeFlows(a: FlowSnapshot, b: FlowSnapshot): FlowSnapshot {
  const received = RangeSet.from(a.received)
  const both = RangeSet.from(b.received)
  const overlap = both.without(both.without(received))
  const duplicated = RangeSet.from(a.duplicated)
  duplicated.addAll(RangeSet.from(b.duplicated))
  duplicated.addAll(overlap)
  const present = received.addAll(both)
  const excused = RangeSet.from(a.excused)
  excused.addAll(RangeSet.from(b.excused))
  return {
    ...a,
    received: received.toPairs(),
    duplicates: a.duplicates + b.duplicates + present,
    duplicated: duplicated.toPairs(),
    outOfOrder: a.outOfOrder + b.outOfOrder,
    firstOutOfOrder: [...a.firstOutOfOrder, ...b.firstOutOfOrder].slice(0, offendersMax),
    excused: excused.toPairs(),
  }
}
