/** Jobs over connections that break while they run, against a gateway that the test plays. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Connection, type Consumer, connect } from '../../src/client/index.ts'
import { FakeGateway, type FakeSocket } from './fake-gateway.ts'

let gateway: FakeGateway
let connection: Connection
let consumer: Consumer
let finish: (() => void)[]

beforeEach(async () => {
  vi.useFakeTimers()
  gateway = new FakeGateway()
  finish = []
  connection = connect('http://gateway.test', { WebSocket: gateway.WebSocket })
  consumer = connection.consume('jobs', () => new Promise<void>((resolve) => finish.push(resolve)), { prefetch: 5 })
  await vi.advanceTimersByTimeAsync(0)
})
afterEach(() => {
  vi.useRealTimers()
})

function give(socket: FakeSocket, delivery: string, dup = false): void {
  const properties = { userProperties: [['queue-delivery', delivery]] as [string, string][] }
  socket.say({
    op: 'message',
    topic: 'a',
    payload: '',
    encoding: 'utf8',
    qos: 1,
    retain: false,
    dup,
    packet: 1,
    properties,
  })
}

async function reconnect(): Promise<FakeSocket> {
  gateway.last.drop()
  await vi.advanceTimersByTimeAsync(2000)
  return gateway.accept({ sessionPresent: true })
}

test('a job that runs while its connection breaks is not begun twice, and acknowledged on the next', async () => {
  const first = gateway.accept()
  expect(first.said[0]).toMatchObject({ op: 'connect', inflightMessagesMax: 5 })
  give(first, 'x')
  const next = await reconnect()
  give(next, 'x', true)
  expect(finish).toHaveLength(1)
  finish[0]!()
  await vi.advanceTimersByTimeAsync(0)
  expect([first.ofKind('ack').length, next.ofKind('ack').length]).toEqual([0, 1])
})

test('a job that was done while the connection was away is only acknowledged', async () => {
  give(gateway.accept(), 'x')
  gateway.last.drop()
  finish[0]!()
  await vi.advanceTimersByTimeAsync(2000)
  const next = gateway.accept({ sessionPresent: true })
  give(next, 'x', true)
  expect(next.ofKind('ack')).toHaveLength(1)
  expect(finish).toHaveLength(1)
  // Not one that comes anew: somebody redrove it.
  give(next, 'x')
  expect(finish).toHaveLength(2)
})

test('closing waits for what runs and begins nothing more', async () => {
  const socket = gateway.accept()
  give(socket, 'x')
  const closing = consumer.close()
  give(socket, 'y')
  finish[0]!()
  await vi.advanceTimersByTimeAsync(0)
  await closing
  expect(finish).toHaveLength(1)
  expect(socket.said.slice(-3).map(({ op }) => op)).toEqual(['ack', 'unsubscribe', 'disconnect'])
})
