/** `stream` of `mqtide/client` on streams of a real gateway: from anywhere, by filter, once and in order over broken connections and kills. */
import { afterEach, expect, test } from 'vitest'
import { type Connection, connect } from '../../src/client/index.ts'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { startGateway } from './gateway.ts'
import { startStreamGateway } from './stream-gateway.ts'

const open: Connection[] = []
afterEach(() => Promise.all(open.splice(0).map((connection) => connection.close({ flushMs: 0 }))))

function client(url: string): Connection {
  const connection = connect(url, { backOff: { firstMs: 50, mostMs: 200 } })
  open.push(connection)
  return connection
}

const streams = { meters: { filter: 'meters/#' } }
const httpOf = ({ addresses }: Gateway) => `http://127.0.0.1:${addresses.http!.port}`
const offsets = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

async function publish(gateway: Gateway, from: number, to: number, topic = 'meters/1'): Promise<void> {
  for (let i = from; i < to; i++) await gateway.publish({ topic, payload: `${i}`, qos: 1 })
}

test('a reader gets what is there from a place on, and then what comes, with its offsets', async () => {
  const gateway = await startGateway({ streams })
  await publish(gateway, 0, 300)
  const seen: string[] = []
  const reader = client(httpOf(gateway)).stream('meters', { from: 'offset:100' }, ({ offset, text, topic }) =>
    seen.push(`${offset} ${text} ${topic}`),
  )
  await reader.ready
  await publish(gateway, 300, 310)
  await eventually(() => seen).toEqual(offsets(100, 310).map((one) => `${one} ${one} meters/1`))
  expect(reader.nextOffset).toBe(310)
  await reader.close()
  await publish(gateway, 310, 311)
  expect(seen).toHaveLength(210)
})

test('a loop reads at its own pace, by filter, and ends the reader when it is left', async () => {
  const gateway = await startGateway({ streams })
  for (let i = 0; i < 300; i++) await publish(gateway, i, i + 1, `meters/${i % 2}`)
  const seen: number[] = []
  for await (const { offset } of client(httpOf(gateway)).stream('meters', { from: 'earliest', filter: 'meters/1' })) {
    seen.push(offset!)
    if (seen.length === 150) break
  }
  expect(seen).toEqual(offsets(0, 150).map((index) => 2 * index + 1))
  await eventually(() => gateway.metrics()['mqtt_stream_readers{namespace="default",stream="meters"}']).toBe(0)
})

test('over connections that break each message comes once and in order', async () => {
  const gateway = await startGateway({ streams })
  const seen: number[] = []
  const reader = client(httpOf(gateway)).stream('meters', { from: 'earliest' }, ({ offset }) => seen.push(offset!))
  await reader.ready
  for (let round = 0; round < 5; round++) {
    await publish(gateway, round * 20, round * 20 + 10)
    for (const { client: one } of [...gateway.broker.sessionsByNumber.values()]) one?.link.close('cut off by a test')
    await publish(gateway, round * 20 + 10, round * 20 + 20)
  }
  await eventually(() => seen.length).toBe(100)
  expect(seen).toEqual(offsets(0, 100))
})

test('over kills of the gateway, from the first message after it began to read', async () => {
  const gateway = await startStreamGateway()
  try {
    const seen: number[] = []
    const reader = client(gateway.http).stream('meters', { from: 'latest' }, ({ offset }) => seen.push(offset!))
    await reader.ready
    for (let round = 0; round < 3; round++) {
      await gateway.kill()
      await gateway.start()
      await gateway.publish(round * 20, (round + 1) * 20)
      await eventually(() => seen.length).toBe((round + 1) * 20)
    }
    expect(seen).toEqual(offsets(0, 60))
  } finally {
    for (const connection of open.splice(0)) await connection.close({ flushMs: 0 })
    await gateway.remove()
  }
})

test('a stream that is not there, or a place that is none, is refused with the reason', async () => {
  const connection = client(httpOf(await startGateway({ streams })))
  connection.on('error', () => {})
  await expect(connection.stream('other').ready).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringContaining('there is no stream other'),
  })
  await expect(connection.stream('meters', { from: 'yesterday' }).ready).rejects.toMatchObject({ code: 'refused' })
})
