/*
 * MQTT 3.1.1 section 3.1: CONNECT. Wills have a file of their own, and so have sessions.
 */

import {
  connack,
  connect,
  disconnect,
  field,
  hex,
  packet,
  pingreq,
  pingresp,
  puback,
  publish,
  suback,
  subscribe,
  text,
  unsubscribe,
} from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { closesConnection, closesUnanswered, subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-3.1.0-1'], 'any other first packet closes unanswered', async (wire) => {
  const topic = wire.topic()
  const first = [
    publish({ topic }),
    publish({ topic, qos: 1, id: 1 }),
    publish({ topic, qos: 2, id: 1 }),
    subscribe(1, [[topic, 0]]),
    unsubscribe(1, [topic]),
    pingreq,
    disconnect,
    hex('40 02 00 01'),
    hex('50 02 00 01'),
    hex('62 02 00 01'),
    hex('70 02 00 01'),
    connack(),
    suback(1, 0),
    hex('b0 02 00 01'),
    pingresp,
    hex('f0 00'),
  ]
  await closesUnanswered(wire, ...first)
})

conformance('3.1.1', ['MQTT-3.1.0-1'], 'bytes that are no MQTT close unanswered', async (wire) => {
  const http = text('GET / HTTP/1.1\r\nHost: example.com\r\n\r\n')
  const tls = hex('16 03 01 00 2f 01 00 00 2b 03 03')
  await closesUnanswered(wire, http, tls, text('SSH-2.0-x\r\n'))
})

conformance('3.1.1', ['MQTT-3.1.0-1'], 'a message published before CONNECT reaches nobody', async (wire) => {
  const other = await subscribed(wire, wire.topic(), 0)
  await closesUnanswered(wire, publish({ topic: wire.topic(), payload: 'x' }))
  await other.expectNothing()
})

conformance('3.1.1', ['MQTT-3.1.0-2', 'MQTT-4.8.0-1'], 'a second CONNECT closes', async (wire) => {
  await closesConnection(wire, connect({ clientId: wire.id('other') }))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.0-2'],
  'a second CONNECT in the chunk of the first closes after its CONNACK',
  async (wire) => {
    const client = await wire.open()
    const first = connect({ clientId: wire.id() })
    client.send(first, first)
    await client.expectPacket(connack())
    await client.expectClosed()
  },
)

conformance('3.1.1', ['MQTT-3.1.0-2', 'MQTT-3.1.2-8'], 'a second CONNECT publishes the will', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected({ will: { topic, payload: 'gone' } })
  client.send(connect({ clientId: wire.id() }))
  await client.expectClosed()
  await other.expectPacket(publish({ topic, payload: 'gone' }))
})

conformance('3.1.1', ['MQTT-3.1.2-1'], 'another protocol name closes unanswered', async (wire) => {
  const names = ['', 'M', 'MQT', 'MQTt', 'mqtt', 'MQTTT', 'MQIsd', 'AMQP', 'MQTT\u0000']
  await closesUnanswered(wire, ...names.map((name) => connect({ name, clientId: wire.id() })))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-2', 'MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
  'a protocol level below 4 with the name MQTT is answered with return code 1, then closed',
  async (wire) => {
    for (const level of [0, 1, 2, 3]) {
      const client = await wire.open()
      client.send(connect({ name: 'MQTT', level, clientId: wire.id() }))
      await client.expectPacket('20 02 00 01')
      await client.expectClosed()
    }
  },
)

conformance('3.1.1', ['MQTT-3.1.2-3', 'MQTT-3.1.4-1'], 'the reserved connect flag closes unanswered', async (wire) => {
  await closesUnanswered(
    wire,
    connect({ clientId: wire.id(), flags: 0x03 }),
    connect({ clientId: wire.id(), flags: 0x01 }),
  )
})

const connectHead = (flags: number): Uint8Array =>
  hex(`00 04 4d 51 54 54 04 ${flags.toString(16).padStart(2, '0')} 00 00`)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-18', 'MQTT-3.1.4-1'],
  'a user name without its flag closes unanswered',
  async (wire) => {
    await closesUnanswered(wire, packet(0x10, connectHead(0x02), field(wire.id()), field('user')))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-19', 'MQTT-3.1.4-1'],
  'the user name flag without a user name closes',
  async (wire) => {
    await closesUnanswered(wire, packet(0x10, connectHead(0x82), field(wire.id())))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-20', 'MQTT-3.1.4-1'],
  'a password without its flag closes unanswered',
  async (wire) => {
    await closesUnanswered(wire, packet(0x10, connectHead(0x82), field(wire.id()), field('user'), field('password')))
  },
)

conformance('3.1.1', ['MQTT-3.1.2-21', 'MQTT-3.1.4-1'], 'the password flag without a password closes', async (wire) => {
  await closesUnanswered(wire, packet(0x10, connectHead(0xc2), field(wire.id()), field('user')))
})

conformance('3.1.1', ['MQTT-3.1.2-22', 'MQTT-3.1.4-1'], 'a password without a user name closes', async (wire) => {
  await closesUnanswered(wire, connect({ clientId: wire.id(), password: 'password' }))
})

conformance('3.1.1', ['MQTT-3.1.3-3', 'MQTT-3.1.4-1'], 'a CONNECT without a client identifier closes', async (wire) => {
  await closesUnanswered(wire, packet(0x10, connectHead(0x02)))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.4-1', 'MQTT-3.2.2-6'],
  'a CONNECT that ends too early closes unanswered',
  async (wire) => {
    const whole = connect({
      clientId: wire.id(),
      will: { topic: wire.topic(), payload: 'payload' },
      username: 'user',
      password: 'password',
    })
    const body = whole.subarray(2)
    const cut = Array.from({ length: body.length }, (_, length) => packet(0x10, body.subarray(0, length)))
    await closesUnanswered(wire, ...cut)
  },
)

conformance('3.1.1', ['MQTT-3.1.4-1', 'MQTT-3.2.2-6'], 'bytes behind the last field of CONNECT close', async (wire) => {
  const body = connect({ clientId: wire.id() }).subarray(2)
  await closesUnanswered(wire, packet(0x10, body, '00'), packet(0x10, body, '00 00'))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.3-5', 'MQTT-3.1.4-4'],
  'identifiers of 1 to 23 letters and digits are accepted',
  async (wire) => {
    const letters = 'abcdefghijklmnopqrstuvwxyz'
    const alphabet = `0123456789${letters}${letters.toUpperCase()}`
    const whole = [alphabet.slice(0, 23), alphabet.slice(23, 46), alphabet.slice(39, 62)]
    const lengths = Array.from({ length: 22 }, (_, i) => alphabet.slice(i, 2 * i + 1))
    for (const clientId of [...whole, ...lengths]) {
      const client = await wire.connected({ clientId })
      await client.expectNothing()
    }
  },
)

conformance('3.1.1', ['MQTT-3.1.3-5'], 'longer identifiers and other characters are accepted too', async (wire) => {
  for (const clientId of [`${wire.id()}${'x'.repeat(200)}`, `${wire.id()}/$ +#-_.\u00e9\u{1f600}`, 'y'.repeat(1000)]) {
    const client = await wire.connected({ clientId })
    await client.expectNothing()
  }
})

conformance(
  '3.1.1',
  ['MQTT-3.1.3-6', 'MQTT-3.1.4-4'],
  'each empty identifier becomes a client of its own',
  async (wire) => {
    const topic = wire.topic()
    const one = await wire.connected({ clientId: '' })
    const two = await subscribed(wire, topic, 0, { clientId: '' })
    one.send(publish({ topic, payload: 'x' }))
    await two.expectPacket(publish({ topic, payload: 'x' }))
    await one.expectNothing()
    await two.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.3-8', 'MQTT-3.1.3-9', 'MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
  'an empty identifier with clean session 0 is answered with return code 2, then closed',
  async (wire) => {
    const client = await wire.open()
    client.send(connect({ clientId: '', clean: false }))
    await client.expectPacket('20 02 00 02')
    await client.expectClosed()
  },
)

conformance('3.1.1', ['MQTT-3.1.4-2'], 'a second client with the same identifier ends the first', async (wire) => {
  const first = await wire.connected({ clientId: wire.id() })
  const second = await wire.connected({ clientId: wire.id() })
  await first.expectClosed()
  await second.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.1.4-2'],
  'identifiers that differ in case or by a space are different clients',
  async (wire) => {
    const clients = []
    for (const suffix of ['a', 'A', 'a ', ' a', '\u00e9', 'e\u0301']) {
      clients.push(await wire.connected({ clientId: wire.id() + suffix }))
    }
    for (const client of clients) await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.4-2', 'MQTT-3.1.2-8'],
  'the will of the client that was ended is published',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const first = await wire.connected({ clientId: wire.id(), will: { topic, payload: 'first' } })
    await wire.connected({ clientId: wire.id(), will: { topic, payload: 'second' } })
    await first.expectClosed()
    await other.expectPacket(publish({ topic, payload: 'first' }))
    await other.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.1.4-2'], 'of many clients with one identifier only the last stays', async (wire) => {
  const clients = []
  for (let i = 0; i < 20; i++) {
    const client = await wire.open()
    client.send(connect({ clientId: wire.id() }))
    clients.push(client)
  }
  // Each CONNECT was handled: it was answered, or its connection was ended by another one before that.
  for (const client of clients) await client.expectPacket(connack()).catch(() => undefined)
  const last = await wire.connected({ clientId: wire.id() })
  for (const client of clients) await client.expectClosed()
  await last.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.1.4-4', 'MQTT-3.2.0-1'],
  'packets sent at once with CONNECT are handled after it',
  async (wire) => {
    const topic = wire.topic()
    const client = await wire.open()
    client.send(
      connect({ clientId: wire.id() }),
      subscribe(1, [[topic, 0]]),
      publish({ topic, payload: 'x', qos: 1, id: 2 }),
      pingreq,
    )
    await client.expectPackets(connack(), suback(1, 0))
    await client.expectInAnyOrder(publish({ topic, payload: 'x' }), puback(2), pingresp)
  },
)

conformance('3.1.1', ['MQTT-3.1.4-5'], 'nothing that follows a refused CONNECT is handled', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.open()
  client.send(connect({ clientId: '', clean: false }), publish({ topic, payload: 'x', retain: true }), pingreq)
  await client.expectPacket('20 02 00 02')
  await client.expectClosed()
  await other.expectNothing()
  const later = await subscribed(wire, topic, 0)
  await later.expectNothing()
})

const onlyAnna = {
  authenticate(request: { username?: string | undefined; password?: Uint8Array | undefined }): { reasonCode: number } {
    const password = request.password === undefined ? '' : new TextDecoder().decode(request.password)
    if (request.username !== 'anna') return { reasonCode: 0x86 }
    return { reasonCode: password === 'secret' ? 0 : 0x87 }
  },
}

withGateway({ authenticator: onlyAnna }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.1.3-1', 'MQTT-3.1.2-9', 'MQTT-3.1.2-19', 'MQTT-3.1.2-21'],
    'identifier, will topic, will message, user name and password are read in this order',
    async (wire) => {
      const topic = wire.topic()
      const fields = { username: 'anna', password: 'secret' }
      const other = await subscribed(wire, topic, 0, { ...fields, clientId: wire.id('other') })
      const client = await wire.connected({ ...fields, clientId: wire.id(), will: { topic, payload: 'message' } })
      client.destroy()
      await other.expectPacket(publish({ topic, payload: 'message' }))
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
    'a wrong user name is answered with return code 4',
    async (wire) => {
      const client = await wire.open()
      client.send(connect({ clientId: wire.id(), username: 'otto', password: 'secret' }))
      await client.expectPacket('20 02 00 04')
      await client.expectClosed()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
    'a client not authorized is answered with return code 5',
    async (wire) => {
      const client = await wire.open()
      client.send(connect({ clientId: wire.id(), clean: false, username: 'anna', password: 'wrong' }))
      await client.expectPacket('20 02 00 05')
      await client.expectClosed()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.1.4-5'],
    'what follows a CONNECT refused for its credentials is not handled',
    async (wire) => {
      const topic = wire.topic()
      const fields = { username: 'anna', password: 'secret' }
      const other = await subscribed(wire, topic, 0, { ...fields, clientId: wire.id('other') })
      const client = await wire.open()
      client.send(connect({ clientId: wire.id() }), publish({ topic, payload: 'x' }), publish({ topic, qos: 1, id: 1 }))
      await client.expectPacket('20 02 00 04')
      await client.expectClosed()
      await other.expectNothing()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.1.4-5', 'MQTT-3.1.2-4'],
    'a refused CONNECT neither ends a session nor publishes a will',
    async (wire) => {
      const topic = wire.topic()
      const fields = { username: 'anna', password: 'secret' }
      const other = await subscribed(wire, topic, 0, { ...fields, clientId: wire.id('other') })
      const client = await wire.connected({ ...fields, clientId: wire.id(), clean: false })
      const refused = await wire.open()
      refused.send(connect({ clientId: wire.id(), will: { topic, payload: 'no' } }))
      await refused.expectPacket('20 02 00 04')
      await refused.expectClosed()
      await client.expectNothing()
      await other.expectNothing()
      client.send(disconnect)
      await client.expectClosed()
      await wire.connected({ ...fields, clientId: wire.id(), clean: false }, true)
    },
  )
})
