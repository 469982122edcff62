/**
 * A message of a stream in memory, under its offset. To the journal it is a delivery like one to a session, that waits for ever.
 *
 * Readers share what is encoded of it: a PUBLISH for each protocol and QoS, in which only the packet identifier differs.
 */
import { encodeJsonMessage, type JsonParts } from '../../json/json-message.ts'
import { type PayloadForm, payloadForms } from '../../json/operations.ts'
import type { ProtocolVersion, Qos } from '../../mqtt/packet.ts'
import { type EncodedPublish, encodePublish, type PublishParts } from '../../mqtt/publish.ts'
import { UserPropertyBytes } from '../../mqtt/user-property.ts'
import { type Message, remainingExpiry } from '../publish/message.ts'
import { type Delivery, DeliveryState } from '../session/delivery.ts'
import { noIdentifiers } from '../subscriptions/subscription-index.ts'

export class StreamEntry implements Delivery {
  readonly offset: number
  readonly message: Message
  readonly qos: Qos = 1
  readonly retain = false
  readonly identifiers = noIdentifiers
  readonly group = null
  readonly lease = null
  state: DeliveryState = DeliveryState.waiting
  dup = false
  ticket = 0
  record = -1
  #parts: PublishParts | null = null
  #variants: (EncodedPublish | null)[] | null = null
  #texts: (EncodedPublish | null)[] | null = null
  /** Seconds that the variants say the message has left. */
  #expirySeconds = -1

  constructor(offset: number, message: Message) {
    this.offset = offset
    this.message = message
  }

  /** When it was taken in. */
  get at(): number {
    return this.message.publishedAt
  }

  /** What a client of 5.0 gets: offset and time behind what its publisher said. `wallTime`: that of the system when it came. */
  partsAt(wallTime: number): PublishParts {
    this.#parts ??= this.#withProperties(wallTime, 0)
    return this.#parts
  }

  /** The same, saying that so many messages before it are not there any more. */
  partsBehindGap(wallTime: number, missed: number): PublishParts {
    return missed === 0 ? this.partsAt(wallTime) : this.#withProperties(wallTime, missed)
  }

  #withProperties(wallTime: number, missed: number): JsonParts {
    const { topic, payload, forwardProperties } = this.message
    const own = new UserPropertyBytes(forwardProperties)
    own.add('stream-offset', String(this.offset))
    own.add('ts', String(Math.round(wallTime * 1000)))
    if (missed > 0) own.add('stream-gap', String(missed))
    return { topic, payload, forwardProperties: own.bytes, offset: this.offset }
  }

  /** As JSON, without identifiers of subscriptions and `dup`. */
  json(form: PayloadForm, qos: Qos, wallTime: number): EncodedPublish {
    this.#texts ??= new Array<EncodedPublish | null>(2 * payloadForms.length).fill(null)
    const options = { form, qos, retain: false, dup: false, packetId: 0, at: wallTime }
    return (this.#texts[2 * payloadForms.indexOf(form) + qos] ??= encodeJsonMessage(this.partsAt(wallTime), options))
  }

  /** The PUBLISH without identifiers of subscriptions, aliases and DUP. */
  encoded(version: ProtocolVersion, qos: Qos, { now, wallTime }: { now: number; wallTime: number }): EncodedPublish {
    const expirySeconds = remainingExpiry(this.message, now)
    if (this.#variants === null || this.#expirySeconds !== expirySeconds) {
      this.#variants = [null, null, null, null]
      this.#expirySeconds = expirySeconds
    }
    const is5 = version === 5
    return (this.#variants[(is5 ? 2 : 0) + qos] ??= encodePublish(
      version,
      is5 ? this.partsAt(wallTime) : this.message,
      {
        qos,
        retain: false,
        dup: false,
        packetId: 0,
        expiryIntervalSeconds: expirySeconds,
        subscriptionIdentifiers: noIdentifiers,
        topicAlias: 0,
        omitTopic: false,
      },
    ))
  }
}
