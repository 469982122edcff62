/** One connection on a stream whose kernel takes what a test says: what is paused, and when it goes on. */
import { describe, expect, it } from 'vitest'
import { Broker } from '../../src/core/broker.ts'
import { defaultBrokerOptions } from '../../src/core/options.ts'
import type { Authority, Verdict } from '../../src/core/ports/authority.ts'
import { type ByteStream, Connection } from '../../src/engine/connection.ts'
import { Engine } from '../../src/engine/engine.ts'
import { encodeConnect } from '../../src/mqtt/encoder.ts'
import { noProperties } from '../../src/mqtt/packet.ts'

class FakeStream implements ByteStream {
  readonly peer = { address: '192.0.2.1:4711', listener: 'test', certificate: null }
  readonly headroomBytes = 0
  written = 0
  blocked = false
  paused = false
  ended = false
  write(_buffer: Buffer, start: number, end: number): boolean {
    this.written += end - start
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
  }
}

const pingreq = Uint8Array.of(0xc0, 0)
const endOfTurn = () => new Promise((resolve) => setImmediate(resolve))

function scene(authority?: Authority) {
  const commits = { committed: 0, failed: false, backlogged: false, endTurn() {} }
  const broker = new Broker(defaultBrokerOptions, authority === undefined ? {} : { authority })
  const log = { warn() {}, error() {} }
  const clock = { now: () => 1_700_000_000_000, after: () => () => {} }
  const engine = new Engine(broker, commits, clock, log, { outputBufferBytesMax: 1000 })
  const stream = new FakeStream()
  const connection = new Connection(engine, stream, 'fsync')
  engine.connections.add(connection)
  const send = async (...packets: Uint8Array[]) => {
    connection.onData(Buffer.concat(packets))
    await endOfTurn()
  }
  const connect = { version: 4, cleanStart: true, keepAlive: 0, clientId: 'c', properties: noProperties } as const
  return { commits, engine, stream, connection, send, connect: encodeConnect(connect) }
}

describe('an address that is refused', () => {
  it('is not read from at all', async () => {
    const { engine, send, connect } = scene()
    const bans = { count: 1, refuses: (clientId: string) => clientId === '' }
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
