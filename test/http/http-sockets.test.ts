import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HttpSockets } from '../../src/listeners/http-sockets.ts'
import { eventually } from '../e2e/eventually.ts'

let server: Server
let sockets: HttpSockets
let refused: number
let unanswered: ServerResponse[]

beforeEach(async () => {
  refused = 0
  unanswered = []
  sockets = new HttpSockets(2, () => refused++)
  server = createServer((request, response) => {
    if (request.url === '/slow') unanswered.push(response)
    else response.end('x')
  })
  server.on('upgrade', (_request, socket) => socket.resume().end('upgraded'))
  sockets.watch(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

async function dial(): Promise<Socket> {
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

async function ask(socket: Socket, path: string, more = ''): Promise<void> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`)
}

test('a newcomer displaces the socket that has waited longest, also one between two requests', async () => {
  const first = await dial()
  ask(first, '/')
  await once(first, 'data')
  const second = await dial()
  await eventually(() => sockets.size).toBe(2)
  const closed = once(first.resume(), 'close')
  const third = await dial()
  await closed
  expect(refused).toBe(1)
  ask(third, '/')
  expect(String((await once(third, 'data'))[0])).toMatch(/^HTTP\/1.1 200 /)
  for (const socket of [second, third]) socket.destroy()
  await eventually(() => sockets.size).toBe(0)
})

test('requests under way are not displaced: the newcomer is refused', async () => {
  const busy = [await dial(), await dial()]
  for (const socket of busy) ask(socket, '/slow')
  await eventually(() => unanswered.length).toBe(2)
  const third = await dial()
  await once(third.resume(), 'close')
  expect([refused, sockets.size]).toEqual([1, 2])
  for (const response of unanswered) response.end('x')
  for (const socket of busy) expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 200 /)
  for (const socket of busy) socket.destroy()
})

test('a socket that became a WebSocket counts no more', async () => {
  const upgraded = await dial()
  ask(upgraded, '/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')
  await once(upgraded, 'data')
  expect(sockets.size).toBe(0)
  upgraded.destroy()
})
