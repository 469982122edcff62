/** Publishes messages of the program and of the gateway itself, as safe as a client's would be at its acknowledgement. */
import type { Namespace } from '../core/namespace.ts'
import type { Message } from '../core/publish/message.ts'
import type { PublishOutcome } from '../core/publish/publish.ts'
import { encodeProperties } from '../mqtt/encoder.ts'
import { PacketType, type Properties, type Qos } from '../mqtt/packet.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { encodeUtf8 } from '../mqtt/utf8.ts'
import type { Committer } from './committer.ts'
import type { Engine } from './engine.ts'

export interface OwnMessage {
  /** Absent: the default one. */
  namespace?: Namespace
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  properties: Properties
}

export type OwnOutcome = Exclude<PublishOutcome, `malformed-${string}`>

/** Resolves when it is committed, or refused. The payload is kept as it is. */
export async function publishOwn(
  { engine, committer }: { engine: Engine; committer: Committer },
  { namespace, topic, payload, qos, retain, properties }: OwnMessage,
): Promise<OwnOutcome> {
  const messageAt = ownMessage({ topic, payload, qos, properties })
  const { appended } = committer
  const outcome = engine.call(() => engine.broker.publish(messageAt(engine.broker.now), retain, namespace))
  if (outcome === 'malformed-id') {
    const text = 'message-id has 1 to 256 characters, seq is a whole number of at most 15 digits'
    throw new ProtocolError(ReasonCode.implementationSpecificError, text)
  }
  if (outcome === 'malformed-address')
    throw new ProtocolError(ReasonCode.topicNameInvalid, `${topic} is no address, or names what can't be published to`)
  if (outcome !== 'quota-exceeded' && committer.appended !== appended) await committer.settled()
  return outcome
}

/** What makes it a message of the core's, at the time of its publication. @throws RangeError for properties that can't be encoded */
export function ownMessage({
  topic: name,
  payload,
  qos,
  properties,
}: Pick<OwnMessage, 'topic' | 'payload' | 'qos' | 'properties'>): (publishedAt: number) => Message {
  const { messageExpiryInterval, topicAlias: _alias, subscriptionIdentifiers: _ids, ...forwarded } = properties
  const forwardProperties = encodeProperties(PacketType.publish, forwarded)
  return (publishedAt) => {
    const expiresAt = messageExpiryInterval === undefined ? Infinity : publishedAt + messageExpiryInterval * 1000
    return newMessage({ name, payload, forwardProperties, qos, expiresAt, publishedAt })
  }
}

export function newMessage(
  own: Pick<Message, 'name' | 'payload' | 'forwardProperties' | 'qos' | 'expiresAt' | 'publishedAt'>,
): Message {
  return { ...own, id: 0, references: 0, holders: 0, topic: encodeUtf8(own.name), publisher: '' }
}
