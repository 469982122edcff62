/** What strangers and clients may send to the JSON WebSocket with bad intent. */
import { describe, expect, test } from 'vitest'
import { isBase64 } from '../../src/mqtt/base64.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { openJson } from './json-client.ts'

describe('base64', () => {
  test.each(['', 'QQ==', 'QUI=', 'QUJD', '+/+/', 'QUJDQQ=='])('%j is some', (text) => expect(isBase64(text)).toBe(true))
  test.each(['Q', 'QQ', 'QQ=', 'QQ===', '=QQQ', 'Q=Q=', 'QQ==QQ==', 'QQ-_', 'QQ Q', 'QQQ\n', '====', '=', 'QQQ\u00e9'])(
    '%j is none',
    (text) => expect(isBase64(text)).toBe(false),
  )

  test('of forty megabytes is judged, and ends nothing', async () => {
    const mebibyte = 1024 * 1024
    const gateway = await startGateway({
      limits: { jsonMessageBytesMax: 64 * mebibyte, packetBytesMax: 64 * mebibyte },
    })
    const client = await openJson(gateway)
    const payload = 'A'.repeat(40 * mebibyte)
    expect(await client.ask({ op: 'publish', topic: 'a', qos: 1, encoding: 'base64', payload })).toMatchObject({
      op: 'published',
    })
    const wrong = await client.ask({ op: 'publish', topic: 'a', qos: 1, encoding: 'base64', payload: `${payload}!` })
    expect(wrong).toMatchObject({ op: 'error', message: 'payload: expected base64' })
    expect(gateway.metrics()['mqtt_internal_errors_total']).toBe(0)
    await connectClient(gateway)
  }, 60_000)
})

test('a stranger gets no answers to what is not understood; a client is told each time, and stays', async () => {
  const authenticator = { authenticate: async () => ({ reasonCode: 0x87 }) }
  const strict = await startGateway({ authenticator })
  const stranger = await openJson(strict)
  for (let i = 0; i < 100; i++) stranger.send({ op: 'nothing' })
  expect((await stranger.closed).code).toBe(4000 + 0x87)
  expect(stranger.received).toMatchObject([{ op: 'error', reason: 0x87 }])
  const gateway = await startGateway()
  const client = await openJson(gateway)
  await client.ask({ op: 'ping' })
  for (let i = 0; i < 3; i++) expect(await client.ask({ op: 'nothing' })).toMatchObject({ op: 'error' })
  expect(client.socket.readyState).toBe(client.socket.OPEN)
})

/** JSON has characters that MQTT can't carry; what is wrong with them is told all the same. */
test.each([
  '{"op":"connect","\\ud800":1}',
  '{"op":"connect","will":{"topic":"a","\\u0000":1}}',
  `{"op":"connect","${'a'.repeat(59)}😀":1}`,
  '{"op":"connect","clientId":"\\ud800"}',
  '{"op":"publish","topic":"a","\\ud800":1}',
  '{"op":"publish","topic":"a","properties":{"\\udfff":1}}',
])('%s ends at most its own connection, before connect and after it', async (text) => {
  const gateway = await startGateway()
  for (const first of ['', '{"op":"ping"}']) {
    const client = await openJson(gateway)
    if (first !== '') client.socket.send(first)
    client.socket.send(text)
    client.socket.send('{"op":"ping","id":"after"}')
    await Promise.race([client.until(({ id }) => id === 'after'), client.closed])
  }
  expect(gateway.metrics()['mqtt_internal_errors_total']).toBe(0)
  await connectClient(gateway)
})

test.each([
  { op: 'ack', packet: 65_535 },
  { op: 'publish', topic: 'a', qos: 1, encoding: 'json', payload: { toString: 0, __proto__: null } },
  { op: 'publish', topic: '$queue/jobs/$ack', qos: 1, payload: '{"delayMs":{"toString":0}}' },
  { op: 'publish', topic: `a${'/a'.repeat(30_000)}`, qos: 1 },
  { op: 'publish', topic: '\ud800', qos: 1 },
  { op: 'publish', topic: 'a', qos: 1, properties: { userProperties: Array(100).fill(['k', 'v'.repeat(1000)]) } },
  { op: 'subscribe', filters: Array.from({ length: 9000 }, (_, i) => ({ filter: `${i}/#` })) },
  { op: 'subscribe', filters: [{ filter: `${'+/'.repeat(30_000)}#` }] },
  { op: 'unsubscribe', filters: ['', '\u0000', '$share//x', '$queue/'] },
  { op: 'publish', id: 'i'.repeat(100), topic: '$SYS/x', qos: 0 },
])('%.120j ends at most its own connection', async (operation) => {
  const gateway = await startGateway()
  const client = await openJson(gateway)
  await client.ask({ op: 'ping' })
  client.send(operation)
  client.send({ op: 'ping', id: 'after' })
  await Promise.race([client.until(({ id }) => id === 'after'), client.closed])
  expect(gateway.metrics()['mqtt_internal_errors_total']).toBe(0)
  await connectClient(gateway)
})
