/**
 * A PUBLISH while it is being routed, encoded at most once per variant.
 *
 * It is the frame as it came off the wire, in place. Where a recipient gets the same bytes (same protocol family, same QoS)
 * they are forwarded, with the first byte and the packet identifier set on the way. Other variants (protocol family x QoS,
 * subscription identifiers) are encoded when first needed and shared. Only where the message outlives the turn is it copied
 * out, once, as a `Message`.
 */
import { encodeJsonMessage } from '../../json/json-message.ts'
import { type PayloadForm, payloadForms } from '../../json/operations.ts'
import type { ProtocolVersion, PublishFrame, Qos } from '../../mqtt/packet.ts'
import { type EncodedPublish, encodePublish, forwardProperties, type PublishParts } from '../../mqtt/publish.ts'
import type { Broker } from '../broker.ts'
import type { Session } from '../session/session.ts'
import type { Dispatched } from '../subscriptions/shared-group.ts'
import { type Message, messageFromFrame, remainingExpiry } from './message.ts'
import type { TopicEntry } from './route-cache.ts'

export class Publication implements Dispatched {
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
  /** Counts routings, so that what was found out about one is not taken for another. */
  number = 0
  #message: Message | null = null
  #parts: PublishParts | null = null
  #expiry = -1
  readonly #variants = new Array<EncodedPublish | null>(6).fill(null)
  /** As JSON, by form, QoS and RETAIN; made when the first such client is there. */
  #texts: (EncodedPublish | null)[] | null = null
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

  beginMessage(
    message: Message,
    entry: TopicEntry | null,
    retain: boolean,
    publisher: Session | null,
    now: number,
  ): void {
    this.#reset(entry, message.qos, retain, publisher, now)
    this.frame = null
    this.verbatim = false
    this.#made = true
    this.#message = message
    this.#expiry = remainingExpiry(message, now)
  }

  #reset(entry: TopicEntry | null, qos: Qos, retain: boolean, publisher: Session | null, now: number): void {
    // What the last one left that a fault ended: its message must not pass for this one.
    if (this.#made) this.end()
    this.number++
    this.entry = entry
    this.qos = qos
    this.retain = retain
    this.publisher = publisher
    this.now = now
  }

  get topicName(): string {
    return this.entry!.topic
  }

  get publisherName(): string {
    return this.publisher === null ? '' : this.publisher.clientId
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
    this.#texts?.fill(null)
  }

  /** The message as a thing of its own; copied on the first call. */
  get message(): Message {
    this.#made = true
    this.#message ??= messageFromFrame(this.frame!, this.entry!, this.publisherName, this.now)
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

  /** As JSON, without `dup`. */
  json(broker: Pick<Broker, 'wallTime'>, form: PayloadForm, qos: Qos, retain: boolean): EncodedPublish {
    this.#texts ??= new Array<EncodedPublish | null>(payloadForms.length * 6).fill(null)
    const variant = (payloadForms.indexOf(form) * 3 + qos) * 2 + (retain ? 1 : 0)
    this.#made = true
    const known = this.#texts[variant]!
    if (known !== null) return known
    const at = broker.wallTime(this.#message?.publishedAt ?? this.now)
    const made = encodeJsonMessage(this.parts, { form, qos, retain, dup: false, packetId: 0, at })
    this.#texts[variant] = made
    return made
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
