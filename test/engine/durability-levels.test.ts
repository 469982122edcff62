/**
 * Connections of listeners at different levels on one store: when their acknowledgements leave, and under which level they
 * are counted. Commits end when a test says so.
 */
import { describe, expect, it } from 'vitest'
import { Broker } from '../../src/core/broker.ts'
import { defaultBrokerOptions } from '../../src/core/options.ts'
import type { ByteStream } from '../../src/engine/byte-stream.ts'
import { Committer } from '../../src/engine/committer.ts'
import { Connection } from '../../src/engine/connection.ts'
import { Engine } from '../../src/engine/engine.ts'
import { encodeAck, encodeConnect, encodeSubscribe } from '../../src/mqtt/encoder.ts'
import { noProperties, PacketType } from '../../src/mqtt/packet.ts'
import { encodePublish } from '../../src/mqtt/publish.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import type { Durability } from '../../src/store/store.ts'
import { SlowStore } from '../core/durable-world.ts'

class Recording implements ByteStream {
  readonly peer = { address: '192.0.2.1:4711', listener: 'test', certificate: null }
  readonly headroomBytes = 0
  #hex = ''
  write(buffer: Buffer, start: number, end: number): boolean {
    this.#hex += buffer.toString('hex', start, end)
    return true
  }
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
  /** What was written since the last call. */
  take(): string {
    const hex = this.#hex
    this.#hex = ''
    return hex
  }
}

class Peer {
  readonly stream = new Recording()
  readonly connection: Connection
  readonly #engine: Engine

  constructor(engine: Engine, durability: Durability, clientId: string, cleanStart = true) {
    this.#engine = engine
    this.connection = new Connection(engine, this.stream, durability)
    engine.connections.add(this.connection)
    this.send(encodeConnect({ version: 4, cleanStart, keepAlive: 0, clientId, properties: noProperties }))
  }

  /** Hands bytes over; the turn goes on. */
  send(...packets: Uint8Array[]): this {
    this.connection.onData(Buffer.concat(packets))
    return this
  }

  publish(packetId: number, topic = 'kept', qos: 1 | 2 = 1): this {
    const parts = { topic: encodeUtf8(topic), payload: encodeUtf8('x'), forwardProperties: new Uint8Array(0) }
    const common = { retain: false, dup: false, subscriptionIdentifiers: [], topicAlias: 0, omitTopic: false }
    return this.send(encodePublish(4, parts, { ...common, qos, packetId, expiryIntervalSeconds: -1 }).bytes)
  }

  /** Ends the turn and gives what left. */
  turn(): string {
    this.#engine.endTurn()
    return this.stream.take()
  }
}

/** A gateway without sockets whose one durable subscriber, to the topic `kept`, is away. */
async function scene(global: Durability = 'fsync') {
  const store = new SlowStore()
  const clock = { now: () => 1_700_000_000_000, after: () => () => {} }
  const fatal: Error[] = []
  const events = {
    onCommit: () => engine.onCommit(),
    onPage: () => {},
    onDelayedPage: () => {},
    onFatal: (error: Error) => void fatal.push(error),
  }
  const options = { pendingBytesMax: 1_000_000, durability: global, clock, elisionWaitMs: 0 }
  const committer = new Committer(store, events, options)
  const broker = new Broker(defaultBrokerOptions, { journal: committer })
  const log = { warn() {}, error() {} }
  const engine: Engine = new Engine(broker, committer, clock, log, { outputBufferBytesMax: 100_000 })
  const peer = (durability: Durability, clientId: string, cleanStart = true) =>
    new Peer(engine, durability, clientId, cleanStart)
  const finish = async () => {
    await store.finish()
    engine.endTurn()
  }
  const subscriber = peer('fsync', 'away', false)
  const subscriptions = [
    { topicFilter: 'kept', qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 },
  ] as const
  subscriber.send(encodeSubscribe(4, { packetId: 1, subscriptions: [...subscriptions], properties: noProperties }))
  subscriber.connection.onClosed('closed_by_peer')
  engine.endTurn()
  while (store.waiting > 0) await finish()
  return { store, engine, broker, peer, finish, fatal, levels: store.levels }
}

const connack = '20020000'
const puback = (packetId: number) => `4002${packetId.toString(16).padStart(4, '0')}`
const pubrec = (packetId: number) => `5002${packetId.toString(16).padStart(4, '0')}`

describe('an acknowledgement', () => {
  it.each(['fsync', 'process'] as const)('at %s leaves after the commit at that level, not before', async (level) => {
    const { peer, finish, levels } = await scene()
    const publisher = peer(level, 'p')
    expect(publisher.turn()).toBe(connack)
    expect(publisher.publish(1).turn()).toBe('')
    expect(levels.at(-1)).toBe(level)
    await finish()
    expect(publisher.stream.take()).toBe(puback(1))
  })

  it.each(['fsync', 'process', 'none'] as const)(
    'at none leaves in its turn, also with a global level of %s and while a commit is under way',
    async (global) => {
      const { peer, store, levels } = await scene(global)
      const strict = peer('fsync', 'strict')
      const lax = peer('none', 'lax')
      strict.publish(1).turn()
      expect(store.waiting).toBe(1)
      lax.stream.take()
      expect(lax.publish(1).publish(2, 'kept', 2).turn()).toBe(puback(1) + pubrec(2))
      expect(levels.at(-1)).toBe('fsync')
      expect(store.waiting).toBe(1)
    },
  )

  it('at fsync waits for a commit at fsync though another publisher of its turn asks for none', async () => {
    const { peer, finish, levels } = await scene()
    const lax = peer('none', 'lax')
    const strict = peer('fsync', 'strict')
    strict.turn()
    lax.stream.take()
    lax.publish(1)
    strict.publish(2)
    lax.publish(3)
    expect(strict.turn()).toBe('')
    expect(lax.stream.take()).toBe(puback(1) + puback(3))
    expect(levels.at(-1)).toBe('fsync')
    await finish()
    expect(strict.stream.take()).toBe(puback(2))
  })

  it('at fsync does not leave with the commit at none that was under way when its message came', async () => {
    const { peer, finish, levels } = await scene()
    const lax = peer('none', 'lax')
    const strict = peer('fsync', 'strict')
    strict.turn()
    lax.publish(1).turn()
    expect(levels.at(-1)).toBe('none')
    strict.publish(2).turn()
    await finish()
    expect(strict.stream.take()).toBe('')
    expect(levels.at(-1)).toBe('fsync')
    await finish()
    expect(strict.stream.take()).toBe(puback(2))
  })

  it.each(['none', 'process', 'fsync'] as const)(
    'at %s leaves in the order of its packet, also where a later one has nothing to store',
    async (level) => {
      const { peer, finish } = await scene()
      const publisher = peer(level, 'p')
      publisher.publish(1).publish(2, 'elsewhere').publish(3, 'kept', 2).publish(4, 'elsewhere')
      let left = publisher.turn()
      await finish()
      left += publisher.stream.take()
      expect(left).toBe(connack + puback(1) + puback(2) + pubrec(3) + puback(4))
    },
  )

  it('at none no longer leaves when a commit has failed, not even as the first of its connection', async () => {
    const { peer, store, fatal } = await scene()
    const lax = peer('none', 'lax')
    lax.turn()
    store.commit = () => Promise.reject(new Error('no space left'))
    expect(lax.publish(1).turn()).toBe(puback(1))
    await new Promise((resolve) => setImmediate(resolve))
    expect(fatal).toMatchObject([{ message: 'no space left' }])
    expect(lax.publish(2).publish(3, 'elsewhere').turn()).toBe('')
  })
})

describe('what else waits for a commit waits as its own listener says', () => {
  it.each([
    ['none', true],
    ['process', false],
    ['fsync', false],
  ] as const)('CONNACK and SUBACK of a lasting session at %s leave at once: %s', async (level, atOnce) => {
    const { peer, finish } = await scene()
    const client = peer(level, 'lasting', false)
    expect(client.turn()).toBe(atOnce ? connack : '')
    await finish()
    expect(client.stream.take()).toBe(atOnce ? '' : connack)
    const subscriptions = [
      { topicFilter: 'a', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 },
    ] as const
    client.send(encodeSubscribe(4, { packetId: 7, subscriptions: [...subscriptions], properties: noProperties }))
    client.send(Uint8Array.of(0xc0, 0))
    // PINGRESP is no acknowledgement and passes it.
    const suback = '9003000701'
    expect(client.turn()).toBe(atOnce ? `${suback}d000` : 'd000')
    await finish()
    expect(client.stream.take()).toBe(atOnce ? '' : suback)
  })

  it.each(['none', 'process'] as const)('a session at %s that loses its connection is recorded so', async (level) => {
    const { peer, store, finish, levels } = await scene()
    const client = peer(level, 'lasting', false)
    client.turn()
    await finish()
    const before = levels.length
    client.connection.onClosed('closed_by_peer')
    client.turn()
    expect(store.waiting).toBe(1)
    expect(levels.slice(before)).toEqual([level])
  })

  it.each(['none', 'fsync'] as const)('QoS 2 of a lasting publisher at %s goes through to PUBCOMP', async (level) => {
    const { peer, finish } = await scene()
    const publisher = peer(level, 'lasting', false)
    publisher.turn()
    await finish()
    publisher.stream.take()
    let left = publisher.publish(5, 'kept', 2).turn()
    await finish()
    left += publisher.stream.take()
    left += publisher.send(encodeAck(4, PacketType.pubrel, 5, 0)).turn()
    await finish()
    left += publisher.stream.take()
    expect(left).toBe(`${pubrec(5)}70020005`)
  })
})

it("acknowledgements are counted by the level of their publisher's listener, those with nothing to store apart", async () => {
  const { peer, broker, finish } = await scene('process')
  const counts = [
    ['none', 1],
    ['process', 2],
    ['fsync', 3],
  ] as const
  for (const [level, messages] of counts) {
    const publisher = peer(level, level)
    for (let id = 1; id <= messages; id++) publisher.publish(id, 'kept', id === 1 ? 2 : 1)
    if (level === 'none') publisher.send(encodeAck(4, PacketType.pubrel, 1, 0))
    publisher.publish(90, 'elsewhere').turn()
    await finish()
  }
  expect(broker.counters.acknowledgements.counts).toEqual(new Map(counts))
  expect(broker.counters.acknowledgedAtOnce).toBe(3)
})
