/** The log of messages alone, without a session, and the window over one. */
import { describe, expect, it } from 'vitest'
import { Budget, QueueBudget } from '../../src/core/budgets.ts'
import type { Message } from '../../src/core/publish/message.ts'
import { sentQos1 } from '../../src/core/session/delivery.ts'
import { type LogEntry, MessageLog } from '../../src/core/session/message-log.ts'
import { packetIdOf, packetIds, Window } from '../../src/core/session/window.ts'

const empty = new Uint8Array(0)

function entry(bytes: number): LogEntry {
  const payload = new Uint8Array(bytes)
  const message: Message = {
    id: 0,
    topic: empty,
    name: '',
    payload,
    forwardProperties: empty,
    qos: 1,
    expiresAt: Infinity,
    publisher: '',
    publishedAt: 0,
    references: 0,
    holders: 0,
  }
  return { message }
}

describe('a log of messages without a session', () => {
  it('gives each entry the next position, finds it there, and its budget counts it until it is removed', () => {
    const budget = new QueueBudget(1000)
    const log = new MessageLog<LogEntry>(budget, new Budget(Infinity))
    const entries = Array.from({ length: 20 }, () => entry(10))
    expect(entries.map((one) => log.push(one))).toEqual(entries.map((_, position) => position))
    expect(entries.map((_, position) => log.at(position))).toEqual(entries)
    const used = budget.used
    expect(log.residentBytes).toBe(200)
    log.clear(7)
    expect([log.at(7), log.residentBytes, budget.used]).toEqual([null, 190, used - used / 20])
    log.abandon()
    expect([log.residentBytes, budget.used, log.drained]).toEqual([0, 0, true])
  })

  it('keeps what was sent until it is removed, and moves past holes in any order', () => {
    const log = new MessageLog<LogEntry>(new QueueBudget(1000), new Budget(Infinity))
    for (let i = 0; i < 5; i++) log.push(entry(1))
    log.sendPosition = 4
    log.clear(2)
    log.clear(1)
    expect([log.base, log.at(0) !== null]).toEqual([0, true])
    log.clear(0)
    expect(log.base).toBe(3)
    log.clear(3)
    log.clear(4)
    expect(log.base).toBe(4)
  })

  it('takes positions for what is in the store only, and takes it back at them', () => {
    const log = new MessageLog<LogEntry>(new QueueBudget(1000), new Budget(Infinity))
    log.recover(3, 6, 3, 30)
    expect([log.pushStored(), log.firstUnsentStored, log.at(3)]).toEqual([6, 3, null])
    const restored = entry(1)
    log.restore(3, restored)
    expect([log.at(3), log.residentEnd, log.firstUnsentStored]).toEqual([restored, 4, 4])
    log.takenStored(4, 10)
    expect([log.firstUnsentStored, log.residentEnd, log.waiting, log.bytes]).toEqual([5, 5, 2, 20])
  })

  it('gives no position twice, not one either that an earlier process sent and that is gone', () => {
    const log = new MessageLog<LogEntry>(new QueueBudget(1000), new Budget(Infinity))
    log.recoveredSent = 9
    log.recover(3, 6, 3, 30)
    log.recoverSent()
    expect([log.pushStored(), log.marked]).toEqual([9, 9])
    log.abandon()
    expect(log.push(entry(1))).toBe(10)
  })
})

describe('the window over a log', () => {
  it('finds what is in flight by its packet identifier, and nothing else', () => {
    const log = new MessageLog<typeof sentQos1>(new QueueBudget(1000), new Budget(Infinity))
    const window = new Window(log)
    expect(window.find(1)).toBe(-1)
    for (let i = 0; i < 3; i++) log.push(sentQos1)
    log.sendPosition = 2
    expect([1, 2, 3, packetIds].map((packetId) => window.find(packetId))).toEqual([0, 1, -1, -1])
    log.clear(0)
    expect([1, 2].map((packetId) => window.find(packetId))).toEqual([-1, 1])
  })

  it('[MQTT-2.2.1-3] begins its identifiers anew after 65,535 and never has one in use twice', () => {
    const log = new MessageLog<typeof sentQos1>(new QueueBudget(1000), new Budget(Infinity))
    const window = new Window(log)
    expect([0, packetIds - 1, packetIds].map(packetIdOf)).toEqual([1, packetIds, 1])
    for (let position = 0; position < packetIds; position++) {
      expect(window.open(2)).toBe(true)
      log.push(sentQos1)
      log.sendPosition++
      // All but the first are acknowledged.
      if (position > 0) log.clear(position)
    }
    expect([window.open(2), window.find(1)]).toEqual([false, 0])
    log.clear(0)
    log.push(sentQos1)
    log.sendPosition++
    expect([window.open(2), window.find(1)]).toEqual([true, packetIds])
  })
})
