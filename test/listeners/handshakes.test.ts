import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { Handshakes } from '../../src/listeners/handshakes.ts'

const ends = { remoteAddress: '192.0.2.7', remotePort: 4711, localAddress: '192.0.2.1', localPort: 8883 }

/** As much of a socket as is looked at. */
function socket(addresses: Partial<typeof ends> = ends): Socket {
  return Object.assign(new EventEmitter(), addresses) as Socket
}

test('a handshake is over when its socket is secure, and once only', () => {
  const handshakes = new Handshakes()
  const accepted = socket()
  let ended = 0
  expect(handshakes.begin(accepted, () => ended++)).toBe(true)
  handshakes.end(socket())
  expect([handshakes.size, ended]).toEqual([0, 1])
  handshakes.end(socket())
  accepted.emit('close')
  expect(handshakes.size).toBe(0)
})

test('peers that have gone before they were accepted take no place', () => {
  const handshakes = new Handshakes()
  for (let i = 0; i < 2; i++) expect(handshakes.begin(socket({}), () => {})).toBe(false)
  handshakes.end(socket({}))
  expect(handshakes.size).toBe(0)
})

test('one peer at two of our addresses is two, and a port that is used again ends what it was used for before', () => {
  const handshakes = new Handshakes()
  const ended: string[] = []
  const first = socket()
  handshakes.begin(first, () => ended.push('first'))
  handshakes.begin(socket({ ...ends, localAddress: '192.0.2.2' }), () => ended.push('other'))
  expect([handshakes.size, ended]).toEqual([2, []])
  handshakes.begin(socket(), () => ended.push('second'))
  expect([handshakes.size, ended]).toEqual([2, ['first']])
  first.emit('close')
  expect(handshakes.size).toBe(2)
  handshakes.end(socket())
  expect([handshakes.size, ended.at(-1)]).toEqual([1, 'second'])
})
