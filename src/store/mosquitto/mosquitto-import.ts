/**
 * What Mosquitto kept (`persistence-file.ts`), into a store: sessions with their subscriptions, what waited for them and what was in flight,
 * and retained messages.
 *
 * Packet identifiers are kept: what was in flight gets a position that stands for its identifier, so that a client that goes on with it is
 * understood. A QoS 2 message that Mosquitto had received and would have passed on at its PUBREL is passed on at the next start here, where
 * messages are passed on at once; its identifier is remembered, so that neither a second PUBLISH nor the PUBREL does harm.
 */

import { copyPropertiesWithout, decodeProperties } from '../../mqtt/decode-properties.ts'
import { PacketType, type Properties, type Qos } from '../../mqtt/packet.ts'
import { PropertyId } from '../../mqtt/properties.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { isValidTopicName } from '../../mqtt/topic.ts'
import { ImportFault, type ImportTarget } from '../export/import-target.ts'
import { unnamedNamespace } from '../export/line-values.ts'
import { SourceFault } from '../export/store-import.ts'
import { noBytes } from '../records/table.ts'
import {
  type MosquittoBody,
  type MosquittoClient,
  type MosquittoDelivery,
  type MosquittoSubscription,
  type PersistenceSink,
  readPersistenceFile,
} from './persistence-file.ts'

const neverExpires = 0xffffffff
const packetIds = 65_535
/** Of a delivery: it was not sent yet. */
const queued = 11
/** Of a delivery at QoS 2 whose PUBREC has come. */
const releasedStates = [6, 9]
const noLocalOption = 4
const retainAsPublishedOption = 8
const notForwarded = [PropertyId.messageExpiryInterval, PropertyId.topicAlias, PropertyId.subscriptionIdentifier]

export interface MosquittoOptions {
  /** Each session belongs to the user whose name it was opened with, as far as the file has it. */
  ownedByUsers: boolean
}

export function importMosquitto(
  file: string,
  target: ImportTarget,
  options: MosquittoOptions,
  now = Date.now(),
): string[] {
  const sink = new MosquittoImport(target, options, now)
  readPersistenceFile(file, sink, (place, error) => {
    const isFault = error instanceof ImportFault || error instanceof ProtocolError
    return isFault ? new SourceFault(`${place} ${(error as Error).message}`, { cause: error }) : (error as Error)
  })
  return sink.end()
}

interface ImportedClient {
  number: number
  firstInFlight: number
  /** The first position that was not sent. */
  sentEnd: number
  nextPosition: number
}

class MosquittoImport implements PersistenceSink {
  readonly #target: ImportTarget
  readonly #options: MosquittoOptions
  readonly #now: number
  readonly #clients = new Map<string, ImportedClient>()
  readonly #leftOut = new Map<string, number>()
  #whileRunning = false

  constructor(target: ImportTarget, options: MosquittoOptions, now: number) {
    this.#target = target
    this.#options = options
    this.#now = now
  }

  configuration({ atShutdown }: { atShutdown: boolean }): void {
    this.#whileRunning = !atShutdown
  }

  client({ clientId, username, expiryInterval, expiresAt }: MosquittoClient): void {
    if (clientId === '') throw new ImportFault('is a client without a client id')
    const number = this.#clients.size + 1
    const never = expiryInterval === neverExpires
    // Its time begins with the gateway's start where the file does not say when it ends.
    const connected = !never && expiresAt === 0
    this.#target.session({
      number,
      clientId,
      // Only 5.0 has sessions that end after a time; the client says its version when it comes.
      version: never ? 4 : 5,
      expiryInterval,
      expiresAt: never || connected ? Number.POSITIVE_INFINITY : expiresAt * 1000,
      connected,
      username,
      namespace: unnamedNamespace,
      principal: this.#options.ownedByUsers ? username : '',
    })
    this.#clients.set(clientId, { number, firstInFlight: -1, sentEnd: 0, nextPosition: 0 })
  }

  body({ id, topic, payload, properties, qos, publisher, expiresAt }: MosquittoBody): void {
    if (id === 0) throw new ImportFault('is a message with the id 0')
    if (!isValidTopicName(topic)) throw new ImportFault(`has a topic that is none: ${JSON.stringify(topic)}`)
    this.#target.message(id, {
      topic,
      payload,
      properties: forwarded(properties),
      qos: qosOf(qos),
      expiresAt: expiresAt === 0 ? Number.POSITIVE_INFINITY : expiresAt * 1000,
      publisher,
      publishedAt: this.#now,
    })
  }

  delivery(delivery: MosquittoDelivery): void {
    const client = this.#clients.get(delivery.clientId)
    if (client === undefined) {
      this.#leave('messages for clients that are not in the file')
    } else if (delivery.incoming) {
      this.#received(client, delivery)
    } else if (qosOf(delivery.qos) === 0) {
      this.#leave('messages at QoS 0 that waited')
    } else {
      this.#outgoing(client, delivery)
    }
  }

  #received({ number }: ImportedClient, { packetId, body: id, qos, retain }: MosquittoDelivery): void {
    if (qos !== 2 || packetId === 0) return
    const { topic, payload, properties, publisher, publishedAt, expiresAt } = this.#target.body(id)
    this.#target.incoming(number, packetId)
    this.#target.delayed({
      namespace: unnamedNamespace,
      clock: 'system',
      dueAt: this.#now,
      topic,
      payload,
      properties,
      qos: 2,
      retain,
      publisher,
      principal: '',
      scheduleId: '',
      expirySeconds:
        expiresAt === Number.POSITIVE_INFINITY ? -1 : Math.max(1, Math.ceil((expiresAt - this.#now) / 1000)),
      publishedAt,
    })
  }

  #outgoing(client: ImportedClient, delivery: MosquittoDelivery): void {
    const { packetId, state, body, retain } = delivery
    const position = this.#positionOf(client, delivery)
    if (releasedStates.includes(state)) {
      this.#target.released(client.number, position)
      return
    }
    const qos = qosOf(delivery.qos)
    const subscriptionIdentifiers = [...(propertiesOf(delivery.properties).subscriptionIdentifiers ?? [])]
    const reference = { session: client.number, position, messageId: 0, qos, retain }
    this.#target.entry({ ...reference, sharedFilter: '', subscriptionIdentifiers }, body)
    if (state !== queued && packetId > 0) client.sentEnd = position + 1
  }

  /** What was in flight gets one that stands for its packet identifier. */
  #positionOf(client: ImportedClient, { packetId, state }: MosquittoDelivery): number {
    let position = client.nextPosition
    if (state !== queued && packetId > 0) {
      position += (packetId - 1 - (position % packetIds) + packetIds) % packetIds
      if (client.firstInFlight < 0) client.firstInFlight = position
      else if (position - client.firstInFlight >= packetIds) {
        throw new ImportFault('is in flight with a packet identifier that another one has')
      }
    }
    client.nextPosition = position + 1
    return position
  }

  retained(id: number): void {
    const { topic } = this.#target.body(id)
    if (topic.startsWith('$SYS/')) this.#leave('retained messages below $SYS')
    else this.#target.retained(unnamedNamespace, topic, id)
  }

  subscription({ clientId, filter: topicFilter, qos, options, identifier }: MosquittoSubscription): void {
    const client = this.#clients.get(clientId)
    if (client === undefined) {
      this.#leave('subscriptions of clients that are not in the file')
      return
    }
    this.#target.subscription({
      session: client.number,
      topicFilter,
      qos: qosOf(qos),
      noLocal: (options & noLocalOption) !== 0,
      retainAsPublished: (options & retainAsPublishedOption) !== 0,
      // Of use at SUBSCRIBE only, and not in the file.
      retainHandling: 0,
      identifier,
    })
  }

  /** Returns what is not in the store. */
  end(): string[] {
    for (const { number, sentEnd } of this.#clients.values()) if (sentEnd > 0) this.#target.sent(number, sentEnd)
    const left = [...this.#leftOut].map(([what, count]) => `${count} ${what}`)
    if (this.#whileRunning) left.push('what came after Mosquitto saved the file: it was not stopped')
    return left
  }

  #leave(what: string): void {
    this.#leftOut.set(what, (this.#leftOut.get(what) ?? 0) + 1)
  }
}

function qosOf(qos: number): Qos {
  if (qos === 0 || qos === 1 || qos === 2) return qos
  throw new ImportFault(`says QoS ${qos}`)
}

/** Behind their length; of a client of 3.1.1 there is nothing at all. */
function rangeOf(bytes: Uint8Array): [start: number, end: number] {
  let length = 0
  for (let at = 0; at < Math.min(4, bytes.length); at++) {
    length += (bytes[at]! & 0x7f) * 0x80 ** at
    if (bytes[at]! < 0x80) {
      if (at + 1 + length !== bytes.length) break
      return [at + 1, bytes.length]
    }
  }
  if (bytes.length === 0) return [0, 0]
  throw new ImportFault('has properties whose length is not theirs')
}

function propertiesOf(bytes: Uint8Array): Properties {
  const [start, end] = rangeOf(bytes)
  return decodeProperties(bytes, start, end, PacketType.publish)
}

function forwarded(bytes: Uint8Array): Uint8Array {
  const [start, end] = rangeOf(bytes)
  if (start === end) return noBytes
  decodeProperties(bytes, start, end, PacketType.publish)
  return copyPropertiesWithout(bytes, start, end, notForwarded)
}
