/**
 * The verdict engine is fed with made-up runs whose losses, duplicates and swaps are known; it must find each of them,
 * and nothing in a clean run.
 */
import { describe, expect, test } from 'vitest'
import { missingEvidence } from '../verdict/evidence.ts'
import { judge, type SenderFacts, type Verdict } from '../verdict/judge.ts'
import { mergeReceivers, Receiver } from '../verdict/receiver.ts'
import { SenderStream } from '../verdict/sender.ts'
import { filterMatches } from '../verdict/topic.ts'

interface Setup {
  qos?: 0 | 1 | 2
  granted?: number
  durable?: boolean
  shared?: boolean
  senderDurable?: boolean
  resent?: boolean
  sent?: number
}

function feed(setup: Setup, arrive: (receiver: Receiver, stream: SenderStream) => void): Verdict {
  const { qos = 1, granted = 2, durable = true, shared = false, senderDurable = true, sent = 100 } = setup
  const stream = new SenderStream(3, qos, 'a/3')
  stream.sent = sent
  if (qos > 0) stream.acknowledged.addRange(0, sent - 1)
  stream.resentAcrossSessions = setup.resent ?? false
  const receiver = new Receiver(
    { id: 'consumer-0', group: 'consumers', broker: 'main', durable, shared, readsProperties: true },
    [{ filter: 'a/#', noLocal: false }],
  )
  receiver.online = 1
  receiver.subscriptions[0]!.granted = granted
  arrive(receiver, stream)
  const facts: SenderFacts = {
    ...stream.snapshot(),
    group: 'senders',
    broker: 'main',
    clientId: 'sender-3',
    durable: senderDurable,
    topicVaries: false,
    inProperty: false,
  }
  return judge([facts], mergeReceivers([receiver.snapshot()]))
}

const deliver =
  (...sequences: number[]) =>
  (receiver: Receiver, stream: SenderStream): void => {
    const flow = receiver.flow(stream.device, stream.stream, stream.topic)
    for (const sequence of sequences) flow.take(sequence)
  }
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

describe('the verdict', () => {
  test.each([0, 1, 2] as const)('a clean run at QoS %i has nothing to blame', (qos) => {
    const verdict = feed({ qos }, deliver(...upTo(100)))
    expect(verdict).toMatchObject({
      expected: 100,
      received: 100,
      lost: 0,
      lostAllowed: 0,
      duplicates: 0,
      violations: 0,
    })
    expect(verdict.offenders).toEqual([])
  })

  test('QoS 1 to a durable session: a lost message is named', () => {
    const verdict = feed({ qos: 1 }, deliver(...upTo(100).filter((n) => n !== 41 && n !== 97)))
    expect(verdict).toMatchObject({ lost: 2, violations: 2, received: 98 })
    expect(verdict.offenders).toEqual([
      'lost: sender-3 a/3 QoS 1 #41 -> consumer-0',
      'lost: sender-3 a/3 QoS 1 #97 -> consumer-0',
    ])
  })

  test('a receiver that got nothing at all lost everything', () => {
    expect(feed({ qos: 2 }, () => {})).toMatchObject({ lost: 100, violations: 100 })
  })

  test('QoS 0: loss is counted and allowed, a duplicate is not', () => {
    const verdict = feed({ qos: 0 }, deliver(0, 1, 2, 2, 5))
    expect(verdict).toMatchObject({ lost: 0, lostAllowed: 96, duplicates: 1, violations: 1 })
    expect(verdict.offenders).toEqual(['duplicate: sender-3 a/3 QoS 0 #2 -> consumer-0'])
  })

  test('QoS 1: duplicates are counted and allowed', () => {
    expect(feed({ qos: 1 }, deliver(...upTo(100), 98, 99))).toMatchObject({
      duplicates: 0,
      duplicatesAllowed: 2,
      outOfOrder: 0,
      violations: 0,
    })
  })

  test('QoS 2: a duplicate breaks the promise', () => {
    const verdict = feed({ qos: 2 }, deliver(...upTo(100), 17))
    expect(verdict).toMatchObject({ duplicates: 1, violations: 1 })
    expect(verdict.offenders).toEqual(['duplicate: sender-3 a/3 QoS 2 #17 -> consumer-0'])
  })

  test('QoS 2 sent again in a new session may arrive twice', () => {
    const verdict = feed({ qos: 2, senderDurable: false, resent: true }, deliver(...upTo(100), 99))
    expect(verdict).toMatchObject({ duplicates: 0, duplicatesAllowed: 1, violations: 0 })
  })

  test('QoS 2 published, subscribed with QoS 1: duplicates are allowed, loss is not', () => {
    const verdict = feed({ qos: 2, granted: 1 }, deliver(...upTo(99), 5))
    expect(verdict).toMatchObject({ lost: 1, duplicates: 0, duplicatesAllowed: 1, violations: 1 })
  })

  test('a swap is out of order, a redelivery is not', () => {
    const swapped = upTo(100)
    swapped[10] = 11
    swapped[11] = 10
    const verdict = feed({ qos: 1 }, deliver(...swapped, 98, 99))
    expect(verdict).toMatchObject({ outOfOrder: 1, violations: 1 })
    expect(verdict.offenders).toEqual(['out of order: sender-3 a/3 QoS 1 #10 -> consumer-0'])
  })

  test('a shared subscription is not held to the order, and its members count as one', () => {
    const verdict = feed({ qos: 1, shared: true }, deliver(...upTo(100).reverse()))
    expect(verdict).toMatchObject({ outOfOrder: 0, lost: 0, violations: 0 })
  })

  test('members of a shared subscription in two threads: the same message at both is a duplicate', () => {
    const stream = new SenderStream(1, 2, 'jobs/1')
    stream.sent = 10
    stream.acknowledged.addRange(0, 9)
    const members = [upTo(6), [5, 6, 7, 8, 9]].map((sequences) => {
      const member = new Receiver(
        { id: '$share/w/jobs/#', group: 'workers', broker: 'main', durable: true, shared: true, readsProperties: true },
        [{ filter: 'jobs/#', noLocal: false }],
      )
      member.online = 1
      member.subscriptions[0]!.granted = 2
      deliver(...sequences)(member, stream)
      return member.snapshot()
    })
    const facts = {
      ...stream.snapshot(),
      group: 'g',
      broker: 'main',
      clientId: 'c',
      durable: true,
      topicVaries: false,
      inProperty: false,
    }
    expect(judge([facts], mergeReceivers(members))).toMatchObject({
      received: 10,
      lost: 0,
      duplicates: 1,
      violations: 1,
    })
  })

  test('what was published while a clean session was away is excused, what came later is owed', () => {
    const verdict = feed({ qos: 1, durable: false }, (receiver, stream) => {
      deliver(...upTo(20))(receiver, stream)
      receiver.isAway = false
      receiver.onAway()
      // The broker may send before its SUBACK, and the connection may break again before it.
      deliver(48, 49)(receiver, stream)
      receiver.onAway()
      receiver.excuseUpTo(stream.device, stream.stream, stream.topic, 50)
      deliver(...upTo(99).slice(50))(receiver, stream)
    })
    expect(verdict).toMatchObject({ excused: 28, lost: 1, violations: 1 })
  })

  test('a message that was never acknowledged is not owed', () => {
    const verdict = feed({ qos: 1 }, (receiver, stream) => {
      stream.sent = 103
      deliver(...upTo(101))(receiver, stream)
    })
    expect(verdict).toMatchObject({ lost: 0, unacknowledged: 3, violations: 0 })
  })

  test('what the simulator sent twice on purpose is not held against the broker', () => {
    const verdict = feed({ qos: 2 }, (receiver, stream) => {
      stream.repeat(7)
      deliver(...upTo(100), 7, 8)(receiver, stream)
    })
    expect(verdict).toMatchObject({ duplicates: 1, duplicatesAllowed: 1 })
    expect(verdict.offenders).toEqual(['duplicate: sender-3 a/3 QoS 2 #8 -> consumer-0'])
  })

  test('a refused subscription is owed nothing, and counted', () => {
    expect(feed({ qos: 1, granted: 0x80 }, () => {})).toMatchObject({ expected: 0, lost: 0, refusedSubscriptions: 1 })
  })

  test('corrupted and misrouted deliveries break the contract', () => {
    const verdict = feed({ qos: 1 }, (receiver, stream) => {
      deliver(...upTo(100))(receiver, stream)
      receiver.corrupt('a/3')
      receiver.misroute('b/3')
    })
    expect(verdict).toMatchObject({ corrupted: 1, misrouted: 1, violations: 2 })
  })
})

describe('topic filters', () => {
  test.each([
    ['a/b', 'a/b', true],
    ['a/+', 'a/b', true],
    ['a/+', 'a', false],
    ['a/+', 'a/b/c', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['#', 'a/b', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['+', '/', false],
    ['+/+', '/', true],
    ['a/+/c', 'a//c', true],
    ['a/b', 'a/bc', false],
    ['a/b/#', 'a/bc', false],
  ])('%s and %s: %s', (filter, topic, expected) => {
    expect(filterMatches(filter, topic)).toBe(expected)
  })
})

describe('what was owed when the run ended', () => {
  const half = deliver(...upTo(50))

  test('is undelivered, not lost, at a durable receiver that was away', () => {
    const verdict = feed({ qos: 1 }, (receiver, stream) => {
      half(receiver, stream)
      receiver.online = 0
    })
    expect(verdict).toMatchObject({ lost: 0, undelivered: 50, violations: 0, offenders: [] })
  })

  test('is lost at one that was there', () => {
    expect(feed({ qos: 1 }, half)).toMatchObject({ lost: 50, undelivered: 0, violations: 50 })
  })
})

describe('the evidence', () => {
  const nothingRetained = { checked: 0, wrong: 0, offenders: [] }
  const evidenceOf = (verdict: Verdict, sent = 100): string[] =>
    missingEvidence({ verdict, retained: nothingRetained, sent, untracked: 0 })

  test('of a clean run is complete', () => {
    expect(evidenceOf(feed({ qos: 1 }, deliver(...upTo(100))))).toEqual([])
  })

  test('is missing where nothing was sent, nothing subscribed, nothing arrived', () => {
    expect(evidenceOf(judge([], []), 0)).toEqual(['nothing was sent'])
    expect(evidenceOf(judge([], []))[0]).toMatch(/no subscription of the run matches/)
    expect(evidenceOf(feed({ qos: 0 }, () => {}))).toEqual([
      'none of 100 expected messages arrived',
      'QoS 0 from senders to consumers: none of 100 messages arrived',
    ])
  })

  test('is missing for messages that nobody acknowledged, nobody was subscribed to, or nobody could look at', () => {
    const verdict = feed({ qos: 1 }, deliver(...upTo(100)))
    expect(evidenceOf({ ...verdict, unacknowledged: 7 })[0]).toMatch(/^7 messages were never acknowledged/)
    expect(evidenceOf({ ...verdict, undelivered: 7 })[0]).toMatch(/^7 acknowledged messages were undelivered/)
    expect(evidenceOf({ ...verdict, unconsumed: { pumps: 3 } })[0]).toMatch(
      /^3 messages of group pumps had no subscriber/,
    )
    const retained = { ...nothingRetained, failed: 'broker main: self-signed certificate' }
    expect(missingEvidence({ verdict, retained, sent: 100, untracked: 0 })[0]).toMatch(
      /could not be checked: broker main/,
    )
  })
})
