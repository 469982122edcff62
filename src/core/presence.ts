/**
 * Who is there: of each client of a namespace, and of each session whose client is away, a retained message below a prefix.
 *
 * Nothing of it is stored: who is connected is known only to the process that the connection ends in, and what the store would say after a crash
 * would be wrong. A process begins with the sessions of the store, all of them away. The topics are the gateway's own: clients may read them only.
 *
 * What changed within a turn is published in later ones, as it is then: who reconnects at once, or is taken over, was never away. So a client that
 * comes and goes costs two messages at most, and never holds up what it does.
 */
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { encodeUtf8, isEncodable } from '../mqtt/utf8.ts'
import type { Broker } from './broker.ts'
import { drop } from './drop.ts'
import type { Namespace } from './namespace.ts'
import { publishMessage } from './publish/publish.ts'
import { setRetained } from './retained/retained-changes.ts'
import { neverExpires, type Session } from './session/session.ts'

/** How a connection ended; times are the broker's. */
export interface Leaving {
  reason: string
  /** Undefined: not known. */
  since: number | undefined
  lastSeen: number | undefined
}

/** Of clients that were connected when the last process ended. */
export const gatewayRestarted = 'gateway_restarted'
/** Of clients that were away then already. */
const unknownReason = 'unknown'

const stepsPerMessage = 5

export class Presence {
  readonly prefix: string
  readonly #broker: Broker
  readonly #namespace: Namespace
  /** By client id; null: it came, or its session ended. */
  readonly #changed = new Map<string, Leaving | null>()
  #scheduled = false

  constructor(broker: Broker, namespace: Namespace, prefix: string) {
    this.#broker = broker
    this.#namespace = namespace
    this.prefix = prefix
  }

  /** Something became of the client or its session. */
  note(clientId: string, leaving: Leaving | null): void {
    // The end of a session that ends with its connection does not hide how that ended.
    if (leaving !== null || !this.#changed.has(clientId)) this.#changed.set(clientId, leaving)
    if (this.#scheduled) return
    this.#scheduled = true
    this.#broker.later((stepsEnd) => this.#publishSome(stepsEnd))
  }

  /** At a start: all sessions are away. */
  recovered(connected: ReadonlySet<Session>): void {
    const { now } = this.#broker
    for (const session of this.#namespace.sessions.values()) {
      this.note(
        session.clientId,
        connected.has(session)
          ? { reason: gatewayRestarted, since: now, lastSeen: undefined }
          : { reason: unknownReason, since: awaySince(session), lastSeen: undefined },
      )
    }
  }

  #publishSome(stepsEnd: number): boolean {
    const { cost } = this.#broker
    for (const [clientId, leaving] of this.#changed) {
      if (cost.steps >= stepsEnd) return false
      cost.steps += stepsPerMessage
      this.#changed.delete(clientId)
      this.#publish(clientId, leaving)
    }
    this.#scheduled = false
    return true
  }

  #publish(clientId: string, leaving: Leaving | null): void {
    const topic = this.prefix + presenceLevel(clientId)
    const session = this.#namespace.sessions.get(clientId)
    if (!isEncodable(topic)) {
      drop(topic, 'presence_refused', this.#namespace)
      return
    }
    if (session !== undefined && session.client !== null) {
      this.#send(topic, { state: 'online', since: this.#wall(session.connectedAt) }, true)
      return
    }
    if (leaving !== null) {
      const { reason, since, lastSeen } = leaving
      const times = { since: this.#wall(since), lastSeen: this.#wall(lastSeen) }
      this.#send(topic, { state: 'offline', reason, ...times }, session !== undefined)
    }
    // Nothing is known of it any more.
    if (session === undefined && this.#namespace.retained.get(topic) !== null) this.#send(topic, null, true)
  }

  #wall(time: number | undefined): number | undefined {
    return time === undefined ? undefined : Math.round(this.#broker.wallTime(time))
  }

  /** Null: an empty message, which ends what is retained. */
  #send(topic: string, content: object | null, retain: boolean): void {
    const payload = content === null ? new Uint8Array(0) : encodeUtf8(JSON.stringify(content))
    if (this.#published(topic, payload, 1, retain)) return
    // Nobody got it, since somebody who wants it at QoS 1 has no room, or there is none to retain it.
    drop(topic, 'presence_refused', this.#namespace)
    this.#published(topic, payload, 0, retain)
    const { retained } = this.#namespace
    const kept = retained.get(topic)
    // What is retained must not say what is no longer so.
    if (retain && kept !== null && !sameBytes(kept.payload, payload))
      setRetained(this.#broker, this.#namespace, topic, null)
  }

  #published(name: string, payload: Uint8Array, qos: 0 | 1, retain: boolean): boolean {
    const { now } = this.#broker
    const message = { id: 0, topic: encodeUtf8(name), name, payload, forwardProperties: new Uint8Array(0), qos }
    const own = { ...message, expiresAt: Infinity, publisher: '', publishedAt: now, references: 0, holders: 0 }
    try {
      return publishMessage(this.#broker, this.#namespace, own, retain, null) !== 'quota-exceeded'
    } catch (error) {
      // More levels than are served.
      if (error instanceof ProtocolError) return false
      throw error
    }
  }
}

/** When a session's client went, as far as its end says so. */
function awaySince({ expiry, expiryInterval }: Session): number | undefined {
  if (expiry === null || expiryInterval === neverExpires || expiry.at === Infinity) return undefined
  return expiry.at - expiryInterval * 1000
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at])
}

/** A client id as one level of a topic: what would divide it or stand for others is percent-encoded. */
export function presenceLevel(clientId: string): string {
  return clientId.replace(/[%/+#]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Puts what the configuration says in force. */
export function addPresence(broker: Broker, prefixes: Readonly<Record<string, string>>): void {
  for (const [name, prefix] of Object.entries(prefixes)) {
    const namespace = broker.namespace(name)
    namespace.presence = new Presence(broker, namespace, prefix)
  }
}
