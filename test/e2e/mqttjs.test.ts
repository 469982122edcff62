/** MQTT.js, the client that most JavaScript users have, over every transport and in every version of the protocol. */
import { describe, expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { connectClient, cut, startGateway, tcp, transports, versions } from './gateway.ts'

const qualities = [0, 1, 2] as const
const everyWay = transports.flatMap((transport) => versions.map((version) => ({ transport, version })))

describe.each(everyWay)('MQTT.js over $transport.name in $version.name', ({ transport, version }) => {
  test('publishes and receives with every QoS, empty, binary and large payloads unchanged', async () => {
    const gateway = await startGateway()
    const subscriber = await connectClient(gateway, version.options, transport)
    const publisher = await connectClient(gateway, version.options, transport)
    await subscriber.mqtt.subscribeAsync('data/#', { qos: 2 })
    const payloads = [Buffer.alloc(0), Buffer.from([0, 1, 254, 255]), Buffer.alloc(300_000, 'ä')]
    for (const qos of qualities) {
      for (const payload of payloads) await publisher.mqtt.publishAsync(`data/${qos}`, payload, { qos })
    }
    await subscriber.until(9)
    const expected = qualities.flatMap((qos) =>
      payloads.map((payload) => ({ topic: `data/${qos}`, qos, retain: false, payload })),
    )
    for (const [index, packet] of subscriber.received.entries()) {
      expect({ ...packet, payload: undefined }).toMatchObject({ ...expected[index], payload: undefined })
      expect(Buffer.compare(Buffer.from(packet.payload), expected[index]!.payload)).toBe(0)
    }
  })

  test('a subscription gets no more than its QoS, whatever was published', async () => {
    const gateway = await startGateway()
    const client = await connectClient(gateway, version.options, transport)
    for (const qos of qualities) {
      const [granted] = await client.mqtt.subscribeAsync(`max/${qos}`, { qos })
      expect(granted?.qos).toBe(qos)
      for (const published of qualities) await client.mqtt.publishAsync(`max/${qos}`, '', { qos: published })
    }
    await client.until(9)
    expect(client.received.map((packet) => packet.qos).sort()).toEqual([0, 0, 0, 0, 1, 1, 0, 1, 2].sort())
  })

  test('a retained message comes on subscribing, its replacement too, and after its removal nothing', async () => {
    const gateway = await startGateway()
    const publisher = await connectClient(gateway, version.options, transport)
    await publisher.mqtt.publishAsync('kept/a', 'first', { qos: 1, retain: true })
    await publisher.mqtt.publishAsync('kept/a', 'second', { qos: 1, retain: true })
    await publisher.mqtt.publishAsync('kept/b', 'gone', { qos: 1, retain: true })
    await publisher.mqtt.publishAsync('kept/b', '', { qos: 1, retain: true })
    const late = await connectClient(gateway, version.options, transport)
    await late.mqtt.subscribeAsync('kept/#', { qos: 1 })
    await publisher.mqtt.publishAsync('kept/a', 'live', { qos: 1, retain: true })
    await late.until(2)
    expect(late.received.map(({ payload, retain }) => [payload.toString(), retain])).toEqual([
      ['second', true],
      ['live', false],
    ])
  })

  test('a will is published when the connection is cut, and not after DISCONNECT', async () => {
    const gateway = await startGateway()
    const observer = await connectClient(gateway, version.options, transport)
    await observer.mqtt.subscribeAsync('will/#', { qos: 2 })
    const will = (name: string) => ({
      topic: `will/${name}`,
      payload: Buffer.from(name),
      qos: 1 as const,
      retain: false,
    })
    const polite = await connectClient(gateway, { ...version.options, will: will('polite') }, transport)
    await polite.mqtt.endAsync()
    const lost = await connectClient(gateway, { ...version.options, will: will('lost') }, transport)
    await cut(lost)
    await observer.until(1)
    expect(observer.texts()).toEqual(['lost'])
  })

  test('what arrives while a session is away waits for it, in order, and live messages follow it', async () => {
    const gateway = await startGateway()
    const session = { ...version.options, clientId: 'away', clean: false, properties: { sessionExpiryInterval: 600 } }
    const before = await connectClient(gateway, session, transport)
    expect(before.connack.sessionPresent).toBe(false)
    await before.mqtt.subscribeAsync('order/#', { qos: 2 })
    await before.mqtt.endAsync()
    const publisher = await connectClient(gateway, version.options, transport)
    const send = (from: number, to: number) =>
      Promise.all(
        Array.from({ length: to - from }, (_, index) =>
          publisher.mqtt.publishAsync(`order/${1 + ((from + index) % 2)}`, String(from + index), {
            qos: (1 + ((from + index) % 2)) as 1 | 2,
          }),
        ),
      )
    await send(0, 300)
    const live = send(300, 600)
    const after = await connectClient(gateway, session, transport)
    await live
    await after.until(600)
    if (version.name !== '3.1') expect(after.connack.sessionPresent).toBe(true)
    // Order holds per topic and QoS [MQTT-4.6.0-5]; both are tied together here.
    for (const parity of [0, 1]) {
      const numbers = after
        .texts()
        .map(Number)
        .filter((number) => number % 2 === parity)
      expect(numbers).toEqual(Array.from({ length: 300 }, (_, index) => 2 * index + parity))
    }
  })
})

describe('versions side by side', () => {
  test('every version publishes to every other over every transport', async () => {
    const gateway = await startGateway()
    const receivers = await Promise.all(
      everyWay.map(({ transport, version }) => connectClient(gateway, version.options, transport)),
    )
    await Promise.all(receivers.map(({ mqtt }) => mqtt.subscribeAsync('all/#', { qos: 2 })))
    for (const [index, { transport, version }] of everyWay.entries()) {
      const publisher = await connectClient(gateway, version.options, transport)
      await publisher.mqtt.publishAsync(`all/${index}`, version.name, { qos: 2 })
      await publisher.mqtt.endAsync()
    }
    for (const receiver of receivers) {
      await receiver.until(everyWay.length)
      expect(receiver.texts()).toEqual(everyWay.map(({ version }) => version.name))
    }
  })

  test('5.0 properties arrive at 5.0 clients in their order and are left out for 3.1.1', async () => {
    const gateway = await startGateway()
    const new5 = await connectClient(gateway, { protocolVersion: 5 })
    const old = await connectClient(gateway, { protocolVersion: 4 })
    for (const { mqtt } of [new5, old]) await mqtt.subscribeAsync('props', { qos: 1 })
    const properties = {
      contentType: 'text/plain',
      responseTopic: 'answers',
      correlationData: Buffer.from('7'),
      payloadFormatIndicator: true,
      userProperties: { a: ['1', '2'], b: '3' },
    }
    await new5.mqtt.publishAsync('props', 'x', { qos: 1, properties })
    await Promise.all([new5.until(1), old.until(1)])
    const { userProperties, ...others } = new5.received[0]!.properties!
    expect(others).toEqual({ ...properties, userProperties: undefined })
    expect({ ...userProperties }).toEqual(properties.userProperties)
    expect(old.received[0]!.properties).toBeUndefined()
  })

  test('a session moves from one transport and version to another with its subscriptions and queue', async () => {
    const gateway = await startGateway()
    const session = { clientId: 'mover', clean: false }
    const first = await connectClient(gateway, { ...session, protocolVersion: 4 })
    await first.mqtt.subscribeAsync('moved', { qos: 1 })
    await first.mqtt.endAsync()
    await gateway.publish({ topic: 'moved', payload: 'while away', qos: 1 })
    const properties = { sessionExpiryInterval: 600 }
    const second = await connectClient(gateway, { ...session, protocolVersion: 5, properties }, transports[2])
    await second.until(1)
    expect(second.connack.sessionPresent).toBe(true)
    expect(second.texts()).toEqual(['while away'])
  })

  test('the second client with an id takes the session over, and the first one is told so', async () => {
    const gateway = await startGateway()
    const first = await connectClient(gateway, { clientId: 'same', protocolVersion: 5 }, transports[1])
    const farewell = new Promise((resolve) => first.mqtt.once('disconnect', (packet) => resolve(packet.reasonCode)))
    const closed = new Promise((resolve) => first.mqtt.once('close', () => resolve('closed')))
    await connectClient(gateway, { clientId: 'same', protocolVersion: 5 }, tcp)
    expect(await farewell).toBe(0x8e)
    expect(await closed).toBe('closed')
  })

  test('a shared subscription of 3.1.1 and 5.0 members gives each message to one of them', async () => {
    const gateway = await startGateway()
    const members = await Promise.all([
      connectClient(gateway, { protocolVersion: 4 }),
      connectClient(gateway, { protocolVersion: 5 }, transports[2]),
    ])
    for (const { mqtt } of members) await mqtt.subscribeAsync('$share/workers/jobs/#', { qos: 1 })
    const publisher = await connectClient(gateway)
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => publisher.mqtt.publishAsync('jobs/a', String(index), { qos: 1 })),
    )
    await eventually(() => members.reduce((sum, { received }) => sum + received.length, 0)).toBe(100)
    const all = members.flatMap((member) => member.texts().map(Number)).sort((a, b) => a - b)
    expect(all).toEqual(Array.from({ length: 100 }, (_, index) => index))
    for (const member of members) expect(member.received.length).toBe(50)
  })
})
