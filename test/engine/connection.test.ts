/** One connection on a stream whose kernel takes what a test says: what is paused, and when it goes on. */
import { describe, expect, it } from 'vitest'
import { Broker } from '../../src/core/broker.ts'
import { turnStepsMax } from '../../src/core/cost.ts'
import { defaultBrokerOptions } from '../../src/core/options.ts'
import type { Authority, Verdict } from '../../src/core/ports/authority.ts'
import { type Journal, noJournal } from '../../src/core/ports/journal.ts'
import type { ByteStream } from '../../src/engine/byte-stream.ts'
import { Connection } from '../../src/engine/connection.ts'
import { Engine } from '../../src/engine/engine.ts'
import { encodeConnect, encodeSubscribe } from '../../src/mqtt/encoder.ts'
import { noProperties } from '../../src/mqtt/packet.ts'
import { encodePublish } from '../../src/mqtt/publish.ts'

class FakeStream implements ByteStream {
  readonly peer = { address: '192.0.2.1:4711', listener: 'test', certificate: null }
  readonly headroomBytes = 0
  written = 0
  readonly types: number[] = []
  blocked = false
  paused = false
  ended = false
  destroyed = false
  write(buffer: Buffer, start: number, end: number): boolean {
    this.written += end - start
    // Only for packets below 128 bytes.
    for (let at = start; at < end; at += 2 + buffer[at + 1]!) this.types.push(buffer[at]! >> 4)
    return !this.blocked
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.ended = true
    this.destroyed = true
  }
}

const pingreq = Uint8Array.of(0xc0, 0)
const endOfTurn = () => new Promise((resolve) => setImmediate(resolve))

function scene(authority?: Authority) {
  const commits = { committed: 0, failed: false, backlogged: false, endTurn() {} }
  const journal: Journal = { ...noJournal, appended: 0, retain: () => (journal as { appended: number }).appended++ }
  const broker = new Broker(defaultBrokerOptions, { journal, ...(authority !== undefined && { authority }) })
  const log = { warn() {}, error() {} }
  const timers: (() => void)[] = []
  const clock = { now: () => 1_700_000_000_000, after: (_ms: number, then: () => void) => cancellable(timers, then) }
  const engine = new Engine(broker, commits, clock, log, { outputBufferBytesMax: 1000 })
  const stream = new FakeStream()
  const connection = new Connection(engine, stream, 'fsync')
  engine.connections.add(connection)
  const send = async (...packets: Uint8Array[]) => {
    connection.onData(Buffer.concat(packets))
    await endOfTurn()
  }
  const connect = { version: 4, cleanStart: true, keepAlive: 0, clientId: 'c', properties: noProperties } as const
  return { commits, engine, stream, connection, send, timers, connect: encodeConnect(connect) }
}

function cancellable(timers: (() => void)[], then: () => void): () => void {
  timers.push(then)
  return () => timers.splice(timers.indexOf(then), 1)
}

describe('an address that is refused', () => {
  it('is not read from at all', async () => {
    const { engine, send, connect } = scene()
    const bans = { count: 1, refusesIn: () => false, refuses: (clientId: string) => clientId === '' }
    const broker = new Broker(defaultBrokerOptions, { bans })
    const stream = new FakeStream()
    Object.assign(engine, { broker })
    const connection = new Connection(engine, stream, 'fsync')
    connection.onData(Buffer.from(connect))
    await send()
    expect(stream.ended).toBe(true)
    expect(broker.counters.packetsReceived[1]).toBe(0)
  })
})

describe('packets sent', () => {
  it('are counted by type when they leave, held or not', async () => {
    const { commits, engine, connection, send, connect } = scene()
    const sent = () => Object.entries(engine.broker.counters.packetsSent).filter(([, count]) => count > 0)
    await send(connect, pingreq, Uint8Array.of(0x82, 6, 0, 1, 0, 1, 0x61, 1), Uint8Array.of(0x32, 5, 0, 1, 0x61, 0, 7))
    // CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP
    expect(sent()).toEqual(Object.entries({ 2: 1, 3: 1, 4: 1, 9: 1, 13: 1 }))
    connection.holdAck(0x40, 1, 1, false)
    connection.hold(Uint8Array.of(0xb0, 2, 0, 1), 1, false)
    expect(sent()).toEqual(Object.entries({ 2: 1, 3: 1, 4: 1, 9: 1, 13: 1 }))
    commits.committed = 1
    engine.onCommit()
    expect(sent()).toEqual(Object.entries({ 2: 1, 3: 1, 4: 2, 9: 1, 11: 1, 13: 1 }))
    await endOfTurn()
  })
})

describe('a peer that asks without reading the answers', () => {
  it('is not read any more while its output is twice what it may be, and all is answered in the end', async () => {
    const { stream, connection, send, connect } = scene()
    await send(connect)
    expect(stream.written).toBe(4)
    stream.blocked = true
    let pings = 0
    while (!stream.paused && pings < 10_000) {
      await send(...new Array<Uint8Array>(100).fill(pingreq))
      pings += 100
    }
    expect(pings).toBeLessThanOrEqual(1200)
    stream.blocked = false
    connection.onDrain()
    await endOfTurn()
    expect(stream.paused).toBe(false)
    expect(stream.written).toBe(4 + 2 * pings)
  })
})

describe('reading that was stopped for two reasons', () => {
  function pendingScene() {
    let answer: (verdict: Verdict) => void = () => {}
    const authority: Authority = {
      authenticate: (_packet, _address, done) => {
        answer = done
      },
      beginExchange: () => null,
    }
    return { ...scene(authority), answer: () => answer({ reasonCode: 0 }) }
  }

  it('does not go on with the commit while the authenticator has not answered', async () => {
    const { commits, engine, stream, send, connect, answer } = pendingScene()
    commits.backlogged = true
    await send(connect)
    expect(stream.paused).toBe(true)
    commits.backlogged = false
    engine.onCommit()
    expect(stream.paused).toBe(true)
    answer()
    expect(stream.paused).toBe(false)
  })

  it('does not go on with the answer while too much waits for a commit', async () => {
    const { commits, engine, stream, send, connect, answer } = pendingScene()
    await send(connect)
    commits.backlogged = true
    answer()
    expect(stream.paused).toBe(true)
    commits.backlogged = false
    engine.onCommit()
    expect(stream.paused).toBe(false)
  })
})

/** SUBSCRIBE of one filter at QoS 0, in 3.1.1. */
function subscribe(filter: string): Uint8Array {
  const request = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
  return encodeSubscribe(4, { packetId: 1, subscriptions: [{ topicFilter: filter, ...request }], properties: {} })
}

/** A PUBLISH at QoS 0, in 3.1.1. */
function publish(topic: string, retain: boolean, qos: 0 | 1 = 0): Uint8Array {
  const common = { qos, retain, dup: false, subscriptionIdentifiers: [], topicAlias: 0, omitTopic: false } as const
  const parts = { topic: Buffer.from(topic), payload: Buffer.from('x'), forwardProperties: new Uint8Array(0) }
  return encodePublish(4, parts, { ...common, packetId: qos, expiryIntervalSeconds: -1 }).bytes
}

describe('a peer whose packets take many steps', () => {
  it('is read on in the next turn, after others had theirs, and loses nothing', async () => {
    const { engine, stream, connection, send, connect } = scene()
    await send(connect)
    const { counters, cost } = engine.broker
    // Each message walks a thousand nodes that match as far as they go, and finds its route anew.
    const filters = Array.from({ length: 1024 }, (_, bits) =>
      Array.from({ length: 10 }, (_, level) => ((bits >> level) & 1 ? '+' : 'a')).join('/'),
    )
    for (const filter of filters) await send(subscribe(`${filter}/end`))
    const packets = Array.from({ length: 500 }, (_, i) => publish(`a/a/a/a/a/a/a/a/a/a/${i}`, false))
    counters.messagesReceived[0] = 0
    connection.onData(Buffer.concat(packets))
    expect(stream.paused).toBe(true)
    expect(counters.messagesReceived[0]).toBeGreaterThan(0)
    while (counters.messagesReceived[0]! < 500) {
      const received = counters.messagesReceived[0]!
      const before = cost.steps
      await endOfTurn()
      expect(counters.messagesReceived[0]).toBeGreaterThan(received)
      expect(cost.steps - before).toBeLessThan(turnStepsMax + 5000)
    }
    await endOfTurn()
    expect(stream.paused).toBe(false)
    await send(pingreq)
    expect(counters.packetsReceived[12]).toBe(1)
  })
})

describe('a 3.x client that is closed because there is no room for its message', () => {
  const puback = 4

  /** A first message waits for its commit; for the second there is no room. */
  async function refused() {
    const it = scene()
    await it.send(it.connect)
    it.stream.types.length = 0
    it.commits.committed = -1
    await it.send(publish('t', true, 1))
    it.engine.broker.storeFull = true
    await it.send(publish('t', true, 1), pingreq)
    return it
  }

  it('gets the acknowledgements of earlier ones first, and nothing more of it is read', async () => {
    const { commits, engine, stream, timers } = await refused()
    expect(stream.ended).toBe(false)
    commits.committed = 1000
    engine.onCommit()
    await endOfTurn()
    expect(stream.types).toEqual([puback])
    expect(stream.ended).toBe(true)
    expect(timers).toHaveLength(0)
    expect(engine.broker.counters.closedUnacknowledged).toBe(0)
  })

  it('is closed without them when their commit takes too long', async () => {
    const { engine, stream, timers } = await refused()
    timers.at(-1)!()
    await endOfTurn()
    expect(stream.types).toEqual([])
    expect(stream.ended).toBe(true)
    expect(engine.broker.counters.closedUnacknowledged).toBe(1)
  })

  it('is not waited for when it has gone', async () => {
    const { stream, connection, timers, engine } = await refused()
    connection.onClosed('')
    expect(timers).toHaveLength(0)
    expect(engine.connections.size).toBe(0)
    expect(stream.types).toEqual([])
  })
})

describe('the place of a connection', () => {
  it('stays taken after a refused CONNECT until its socket is gone', async () => {
    const { engine, stream, connection, send } = scene()
    await send(pingreq)
    expect(stream.ended).toBe(true)
    expect(engine.room.handshakes).toBe(1)
    connection.onClosed('')
    expect(engine.room.handshakes).toBe(0)
  })

  it('is free at once when a client is disconnected', async () => {
    const { engine, stream, connection, send, connect } = scene()
    await send(connect)
    expect(engine.room.clients).toBe(1)
    connection.client.disconnect(0x98)
    await endOfTurn()
    expect(stream.ended).toBe(true)
    expect(engine.room.clients).toBe(0)
  })
})

describe('while the store is behind', () => {
  it('only those are not read whose packets have to be stored', async () => {
    const { commits, engine, stream, send, connect } = scene()
    await send(connect)
    commits.backlogged = true
    await send(publish('t', false), pingreq)
    expect(stream.paused).toBe(false)
    await send(publish('t', true))
    expect(stream.paused).toBe(true)
    expect(engine.broker.counters.commitPauses).toBe(1)
    commits.backlogged = false
    engine.onCommit()
    expect(stream.paused).toBe(false)
    await endOfTurn()
  })
})

describe('an address that has too many connections before their CONNECT', () => {
  it('has the next one closed at once, and holds no socket by not closing its side', () => {
    const { engine, stream } = scene()
    engine.room.limits = { connectionsMax: 10, handshakesMax: 10, connectionsPerAddressMax: 1 }
    const next = new FakeStream()
    new Connection(engine, next, 'fsync')
    expect(stream.destroyed).toBe(false)
    expect(next.destroyed).toBe(true)
    expect(engine.room.handshakes).toBe(1)
  })
})

describe('memory over all connections', () => {
  it('for packets that are not whole is bounded, before CONNECT and after, and given back', async () => {
    const { engine, stream, connection, send, connect } = scene()
    const { budgets } = engine.broker
    Object.assign(budgets.handshakeBytes, { max: 10_000 })
    Object.assign(budgets.partialPacketBytes, { max: 150_000 })
    // A CONNECT of 200,000 bytes, of which 9,000 come.
    const other = new FakeStream()
    const stuck = new Connection(engine, other, 'fsync')
    stuck.onData(Buffer.concat([Uint8Array.of(0x10, 0xc0, 0x9a, 0x0c), Buffer.alloc(2000)]))
    expect(budgets.handshakeBytes.used).toBeGreaterThan(2000)
    await send(connect.subarray(0, 5))
    await endOfTurn()
    expect(stream.ended).toBe(false)
    stuck.onData(Buffer.alloc(9000))
    await endOfTurn()
    expect(other.ended).toBe(true)
    await send(connect.subarray(5))
    expect(budgets.handshakeBytes.used).toBe(0)
    await send(Uint8Array.of(0x30, 0xc0, 0x9a, 0x0c), Buffer.alloc(20_000))
    expect(stream.ended).toBe(false)
    expect(budgets.partialPacketBytes.used).toBeGreaterThan(20_000)
    connection.onData(Buffer.alloc(120_000))
    await endOfTurn()
    expect(stream.ended).toBe(true)
    expect(budgets.partialPacketBytes).toMatchObject({ used: 0, refused: 1 })
  })

  it('for output that is not read makes each full at 64 KiB, and counts it until it is read', async () => {
    const { engine, stream, connection, send, connect } = scene()
    const { outputBytes } = engine.broker.budgets
    Object.assign(engine, { outputBufferBytesMax: 1_000_000 })
    Object.assign(outputBytes, { max: 100_000 })
    await send(connect)
    stream.blocked = true
    connection.write(Buffer.alloc(90_000))
    await endOfTurn()
    expect(outputBytes.used).toBe(90_000)
    expect(connection.full).toBe(false)
    connection.write(Buffer.alloc(20_000))
    await endOfTurn()
    expect(connection.full).toBe(true)
    stream.blocked = false
    connection.onDrain()
    await endOfTurn()
    expect(outputBytes).toMatchObject({ used: 0, refused: 1 })
    expect(connection.full).toBe(false)
  })
})
