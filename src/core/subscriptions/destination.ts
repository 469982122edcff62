/**
 * Where a route ends: whoever takes the messages of a subscription. A client's session is one, a subscriber inside the program
 * another. Routing, share groups and No Local ask this and nothing else, so that a new kind of recipient is one more class.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Publication } from '../publish/publication.ts'
import type { Subscription } from './subscription-index.ts'

/** What else comes before a message, where several are judged before any of them is put anywhere. */
export interface Ahead {
  /** To the same destination. */
  readonly messages: number
  readonly bytes: number
  /** To all destinations of its namespace. */
  readonly namespaceBytes: number
  /** To all that keep messages in memory, with the objects around them. */
  readonly heldBytes: number
}

export const nothingAhead: Ahead = { messages: 0, bytes: 0, namespaceBytes: 0, heldBytes: 0 }

export interface Destination {
  /** Tells members of a share group apart when a hash chooses; a session's client id. */
  readonly name: string
  /** Somebody is there: a message may reach him soon. */
  readonly online: boolean
  /** Online, and its output has room now. */
  readonly ready: boolean
  /** It keeps what comes while nobody is there. */
  readonly durable: boolean
  /** What it keeps is written to the store. */
  readonly stored: boolean
  /** One more message at QoS 1 or 2 would push no other out. */
  readonly hasRoom: boolean
  /** Without room, it is for the publisher to be refused where the policy says so; else it drops by itself. */
  readonly refuses: boolean
  /** Its policy is its own: with `refuses` it does so whatever the one for sessions is. */
  readonly ownPolicy: boolean
  /** Messages it has and has not acknowledged. */
  readonly load: number
  /** Whether a message may be sent to it. Of one that is away the rights are not known: it is asked again when it returns. */
  mayReceive(topic: string, qos: Qos, retain: boolean, group: string | null): boolean
  /** The index's marks, by which overlapping subscriptions of one destination become one delivery. */
  matchNumber: number
  matchSlot: number
  /** Takes the message being routed: sends it, keeps it, or drops it by the limits that it has. */
  accept(broker: Broker, publication: Publication, subscription: Subscription): void
}
