/** The book of a queue and its verdict, event by event, and whole runs against brokers that keep their promises and that do not. */
import type { IPublishPacket } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import type { Summary } from '../report/summary.ts'
import { JobBook } from '../verdict/job-book.ts'
import { judgeQueue } from '../verdict/judge-queues.ts'
import { runTimeoutMs, simulate } from './simulate.ts'
import { acknowledgementOf, passOn, type Tamper, tamperingProxy } from './tampering-proxy.ts'

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

const job = (sequence: number, stream = 2) => ({ device: 1, stream, sequence })
const worker = (id: string) => ({ id, connection: 0 })

/** The row of one sender of QoS 2 whose jobs 0 to `count - 1` were acknowledged. */
function rowOf(book: JobBook, count: number, { cutShort = false, watchesDead = false, stream = 2 } = {}) {
  const sender = {
    ...{ device: 1, stream, topic: 'jobs/1', sent: count, acknowledged: [0, count - 1], refused: [], repeated: [] },
    ...{ group: 'shops', broker: 'main', clientId: 'shop-1', durable: true, topicVaries: false, inProperty: false },
    ...{ resentAcrossSessions: false },
  }
  const facts = { ...book.snapshot(), broker: 'main', queue: 'jobs', filter: 'jobs/#', watchesDead }
  const { rows, figures } = judgeQueue(facts, [sender], cutShort)
  return { ...rows[0]!, figures }
}

function finish(book: JobBook, held: ReturnType<JobBook['deliver']>, verdict: 'done' | 'failed' | 'rejected'): void {
  book.say(held, verdict)
  book.confirm(held, true)
}

describe('the book of a queue', () => {
  test('finds nothing wrong with jobs that are done, fail and come again, are given up and become dead letters', () => {
    const book = new JobBook(true, 10)
    finish(book, book.deliver(job(0), 1, worker('a')), 'failed')
    finish(book, book.deliver(job(0), 2, worker('b')), 'done')
    const lost = book.deliver(job(1), 1, worker('a'))
    book.lose(lost)
    finish(book, book.deliver(job(1), 2, worker('b')), 'rejected')
    book.bury(job(1))
    finish(book, book.deliver(job(2), 1, worker('a')), 'done')
    const row = rowOf(book, 3, { watchesDead: true })
    expect(row).toMatchObject({ expected: 3, received: 3, lost: 0, duplicates: 0, outOfOrder: 0, offenders: [] })
    expect(row.figures).toMatchObject({ deliveries: 5, done: 2, failed: 1, rejected: 1, deadLetters: 1 })
  })

  test('misses what nobody said to be done: lost, or undelivered where the run did not wait', () => {
    const book = new JobBook(false, 10)
    finish(book, book.deliver(job(0), 1, worker('a')), 'done')
    book.lose(book.deliver(job(1), 1, worker('a')))
    expect(rowOf(book, 3)).toMatchObject({ lost: 2, undelivered: 0 })
    expect(rowOf(book, 3).offenders[0]).toBe('job lost: shop-1 jobs/1 QoS 2 #1 -> queue jobs')
    expect(rowOf(book, 3, { cutShort: true })).toMatchObject({ lost: 0, undelivered: 2 })
  })

  test('misses what was given up and is not among the dead letters, and finds there what was done', () => {
    const book = new JobBook(false, 10)
    finish(book, book.deliver(job(0), 1, worker('a')), 'rejected')
    finish(book, book.deliver(job(1), 1, worker('a')), 'done')
    book.bury(job(1))
    expect(rowOf(book, 2, { watchesDead: true })).toMatchObject({ lost: 1, duplicates: 1 })
    expect(rowOf(book, 2, { watchesDead: false }).lost).toBe(0)
  })

  test('finds a job that is given out after it was done, unless it may have been put in twice', () => {
    const book = new JobBook(false, 10)
    finish(book, book.deliver(job(0), 1, worker('a')), 'done')
    book.deliver(job(0), 1, worker('b'))
    expect(rowOf(book, 1)).toMatchObject({ duplicates: 1, duplicatesAllowed: 0 })
    const once = new JobBook(false, 10)
    finish(once, once.deliver(job(0, 1), 1, worker('a')), 'done')
    once.deliver(job(0, 1), 1, worker('b'))
    expect(rowOf(once, 1, { stream: 1 })).toMatchObject({ duplicates: 0, duplicatesAllowed: 1 })
  })

  test('says nothing of what was said on a connection that broke: it may have been heard or not', () => {
    const book = new JobBook(false, 10)
    const held = book.deliver(job(0), 1, worker('a'))
    book.say(held, 'done')
    book.lose(held)
    const again = book.deliver(job(0), 2, worker('b'))
    book.confirm(held, false)
    finish(book, again, 'done')
    expect(rowOf(book, 1)).toMatchObject({ lost: 0, duplicates: 0 })
  })

  test('finds an attempt that had failed already, and two workers with one job', () => {
    const book = new JobBook(false, 10)
    finish(book, book.deliver(job(0), 2, worker('a')), 'failed')
    book.deliver(job(0), 2, worker('a'))
    expect(rowOf(book, 1).duplicates).toBe(1)
    const both = new JobBook(false, 10)
    const first = both.deliver(job(0), 1, worker('a'))
    both.deliver(job(0), 1, worker('b'))
    finish(both, first, 'done')
    expect(rowOf(both, 1).duplicates).toBe(1)
  })

  test('finds a job of a topic that comes before an earlier one has ended', () => {
    const late = new JobBook(true, 10)
    finish(late, late.deliver(job(0), 1, worker('a')), 'failed')
    late.deliver(job(1), 1, worker('a'))
    expect(rowOf(late, 2).outOfOrder).toBe(1)
    const skipped = new JobBook(true, 10)
    finish(skipped, skipped.deliver(job(1), 1, worker('a')), 'done')
    skipped.deliver(job(0), 1, worker('a'))
    expect(rowOf(skipped, 2).outOfOrder).toBe(1)
    const dead = new JobBook(true, 1)
    finish(dead, dead.deliver(job(0), 1, worker('a')), 'failed')
    dead.deliver(job(1), 1, worker('a'))
    expect(rowOf(dead, 2).outOfOrder).toBe(0)
  })
})

const queues = {
  sorted: { filter: 'sorted/#', orderBy: 'topic', retry: { firstMs: 20, maxMs: 50 }, ackTimeoutMs: 1000 },
  loose: { filter: 'loose/#', retry: { firstMs: 20, maxMs: 50 }, ackTimeoutMs: 1000 },
}

const body = (queue: string, consumes: string, options = '') => `
stages: [{ type: ramp, duration: 300ms }, { type: hold, duration: 1500ms${options} }, { type: drain, duration: 30s }]
groups:
  shops:
    count: 3
    session: durable
    publications: [{ topic: "${queue}/{index}", rate: 30, qos: 2, payload: { fields: { v: { type: counter } } } }]
  workers:
    count: 4
    reconnect: { min: 50ms, max: 200ms }
    consumes: { queue: ${queue}, filter: ${queue}/#, work: { mean: 2ms }, ${consumes} }
  undertaker: { consumes: { queue: ${queue}.dead, deadLettersOf: ${queue} } }
`

describe('the verdict on a queue of a broker that', () => {
  let gateway: Broker
  beforeAll(async () => {
    gateway = await openBroker('gateway', { gateway: { arguments: [], options: { queues } } }, false)
  })
  afterAll(() => gateway.close())

  async function tampered(tampers: { up?: Tamper; down?: Tamper }, scenario: string): Promise<Summary> {
    await using proxy = await tamperingProxy(gateway.url, tampers, 5)
    return await simulate(proxy.url, scenario)
  }

  const isFor = (topic: string, tamper: Tamper, every = 5): Tamper => {
    let number = 0
    return (publish, total) =>
      publish.topic.startsWith(topic) && number++ % every === every - 1 ? tamper(publish, total) : passOn(publish)
  }
  const swallow: Tamper = (publish) => ({ onward: [], back: acknowledgementOf(publish) })

  test('keeps its promises to workers that fail, give up and die: kept', async () => {
    const faults = ', faults: [{ type: socket-death, groups: [workers], every: 500ms, down: 50ms }]'
    const summary = await tampered({}, body('sorted', 'orderBy: topic, fail: 0.2, reject: 0.05', faults))
    expect(summary.verdict.offenders).toEqual([])
    expect(summary).toMatchObject({ conclusion: 'kept', exitCode: 0, missingEvidence: [] })
    const [figures] = summary.verdict.queues
    expect(figures!.failed).toBeGreaterThan(5)
    expect(figures!.rejected).toBeGreaterThan(0)
    expect(figures!.deadLetters).toBeGreaterThanOrEqual(figures!.rejected)
  })

  test('acknowledges a job and does not keep it: lost', async () => {
    const { conclusion, verdict } = await tampered({ up: isFor('loose/', swallow) }, body('loose', 'fail: 0'))
    expect(conclusion).toBe('broken')
    expect(verdict.lost).toBeGreaterThan(3)
    expect(verdict.offenders[0]).toMatch(/^job lost: shops-\d loose\/\d QoS 2 #\d+ -> queue loose/)
  })

  test('gives a job to two workers, or once more: duplicates', async () => {
    const twice: Tamper = (publish) => ({
      onward: [publish, { ...publish, messageId: 40_000 + (publish.messageId ?? 0) }],
      back: [],
    })
    const { conclusion, verdict } = await tampered({ down: isFor('loose/', twice) }, body('loose', 'fail: 0'))
    expect(conclusion).toBe('broken')
    expect(verdict.duplicates).toBeGreaterThan(3)
  })

  test('forgets that an attempt failed: duplicates', async () => {
    const forget: Tamper = (publish) => ({ onward: [withAttempt(publish, '1')], back: [] })
    const { conclusion, verdict } = await tampered({ down: isFor('loose/', forget, 1) }, body('loose', 'fail: 0.3'))
    expect(conclusion).toBe('broken')
    expect(verdict.duplicates).toBeGreaterThan(3)
  })

  test('does not keep the order that it was said to keep: out of order', async () => {
    const { conclusion, verdict } = await tampered({}, body('loose', 'orderBy: topic, fail: 0.3'))
    expect(conclusion).toBe('broken')
    expect(verdict.outOfOrder).toBeGreaterThan(3)
  })

  test('takes a job that was given up and lets it vanish: lost', async () => {
    const asDone: Tamper = (publish) => ({ onward: [{ ...publish, topic: '$queue/loose/$ack' }], back: [] })
    const scenario = body('loose', 'reject: 0.3')
    const { conclusion, verdict } = await tampered({ up: isFor('$queue/loose/$reject', asDone) }, scenario)
    expect(conclusion).toBe('broken')
    expect(verdict.lost).toBeGreaterThan(0)
  })
})

function withAttempt(publish: IPublishPacket, attempt: string): IPublishPacket {
  const userProperties = { ...publish.properties?.userProperties, 'queue-attempt': attempt }
  return { ...publish, properties: { ...publish.properties, userProperties } }
}

describe('a scenario whose consumers can not be as it says', () => {
  test.each([
    ['protocol: 3.1.1', /needs protocol 5.0/],
    ['session: durable', /needs session: clean/],
    ['subscriptions: [{ filter: a }]', /either consumes a queue or subscribes/],
  ])('%s', async (more, words) => {
    const text = `groups: { w: { ${more}, consumes: { queue: q, filter: a } } }`
    await expect(async () => simulate(undefined, text)).rejects.toThrow(words)
  })

  test('dead letters of a queue that nobody consumes', async () => {
    const text = 'groups: { w: { consumes: { queue: q.dead, deadLettersOf: q } } }'
    await expect(async () => simulate(undefined, text)).rejects.toThrow(/no group consumes the queue q/)
  })
})
