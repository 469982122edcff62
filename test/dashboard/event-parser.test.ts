import { expect, test } from 'vitest'
import { EventParser } from '../../src/dashboard/live/event-parser.ts'

function parse(...pieces: string[]): string[][] {
  const events: string[][] = []
  const parser = new EventParser((event, data) => events.push([event, data]))
  for (const piece of pieces) parser.take(piece)
  return events
}

test('events come out whole, however the stream was cut', () => {
  const stream = ': hello\n\nevent: message\ndata: {"a":1}\n\nevent: end\r\ndata: x\r\n\r\ndata: one\ndata: two\n\n'
  const expected = [
    ['message', '{"a":1}'],
    ['end', 'x'],
    ['message', 'one\ntwo'],
  ]
  expect(parse(stream)).toEqual(expected)
  expect(parse(...stream)).toEqual(expected)
})

test('an event without an end does not come, and a comment is none', () => {
  expect(parse('data: a\n', ':\n\n', 'data: b')).toEqual([['message', 'a']])
})
