/**
 * What one client, or one packet, can do to a gateway: each case prepares (not measured) and attacks while another client is
 * watched. Sizes are those with which version 0.1 was brought to its knees.
 */
import { generate, type IPublishPacket } from 'mqtt-packet'
import { encodeVariableInteger, packetType } from '../generator/packets.ts'
import { upgradeRequest } from '../generator/websocket.ts'
import { collidingTopics } from './collisions.ts'
import { Peer } from './peer.ts'

export interface Ports {
  mqtt: number
  http: number
}

export interface Case {
  name: string
  title: string
  store: 'memory' | 'durable'
  /** What the watched client sends: QoS 0 to itself, or QoS 1 with RETAIN, which has to be committed. */
  probe: 'message' | 'commit'
  /** Where the log goes, with level debug. */
  log?: 'unread-pipe' | 'full-disk'
  /** The gateway runs in a program with a subscriber of its own that takes 100 ms for a message. */
  slowSubscriber?: true
  /** Returns the attack, which ends when the gateway has read all of it or has closed. */
  prepare(ports: Ports): Promise<() => Promise<void>>
}

const memory = { store: 'memory', probe: 'message' } as const
const durable = { store: 'durable', probe: 'message' } as const

function publish(topic: string, payload: Buffer | string, fields: Partial<IPublishPacket> = {}): Buffer {
  return generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false, ...fields })
}

function subscribe(filters: readonly string[], qos: 0 | 1 = 0, packetId = 1): Buffer {
  return generate({ cmd: 'subscribe', messageId: packetId, subscriptions: filters.map((topic) => ({ topic, qos })) })
}

function packet(firstByte: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(firstByte), encodeVariableInteger(body.length), body])
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index))
}

/** Packets in pieces of about 64 KB, so that a connection has something to send at any time. */
async function sendAll(peer: Peer, packets: Iterable<Buffer>): Promise<void> {
  let piece: Buffer[] = []
  let bytes = 0
  for (const one of packets) {
    piece.push(one)
    bytes += one.length
    if (bytes < 65_536) continue
    await peer.send(Buffer.concat(piece))
    piece = []
    bytes = 0
  }
  await peer.send(Buffer.concat(piece))
}

/** Four million filters of one character in 16 MB. */
function hugeSubscribe(): Buffer {
  const filters = 4_000_000
  const body = Buffer.alloc(2 + filters * 4)
  body[1] = 1
  for (let i = 0; i < filters; i++) {
    body[2 + i * 4 + 1] = 1
    body[2 + i * 4 + 2] = 0x41 + (i % 26)
  }
  return packet(0x82, body)
}

function hugeSubscribes(clients: number): Case {
  return {
    ...memory,
    name: clients === 1 ? 'subscribe-16mb' : `subscribe-16mb-x${clients}`,
    title: `${clients === 1 ? 'a SUBSCRIBE' : `${clients} times a SUBSCRIBE`} of 16 MB with four million filters`,
    async prepare({ mqtt }) {
      const bytes = hugeSubscribe().subarray(0, 16 * 1024 * 1024)
      const peers = await Promise.all(times(clients, (i) => Peer.connect(mqtt, { clientId: `many-filters-${i}` })))
      return async () => {
        await Promise.all(
          peers.map(async (peer) => {
            await peer.send(bytes)
            await peer.roundTrip()
          }),
        )
      }
    },
  }
}

const overlapping: Case = {
  ...memory,
  name: 'overlapping-filters',
  title: 'one PUBLISH that 32,768 filters of one session match',
  async prepare({ mqtt }) {
    const levels = 15
    const filters = times(2 ** levels, (bits) => times(levels, (level) => ((bits >> level) & 1 ? '+' : 'a')).join('/'))
    const subscriber = await Peer.connect(mqtt, { clientId: 'overlapping' })
    for (let at = 0; at < filters.length; at += 512) await subscriber.send(subscribe(filters.slice(at, at + 512)))
    await subscriber.roundTrip()
    const publisher = await Peer.connect(mqtt, { clientId: 'publisher' })
    return async () => {
      await publisher.send(publish(times(levels, () => 'a').join('/'), 'x'))
      await publisher.roundTrip()
    }
  },
}

const retainedScan: Case = {
  ...memory,
  name: 'retained-scan',
  title: 'a SUBSCRIBE of +/+/+/x, which 100,000 retained topics do not match',
  async prepare({ mqtt }) {
    const peer = await Peer.connect(mqtt, { clientId: 'scan' })
    await sendAll(
      peer,
      times(100_000, (i) => publish(`${i % 100}/${i % 1000}/${i}/y`, 'x', { retain: true })),
    )
    await peer.roundTrip()
    return async () => {
      await peer.send(subscribe(['+/+/+/x']))
      await peer.roundTrip()
    }
  },
}

const colliding: Case = {
  ...memory,
  name: 'colliding-topics',
  title: 'QoS 0 on 40,000 topics with the same FNV-1a hash',
  async prepare({ mqtt }) {
    const packets = collidingTopics(40_000).map((topic) => publish(topic, 'x'))
    const peer = await Peer.connect(mqtt, { clientId: 'colliding' })
    return async () => {
      await sendAll(peer, packets)
      await peer.roundTrip()
    }
  },
}

const deepTopics: Case = {
  ...memory,
  name: 'deep-topics',
  title: '2 MB of retained topics with 200 levels, then 2 MB of such filters',
  async prepare({ mqtt }) {
    const topics = times(5000, (i) => `${i}${'/x'.repeat(199)}`)
    const peer = await Peer.connect(mqtt, { clientId: 'deep' })
    return async () => {
      await sendAll(
        peer,
        topics.map((topic) => publish(topic, 'x', { retain: true })),
      )
      await sendAll(
        peer,
        topics.map((topic) => subscribe([`s${topic}`])),
      )
      await peer.roundTrip()
    }
  },
}

const routes: Case = {
  ...memory,
  name: 'route-cache',
  title: 'QoS 0 on 20,000 topics to 2,000 subscribers of all of them, for whom each message is too large',
  async prepare({ mqtt }) {
    // Nothing is sent to them, so that the cost is the gateway's alone.
    const properties = { maximumPacketSize: 30 }
    const clients = times(2000, (i) => Peer.connect(mqtt, { clientId: `all-${i}`, protocolVersion: 5, properties }))
    // Not those of the client that is measured: that would be fan-out at its rate.
    const filter = packet(0x82, Buffer.from([0, 1, 0, 0, 8, ...Buffer.from('routes/#'), 0]))
    await Promise.all(
      (await Promise.all(clients)).map(async (peer) => {
        await peer.send(filter)
        await peer.roundTrip()
      }),
    )
    const packets = times(20_000, (i) => publish(`routes/${i}`, Buffer.alloc(30)))
    const publisher = await Peer.connect(mqtt, { clientId: 'publisher' })
    return async () => {
      await sendAll(publisher, packets)
      await publisher.roundTrip()
    }
  },
}

function stoppedSubscriber(isDurable: boolean): Case {
  return {
    ...(isDurable ? durable : memory),
    name: isDurable ? 'stopped-durable' : 'stopped-subscriber',
    title: `400 messages of 1 MB (QoS 1) to a subscriber that does not read${isDurable ? ', durable' : ''}`,
    async prepare({ mqtt }) {
      const subscriber = await Peer.connect(mqtt, { clientId: 'stopped', clean: !isDurable })
      await subscriber.send(subscribe(['large'], 1))
      await subscriber.roundTrip()
      subscriber.socket.pause()
      const publisher = await Peer.connect(mqtt, { clientId: 'publisher' })
      const payload = Buffer.alloc(1024 * 1024)
      return async () => {
        for (let id = 1; id <= 400 && !publisher.isClosed; id++) {
          await publisher.send(publish('large', payload, { qos: 1, messageId: id }))
          await publisher.until(packetType.puback, id - 10)
        }
        await publisher.roundTrip()
        subscriber.destroy()
      }
    },
  }
}

const willProperties: Case = {
  ...memory,
  name: 'will-properties',
  title: '50 CONNECTs of 390 KB, filled with user properties of the will',
  async prepare({ mqtt }) {
    const each = Buffer.from([0x26, 0, 1, 0x61, 0, 0])
    const properties = Buffer.concat(times(65_000, () => each))
    const text = (value: string) => Buffer.concat([Buffer.of(0, value.length), Buffer.from(value)])
    const connect = (clientId: string) => {
      const head = Buffer.concat([text('MQTT'), Buffer.from([5, 0x06, 0, 0, 0]), text(clientId)])
      const will = Buffer.concat([encodeVariableInteger(properties.length), properties, text('will'), text('gone')])
      return packet(0x10, Buffer.concat([head, will]))
    }
    const packets = times(50, (i) => connect(`will-${i}`))
    return async () => {
      await Promise.all(
        packets.map(async (bytes) => {
          const peer = new Peer(mqtt)
          await peer.send(bytes)
          await peer.until(packetType.connack, 1)
        }),
      )
    }
  },
}

const webSockets: Case = {
  ...memory,
  name: 'websocket-17mb',
  title: '20 WebSockets that send 16 MB of one frame and no whole CONNECT',
  async prepare({ http }) {
    const header = Buffer.from('82ff000000000100000000000000', 'hex')
    const connect = Buffer.concat([Buffer.of(0x10), encodeVariableInteger(16_000_000)])
    const bytes = Buffer.concat([header, connect, Buffer.alloc(16_000_000)])
    const peers = times(20, () => new Peer(http))
    return async () => {
      await Promise.all(
        peers.map(async (peer) => {
          await peer.send(upgradeRequest('127.0.0.1', http, '/mqtt'))
          await peer.send(bytes)
        }),
      )
    }
  },
}

const returning: Case = {
  store: 'durable',
  probe: 'commit',
  name: 'returning-sessions',
  title: '500 sessions with 1,500 messages each come back at once',
  async prepare({ mqtt }) {
    const sessions = times(500, (i) => ({ clientId: `returning-${i}`, clean: false }))
    await Promise.all(
      sessions.map(async (session) => {
        const peer = await Peer.connect(mqtt, session)
        await peer.send(subscribe(['queued'], 1))
        await peer.roundTrip()
        peer.destroy()
      }),
    )
    const publisher = await Peer.connect(mqtt, { clientId: 'publisher' })
    for (let id = 1; id <= 1500; id++) {
      await publisher.send(publish('queued', Buffer.alloc(64), { qos: 1, messageId: id }))
      await publisher.until(packetType.puback, id - 50)
    }
    await publisher.until(packetType.puback, 1500)
    return async () => {
      const peers = await Promise.all(sessions.map((session) => Peer.connect(mqtt, session)))
      await Promise.all(peers.map((peer) => peer.until(packetType.publish, 100)))
    }
  },
}

const backlog: Case = {
  ...durable,
  name: 'commit-backlog',
  title: 'QoS 1 messages of 256 KB for an offline session, as fast as one client can send',
  async prepare({ mqtt }) {
    const away = await Peer.connect(mqtt, { clientId: 'away', clean: false })
    await away.send(subscribe(['stored'], 1))
    await away.roundTrip()
    away.destroy()
    const publisher = await Peer.connect(mqtt, { clientId: 'publisher' })
    const payload = Buffer.alloc(256 * 1024)
    return async () => {
      for (let id = 1; id <= 1200 && !publisher.isClosed; id++) {
        await publisher.send(publish('stored', payload, { qos: 1, messageId: id }))
        await publisher.until(packetType.puback, id - 900)
      }
      await publisher.roundTrip()
    }
  },
}

const slowSubscriber: Case = {
  ...memory,
  slowSubscriber: true,
  name: 'slow-in-process',
  title: '160,000 messages to an in-process subscriber that takes 100 ms for each',
  async prepare({ mqtt }) {
    const publisher = await Peer.connect(mqtt, { clientId: 'publisher' })
    const packets = times(160_000, () => publish('slow', Buffer.alloc(64)))
    return async () => {
      await sendAll(publisher, packets)
      await publisher.roundTrip()
    }
  },
}

function logFlood(log: 'unread-pipe' | 'full-disk'): Case {
  return {
    ...memory,
    log,
    name: `log-${log}`,
    title: `100,000 log lines ${log === 'full-disk' ? 'on a full disk' : 'into a pipe that nobody reads'}`,
    async prepare({ mqtt }) {
      const peer = await Peer.connect(mqtt, { clientId: 'flood' })
      // For a packet identifier that is not in flight: a line at level debug.
      const pubacks = Buffer.concat(times(1000, () => Buffer.from('40020001', 'hex')))
      return async () => {
        for (let i = 0; i < 100; i++) await peer.send(pubacks)
        await peer.roundTrip()
      }
    },
  }
}

export const cases: readonly Case[] = [
  hugeSubscribes(1),
  hugeSubscribes(4),
  overlapping,
  retainedScan,
  colliding,
  deepTopics,
  routes,
  stoppedSubscriber(false),
  stoppedSubscriber(true),
  willProperties,
  webSockets,
  returning,
  slowSubscriber,
  backlog,
  logFlood('unread-pipe'),
  logFlood('full-disk'),
]
