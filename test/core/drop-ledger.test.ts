/** Who lost what: lines by client, reason and the beginning of the topic, of which there are only so many. */
import { describe, expect, it } from 'vitest'
import { type DropBearer, DropLedger, dropLinesFoundPerSecondMax, dropLinesMax } from '../../src/core/drop-ledger.ts'

const bearer = (clientId: string, namespace = 'default'): DropBearer => ({
  clientId,
  namespace: { name: namespace },
  dropLine: null,
})

function ledgerAt(now = 0) {
  const clock = { now }
  const ledger = new DropLedger(clock)
  const lines = () =>
    [...ledger.lines].map(({ clientId, reason, topicPrefix, count }) => [clientId, reason, topicPrefix, count])
  return { clock, ledger, lines }
}

describe('the drop ledger', () => {
  it('has a line for each client, reason and first two levels, with when it began and when it was last', () => {
    const { clock, ledger, lines } = ledgerAt(100)
    const slow = bearer('slow')
    ledger.note(slow, 'plant/1/temperature', 'slow_consumer', 1)
    ledger.note(slow, 'plant/1/temperature', 'slow_consumer', 1)
    clock.now = 200
    ledger.note(slow, 'plant/1/pressure', 'slow_consumer', 3)
    ledger.note(slow, 'plant/2', 'slow_consumer', 1)
    ledger.note(slow, 'plant/1/temperature', 'expired', 1)
    ledger.note(bearer('other'), 'plant/1/temperature', 'expired', 1)
    ledger.note(bearer('other', 'lab'), '', 'expired', 7)
    expect(lines()).toEqual([
      ['slow', 'slow_consumer', 'plant/1', 5],
      ['slow', 'slow_consumer', 'plant/2', 1],
      ['slow', 'expired', 'plant/1', 1],
      ['other', 'expired', 'plant/1', 1],
      ['other', 'expired', '', 7],
    ])
    expect([...ledger.lines][0]).toMatchObject({ firstAt: 100, lastAt: 200, namespace: 'default' })
  })

  it('goes on with the line of a client that came back with another session', () => {
    const { ledger, lines } = ledgerAt()
    ledger.note(bearer('a'), 't', 'queue_full', 1)
    ledger.note(bearer('a'), 't', 'queue_full', 1)
    expect(lines()).toEqual([['a', 'queue_full', 't', 2]])
  })

  it(`keeps ${dropLinesMax} lines: the one that nothing was added to for longest gives way, counted`, () => {
    const { ledger, lines } = ledgerAt()
    const first = bearer('first')
    ledger.note(first, 't', 'expired', 1)
    ledger.note(bearer('second'), 't', 'expired', 1)
    ledger.note(bearer('first'), 't', 'expired', 1)
    for (let i = 0; i < dropLinesMax - 1; i++) ledger.note(bearer(`c${i}`), 't', 'expired', 1)
    expect(lines()).toHaveLength(dropLinesMax)
    expect(lines()[0]).toEqual(['first', 'expired', 't', 2])
    expect(ledger.linesLost).toBe(1)
    ledger.note(bearer('last'), 't', 'expired', 1)
    // Its line at hand is none any more.
    ledger.note(first, 't', 'expired', 1)
    expect(lines().at(-1)).toEqual(['first', 'expired', 't', 1])
    expect(ledger.linesLost).toBe(3)
  })

  it('puts what is beyond so many lines in a second into one for each reason, until the next second', () => {
    const { clock, ledger, lines } = ledgerAt()
    const someone = bearer('a')
    for (let i = 0; i < dropLinesFoundPerSecondMax + 10; i++) ledger.note(someone, `t/${i}`, 'too_large', 1)
    ledger.note(bearer('b'), 't', 'too_large', 5)
    ledger.note(bearer('b'), 't', 'expired', 2)
    expect(lines().slice(-2)).toEqual([
      ['', 'too_large', '', 15],
      ['', 'expired', '', 2],
    ])
    expect(lines().reduce((sum, [, , , count]) => sum + (count as number), 0)).toBeLessThan(dropLinesMax + 20)
    clock.now = 1000
    ledger.note(someone, 't/0', 'too_large', 1)
    expect(lines().at(-1)).toEqual(['a', 'too_large', 't/0', 1])
  })

  it('cuts what clients chose: ids, topics without levels, long levels', () => {
    const { ledger } = ledgerAt()
    ledger.note(bearer('i'.repeat(60_000)), 'x'.repeat(60_000), 'expired', 1)
    ledger.note(bearer('i'.repeat(60_000)), `${'x'.repeat(60_000)}/y/z`, 'expired', 1)
    const [line, ...others] = [...ledger.lines]
    expect(others).toEqual([])
    expect(line!.clientId).toBe(`${'i'.repeat(256)}…`)
    expect(line!.topicPrefix).toBe(`${'x'.repeat(64)}…`)
    expect(line!.topic.length).toBeLessThan(100)
  })
})
