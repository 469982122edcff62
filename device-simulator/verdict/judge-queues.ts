/**
 * The verdict on queues: each job that the broker acknowledged is done, given up or a dead letter, and everything in between was as promised.
 *
 * A job is *lost* when nobody ever said that it is done, though the run waited. One that was given up has to be among the dead letters, if
 * somebody looks there; one that is there was never done. At QoS 1 a publisher may put a job in twice, so that it may be done twice and in any
 * order; at QoS 2 not.
 */
import type { JobBookSnapshot } from './job-book.ts'
import type { SenderFacts, VerdictRow } from './judge.ts'
import { RangeSet } from './range-set.ts'
import { offendersMax, streamKey } from './receiver.ts'
import { TopicIndex } from './topic.ts'

/** A queue, and what its workers and those of its dead letters saw. */
export interface QueueFacts extends JobBookSnapshot {
  broker: string
  queue: string
  /** What it takes in. */
  filter: string
  /** Somebody looks at its dead letters. */
  watchesDead: boolean
}

/** What was done with a queue, besides the verdict. */
export interface QueueFigures {
  queue: string
  deliveries: number
  done: number
  /** Verdicts that said so, and were confirmed. */
  failed: number
  rejected: number
  deadLetters: number
}

export interface JudgedQueue {
  rows: VerdictRow[]
  consumed: SenderFacts[]
  figures: QueueFigures
}

export function judgeQueue(facts: QueueFacts, senders: readonly SenderFacts[], cutShort: boolean): JudgedQueue {
  const { queue, deliveries, failures, findings, offenders } = facts
  const reachable = senders.filter((sender) => sender.sent > 0 && sender.broker === facts.broker)
  const index = new TopicIndex(reachable.map((sender) => ({ topic: sender.topic, value: sender })))
  const consumed = [...index.matching(facts.filter)]
  const figures: QueueFigures = { queue, deliveries, done: 0, failed: failures, rejected: 0, deadLetters: 0 }
  const streams = new Map(facts.streams.map((stream) => [stream.key, stream]))
  const rows = new Map<string, VerdictRow>()
  for (const sender of consumed) {
    const row = rowOf(rows, sender, queue)
    const stream = streams.get(streamKey(sender.device, sender.stream))
    judgeStream(row, figures, { facts, sender, stream, cutShort })
  }
  const [first] = rows.values()
  // A job that was put in twice is two, which may be anywhere.
  if (first !== undefined && !consumed.some(mayRepeat)) {
    first.duplicates += findings.attemptsRepeated + findings.heldTwice
    first.outOfOrder += findings.outOfOrder
    offend(first, offenders)
  }
  return { rows: [...rows.values()], consumed, figures }
}

const mayRepeat = ({ stream, resentAcrossSessions }: SenderFacts): boolean => stream % 3 !== 2 || resentAcrossSessions

function offend(row: VerdictRow, texts: readonly string[]): void {
  for (const text of texts) if (row.offenders.length < offendersMax) row.offenders.push(text)
}

function rowOf(rows: Map<string, VerdictRow>, sender: SenderFacts, queue: string): VerdictRow {
  const publishedQos = sender.stream % 3
  const key = `${sender.group} ${publishedQos}`
  let row = rows.get(key)
  if (row === undefined) {
    row = {
      ...{ from: sender.group, to: queue, publishedQos, deliveredQos: Math.min(1, publishedQos), promise: 'done once' },
      ...{ senderSession: sender.durable ? 'durable' : 'clean', receiverSession: 'queue' },
      ...{ flows: 0, expected: 0, received: 0, lost: 0, undelivered: 0, lostAllowed: 0, excused: 0 },
      ...{ duplicates: 0, duplicatesAllowed: 0, outOfOrder: 0, offenders: [] },
    }
    rows.set(key, row)
  }
  return row
}

interface JudgedStream {
  facts: QueueFacts
  sender: SenderFacts
  stream: QueueFacts['streams'][number] | undefined
  cutShort: boolean
}

function judgeStream(row: VerdictRow, figures: QueueFigures, { facts, sender, stream, cutShort }: JudgedStream): void {
  const owed = RangeSet.from(sender.acknowledged)
  const firm = RangeSet.from(stream?.done ?? [])
  const done = RangeSet.from(stream?.saidDone ?? [])
  const rejected = RangeSet.from(stream?.rejected ?? [])
  const dead = RangeSet.from(stream?.dead ?? [])
  const redone = RangeSet.from(stream?.redone ?? [])
  const given = RangeSet.from(stream?.dead ?? [])
  if (!facts.watchesDead) given.addAll(rejected)
  const missing = owed.without(done).without(given)
  const risen = dead.without(dead.without(firm))
  figures.done += done.size
  figures.rejected += rejected.size
  figures.deadLetters += dead.size
  row.flows += 1
  row.expected += owed.size
  row.received += owed.size - missing.size
  if (sender.stream % 3 === 0) row.lostAllowed += missing.size
  else if (cutShort) row.undelivered += missing.size
  else row.lost += missing.size
  const again = redone.size + risen.size
  if (mayRepeat(sender)) row.duplicatesAllowed += again
  else row.duplicates += again
  const name = (what: string) => (sequence: number) =>
    `${what}: ${sender.clientId} ${sender.topic} QoS ${sender.stream % 3} #${sequence} -> queue ${facts.queue}`
  if (!cutShort && sender.stream % 3 > 0) offend(row, missing.first(offendersMax).map(name('job lost')))
  if (mayRepeat(sender)) return
  offend(row, redone.first(offendersMax).map(name('given out again after it was done')))
  offend(row, risen.first(offendersMax).map(name('done, and a dead letter')))
}
