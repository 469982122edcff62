/**
 * The verdict: what was sent against what arrived, by what MQTT promises.
 *
 * | published x subscribed QoS | loss                                   | duplicates                           |
 * |----------------------------|----------------------------------------|--------------------------------------|
 * | either is 0                | allowed, counted                       | only if published with QoS 1         |
 * | lower one is 1             | none of what the broker acknowledged   | allowed, counted                     |
 * | both are 2                 | none of what the broker acknowledged   | none while the sessions last         |
 *
 * A clean session is promised nothing while it is away: those messages are excused. A durable one is owed everything
 * that was acknowledged after its SUBACK. The first copies of one stream (one topic, one QoS) arrive in their order;
 * a shared subscription spreads them over its members and is not held to that. Subscriptions of one session that
 * overlap may give one copy each. Deliveries must match a filter, carry the sender's topic and be whole, and come with the lower
 * one of the QoS published and granted.
 *
 * What a receiver was still owed when the run ended, because it was away or because messages still arrived, is undelivered,
 * not lost: nobody knows whether it would have come.
 */
import { judgeQueue, type QueueFacts, type QueueFigures } from './judge-queues.ts'
import { RangeSet } from './range-set.ts'
import { type FlowSnapshot, offendersMax, type ReceiverSnapshot, streamKey } from './receiver.ts'
import type { SenderSnapshot } from './sender.ts'
import { TopicIndex } from './topic.ts'

/** `done once`: of a queue, see `judge-queues.ts`. */
export type Promised = 'at most once' | 'at least once' | 'exactly once' | 'done once'

export interface SenderFacts extends SenderSnapshot {
  group: string
  broker: string
  clientId: string
  durable: boolean
  /** A module chose other topics than the publication's: routing and order can't be judged. */
  topicVaries: boolean
  /** The envelope is a user property: receivers of MQTT 3.x can't see it. */
  inProperty: boolean
}

export interface VerdictRow {
  from: string
  to: string
  publishedQos: number
  deliveredQos: number
  senderSession: 'clean' | 'durable'
  receiverSession: 'clean' | 'durable' | 'shared' | 'queue'
  promise: Promised
  flows: number
  expected: number
  received: number
  /** Lost against the promise. */
  lost: number
  /** Owed when the run ended, to a receiver that was away or still receiving. */
  undelivered: number
  /** Lost where the promise allows it (QoS 0). */
  lostAllowed: number
  /** Published while a clean session was away. */
  excused: number
  duplicates: number
  duplicatesAllowed: number
  outOfOrder: number
  offenders: string[]
}

export interface Verdict {
  rows: VerdictRow[]
  queues: QueueFigures[]
  expected: number
  received: number
  lost: number
  undelivered: number
  lostAllowed: number
  excused: number
  duplicates: number
  duplicatesAllowed: number
  outOfOrder: number
  corrupted: number
  misrouted: number
  wrongQos: number
  /** Groups whose messages no subscription of the run matches, with how many they sent. */
  unconsumed: Record<string, number>
  refusedSubscriptions: number
  sessionsLost: number
  unacknowledged: number
  refused: number
  /** Broken promises: lost, duplicates, outOfOrder, corrupted, misrouted and wrongQos together. */
  violations: number
  offenders: string[]
}

interface Match {
  deliveredQos: number
  filters: number
}

/** The senders whose topics a receiver's granted filters match, with the highest QoS among those filters. */
function matchesOf(receiver: ReceiverSnapshot, senders: TopicIndex<SenderFacts>): Map<SenderFacts, Match> {
  const matches = new Map<SenderFacts, Match>()
  for (const { filter, granted, noLocal } of receiver.subscriptions) {
    if (granted < 0 || granted > 2) continue
    for (const sender of senders.matching(filter)) {
      if (noLocal && sender.clientId === receiver.id) continue
      const deliveredQos = Math.min(granted, sender.stream % 3)
      const known = matches.get(sender)
      if (known === undefined) {
        matches.set(sender, { deliveredQos, filters: 1 })
      } else {
        known.filters += 1
        known.deliveredQos = Math.max(known.deliveredQos, deliveredQos)
      }
    }
  }
  return matches
}

function promiseOf(qos: number): Promised {
  return qos === 0 ? 'at most once' : qos === 1 ? 'at least once' : 'exactly once'
}

function duplicatesAreAllowed(sender: SenderFacts, { deliveredQos, filters }: Match): boolean {
  const publishedQos = sender.stream % 3
  if (filters > 1 || publishedQos === 1 || deliveredQos === 1) return true
  return publishedQos === 2 && sender.resentAcrossSessions
}

const noFlow: FlowSnapshot = {
  key: 0,
  topic: '',
  received: [],
  duplicates: 0,
  duplicated: [],
  outOfOrder: 0,
  firstOutOfOrder: [],
  excused: [],
}

function everythingSent(sender: SenderFacts): RangeSet {
  const all = new RangeSet()
  all.addRange(0, sender.sent - 1)
  return all
}

/** One stream as one receiver should have got it. */
interface JudgedFlow {
  sender: SenderFacts
  receiver: ReceiverSnapshot
  matched: Match
  flow: FlowSnapshot
  /** What is missing may still have been on its way. */
  unfinished: boolean
}

function judgeFlow(row: VerdictRow, { sender, receiver, matched, flow, unfinished }: JudgedFlow): void {
  const received = RangeSet.from(flow.received)
  const excused = RangeSet.from(flow.excused)
  const owed = matched.deliveredQos === 0 ? everythingSent(sender) : RangeSet.from(sender.acknowledged)
  const missing = owed.without(received)
  const lost = missing.without(excused)
  const repeated = RangeSet.from(sender.repeated)
  const injected = Math.min(flow.duplicates, RangeSet.from(flow.duplicated).intersectionSize(repeated))
  const duplicates = flow.duplicates - injected
  const allowed = duplicatesAreAllowed(sender, matched)
  row.flows += 1
  row.expected += owed.size
  row.received += received.size
  row.excused += missing.size - lost.size
  row.duplicatesAllowed += injected + (allowed ? duplicates : 0)
  if (matched.deliveredQos === 0) row.lostAllowed += lost.size
  else if (unfinished) row.undelivered += lost.size
  else row.lost += lost.size
  if (!allowed) row.duplicates += duplicates
  if (!receiver.shared && !sender.topicVaries) row.outOfOrder += flow.outOfOrder
  const name = (what: string, sequence: number): string =>
    `${what}: ${sender.clientId} ${sender.topic} QoS ${sender.stream % 3} #${sequence} -> ${receiver.id}`
  if (matched.deliveredQos > 0 && !unfinished)
    offend(
      row,
      lost.first(offendersMax).map((sequence) => name('lost', sequence)),
    )
  if (!allowed && duplicates > 0) {
    const twice = RangeSet.from(flow.duplicated).without(repeated)
    offend(
      row,
      twice.first(offendersMax).map((sequence) => name('duplicate', sequence)),
    )
  }
  if (!receiver.shared && !sender.topicVaries) {
    offend(
      row,
      flow.firstOutOfOrder.map((sequence) => name('out of order', sequence)),
    )
  }
}

function offend(row: VerdictRow, texts: readonly string[]): void {
  for (const text of texts) if (row.offenders.length < offendersMax) row.offenders.push(text)
}

function rowFor(
  rows: Map<string, VerdictRow>,
  sender: SenderFacts,
  receiver: ReceiverSnapshot,
  matched: Match,
): VerdictRow {
  const publishedQos = sender.stream % 3
  const senderSession = sender.durable ? 'durable' : 'clean'
  const receiverSession = receiver.shared ? 'shared' : receiver.durable ? 'durable' : 'clean'
  const key = [sender.group, receiver.group, publishedQos, matched.deliveredQos, senderSession, receiverSession].join(
    '\u001f',
  )
  let row = rows.get(key)
  if (row === undefined) {
    row = {
      from: sender.group,
      to: receiver.group,
      publishedQos,
      deliveredQos: matched.deliveredQos,
      senderSession,
      receiverSession,
      promise: promiseOf(matched.deliveredQos),
      flows: 0,
      expected: 0,
      received: 0,
      lost: 0,
      undelivered: 0,
      lostAllowed: 0,
      excused: 0,
      duplicates: 0,
      duplicatesAllowed: 0,
      outOfOrder: 0,
      offenders: [],
    }
    rows.set(key, row)
  }
  return row
}

/**
 * Judges a whole run; the receivers are merged already (mergeReceivers).
 *
 * @param surroundings `cutShort`: the run ended while messages still arrived; `queues`: what their workers saw
 */
export function judge(
  senders: readonly SenderFacts[],
  receivers: readonly ReceiverSnapshot[],
  { cutShort = false, queues = [] }: { cutShort?: boolean; queues?: readonly QueueFacts[] } = {},
): Verdict {
  const consumed = new Set<SenderFacts>()
  const rows = new Map<string, VerdictRow>()
  const brokers = new Map<string, TopicIndex<SenderFacts>>()
  for (const broker of new Set(receivers.map((receiver) => receiver.broker))) {
    const reachable = senders.filter((sender) => sender.sent > 0 && sender.broker === broker)
    brokers.set(broker, new TopicIndex(reachable.map((sender) => ({ topic: sender.topic, value: sender }))))
  }
  for (const receiver of receivers) {
    const flows = new Map(receiver.flows.map((flow) => [flow.key, flow]))
    for (const [sender, matched] of matchesOf(receiver, brokers.get(receiver.broker)!)) {
      const flow = flows.get(streamKey(sender.device, sender.stream))
      if (sender.topicVaries && flow === undefined) continue
      if (sender.inProperty && !receiver.readsProperties) continue
      consumed.add(sender)
      const unfinished = cutShort || (receiver.online === 0 && (receiver.durable || receiver.shared))
      const judged = { sender, receiver, matched, flow: flow ?? noFlow, unfinished }
      judgeFlow(rowFor(rows, sender, receiver, matched), judged)
    }
  }
  const judged = queues.map((facts) => judgeQueue(facts, senders, cutShort))
  for (const sender of judged.flatMap((queue) => queue.consumed)) consumed.add(sender)
  const unconsumed = senders.filter((sender) => sender.sent > 0 && !consumed.has(sender))
  const all = [...rows.values(), ...judged.flatMap((queue) => queue.rows)]
  const verdict = summarise(all, senders, receivers, unconsumed)
  return { ...verdict, queues: judged.map(({ figures }) => figures) }
}

type RowFigure =
  | 'expected'
  | 'received'
  | 'lost'
  | 'undelivered'
  | 'lostAllowed'
  | 'excused'
  | 'duplicates'
  | 'duplicatesAllowed'
  | 'outOfOrder'

function summarise(
  rows: VerdictRow[],
  senders: readonly SenderFacts[],
  receivers: readonly ReceiverSnapshot[],
  unconsumedSenders: readonly SenderFacts[],
): Omit<Verdict, 'queues'> {
  const unconsumed: Record<string, number> = {}
  for (const { group, sent } of unconsumedSenders) unconsumed[group] = (unconsumed[group] ?? 0) + sent
  const total = (figure: RowFigure): number => rows.reduce((sum, row) => sum + row[figure], 0)
  const corrupted = receivers.reduce((sum, receiver) => sum + receiver.corrupted, 0)
  const misrouted = receivers.reduce((sum, receiver) => sum + receiver.misrouted, 0)
  const wrongQos = receivers.reduce((sum, receiver) => sum + receiver.wrongQos, 0)
  let unacknowledged = 0
  let refused = 0
  for (const sender of senders) {
    if (sender.stream % 3 === 0) continue
    const refusals = RangeSet.from(sender.refused).size
    refused += refusals
    unacknowledged += sender.sent - RangeSet.from(sender.acknowledged).size - refusals
  }
  const lost = total('lost')
  const duplicates = total('duplicates')
  const outOfOrder = total('outOfOrder')
  return {
    rows,
    expected: total('expected'),
    received: total('received'),
    lost,
    undelivered: total('undelivered'),
    lostAllowed: total('lostAllowed'),
    excused: total('excused'),
    duplicates,
    duplicatesAllowed: total('duplicatesAllowed'),
    outOfOrder,
    corrupted,
    misrouted,
    wrongQos,
    unconsumed,
    refusedSubscriptions: receivers.flatMap((receiver) => receiver.subscriptions).filter(({ granted }) => granted > 2)
      .length,
    sessionsLost: receivers.reduce((sum, receiver) => sum + receiver.sessionsLost, 0),
    unacknowledged,
    refused,
    violations: lost + duplicates + outOfOrder + corrupted + misrouted + wrongQos,
    offenders: [
      ...rows.flatMap((row) => row.offenders),
      ...receivers.flatMap((receiver) =>
        receiver.firstCorrupted.map((topic) => `corrupted: ${topic} -> ${receiver.id}`),
      ),
      ...receivers.flatMap((receiver) =>
        receiver.firstMisrouted.map((topic) => `misrouted: ${topic} -> ${receiver.id}`),
      ),
      ...receivers.flatMap((receiver) => receiver.firstWrongQos.map((text) => `wrong QoS: ${text} -> ${receiver.id}`)),
    ],
  }
}
