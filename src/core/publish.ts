/**
 * A PUBLISH on its way to its recipients: retained, routed, and encoded at most once per variant.
 *
 * While a message is being routed it is a `Publication`: the frame as it came off the wire, in place. Where a recipient gets
 * the same bytes (same protocol family, same QoS) they are forwarded, with the first byte and the packet identifier set on
 * the way. Other variants (protocol family x QoS, subscription identifiers) are encoded when first needed and shared. Only
 * where the message outlives the turn is it copied out, once, as a `Message`.
 */
import type { ProtocolVersion, PublishFrame, Qos } from '../mqtt/packet.ts'
import { type EncodedPublish, encodePublish, forwardProperties, type PublishParts } from '../mqtt/publish.ts'
import type { Broker } from './broker.ts'
import { Deadline } from './deadlines.ts'
import { deliver, isQueueFull } from './deliver.ts'
import { type Message, messageFromFrame, remainingExpiry } from './message.ts'
import type { Session } from './session.ts'
import { chooseMember } from './shared.ts'
import { localDelivery, type Route } from './subscriptions.ts'
import type { TopicEntry } from './topics.ts'

export class Publication {
  frame: PublishFrame | null = null
  /** The frame's protocol is 5.0. */
  version5 = false
  /** The frame's bytes may go out as they are to a client of the same protocol family. */
  verbatim = false
  entry: TopicEntry | null = null
  qos: Qos = 0
  retain = false
  publisher: Session | null = null
  now = 0
  #message: Message | null = null
  #parts: PublishParts | null = null
  #expiry = -1
  readonly #variants = new Array<EncodedPublish | null>(6).fill(null)
  #identified: EncodedPublish | null = null
  #identifiedBy: readonly number[] | null = null
  #identifiedVariant = -1
  /** Something below was made for this message and has to be let go: most need nothing, and clearing costs. */
  #made = false

  beginFrame(frame: PublishFrame, version5: boolean, entry: TopicEntry, publisher: Session, now: number): void {
    this.#reset(entry, frame.qos, frame.retain, publisher, now)
    this.frame = frame
    this.version5 = version5
    // A topic alias belongs to the publisher's connection.
    this.verbatim = frame.topicAlias === 0
    this.#expiry = frame.messageExpiryInterval
  }

  beginMessage(message: Message, entry: TopicEntry, retain: boolean, publisher: Session | null, now: number): void {
    this.#reset(entry, message.qos, retain, publisher, now)
    this.frame = null
    this.verbatim = false
    this.#made = true
    this.#message = message
    this.#expiry = remainingExpiry(message, now)
  }

  #reset(entry: TopicEntry, qos: Qos, retain: boolean, publisher: Session | null, now: number): void {
    // What the last one left that a fault ended: its message must not pass for this one.
    if (this.#made) this.end()
    this.entry = entry
    this.qos = qos
    this.retain = retain
    this.publisher = publisher
    this.now = now
  }

  /** Lets go of the chunk and the message. */
  end(): void {
    this.frame = null
    if (!this.#made) return
    this.#made = false
    this.#message = null
    this.#parts = null
    this.#identified = null
    this.#variants.fill(null)
  }

  /** The message as a thing of its own; copied on the first call. */
  get message(): Message {
    this.#made = true
    this.#message ??= messageFromFrame(this.frame!, this.entry!, this.publisher?.clientId ?? '', this.now)
    return this.#message
  }

  get payloadLength(): number {
    return this.frame === null ? this.#message!.payload.length : this.frame.end - this.frame.payloadStart
  }

  /** The PUBLISH for this protocol, QoS and list of identifiers, without RETAIN and DUP. */
  encoded(version: ProtocolVersion, qos: Qos, identifiers: readonly number[]): EncodedPublish {
    const variant = (version === 5 ? 3 : 0) + qos
    if (identifiers.length === 0 || version !== 5) {
      return (this.#variants[variant] ??= this.#encode(version, qos, []))
    }
    if (this.#identified === null || this.#identifiedBy !== identifiers || this.#identifiedVariant !== variant) {
      this.#identified = this.#encode(version, qos, identifiers)
      this.#identifiedBy = identifiers
      this.#identifiedVariant = variant
    }
    return this.#identified
  }

  get parts(): PublishParts {
    if (this.#parts !== null) return this.#parts
    this.#made = true
    const frame = this.frame
    this.#parts =
      this.#message ??
      (frame === null
        ? this.message
        : {
            topic: this.entry!.bytes,
            payload: frame.buffer.subarray(frame.payloadStart, frame.end),
            forwardProperties: forwardProperties(frame),
          })
    return this.#parts
  }

  get expiryInterval(): number {
    return this.#expiry
  }

  #encode(version: ProtocolVersion, qos: Qos, subscriptionIdentifiers: readonly number[]): EncodedPublish {
    return encodePublish(version, this.parts, {
      qos,
      retain: false,
      dup: false,
      packetId: 0,
      expiryIntervalSeconds: this.#expiry,
      subscriptionIdentifiers,
      topicAlias: 0,
      omitTopic: false,
    })
  }
}

/** What became of a PUBLISH. */
export type PublishOutcome = 'delivered' | 'no-subscribers' | 'quota-exceeded'

/** Routes a client's PUBLISH, whose topic and rights were checked. The frame is valid only during this call. */
export function publishFrame(
  broker: Broker,
  frame: PublishFrame,
  version5: boolean,
  entry: TopicEntry,
  publisher: Session,
): PublishOutcome {
  const publication = broker.publication
  publication.beginFrame(frame, version5, entry, publisher, broker.now)
  return route(broker, publication)
}

/** Routes a message of the server itself: a will, one published by the program, $SYS. */
export function publishMessage(
  broker: Broker,
  message: Message,
  retain: boolean,
  publisher: Session | null,
): PublishOutcome {
  const publication = broker.publication
  publication.beginMessage(message, broker.topics.lookupName(message.name), retain, publisher, broker.now)
  return route(broker, publication)
}

function route(broker: Broker, publication: Publication): PublishOutcome {
  const found = broker.topics.route(publication.entry!)
  if (publication.qos > 0 && mustRefuse(broker, publication, found)) {
    publication.end()
    return 'quota-exceeded'
  }
  if (publication.retain && !retain(broker, publication)) {
    publication.end()
    return 'quota-exceeded'
  }
  const { recipients, groups } = found
  for (let i = 0; i < recipients.length; i++) {
    const recipient = recipients[i]!
    if (recipient.noLocal && recipient.session === publication.publisher) {
      const other = localDelivery(recipient)
      if (other !== null) deliver(broker, publication, other)
    } else {
      deliver(broker, publication, recipient)
    }
  }
  for (const group of groups) {
    const member = chooseMember(group, publication.publisher?.clientId ?? '', publication.entry!.topic)
    if (member !== null) deliver(broker, publication, member)
  }
  publication.end()
  return recipients.length === 0 && groups.length === 0 ? 'no-subscribers' : 'delivered'
}

/** Whether a message that would have to be kept can't be: nobody gets it then, and its publisher is told. */
function mustRefuse(broker: Broker, publication: Publication, found: Route): boolean {
  if (broker.storeFull) {
    if (publication.retain || found.recipients.some(({ session, qos }) => session.stored && qos > 0)) return true
    if (found.groups.some((group) => group.members.some(({ session, qos }) => session.stored && qos > 0))) return true
  }
  return broker.options.sessionQueueFull === 'reject' && anyQueueFull(broker, found)
}

function anyQueueFull(broker: Broker, found: Route): boolean {
  return found.recipients.some((recipient) => recipient.qos > 0 && isQueueFull(broker, recipient.session))
}

/** False: one more retained message would pass the limit, and nothing was changed. */
function retain(broker: Broker, publication: Publication): boolean {
  const topic = publication.entry!.topic
  const { retained, journal, counters, options } = broker
  const message = publication.payloadLength === 0 ? null : publication.message
  if (message !== null && retained.count >= options.retainedMessagesMax && retained.get(topic) === null) {
    counters.messagesDropped.add('retained_limit')
    return false
  }
  const previous = setRetained(broker, topic, message)
  counters.retainedChanges++
  const ephemeral = topic.startsWith('$SYS/')
  if (!ephemeral && (message !== null || previous !== null)) journal.retain(topic, message, previous)
  return true
}

/** Sets or removes (null) a topic's retained message, and when it expires. Returns what it replaces. */
export function setRetained(broker: Broker, topic: string, message: Message | null): Message | null {
  const { retained, deadlines } = broker
  const previous = retained.set(topic, message)
  if (previous !== null && previous.expiresAt !== Infinity) {
    const expiry = retained.expiries.get(previous)
    retained.expiries.delete(previous)
    if (expiry !== undefined) deadlines.clear(expiry)
  }
  if (message !== null && message.expiresAt !== Infinity) {
    const expiry = new Deadline(() => expireRetained(broker, topic, message))
    retained.expiries.set(message, expiry)
    deadlines.set(expiry, message.expiresAt)
  }
  return previous
}

/** Removes an expired retained message unless another has taken its place. */
export function expireRetained(broker: Broker, topic: string, message: Message): void {
  if (broker.retained.get(topic) !== message) return
  setRetained(broker, topic, null)
  broker.counters.messagesDropped.add('retained_expired')
  broker.journal.retain(topic, null, message)
}
