/** The kill test: that its books find each kind of fault, that it finds them in a broker, and that ours has none. */
import { describe, expect, it } from 'vitest'
import { type FullCase, fullTest } from '../../bench/kill-test/full.ts'
import { Ledger, RetainedLedger } from '../../bench/kill-test/ledger.ts'
import { brokersOf, hasLost } from '../../bench/kill-test/main.ts'
import { killTest } from '../../bench/kill-test/run.ts'

describe('the books of the kill test', () => {
  function books(qos: 1 | 2 = 1) {
    const ledger = new Ledger()
    ledger.addSubscriber('s')
    ledger.addStream('p', qos)
    const send = () => {
      const { number, payload } = ledger.next('p')
      ledger.sent('p', number)
      return { number, payload }
    }
    return { ledger, send }
  }
  const nothing = {
    acknowledged: 0,
    delivered: 0,
    lost: 0,
    duplicatedQos2: 0,
    duplicatedQos1: 0,
    duplicatedWithoutCause: 0,
    disordered: 0,
    foreign: 0,
  }

  it('miss an acknowledged message that did not arrive, and no other one', () => {
    const { ledger, send } = books()
    send()
    const second = send()
    const third = send()
    ledger.acknowledged('p', second.number)
    ledger.acknowledged('p', third.number)
    ledger.received('s', third.payload, 1)
    expect(ledger.findings()).toEqual({ ...nothing, acknowledged: 2, delivered: 1, lost: 1 })
  })

  it('find a second copy: at QoS 2 always, at QoS 1 unless one side reconnected', () => {
    const twice = books(2)
    const sent = twice.send()
    for (const connection of [1, 2]) twice.ledger.received('s', sent.payload, connection)
    expect(twice.ledger.findings()).toEqual({ ...nothing, duplicatedQos2: 1 })

    const { ledger, send } = books(1)
    const first = send()
    for (const connection of [1, 1]) ledger.received('s', first.payload, connection)
    expect(ledger.findings()).toEqual({ ...nothing, duplicatedWithoutCause: 1 })
    const second = send()
    for (const connection of [1, 2]) ledger.received('s', second.payload, connection)
    const third = send()
    ledger.sent('p', third.number)
    for (const connection of [2, 2]) ledger.received('s', third.payload, connection)
    expect(ledger.findings()).toEqual({ ...nothing, duplicatedWithoutCause: 1, duplicatedQos1: 2 })
  })

  it('find a first copy that came after a later message', () => {
    const { ledger, send } = books()
    const first = send()
    const second = send()
    ledger.received('s', second.payload, 1)
    ledger.received('s', first.payload, 2)
    ledger.received('s', second.payload, 2)
    expect(ledger.findings()).toMatchObject({ disordered: 1, lost: 0 })
  })

  it('find payloads that nobody sent', () => {
    const { ledger, send } = books()
    const { payload } = send()
    for (const foreign of [`${payload}x`, payload.slice(0, -1), 'q 1 ', 'p 2 ', '']) ledger.received('s', foreign, 1)
    expect(ledger.findings()).toEqual({ ...nothing, foreign: 5 })
  })

  it('know which values a retained topic may hold', () => {
    const retained = new RetainedLedger()
    const changes = ['a', 'b', undefined, 'c'].map((value) => retained.change('t', value))
    const now = () => retained.owed().get('t')!()
    expect(now()).toEqual([undefined, 'a', 'b', undefined, 'c'])
    retained.acknowledged('t', changes[1]!)
    retained.acknowledged('t', changes[0]!)
    expect(now()).toEqual(['b', undefined, 'c'])
    const before = retained.owed().get('t')!
    retained.acknowledged('t', changes[3]!)
    expect(now()).toEqual(['c'])
    expect(before()).toEqual(['b', undefined, 'c'])
  })
})

describe('kill -9', () => {
  it('makes a broker without a store lose what it acknowledged, and the test says so', {
    timeout: 120_000,
  }, async () => {
    const result = await killTest(brokersOf('aedes')[0]!, { cycles: 2, seed: 1, quietMs: 1000 })
    expect(result.aborted).toBe(undefined)
    expect(result.acknowledged).toBeGreaterThan(0)
    expect(result.sessionsLost).toBeGreaterThan(0)
    expect(result.retainedStale).toBeGreaterThan(0)
    expect(hasLost(result)).toBe(true)
  })

  it('twenty times in a row makes the gateway lose nothing that it acknowledged', { timeout: 300_000 }, async () => {
    const result = await killTest(brokersOf('mqtide')[0]!, { cycles: 20, seed: 20, quietMs: 10_000 })
    expect(result).toMatchObject({
      cycles: 20,
      aborted: undefined,
      lost: 0,
      duplicatedQos2: 0,
      duplicatedWithoutCause: 0,
      disordered: 0,
      foreign: 0,
      sessionsLost: 0,
      retainedStale: 0,
      sessionsRisen: 0,
    })
    expect(result.group).toMatchObject({ lost: 0, duplicatedQos2: 0, duplicatedWithoutCause: 0, foreign: 0 })
    expect(result.group.acknowledged).toBeGreaterThan(100)
    expect(result.expiry).toEqual({ left: result.expiry.left, kept: result.expiry.left, risen: 0 })
    expect(result.expiry.left).toBeGreaterThan(0)
    expect(result.startsBroken).toBeGreaterThan(0)
    expect(result.wills.unwanted).toBe(0)
    expect(result.wills.left).toBeGreaterThan(0)
    expect(result.wills.published).toBe(result.wills.left)
    expect(result.acknowledged).toBeGreaterThan(1000)
    expect(result.delivered).toBe(result.acknowledged * 3)
  })

  it.each<FullCase>(['queue-reject', 'queue-drop-oldest', 'disk'])(
    'while it is full makes the gateway lose nothing that it acknowledged: %s',
    { timeout: 200_000 },
    async (which) => {
      const result = await fullTest(brokersOf('mqtide')[0]!, which, 3, 3)
      expect(result).toMatchObject({ kills: 3, lost: 0 })
      expect(result.fault).toBe(undefined)
      expect(result.acknowledged).toBeGreaterThan(100)
      if (which !== 'queue-drop-oldest') expect(result.refused).toBeGreaterThan(0)
    },
  )
})
