/** Tickets on a clock of the test's own: once, in time, where they were asked for, and not too many. */
import { describe, expect, test } from 'vitest'
import { defaultTicketLimits, type Redeemed, type TicketLimits, Tickets } from '../../src/auth/tickets.ts'

function ticketsWith(limits: Partial<TicketLimits> = {}) {
  const clock = { now: 1000 }
  return { clock, tickets: new Tickets(() => clock.now, { ...defaultTicketLimits, ...limits }) }
}

const once = { listener: 'http', place: null }
const stream = { listener: 'http', place: 'http://a /api/v1/stream?topic=a' }

function redeemed(outcome: Redeemed | string): Redeemed {
  expect(outcome).toBeTypeOf('object')
  return outcome as Redeemed
}

describe('a ticket', () => {
  test('stands for the header of its asker, once', () => {
    const { tickets } = ticketsWith()
    const ticket = tickets.issue('Bearer x', 'http')!
    expect(redeemed(tickets.redeem(ticket, once)).authorization).toBe('Bearer x')
    expect(tickets.redeem(ticket, once)).toBe('unknown')
    expect(tickets.size).toBe(0)
  })

  test('is good for 30 seconds and not a moment longer', () => {
    const { tickets, clock } = ticketsWith()
    const [first, second] = [tickets.issue(undefined, 'http')!, tickets.issue(undefined, 'http')!]
    clock.now += 29_999
    redeemed(tickets.redeem(first, once))
    clock.now += 1
    expect(tickets.redeem(second, once)).toBe('expired')
  })

  test('is refused at another listener, and stays good at its own', () => {
    const { tickets } = ticketsWith()
    const ticket = tickets.issue(undefined, 'inside')!
    expect(tickets.redeem(ticket, once)).toBe('other_listener')
    redeemed(tickets.redeem(ticket, { ...once, listener: 'inside' }))
  })

  test('that is none is unknown', () => {
    const { tickets } = ticketsWith()
    for (const text of ['', 'mqtide_ticket_', 'x'.repeat(10_000)]) expect(tickets.redeem(text, once)).toBe('unknown')
  })
})

describe('a ticket that opened a stream', () => {
  test('opens it again by the same URL and for the same origin only', () => {
    const { tickets, clock } = ticketsWith()
    const ticket = tickets.issue('Bearer x', 'http')!
    redeemed(tickets.redeem(ticket, stream)).hold(() => {})()
    clock.now += 60_000
    expect(tickets.redeem(ticket, { ...stream, place: 'http://b /api/v1/stream?topic=a' })).toBe('other_place')
    expect(tickets.redeem(ticket, once)).toBe('other_place')
    expect(redeemed(tickets.redeem(ticket, stream)).authorization).toBe('Bearer x')
  })

  test('has one connection: the latest one ends the one before, whose end changes nothing', () => {
    const { tickets, clock } = ticketsWith()
    const ticket = tickets.issue(undefined, 'http')!
    const ended: string[] = []
    const overFirst = redeemed(tickets.redeem(ticket, stream)).hold(() => ended.push('first'))
    const overSecond = redeemed(tickets.redeem(ticket, stream)).hold(() => ended.push('second'))
    expect(ended).toEqual(['first'])
    overFirst()
    clock.now += 10 * defaultTicketLimits.returnMsMax
    redeemed(tickets.redeem(ticket, stream)).hold(() => {})
    expect(ended).toEqual(['first', 'second'])
    overSecond()
  })

  test('may be away for a day', () => {
    const { tickets, clock } = ticketsWith()
    const ticket = tickets.issue(undefined, 'http')!
    redeemed(tickets.redeem(ticket, stream)).hold(() => {})()
    clock.now += defaultTicketLimits.returnMsMax
    expect(tickets.redeem(ticket, stream)).toBe('expired')
  })
})

describe('many tickets', () => {
  test('of one asker are refused beyond his number, until some of them have expired', () => {
    const { tickets, clock } = ticketsWith({ ticketsPerAskerMax: 2 })
    tickets.issue('Bearer x', 'http')
    tickets.issue('Bearer x', 'http')
    expect(tickets.issue('Bearer x', 'http')).toBeNull()
    expect(tickets.issue('Bearer y', 'http')).not.toBeNull()
    clock.now += 30_000
    expect(tickets.issue('Bearer x', 'http')).not.toBeNull()
    expect(tickets.size).toBe(1)
  })

  test('of all are refused beyond their number and their bytes', () => {
    const few = ticketsWith({ ticketsMax: 2 }).tickets
    const small = ticketsWith({ ticketBytesMax: 1000 }).tickets
    for (const tickets of [few, small]) {
      expect([1, 2, 3, 4].map((i) => tickets.issue(`Bearer ${i}`, 'http') !== null).at(-1)).toBe(false)
    }
    expect(small.issue(`Bearer ${'x'.repeat(2000)}`, 'http')).toBeNull()
  })

  test('make room where a stream has ended, and never where one is open', () => {
    const { tickets } = ticketsWith({ ticketsMax: 2 })
    const [open, over] = [tickets.issue(undefined, 'http')!, tickets.issue(undefined, 'http')!]
    redeemed(tickets.redeem(open, stream)).hold(() => {})
    redeemed(tickets.redeem(over, stream)).hold(() => {})()
    expect(tickets.issue(undefined, 'http')).not.toBeNull()
    expect(tickets.redeem(over, stream)).toBe('unknown')
    redeemed(tickets.redeem(open, stream))
    expect(tickets.issue(undefined, 'http')).toBeNull()
  })
})
