/**
 * Clients of one short task each: they look at what is retained, wipe a session with a clean start, or leave a will behind.
 */
import type { Packet } from 'mqtt-packet'
import { type Connect, Link } from './link.ts'

const answerTimeoutMs = 10_000

/** The retained messages that match, by topic, once all of `topics` were seen or `quietMs` passed without another one. */
export function readRetained(
  port: number,
  topicFilter: string,
  topics: readonly string[],
  quietMs: number,
): Promise<Map<string, string>> {
  return new Promise((resolve, reject) => {
    const found = new Map<string, string>()
    let timer = setTimeout(() => reject(new Error('no SUBACK')), answerTimeoutMs)
    const finish = () => {
      clearTimeout(timer)
      link.end()
      resolve(found)
    }
    const onPacket = (packet: Packet) => {
      if (packet.cmd === 'connack') link.send(subscribe(topicFilter, 0))
      if (packet.cmd === 'publish' && packet.retain) found.set(packet.topic, String(packet.payload))
      if (packet.cmd !== 'suback' && packet.cmd !== 'publish') return
      clearTimeout(timer)
      timer = setTimeout(finish, quietMs)
      if (topics.every((topic) => found.has(topic))) finish()
    }
    const link = new Link(port, { clientId: 'kill-test-reader', clean: true }, { onPacket, onClose: () => finish() })
  })
}

/** Connects, does one thing, and resolves with the CONNACK's session present flag; undefined if the broker went away. */
function visit(
  port: number,
  connect: Connect,
  onConnected: (link: Link) => void,
  isDone: (packet: Packet) => boolean,
): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    let present: boolean | undefined
    const link = new Link(port, connect, {
      onPacket: (packet) => {
        if (packet.cmd === 'connack') {
          present = packet.sessionPresent
          onConnected(link)
        }
        if (!isDone(packet)) return
        link.destroy()
        resolve(present)
      },
      onClose: () => resolve(undefined),
    })
  })
}

const subscribe = (topic: string, qos: 0 | 1): Packet => {
  return { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] }
}

/** A durable session with a subscription, left at once. */
export function leaveSession(
  port: number,
  clientId: string,
  topicFilter: string,
  protocolVersion: 4 | 5 = 4,
): Promise<boolean | undefined> {
  return visit(
    port,
    { clientId, protocolVersion },
    (link) => link.send(subscribe(topicFilter, 1)),
    (packet) => packet.cmd === 'suback',
  )
}

/** [MQTT-3.1.2-6] Once the CONNACK came, nothing of the session may be there ever again. */
export function wipeSession(port: number, clientId: string): Promise<boolean | undefined> {
  return visit(
    port,
    { clientId, clean: true },
    () => {},
    (packet) => packet.cmd === 'connack',
  )
}

export function askForSession(port: number, clientId: string): Promise<boolean | undefined> {
  return visit(
    port,
    { clientId },
    () => {},
    (packet) => packet.cmd === 'connack',
  )
}

/** Connects with a will and stays until the broker dies; resolves with whether it was connected. */
export function leaveWill(port: number, clientId: string, topic: string, payload: string): Promise<Link | undefined> {
  return new Promise((resolve) => {
    const will = { topic, payload, qos: 1 as const, retain: true }
    const link = new Link(
      port,
      { clientId, clean: true, will },
      { onPacket: (packet) => resolve(packet.cmd === 'connack' ? link : undefined), onClose: () => resolve(undefined) },
    )
  })
}

/** Connects with a will and leaves with a DISCONNECT, which removes it; true once that is sure to be stored. */
export async function leavePolitely(port: number, clientId: string, topic: string): Promise<boolean> {
  const connected = await new Promise<boolean>((resolve) => {
    const will = { topic, payload: 'not gone', qos: 1 as const, retain: true }
    let accepted = false
    const link = new Link(
      port,
      { clientId, clean: true, will },
      {
        onPacket: (packet) => {
          accepted = packet.cmd === 'connack'
          link.end()
        },
        onClose: () => resolve(accepted),
      },
    )
  })
  // What was said after it is confirmed.
  return connected && (await leaveSession(port, `${clientId}-after`, topic)) !== undefined
}

/** Messages that expire after so many seconds, at QoS 1; true once all are acknowledged. */
export async function publishExpiring(port: number, topic: string, expirySeconds: readonly number[]): Promise<boolean> {
  let answers = 0
  const done = await visit(
    port,
    { clientId: 'kill-test-expiring', clean: true, protocolVersion: 5 },
    (link) => {
      for (const [i, messageExpiryInterval] of expirySeconds.entries()) {
        const properties = { messageExpiryInterval }
        const payload = String(messageExpiryInterval)
        link.send({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false, messageId: i + 1, properties })
      }
    },
    (packet) => packet.cmd === 'puback' && ++answers === expirySeconds.length,
  )
  return done !== undefined
}

/** What waits for a session, at QoS 1, up to this payload or until so long nothing came; undefined: there is no session. */
export function takeWaiting(
  port: number,
  connect: Connect,
  last: string,
  quietMs: number,
): Promise<string[] | undefined> {
  return new Promise((resolve) => {
    const taken: string[] = []
    let present = false
    let timer = setTimeout(() => link.end(), answerTimeoutMs)
    const link = new Link(port, connect, {
      onPacket: (packet) => {
        if (packet.cmd === 'connack') present = packet.sessionPresent
        if (packet.cmd === 'publish') {
          taken.push(String(packet.payload))
          link.send({ cmd: 'puback', messageId: packet.messageId! })
        }
        clearTimeout(timer)
        timer = setTimeout(() => link.end(), quietMs)
        if (taken.at(-1) === last) link.end()
      },
      onClose: () => {
        clearTimeout(timer)
        resolve(present ? taken : undefined)
      },
    })
  })
}
