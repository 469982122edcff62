/*
 * MQTT 5.0 section 6, WebSocket as a network transport. Over TCP these tests have no meaning.
 */

import { expect } from 'vitest'
import { concat, pingreq, pingresp } from '../bytes.ts'
import { openTcp, openWebSocket, type RawClient, WebSocketLink } from '../client.ts'
import { conformance } from '../harness.ts'
import { connected5, expectDisconnected, expectPublish, expectSuback, leave, next, subscribed } from './expect.ts'
import { connect, disconnect, publish, subscribe } from './packets.ts'

const webSocketOnly = { transports: ['WebSocket' as const] }

function socketOf(client: RawClient) {
  if (!(client.link instanceof WebSocketLink)) throw new Error('not a WebSocket')
  return client.link.socket
}

conformance(
  '5.0',
  ['MQTT-6.0.0-1'],
  'a text frame closes the connection, before and after CONNECT',
  async (wire) => {
    const fresh = await wire.open()
    socketOf(fresh).send('text')
    await fresh.expectClosed()
    const client = await connected5(wire)
    socketOf(client).send(Buffer.from(pingreq).toString('latin1'))
    const decoded = await next(client).catch(() => undefined)
    if (decoded !== undefined) expect(decoded.type).toBe('disconnect')
    await client.expectClosed()
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-1'],
  'an empty text frame closes the connection too',
  async (wire) => {
    const client = await wire.open()
    socketOf(client).send('')
    await client.expectClosed()
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-1'],
  'a text frame publishes the will',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const client = await connected5(wire, { clientId: wire.id('t'), will: { topic: wire.topic(), payload: 'text' } })
    socketOf(client).send('text')
    await expectPublish(watcher, { topic: wire.topic(), payload: 'text' })
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-2'],
  'a packet may be spread over frames of one byte',
  async (wire) => {
    const client = await wire.open()
    client.sendBytewise(connect({ clientId: wire.id() }))
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
    client.sendBytewise(subscribe(1, [[wire.topic(), 0]]), publish({ topic: wire.topic(), payload: 'spread' }), pingreq)
    await expectSuback(client, 1, [0])
    await expectPublish(client, { topic: wire.topic(), payload: 'spread' })
    await client.expectPacket(pingresp)
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-2'],
  'a frame may hold several packets and the beginning of the next',
  async (wire) => {
    const client = await wire.open()
    const all = concat(
      connect({ clientId: wire.id() }),
      subscribe(1, [[wire.topic(), 0]]),
      publish({ topic: wire.topic(), payload: 'one' }),
      publish({ topic: wire.topic(), payload: 'two' }),
      pingreq,
    )
    client.send(all.subarray(0, all.length - 7))
    client.send(all.subarray(all.length - 7))
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
    await expectSuback(client, 1, [0])
    await expectPublish(client, { topic: wire.topic(), payload: 'one' })
    await expectPublish(client, { topic: wire.topic(), payload: 'two' })
    await client.expectPacket(pingresp)
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-2'],
  'a fragmented message with a ping between its fragments is read',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic())
    const bytes = publish({ topic: wire.topic(), payload: 'in three fragments' })
    const socket = socketOf(client)
    const ponged = new Promise((resolve) => socket.once('pong', resolve))
    socket.send(bytes.subarray(0, 5), { binary: true, fin: false })
    socket.ping('between')
    socket.send(bytes.subarray(5, 9), { binary: true, fin: false })
    socket.send(bytes.subarray(9), { binary: true, fin: true })
    await ponged
    await expectPublish(client, { topic: wire.topic(), payload: 'in three fragments' })
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-2'],
  'an empty binary frame is no packet and no fault',
  async (wire) => {
    const client = await connected5(wire)
    socketOf(client).send(new Uint8Array(0))
    await client.expectNothing()
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-6.0.0-4'],
  'the subprotocol selected is mqtt, wherever it stands in the offer',
  async (wire) => {
    for (const subprotocols of [['mqtt'], ['mqtt', 'other'], ['other', 'mqtt'], ['mqttv3.1', 'mqtt']]) {
      const client = await wire.open({ subprotocols })
      expect(socketOf(client).protocol).toBe('mqtt')
      client.send(connect({ clientId: wire.id() }))
      expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
      await leave(client)
    }
  },
  webSocketOnly,
)

conformance(
  '5.0',
  [],
  'a client that offers no subprotocol is served, one that offers only foreign ones is not',
  async (wire) => {
    const client = await wire.open({ subprotocols: [] })
    client.send(connect({ clientId: wire.id() }))
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
    await expect(openWebSocket(wire.http, { subprotocols: ['soap'] })).rejects.toThrow()
  },
  webSocketOnly,
)

conformance(
  '5.0',
  [],
  'the path / serves MQTT like /mqtt, another path does not',
  async (wire) => {
    const client = await wire.open({ path: '/' })
    client.send(connect({ clientId: wire.id() }))
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
    await expect(openWebSocket(wire.http, { path: '/no/such/path' })).rejects.toThrow()
  },
  webSocketOnly,
)

conformance(
  '5.0',
  [],
  'a client that offers compression is served, compressed or not',
  async (wire) => {
    const client = await wire.open({ perMessageDeflate: true })
    client.send(connect({ clientId: wire.id() }))
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
    await subscribed(client, wire.topic())
    const payload = 'compressible '.repeat(5000)
    client.send(publish({ topic: wire.topic(), payload }))
    await expectPublish(client, { topic: wire.topic(), payload })
  },
  webSocketOnly,
)

conformance(
  '5.0',
  [],
  'after DISCONNECT, its own or that of the client, the server closes with a close frame',
  async (wire) => {
    const polite = await connected5(wire)
    const closed = new Promise<number>((resolve) => socketOf(polite).once('close', resolve))
    polite.send(disconnect(0))
    expect(await closed).not.toBe(1006)
    const faulty = await connected5(wire)
    const closedFaulty = new Promise<number>((resolve) => socketOf(faulty).once('close', resolve))
    faulty.send('c1 00')
    await expectDisconnected(faulty, 0x81)
    expect(await closedFaulty).not.toBe(1006)
  },
  webSocketOnly,
)

conformance(
  '5.0',
  [],
  'a close frame without DISCONNECT publishes the will',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const client = await connected5(wire, { clientId: wire.id('c'), will: { topic: wire.topic(), payload: 'closed' } })
    socketOf(client).close(1000)
    await expectPublish(watcher, { topic: wire.topic(), payload: 'closed' })
  },
  webSocketOnly,
)

conformance(
  '5.0',
  ['MQTT-4.2.0-1'],
  'messages cross between TCP and WebSocket clients',
  async (wire) => {
    const client = await connected5(wire)
    const tcp = await openTcp(wire.mqtt)
    tcp.send(connect({ clientId: wire.id('tcp') }), subscribe(1, [[wire.topic('down'), 1]]))
    expect(await next(tcp)).toMatchObject({ type: 'connack', reasonCode: 0 })
    await expectSuback(tcp, 1, [1])
    await subscribed(client, wire.topic('up'), 1)
    tcp.send(publish({ topic: wire.topic('up'), payload: 'up' }))
    await expectPublish(client, { topic: wire.topic('up'), payload: 'up' })
    client.send(publish({ topic: wire.topic('down'), payload: 'down' }))
    await expectPublish(tcp, { topic: wire.topic('down'), payload: 'down' })
    await leave(tcp)
  },
  webSocketOnly,
)
