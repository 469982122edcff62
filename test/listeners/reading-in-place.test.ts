/** Sockets that read into the one buffer: whose turn it is, and who is paused. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { readingInPlace } from '../../src/listeners/reading-in-place.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close()
})

/** An accepted socket, of which nothing is read yet, and what a client has written to it. */
async function accepted(bytes: number): Promise<Socket> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  closers.push(() => server.close())
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  closers.push(() => client.destroy())
  const [socket] = (await once(server, 'connection')) as [Socket]
  client.write(Buffer.alloc(bytes))
  // So that much of it is in the kernel's buffers.
  await delay(50)
  return socket
}

test('one that has much brings a share of it in each turn, and all of it in the end', async () => {
  const bytes = 8 * 1024 * 1024
  const socket = await accepted(bytes)
  let received = 0
  let inThisTurn = 0
  let mostInOneTurn = 0
  const reading = readingInPlace(socket, (chunk) => {
    if (inThisTurn === 0) setImmediate(() => (inThisTurn = 0))
    received += chunk.length
    inThisTurn += chunk.length
    mostInOneTurn = Math.max(mostInOneTurn, inThisTurn)
  })
  closers.push(() => reading.destroy())
  while (received < bytes) await nextTurn()
  expect(mostInOneTurn).toBeLessThanOrEqual(128 * 1024)
})

test('one that is paused after its share stays paused until it is resumed', async () => {
  const bytes = 2 * 1024 * 1024
  const socket = await accepted(bytes)
  let received = 0
  let pausedAt = 0
  const reading = readingInPlace(socket, (chunk) => {
    received += chunk.length
    if (received < 128 * 1024 || pausedAt > 0) return
    pausedAt = received
    reading.pause()
  })
  closers.push(() => reading.destroy())
  while (pausedAt === 0) await nextTurn()
  for (let turns = 0; turns < 20; turns++) await nextTurn()
  expect(received).toBe(pausedAt)
  reading.resume()
  while (received < bytes) await nextTurn()
  expect(received).toBe(bytes)
})
