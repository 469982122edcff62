/**
 * `authorizeForward` as a grant: asked for each message when it is sent. A packet that the handler changed goes in the message's
 * place as one of its client's own, behind what is on its way.
 */
import type { Grant, GrantContent } from '../core/ports/authority.ts'
import type { Message } from '../core/publish/message.ts'
import type { Qos } from '../mqtt/packet.ts'
import { encodeUtf8 } from '../mqtt/utf8.ts'
import type { Aedes } from './broker.ts'
import type { AedesClient } from './client.ts'
import { deliverTo } from './for-client.ts'
import { defaultHandlers } from './handlers.ts'
import { type AedesPublishPacket, bytesOf, packetOfMessage } from './packets.ts'

export class Forwarding {
  readonly #aedes: Aedes
  readonly #client: AedesClient
  readonly #inTurn: (action: () => void) => void
  /** Messages that nobody is asked about: what the handler made itself. */
  readonly #allowed = new WeakSet<Message>()

  constructor(aedes: Aedes, client: AedesClient, inTurn: (action: () => void) => void) {
    this.#aedes = aedes
    this.#client = client
    this.#inTurn = inTurn
  }

  allow(message: Message): void {
    this.#allowed.add(message)
  }

  grant(maySubscribe: Grant['maySubscribe']): Grant {
    return {
      mayPublish: () => true,
      maySubscribe: (filter, qos, group) => maySubscribe(filter, qos, group),
      mayReceive: (_topic, qos, retain, _group, content) => this.#mayReceive(qos, retain, content),
    }
  }

  #mayReceive(qos: Qos, retain: boolean, content: GrantContent | undefined): boolean {
    const aedes = this.#aedes
    if (aedes.authorizeForward === defaultHandlers.authorizeForward || content === undefined) return true
    const message = content.message as Message | null
    if (message === null || this.#allowed.has(message)) return true
    const packet = packetOfMessage(message, { qos, retain }, aedes.origin)
    const { topic, payload } = packet
    let answer: AedesPublishPacket | null | undefined
    try {
      answer = aedes.authorizeForward(this.#client, packet)
    } catch (error) {
      aedes.failed('authorizeForward', error)
    }
    if (answer == null) return false
    if (answer.topic === topic && answer.payload === payload) return true
    this.#replace(message, answer, qos, retain)
    return false
  }

  #replace(message: Message, { topic, payload }: AedesPublishPacket, qos: Qos, retain: boolean): void {
    const changed = { ...message, id: 0, references: 0, holders: 0, name: topic, topic: encodeUtf8(topic), qos }
    changed.payload = bytesOf(payload)
    this.allow(changed)
    // A message's way is not to be crossed by another's.
    queueMicrotask(() => {
      const session = this.#aedes.sessionOf(this.#client)
      if (session !== undefined) this.#inTurn(() => deliverTo(this.#aedes.core, session, changed, retain))
    })
  }
}
