/** `mqtide/aedes`: what programs that embed aedes do with it, with real clients on streams of all kinds. */
import { type EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import { connectAsync, type IClientOptions, type IPublishPacket, MqttClient } from 'mqtt'
import { generate, type IConnectPacket } from 'mqtt-packet'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import { createWebSocketStream, WebSocketServer } from 'ws'
import aedes, { Aedes, type AedesClient, type AedesOptions, createBroker } from '../../src/aedes/index.ts'
import { eventually } from '../e2e/eventually.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function brokerOf(options: AedesOptions = {}): Promise<Aedes> {
  const broker = await Aedes.createBroker({ gateway: { logLevel: 'silent' }, ...options })
  closers.push(() => new Promise<void>((resolve) => broker.close(resolve)))
  return broker
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  closers.push(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** MQTT.js' types know their own events only. */
const emitted = (emitter: unknown, event: string): Promise<unknown[]> => once(emitter as EventEmitter, event)

interface Connected {
  mqtt: MqttClient
  received: IPublishPacket[]
}

function collecting(mqtt: MqttClient): Connected {
  const received: IPublishPacket[] = []
  mqtt.on('message', (_topic, _payload, packet) => received.push(packet))
  mqtt.on('error', () => {})
  closers.push(() => mqtt.endAsync(true))
  return { mqtt, received }
}

async function connectTo(port: number, options: IClientOptions = {}): Promise<Connected> {
  return collecting(await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options }))
}

const tcp = (broker: Aedes): Promise<number> => portOf(createServer(broker.handle))
const textOf = ({ topic, payload }: IPublishPacket) => `${topic} ${payload}`

async function meet(first: Connected, second: Connected): Promise<void> {
  await first.mqtt.subscribeAsync('a/#', { qos: 1 })
  await second.mqtt.publishAsync('a/b', 'hello', { qos: 1 })
  await eventually(() => first.received.map(textOf)).toEqual(['a/b hello'])
}

test('serves streams of sockets, WebSockets and memory beside each other', async () => {
  const broker = await brokerOf()
  const socket = await connectTo(await tcp(broker))
  const http = createHttpServer()
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (webSocket, request) => void broker.handle(createWebSocketStream(webSocket), request))
  const url = `ws://127.0.0.1:${await portOf(http)}`
  const page = collecting(await connectAsync(url, { reconnectPeriod: 0 }))
  const memory = collecting(
    new MqttClient(
      () => {
        const [here, there] = duplexPair()
        broker.handle(there)
        return here
      },
      { reconnectPeriod: 0, clientId: 'in-memory' },
    ),
  )
  await emitted(memory.mqtt, 'connect')
  await meet(socket, page)
  await meet(memory, socket)
  expect(broker.connectedClients).toBe(3)
  expect(broker.clients['in-memory']?.connected).toBe(true)
})

describePeer('with openssl', ['openssl'], ({ openssl }) => {
  test('serves streams over TLS', async () => {
    const authority = new TestAuthority(openssl!)
    onTestFinished(() => authority[Symbol.dispose]())
    const { key, cert } = authority.issue({ commonName: 'localhost', names: ['IP:127.0.0.1'] }, 'server')
    const { readFileSync } = await import('node:fs')
    const broker = await brokerOf()
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, broker.handle)
    const url = `mqtts://127.0.0.1:${await portOf(server)}`
    const clients = [1, 2].map(() => connectAsync(url, { rejectUnauthorized: false, reconnectPeriod: 0 }))
    const [first, second] = (await Promise.all(clients)).map(collecting)
    await meet(first!, second!)
  })
})

test('asks each handler, at once or later, and keeps a client waiting meanwhile', async () => {
  const asked: string[] = []
  const later = (what: string, answer: () => void): void => {
    asked.push(what)
    setTimeout(answer, 5)
  }
  const broker = await brokerOf({
    preConnect: (_client, { clientId }, done) => later(`preConnect ${clientId}`, () => done(null, true)),
    authenticate: ({ id }, username, password, done) =>
      later(`authenticate ${id} ${username} ${password}`, () => done(null, password?.toString() === 'yes')),
    authorizePublish(_client, packet, done) {
      packet.payload = Buffer.from(`${packet.payload}!`)
      later(`authorizePublish ${packet.topic}`, () => done(packet.topic === 'bad' ? new Error('no') : null))
    },
    authorizeSubscribe: (_client, subscription, done) =>
      later(`authorizeSubscribe ${subscription.topic}`, () =>
        done(null, subscription.topic === 'no' ? null : subscription),
      ),
    authorizeForward: (_client, packet) => (packet.topic === 'secret' ? null : packet),
    published(packet, client, done) {
      if (client !== null) asked.push(`published ${packet.topic} ${packet.payload} by ${client.id}`)
      done()
    },
  })
  const port = await tcp(broker)
  await expect(connectTo(port, { clientId: 'wrong', username: 'u', password: 'no' })).rejects.toThrow('Not authorized')
  const { mqtt, received } = await connectTo(port, { clientId: 'c', username: 'u', password: 'yes' })
  expect(asked).toEqual(['preConnect wrong', 'authenticate wrong u no', 'preConnect c', 'authenticate c u yes'])
  asked.length = 0
  await mqtt.subscribeAsync(['yes', 'secret'])
  await expect(mqtt.subscribeAsync('no')).rejects.toThrow('Subscribe error')
  for (const topic of ['yes', 'secret', 'no', 'yes']) mqtt.publish(topic, 'x', { qos: 1 })
  await eventually(() => received.map(textOf)).toEqual(['yes x!', 'yes x!'])
  const topics = ['yes', 'secret', 'no', 'yes']
  const beginning = (word: string): string[] => asked.filter((one) => one.startsWith(word))
  expect(beginning('authorizeSubscribe')).toEqual(topics.slice(0, 3).map((topic) => `authorizeSubscribe ${topic}`))
  expect(beginning('authorizePublish')).toEqual(topics.map((topic) => `authorizePublish ${topic}`))
  await eventually(() => beginning('published')).toEqual(topics.map((topic) => `published ${topic} x! by c`))
  const closed = emitted(mqtt, 'close')
  const error = once(broker, 'clientError')
  mqtt.publish('bad', 'x')
  await closed
  expect((await error)[1]).toMatchObject({ message: 'no' })
})

test('a packet that authorizeForward changed goes to that client alone', async () => {
  const broker = await brokerOf({
    authorizeForward(client, packet) {
      if (client.id === 'guest') packet.payload = Buffer.from('***')
      return packet
    },
  })
  const port = await tcp(broker)
  const [guest, owner] = [await connectTo(port, { clientId: 'guest' }), await connectTo(port, { clientId: 'owner' })]
  for (const { mqtt } of [guest, owner]) await mqtt.subscribeAsync('a', { qos: 1 })
  for (const qos of [0, 1] as const) await owner.mqtt.publishAsync('a', 'pin 1234', { qos })
  await eventually(() => guest.received.map(textOf)).toEqual(['a ***', 'a ***'])
  await eventually(() => owner.received.map(textOf)).toEqual(['a pin 1234', 'a pin 1234'])
})

test('a handler that throws refuses, and nobody else notices', async () => {
  const broker = await brokerOf()
  const port = await tcp(broker)
  const [reader, writer] = [await connectTo(port), await connectTo(port)]
  await reader.mqtt.subscribeAsync('#')
  broker.authorizePublish = () => {
    throw new Error('broken')
  }
  const [error, closed] = [once(broker, 'clientError'), emitted(writer.mqtt, 'close')]
  writer.mqtt.publish('a', 'x')
  expect((await error)[1]).toMatchObject({ message: 'broken' })
  await closed
  broker.publish({ topic: 'b', payload: 'still there' })
  await eventually(() => reader.received.map(textOf)).toEqual(['b still there'])
})

test('tells what happens, in the order in which it happens', async () => {
  const broker = await brokerOf()
  const seen: string[] = []
  for (const event of ['client', 'clientReady', 'clientDisconnect', 'keepaliveTimeout'])
    broker.on(event, (client: AedesClient) => seen.push(`${event} ${client.id}`))
  broker.on('connackSent', ({ returnCode }, client) => seen.push(`connackSent ${returnCode} ${client.id}`))
  broker.on('subscribe', (subscriptions, { id }) => seen.push(`subscribe ${JSON.stringify(subscriptions)} ${id}`))
  broker.on('unsubscribe', (filters, { id }) => seen.push(`unsubscribe ${filters} ${id}`))
  broker.on('publish', ({ topic, payload }, client) => client && seen.push(`publish ${topic} ${payload} ${client.id}`))
  broker.on('ack', ({ cmd, topic }, { id }) => seen.push(`ack ${cmd} ${topic} ${id}`))
  broker.on('ping', ({ cmd }, { id }) => seen.push(`${cmd} ${id}`))
  broker.on('closed', () => seen.push('closed'))
  const { mqtt } = await connectTo(await tcp(broker), { clientId: 'c', clean: false })
  await eventually(() => seen).toContain('clientReady c')
  await mqtt.subscribeAsync('a', { qos: 1 })
  await mqtt.publishAsync('a', 'x', { qos: 1 })
  await eventually(() => seen).toContain('ack publish a c')
  await mqtt.unsubscribeAsync('a')
  mqtt.sendPing()
  await eventually(() => seen).toContain('pingreq c')
  await mqtt.endAsync()
  await eventually(() => seen).toContain('clientDisconnect c')
  await new Promise<void>((resolve) => broker.close(resolve))
  expect(broker.closed).toBe(true)
  expect(seen).toEqual([
    'client c',
    'connackSent 0 c',
    'clientReady c',
    'subscribe [{"topic":"a","qos":1}] c',
    'publish a x c',
    'ack publish a c',
    'unsubscribe a c',
    'pingreq c',
    'clientDisconnect c',
    'closed',
  ])
})

test('publishes, subscribes and unsubscribes for the program, and for one of its clients', async () => {
  const broker = await brokerOf()
  const { mqtt, received } = await connectTo(await tcp(broker), { clientId: 'c' })
  const got: string[] = []
  const deliver = ({ topic, clientId }: { topic: string; clientId?: string }, done: () => void): void => {
    got.push(`${topic} ${clientId}`)
    done()
  }
  await new Promise<void>((resolve) => broker.subscribe('a/+', deliver, () => resolve()))
  await mqtt.publishAsync('a/1', '', { qos: 1 })
  await new Promise<void>((resolve) => broker.publish({ topic: 'a/2', payload: 'p', qos: 1 }, () => resolve()))
  await eventually(() => got).toEqual(['a/1 c', 'a/2 undefined'])
  await new Promise<void>((resolve) => broker.unsubscribe('a/+', deliver, resolve))
  const client = broker.clients['c']!
  await new Promise<void>((resolve, reject) =>
    client.subscribe({ topic: 'b', qos: 1 }, (error) => (error ? reject(error) : resolve())),
  )
  broker.publish({ topic: 'b', payload: 'subscribed', qos: 1 })
  client.publish({ topic: 'c', payload: 'direct', qos: 1 })
  await eventually(() => received.map(textOf)).toEqual(['b subscribed', 'c direct'])
  expect(got).toHaveLength(2)
  const closed = emitted(mqtt, 'close')
  await new Promise<void>((resolve) => client.close(resolve))
  await closed
  expect(broker.connectedClients).toBe(0)
})

test('announces clients under $SYS with its id', async () => {
  const broker = await brokerOf({ id: 'here' })
  const topics: string[] = []
  broker.mq.on('$SYS/here/+/clients', ({ topic, payload }, done) => {
    topics.push(`${topic} ${payload}`)
    done()
  })
  const { mqtt } = await connectTo(await tcp(broker), { clientId: 'c' })
  await mqtt.endAsync()
  await eventually(() => topics).toEqual(['$SYS/here/new/clients c', '$SYS/here/disconnect/clients c'])
})

test('a will is authorized when it is due', async () => {
  const broker = await brokerOf({
    authorizePublish: (_client, { topic }, done) => done(topic === 'gone/no' ? new Error('no') : null),
  })
  const port = await tcp(broker)
  const reader = await connectTo(port)
  await reader.mqtt.subscribeAsync('gone/#')
  for (const topic of ['gone/no', 'gone/yes']) {
    const will = { topic, payload: Buffer.from('bye'), qos: 0, retain: false } as const
    const { mqtt } = await connectTo(port, { will, clientId: topic })
    mqtt.stream.destroy()
    await eventually(() => broker.clients[topic]).toBe(undefined)
  }
  await eventually(() => reader.received.map(textOf)).toEqual(['gone/yes bye'])
})

test('is there at once as it was before aedes 1.0, and serves streams that came too early', async () => {
  for (const make of [createBroker, aedes, aedes.Server]) {
    const broker = make({ gateway: { logLevel: 'silent' } })
    closers.push(() => new Promise<void>((resolve) => broker.close(resolve)))
    const [here, there] = duplexPair()
    broker.handle(there)
    const { mqtt } = collecting(new MqttClient(() => here, { reconnectPeriod: 0, clientId: 'early' }))
    await emitted(mqtt, 'connect')
    expect(Object.keys(broker.clients)).toEqual(['early'])
  }
})

test('keeps sessions in a folder that is given, over a restart', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mqtide-aedes-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const own = { clientId: 'c', clean: false } as const
  const first = await brokerOf({ dataDir })
  const before = await connectTo(await tcp(first), own)
  await before.mqtt.subscribeAsync('a', { qos: 1 })
  await before.mqtt.endAsync()
  await new Promise<void>((resolve) => first.publish({ topic: 'a', payload: 'kept', qos: 1 }, () => resolve()))
  await new Promise<void>((resolve) => first.close(resolve))
  const second = await brokerOf({ dataDir })
  const again = collecting(
    new MqttClient(
      () => {
        const [here, there] = duplexPair()
        second.handle(there)
        return here
      },
      { ...own, reconnectPeriod: 0 },
    ),
  )
  await eventually(() => again.received.map(textOf)).toEqual(['a kept'])
  expect(await second.persistence.subscriptionsByClient({ id: 'c' })).toMatchObject([{ topic: 'a', qos: 1 }])
})

test('what would be lost without a word is refused: other persistences and emitters, PROXY headers', async () => {
  class RedisPersistence {}
  await expect(brokerOf({ persistence: new RedisPersistence() })).rejects.toThrow('no persistence but its own')
  await expect(brokerOf({ mq: new RedisPersistence() })).rejects.toThrow('no mq but its own')
  await expect(brokerOf({ trustProxy: true })).rejects.toThrow('PROXY headers')
  class MemoryPersistence {}
  class CallBackPersistence {
    readonly asyncPersistence: object
    constructor(behind: object) {
      this.asyncPersistence = behind
    }
  }
  await brokerOf({ persistence: new MemoryPersistence() })
  await brokerOf({ persistence: new CallBackPersistence(new MemoryPersistence()) })
  const redis = new CallBackPersistence(new RedisPersistence())
  await expect(brokerOf({ persistence: redis })).rejects.toThrow('no persistence but its own')
})

test('ends a client whose keep alive is over, or longer than allowed, and one that never says CONNECT', async () => {
  const broker = await brokerOf({ keepaliveLimit: 100, connectTimeout: 50 })
  const port = await tcp(broker)
  const errors: string[] = []
  broker.on('clientError', (_client, { message }) => errors.push(message))
  broker.on('connectionError', (_client, { message }) => errors.push(message))
  const timedOut = once(broker, 'keepaliveTimeout')
  await expect(connectTo(port, { keepalive: 101 })).rejects.toThrow()
  const [here, there] = duplexPair()
  broker.handle(there)
  await once(here.resume(), 'end')
  const [quiet, served] = duplexPair()
  broker.handle(served)
  const connect = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'z', keepalive: 1 }
  quiet.resume().write(generate(connect as IConnectPacket))
  expect((await timedOut)[0]).toMatchObject({ id: 'z' })
  await eventually(() => errors).toEqual([
    'keep alive limit exceeded',
    'connect did not arrive in time',
    'keep alive timeout',
  ])
})
