/**
 * Hooks of the program that the gateway is part of.
 *
 * `onPublish` is asked before a message is routed, and may change or refuse it. The others are told, and cannot change what has
 * happened: they hear of it when the call that it happened in is over, so that they may do with the gateway what they like. What waits
 * to be told is bounded; what there is no room for is counted.
 *
 * A hook is not our code. One that throws is logged and counted and costs nobody anything, but that a message which it was asked about is
 * refused: nobody knows what it would have said.
 */
import { inspect } from 'node:util'
import type { Broker } from '../core/broker.ts'
import type { Client } from '../core/connection/client.ts'
import type { DropReason } from '../core/counters.ts'
import type { DropBearer, DropWatcher } from '../core/drop-ledger.ts'
import type { HookAnswer, Hooks, Incoming, SessionEnd } from '../core/ports/hooks.ts'
import { type Message, remainingExpiry } from '../core/publish/message.ts'
import type { Session } from '../core/session/session.ts'
import { countLevels } from '../core/topic-trie.ts'
import { encodeProperties } from '../mqtt/encoder.ts'
import { type ConnectPacket, PacketType, type Properties, type ProtocolVersion, type Qos } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { isValidTopicName } from '../mqtt/topic.ts'
import { encodeUtf8 } from '../mqtt/utf8.ts'

/** Events that wait to be told, and bytes of messages among them. */
export const hookEventsMax = 10_000
export const hookBytesMax = 64 * 1024 * 1024

/** Whose connection or session it is. */
export interface HookClient {
  readonly clientId: string
  readonly namespace: string
  /** Empty: it gave none. */
  readonly username: string
  /** The stable name under which it was let in; empty: nobody in particular. */
  readonly principal: string
  /** "address:port"; empty: it is not connected. */
  readonly address: string
  /** Name of the listener that it came by; empty: it is not connected. */
  readonly listener: string
  /** 3: MQTT 3.1, 4: 3.1.1, 5: 5.0 and JSON. */
  readonly protocolVersion: ProtocolVersion
}

export interface ConnectedClient extends HookClient {
  readonly cleanStart: boolean
  readonly sessionPresent: boolean
  /** Of CONNECT. */
  readonly properties: Properties
}

export interface PublishedMessage {
  readonly topic: string
  /** The hook's own. */
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  /** MQTT 5.0 properties that the publisher gave. */
  readonly properties: Properties
  /** It was left behind by its client, which is gone. */
  readonly isWill: boolean
}

/** What becomes of a message: with a `reasonCode` it is refused, otherwise it goes on with these in place of what was published. */
export interface PublishAnswer {
  /** 0x80, 0x83, 0x87, 0x90, 0x91, 0x97 or 0x99: what PUBACK and PUBREC can say. */
  reasonCode?: number
  topic?: string
  /** Text is sent as UTF-8. */
  payload?: string | Uint8Array
  qos?: Qos
  retain?: boolean
  /** All of them. */
  properties?: Properties
}

export interface DeliveredMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  /** It was sent before. */
  readonly dup: boolean
  /** MQTT 5.0 properties that the client gets; to one of 3.x there are none. */
  readonly properties: Properties
}

export interface DroppedMessages {
  /** Empty: not known, as of what was in the store only. */
  readonly topic: string
  readonly namespace: string
  /** Who does not get it; empty: nobody does. */
  readonly clientId: string
  /** As in the metric `mqtt_messages_dropped_total`. */
  readonly reason: DropReason
  readonly count: number
}

export interface EndedSession extends HookClient {
  readonly because: SessionEnd
}

export interface GatewayHooks {
  /** A client was let in. */
  onConnect?(client: ConnectedClient): void
  /** A client publishes, and may. Answers at once: nothing, and it goes on as it is; else what is to become of it. */
  onPublish?(message: PublishedMessage, publisher: HookClient): PublishAnswer | undefined
  /** A message was given to a client's connection. */
  onDeliver?(message: DeliveredMessage, client: HookClient): void
  /** Somebody does not get messages that were accepted. */
  onDropped?(dropped: DroppedMessages): void
  onSessionEnd?(session: EndedSession): void
}

export type HookName = keyof GatewayHooks

const refusals: readonly number[] = [
  ReasonCode.unspecifiedError,
  ReasonCode.implementationSpecificError,
  ReasonCode.notAuthorized,
  ReasonCode.topicNameInvalid,
  ReasonCode.packetIdentifierInUse,
  ReasonCode.quotaExceeded,
  ReasonCode.payloadFormatInvalid,
]

interface HookLog {
  error(fields: object, text: string): void
}

export class ProgramHooks implements Hooks, DropWatcher {
  readonly #broker: Broker
  readonly #hooks: readonly GatewayHooks[]
  readonly #log: HookLog
  #waiting: (() => void)[] = []
  #waitingBytes = 0
  #lastDrop: { bearer: DropBearer; told: DroppedMessages & { count: number } } | null = null

  /** Each is asked in its turn, about what the one before made of it. */
  constructor(broker: Broker, hooks: readonly GatewayHooks[], log: HookLog) {
    this.#broker = broker
    this.#hooks = hooks
    this.#log = log
  }

  /** Whether any of them is there. */
  has(name: HookName): boolean {
    return this.#hooks.some((hooks) => hooks[name] !== undefined)
  }

  incoming(session: Session, incoming: Incoming, isWill: boolean): HookAnswer {
    const publisher = viewOf(session)
    let current = incoming
    for (const hooks of this.#hooks) {
      if (hooks.onPublish === undefined) continue
      try {
        const answer = hooks.onPublish(publishedMessage(current, isWill, this.#broker.now), publisher)
        const next = readAnswer(answer, current)
        if (typeof next === 'number') return next
        if (next !== current) this.#check(next.message, session)
        current = next
      } catch (error) {
        this.#failed('onPublish', error)
        return ReasonCode.implementationSpecificError
      }
    }
    return current === incoming ? null : current
  }

  #check({ name }: Message, { namespace }: Session): void {
    if (!isValidTopicName(name)) throw new RangeError(`not a topic name: ${JSON.stringify(name)}`)
    const { topicLevelsMax } = this.#broker.options
    if (countLevels(name) > topicLevelsMax) throw new RangeError(`${name} has more than ${topicLevelsMax} levels`)
    if (namespace.isImported(name))
      throw new RangeError(`${name} is what another namespace exports, or who is there: it is read only`)
  }

  connected(client: Client, { cleanStart, properties }: ConnectPacket, sessionPresent: boolean): void {
    if (!this.has('onConnect')) return
    const told = { ...viewOf(client.session!), cleanStart, sessionPresent, properties }
    this.#tell('onConnect', 0, (hooks) => hooks.onConnect?.(told))
  }

  sessionEnded(session: Session, because: SessionEnd): void {
    if (!this.has('onSessionEnd')) return
    const told = { ...viewOf(session), because }
    this.#tell('onSessionEnd', 0, (hooks) => hooks.onSessionEnd?.(told))
  }

  /** Drops come in runs: one event tells of all that come in the same call. */
  dropped(reason: DropReason, bearer: DropBearer, topic: string, count: number): void {
    const last = this.#lastDrop
    if (last !== null && last.bearer === bearer && last.told.reason === reason && last.told.topic === topic) {
      last.told.count += count
      return
    }
    const told = { topic, namespace: bearer.namespace.name, clientId: bearer.clientId, reason, count }
    if (this.#tell('onDropped', topic.length, (hooks) => hooks.onDropped?.(told))) this.#lastDrop = { bearer, told }
    else this.#lastDrop = null
  }

  delivered(message: DeliveredMessage, client: Client): void {
    const told = client.session === null ? null : viewOf(client.session)
    if (told === null) return
    const bytes = message.payload.length + message.topic.length
    this.#tell('onDeliver', bytes, (hooks) => hooks.onDeliver?.(message, told))
  }

  /** What a hook did wrong that was called by somebody else. */
  failed(name: string, error: unknown): void {
    this.#failed(name, error)
  }

  #tell(name: HookName, bytes: number, tell: (hooks: GatewayHooks) => unknown): boolean {
    const waiting = this.#waiting
    if (waiting.length >= hookEventsMax || this.#waitingBytes + bytes > hookBytesMax) {
      this.#broker.counters.hookEventsLost++
      return false
    }
    if (waiting.length === 0) queueMicrotask(() => this.#tellAll())
    this.#waitingBytes += bytes
    waiting.push(() => {
      for (const hooks of this.#hooks) {
        try {
          const answer = tell(hooks)
          if (answer instanceof Promise) answer.catch((error: unknown) => this.#failed(name, error))
        } catch (error) {
          this.#failed(name, error)
        }
      }
    })
    return true
  }

  #tellAll(): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    this.#lastDrop = null
    for (const tell of waiting) tell()
  }

  #failed(hook: string, error: unknown): void {
    this.#broker.counters.hookErrors.add(hook)
    this.#log.error({ err: error, hook, reason: `hook ${hook}` }, 'a hook of the program failed')
  }
}

export function viewOf({ clientId, namespace, username, principal, client, version }: Session): HookClient {
  const { address = '', listener = '' } = client?.peer ?? {}
  return { clientId, namespace: namespace.name, username, principal, address, listener, protocolVersion: version }
}

function publishedMessage({ message, retain }: Incoming, isWill: boolean, now: number): PublishedMessage {
  const { name: topic, payload, qos } = message
  return {
    ...{ topic, payload, qos, retain, isWill },
    get properties() {
      return propertiesOf(message, now)
    },
  }
}

function propertiesOf(message: Message, now: number): Properties {
  const properties = publishProperties(message.forwardProperties)
  const seconds = remainingExpiry(message, now)
  return seconds < 0 ? properties : { ...properties, messageExpiryInterval: seconds }
}

/** @throws TypeError, RangeError for what is no answer */
function readAnswer(answer: unknown, current: Incoming): Incoming | number {
  if (answer === undefined) return current
  if (typeof answer !== 'object' || answer === null || answer instanceof Promise)
    throw new TypeError(`onPublish has to answer at once, with nothing or an object, not ${inspect(answer)}`)
  const { reasonCode, topic, payload, qos, retain, properties } = answer as PublishAnswer
  if (reasonCode !== undefined && reasonCode !== 0) {
    if (!refusals.includes(reasonCode)) throw new RangeError(`PUBACK can't say ${inspect(reasonCode)}`)
    return reasonCode
  }
  if (qos !== undefined && qos !== 0 && qos !== 1 && qos !== 2) throw new RangeError(`no QoS: ${inspect(qos)}`)
  const { message } = current
  const changed = {
    ...message,
    ...(topic !== undefined && { name: topic, topic: encodeUtf8(topic) }),
    ...(payload !== undefined && { payload: bytesOf(payload) }),
    ...(qos !== undefined && { qos }),
    ...(properties !== undefined && withProperties(message, properties)),
  }
  return { message: changed, retain: retain ?? current.retain }
}

function bytesOf(payload: unknown): Uint8Array {
  if (typeof payload === 'string') return encodeUtf8(payload)
  if (payload instanceof Uint8Array) return payload.slice()
  throw new TypeError(`a payload is text or bytes, not ${inspect(payload)}`)
}

function withProperties(message: Message, properties: Properties): Pick<Message, 'forwardProperties' | 'expiresAt'> {
  const { messageExpiryInterval, topicAlias: _alias, subscriptionIdentifiers: _ids, ...forwarded } = properties
  const { publishedAt } = message
  return {
    forwardProperties: encodeProperties(PacketType.publish, forwarded),
    expiresAt: messageExpiryInterval === undefined ? Infinity : publishedAt + messageExpiryInterval * 1000,
  }
}
