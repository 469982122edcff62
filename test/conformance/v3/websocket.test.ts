/*
 * MQTT 3.1.1 chapter 6: MQTT over WebSocket, and RFC 6455 where an MQTT client meets it.
 */

import { request } from 'node:http'
import type { WebSocket } from 'ws'
import { connack, connect, hex, pingreq, pingresp, publish, suback, subscribe } from '../bytes.ts'
import { openWebSocket, type RawClient, type WebSocketFields, WebSocketLink } from '../client.ts'
import { conformance, type Wire, withGateway } from '../harness.ts'
import { subscribed } from './expect.ts'

const webSocketOnly = { transports: ['WebSocket' as const] }

function socketOf(client: RawClient): WebSocket {
  if (!(client.link instanceof WebSocketLink)) throw new Error('this test runs on WebSocket alone')
  return client.link.socket
}

/** The close code that the broker sends. Fails after the time that other expectations have. */
function closeCode(client: RawClient): Promise<number> {
  const socket = socketOf(client)
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the broker did not close the WebSocket')), 5_000)
    socket.on('close', (code) => {
      clearTimeout(timer)
      resolve(code)
    })
  })
}

async function connectedWith(wire: Wire, fields: WebSocketFields): Promise<RawClient> {
  const client = await wire.open(fields)
  client.send(connect({ clientId: wire.id() }))
  await client.expectPacket(connack())
  return client
}

conformance(
  '3.1.1',
  ['MQTT-6.0.0-1'],
  'a text frame closes with code 1003 and publishes the will',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected({ will: { topic, payload: 'gone' } })
    const code = closeCode(client)
    socketOf(client).send('\u0000', { binary: false })
    if ((await code) !== 1003) throw new Error(`closed with code ${await code}`)
    await other.expectPacket(publish({ topic, payload: 'gone' }))
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-1'],
  'a text frame before CONNECT closes, an empty one too',
  async (wire) => {
    for (const content of ['', 'hello', '\u0010']) {
      const client = await wire.open()
      socketOf(client).send(content, { binary: false })
      await client.expectClosed()
    }
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-1'],
  'the broker sends binary frames alone',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 0)
    const binary: boolean[] = []
    socketOf(client).on('message', (_, isBinary: boolean) => binary.push(isBinary))
    client.send(publish({ topic, payload: 'text' }), pingreq)
    await client.expectInAnyOrder(publish({ topic, payload: 'text' }), pingresp)
    if (binary.length === 0 || binary.includes(false)) throw new Error(`binary: ${binary}`)
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-2'],
  'several packets in one frame are all handled',
  async (wire) => {
    const topic = wire.topic()
    const client = await wire.open()
    const message = publish({ topic, payload: 'x' })
    client.send(connect({ clientId: wire.id() }), subscribe(1, [[topic, 0]]), message, message, pingreq)
    await client.expectPackets(connack(), suback(1, 0))
    await client.expectInAnyOrder(message, message, pingresp)
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-2'],
  'a packet over several frames, and a frame that ends within the next packet, are understood',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 0)
    const message = publish({ topic, payload: 'payload' })
    for (let cut = 1; cut < message.length; cut++) {
      client.send(message.subarray(0, cut))
      client.send(message.subarray(cut), message.subarray(0, cut))
      client.send(message.subarray(cut))
      await client.expectPackets(message, message)
    }
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-2'],
  'fragments of a frame with pings and empty fragments between them are put together',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 0)
    const message = publish({ topic, payload: 'payload' })
    const socket = socketOf(client)
    socket.send(message.subarray(0, 1), { fin: false })
    socket.ping('one')
    socket.send(message.subarray(1, 1), { fin: false })
    socket.send(message.subarray(1, 9), { fin: false })
    socket.ping('two')
    socket.send(message.subarray(9), { fin: true })
    await client.expectPacket(message)
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-2'],
  'empty binary frames mean nothing',
  async (wire) => {
    const client = await wire.open()
    client.send('')
    client.send(connect({ clientId: wire.id() }))
    client.send('')
    await client.expectPacket(connack())
    client.send('')
    await client.expectNothing()
  },
  webSocketOnly,
)

conformance(
  '3.1.1',
  ['MQTT-6.0.0-4'],
  'the subprotocol mqtt is selected when it is offered',
  async (wire) => {
    for (const subprotocols of [['mqtt'], ['x', 'mqtt'], ['mqttv3.1', 'mqtt'], ['mqtt', 'mqttv3.1']]) {
      const client = await connectedWith(wire, { subprotocols })
      const selected = socketOf(client).protocol
      if (selected !== 'mqtt') throw new Error(`offered ${subprotocols}, selected ${selected}`)
    }
  },
  webSocketOnly,
)

withGateway({}, () => {
  conformance(
    '3.1.1',
    [],
    'older subprotocol names are selected when they alone are offered',
    async (wire) => {
      for (const subprotocol of ['mqttv3.1', 'mqttv3.1.1', 'mqttv5']) {
        const client = await connectedWith(wire, { subprotocols: [subprotocol] })
        const selected = socketOf(client).protocol
        if (selected !== subprotocol) throw new Error(`offered ${subprotocol}, selected ${selected}`)
      }
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    [],
    'a client that offers no subprotocol is accepted without one',
    async (wire) => {
      const client = await connectedWith(wire, { subprotocols: [] })
      if (socketOf(client).protocol !== '') throw new Error(`selected ${socketOf(client).protocol}`)
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    [],
    'the paths / and /mqtt, with a query too, lead to the broker and others do not',
    async (wire) => {
      for (const path of ['/', '/mqtt', '/mqtt?x=1']) await connectedWith(wire, { path })
      const error = await wire.open({ path: '/nowhere' }).then(
        () => new Error('the path /nowhere was accepted'),
        () => undefined,
      )
      if (error !== undefined) throw error
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    [],
    'a WebSocket ping is answered, before CONNECT and after it',
    async (wire) => {
      const client = await wire.open()
      const socket = socketOf(client)
      const pong = (): Promise<string> =>
        new Promise((resolve) => socket.once('pong', (data) => resolve(data.toString())))
      socket.ping('before')
      if ((await pong()) !== 'before') throw new Error('another pong')
      client.send(connect({ clientId: wire.id() }))
      await client.expectPacket(connack())
      socket.ping('after')
      if ((await pong()) !== 'after') throw new Error('another pong')
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    ['MQTT-3.1.2-8'],
    'a close frame without DISCONNECT is answered and publishes the will',
    async (wire) => {
      const topic = wire.topic()
      const other = await subscribed(wire, topic, 0)
      const client = await wire.connected({ will: { topic, payload: 'gone' } })
      const code = closeCode(client)
      socketOf(client).close(1000)
      if ((await code) !== 1000) throw new Error(`closed with code ${await code}`)
      await other.expectPacket(publish({ topic, payload: 'gone' }))
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    ['MQTT-6.0.0-2'],
    'messages pass with and without compression offered',
    async (wire) => {
      for (const perMessageDeflate of [true, false]) {
        const topic = wire.topic(String(perMessageDeflate))
        const client = await connectedWith(wire, { perMessageDeflate })
        client.send(subscribe(1, [[topic, 0]]))
        await client.expectPacket(suback(1, 0))
        const payload = 'compressible '.repeat(2_000)
        client.send(publish({ topic, payload }))
        await client.expectPacket(publish({ topic, payload }))
      }
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    [],
    'headers without measure are refused and hurt nobody',
    async (wire) => {
      const client = await wire.connected()
      const status = await upgradeStatus(wire, { 'x-long': 'x'.repeat(100_000) })
      if (status === 101) throw new Error('the upgrade was accepted')
      await client.expectNothing()
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    [],
    'an upgrade with a wrong version or key is refused',
    async (wire) => {
      const client = await wire.connected()
      for (const headers of [{ 'sec-websocket-version': '12' }, { 'sec-websocket-key': 'short' }]) {
        const status = await upgradeStatus(wire, headers)
        if (status !== 400 && status !== 426) throw new Error(`answered with status ${status}`)
      }
      await client.expectNothing()
    },
    webSocketOnly,
  )

  conformance(
    '3.1.1',
    ['MQTT-6.0.0-1'],
    'an unmasked frame, a reserved opcode and a continuation without a beginning close',
    async (wire) => {
      for (const frame of [
        '82 02 c0 00',
        '83 82 00 00 00 00 c0 00',
        '80 82 00 00 00 00 c0 00',
        'c2 82 00 00 00 00 c0 00',
      ]) {
        const client = await wire.connected()
        rawSocketOf(client).write(hex(frame))
        await client.expectClosed()
      }
    },
    webSocketOnly,
  )
})

withGateway({ limits: { packetBytesMax: 4096 } }, () => {
  conformance(
    '3.1.1',
    [],
    'a frame far larger than the largest packet closes and hurts nobody',
    async (wire) => {
      const other = await wire.connected()
      const client = await wire.connected()
      client.send(publish({ topic: wire.topic(), payload: new Uint8Array(5_000_000) }))
      await client.expectClosed()
      await other.expectNothing()
    },
    webSocketOnly,
  )
})

/** HTTP status of a WebSocket upgrade with these headers added or replaced; 101 if it succeeds. */
function upgradeStatus(wire: Wire, headers: Record<string, string>): Promise<number> {
  const { host, port } = wire.http
  return new Promise((resolve, reject) => {
    const sent = request({
      host,
      port,
      path: '/mqtt',
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-protocol': 'mqtt',
        ...headers,
      },
    })
    sent.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve(response.statusCode ?? 0)
    })
    sent.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** The socket below the WebSocket, for bytes that its own client would never send. */
function rawSocketOf(client: RawClient): { write(bytes: Uint8Array): boolean } {
  const { _socket } = socketOf(client) as unknown as { _socket: { write(bytes: Uint8Array): boolean } }
  return _socket
}

conformance(
  '3.1.1',
  ['MQTT-6.0.0-2', 'MQTT-7.1.1-1'],
  'TCP and WebSocket clients meet in the same broker',
  async (wire) => {
    const topic = wire.topic()
    const onTcp = await subscribed(wire, topic, 0)
    const onWebSocket = await openWebSocket(wire.http)
    onWebSocket.send(connect({ clientId: wire.id('ws') }), subscribe(1, [[topic, 0]]))
    await onWebSocket.expectPackets(connack(), suback(1, 0))
    onWebSocket.send(publish({ topic, payload: 'from WebSocket' }))
    await onTcp.expectPacket(publish({ topic, payload: 'from WebSocket' }))
    await onWebSocket.expectPacket(publish({ topic, payload: 'from WebSocket' }))
    onTcp.send(publish({ topic, payload: 'from TCP' }))
    await onWebSocket.expectPacket(publish({ topic, payload: 'from TCP' }))
    onWebSocket.destroy()
  },
  { transports: ['TCP'] },
)
