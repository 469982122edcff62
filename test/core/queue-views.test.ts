/** What the API and the program see of queues and do with them. */
import { describe, expect, it } from 'vitest'
import { BrokerQueues } from '../../src/core/inspection/queues.ts'
import type { PeekedMessages } from '../../src/core/ports/queues.ts'
import { answer, declared, payloads, property, publishWith, queueOf, queueWorld, worker } from './queue-world.ts'

const jobs = { namespace: 'default', name: 'jobs' }
const dead = { namespace: 'default', name: 'jobs.dead' }
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

function peekAll(queues: BrokerQueues, name = jobs, max = 2): string[] {
  const seen: string[] = []
  for (let from: string | null = ''; from !== null; ) {
    let found: PeekedMessages | undefined
    expect(queues.peek(name, from, max, (page) => (found = page))).toBe('begun')
    seen.push(...found!.messages.map(({ message, state }) => `${text(message.payload)} ${state}`))
    from = found!.next
  }
  return seen
}

describe('queues for the API', () => {
  it('take a late verdict for no other lease of the message: only that the work is done holds whoever says it', () => {
    const world = queueWorld()
    const queues = new BrokerQueues(world.broker)
    world.connected('p').publish('jobs/a', 'x', { qos: 1 })
    const first = queues.receive(jobs, 1, 1000)![0]!.delivery
    world.advance(1000)
    world.advance(1000)
    const a = worker(world, 'a')
    const second = property(a.takePublishes()[0]!, 'queue-delivery')!
    expect(second).not.toBe(first)
    for (const verdict of ['release', 'nack', 'reject', 'extend'] as const) {
      expect(queues.settle(jobs, [{ delivery: first, verdict }])).toEqual(['unknown'])
      if (verdict === 'release') continue
      const late = world.connected('late')
      expect(publishWith(late, `$queue/jobs/$${verdict}`, '', { 'queue-delivery': first })).toBe(0x83)
    }
    expect(queues.state(jobs)).toMatchObject({ leased: 1, consumers: 1 })
    expect(queues.settle(jobs, [{ delivery: first, verdict: 'ack' }])).toEqual(['done'])
    expect(queues.state(jobs)).toMatchObject({ leased: 0, ready: 0 })
  })

  it('are listed with their figures, those of dead letters too', () => {
    const world = queueWorld({}, declared('other', { deadLetter: false }))
    const queues = new BrokerQueues(world.broker)
    const p = world.connected('p')
    p.publish('jobs/a', 'x', { qos: 1 })
    world.advance(1)
    p.publish('jobs/a', 'y', { qos: 1 })
    const a = worker(world, 'a', { userProperties: [['prefetch', '1']] })
    expect([...queues.list()].flatMap((one) => one?.name ?? [])).toEqual(['jobs', 'other', 'jobs.dead'])
    expect(queues.state(jobs)).toMatchObject({ ready: 1, leased: 1, waiting: 0, consumers: 1, oldestAt: world.now - 1 })
    expect(queues.consumers(jobs)).toEqual([{ clientId: 'a', connected: true, prefetch: 1, leased: 1, paused: false }])
    answer(a, a.takePublishes()[0]!, 0x97)
    expect(queues.consumers(jobs)).toMatchObject([{ leased: 0, paused: true }])
    expect(queues.state({ namespace: 'default', name: 'none' })).toBeNull()
  })

  it('show their messages page by page without leasing any, the highest priority first', () => {
    const world = queueWorld()
    const queues = new BrokerQueues(world.broker)
    const p = world.connected('p')
    for (const [payload, priority] of [
      ['a', '4'],
      ['b', '9'],
      ['c', '4'],
      ['d', '0'],
      ['e', '9'],
    ] as const)
      publishWith(p, 'jobs/x', payload, { priority })
    expect(peekAll(queues)).toEqual(['b ready', 'e ready', 'a ready', 'c ready', 'd ready'])
    worker(world, 'a', { userProperties: [['prefetch', '1']] })
    expect(peekAll(queues)[0]).toBe('b leased')
    expect(queues.peek(jobs, 'nowhere', 1, () => {})).toBe('unknown')
  })

  it('are purged of what is not being worked on, by a filter', () => {
    const world = queueWorld()
    const queues = new BrokerQueues(world.broker)
    const p = world.connected('p')
    for (const n of [1, 2, 3, 4]) p.publish(`jobs/${n % 2}`, String(n), { qos: 1 })
    worker(world, 'a', { userProperties: [['prefetch', '1']] })
    const purged: number[] = []
    expect(queues.purge(jobs, 'jobs/1', (count) => purged.push(count))).toBe('begun')
    world.turn()
    expect(purged).toEqual([1])
    expect(peekAll(queues)).toEqual(['1 leased', '2 ready', '4 ready'])
    queues.purge(jobs, null, (count) => purged.push(count))
    world.turn()
    expect(purged).toEqual([1, 2])
    expect(queues.state(jobs)).toMatchObject({ ready: 0, leased: 1, totals: { purged: 3 } })
  })

  it('give dead letters back to where they came from, with their attempts forgotten', () => {
    const world = queueWorld({ attemptsMax: 1, messageTtlMs: 60_000 })
    const queues = new BrokerQueues(world.broker)
    const a = worker(world, 'a')
    const p = world.connected('p')
    for (const n of [1, 2, 3]) p.publish(`jobs/${n}`, String(n), { qos: 1 })
    for (const message of a.takePublishes()) answer(a, message, 0x80)
    world.advance(120_000)
    expect(queues.state(dead)).toMatchObject({ ready: 3 })
    const counts: number[] = []
    queues.redrive(dead, 10, 'jobs/2', (count) => counts.push(count))
    queues.redrive(dead, 1, null, (count) => counts.push(count))
    world.turn()
    expect(counts).toEqual([1, 1])
    const again = a.takePublishes()
    expect(again.map(({ payload, properties }) => [payload, properties.userProperties?.at(-1)])).toEqual([
      ['2', ['queue-attempt', '1']],
      ['1', ['queue-attempt', '1']],
    ])
    expect(queues.state(dead)).toMatchObject({ ready: 1, totals: { redriven: 2 } })
  })

  it('lease messages to a program until its verdict, or until the time is over', () => {
    const world = queueWorld()
    const queues = new BrokerQueues(world.broker)
    let ready = 0
    queues.whenReady(jobs, () => ready++)
    const p = world.connected('p')
    p.publish('jobs/a', 'x', { qos: 1 })
    expect(ready).toBe(1)
    p.publish('jobs/a', 'y', { qos: 1 })
    expect(ready).toBe(1)
    const [x, y, none] = queues.receive(jobs, 5, 30_000)!
    expect(none).toBeUndefined()
    world.advance(20_000)
    expect(queues.settle(jobs, [{ delivery: y!.delivery, verdict: 'extend', delayMs: 30_000 }])).toEqual(['done'])
    world.advance(10_000)
    expect(queueOf(world).totals.timedOut).toBe(1)
    world.advance(1000)
    const [again] = queues.receive(jobs, 5, 30_000)!
    expect(again!.delivery).not.toBe(x!.delivery)
    expect([text(again!.message.payload), again!.attempt]).toEqual([text(x!.message.payload), 2])
    const verdicts = [
      { delivery: x!.delivery, verdict: 'ack' },
      { delivery: y!.delivery, verdict: 'nack', delayMs: 0 },
      { delivery: 'x-y-z', verdict: 'ack' },
    ] as const
    expect(queues.settle(jobs, verdicts)).toEqual(['done', 'done', 'unknown'])
    expect(queues.settle(jobs, [{ delivery: x!.delivery, verdict: 'ack' }])).toEqual(['unknown'])
    expect(queues.receive(jobs, 5, 1)).toMatchObject([{ attempt: 2 }])
  })

  it('tell a program of what is ready only when the rate of the queue lets it have it', () => {
    const world = queueWorld({ dispatchPerSecondMax: 1 })
    const queues = new BrokerQueues(world.broker)
    const p = world.connected('p')
    for (const payload of ['x', 'y']) p.publish('jobs/a', payload, { qos: 1 })
    expect(queues.receive(jobs, 5, 30_000)).toHaveLength(1)
    let ready = 0
    queues.whenReady(jobs, () => ready++)
    expect(ready).toBe(0)
    world.advance(1000)
    expect(ready).toBe(1)
    expect(queues.receive(jobs, 5, 30_000)).toHaveLength(1)
  })

  it('give a program no more at once than one answer can hold, and a large message still whole', () => {
    const world = queueWorld()
    const queues = new BrokerQueues(world.broker)
    const p = world.connected('p')
    for (let i = 0; i < 4; i++) p.publish('jobs/a', 'x'.repeat(3 * 1024 * 1024), { qos: 1 })
    expect(queues.receive(jobs, 1000, 30_000)).toHaveLength(2)
    expect(queues.state(jobs)).toMatchObject({ leased: 2, ready: 2 })
    p.publish('jobs/a', 'x'.repeat(9 * 1024 * 1024), { qos: 1 })
    expect([1000, 1000].map((max) => queues.receive(jobs, max, 30_000)!.length)).toEqual([2, 1])
  })

  it('take a message that is added to one of them alone, unless it is full', () => {
    const world = queueWorld({ messagesMax: 1 })
    const queues = new BrokerQueues(world.broker)
    const own = {
      topic: '',
      payload: new Uint8Array(1),
      properties: new Uint8Array(0),
      expiresAt: Infinity,
      publisher: '',
    }
    expect(queues.add(jobs, own)).toBe('added')
    expect(queues.add(jobs, own)).toBe('full')
    expect(queues.add({ ...jobs, name: 'none' }, own)).toBe('unknown-queue')
    expect(payloads(worker(world, 'a').takePublishes())).toEqual(['\0'])
  })
})
