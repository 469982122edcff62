/**
 * Between two brokers, as a client of both: what the gateway delivers to the bridge's session is published to the other broker, and the
 * other way round, packet by packet, **under the same packet identifier**. So the exchange of each message is one, from broker to broker: the
 * other broker's PUBACK, PUBREC and PUBCOMP are the session's, and the gateway's are the answer to the other one, which come when they are
 * committed. What must survive a crash is in the gateway's session and nowhere else; nothing is acknowledged here on behalf of somebody who
 * has not done so, but for messages that are not to go over.
 */
import { Decoder } from '../mqtt/decoder.ts'
import { encodeAck, encodeConnect, encodeSubscribe } from '../mqtt/encoder.ts'
import type { ConnackPacket, DisconnectPacket, PacketSink, PublishFrame, Qos, SubackPacket } from '../mqtt/packet.ts'
import { PacketType } from '../mqtt/packet.ts'
import { encodePublish, forwardProperties, publishProperties } from '../mqtt/publish.ts'
import { ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import type { Accepts, LocalConnection, LocalStream, Outbox, OutboxSubscription } from './outbox.ts'
import type { Remote, RemoteFailure } from './remote.ts'
import type { Mapped, TopicMap, Unmapped } from './topic-map.ts'
import type { BridgeTotals } from './totals.ts'
import { encodeVia, hasPassed, withVia } from './via.ts'

type AckType = 4 | 5 | 6 | 7
const { puback, pubrec, pubrel, pubcomp } = PacketType

/** Largest packet that our own side may hand over, whatever the other one takes. */
const localPacketBytesMax = 268_435_460

export interface RelayOptions {
  outbox: Outbox
  remotes: readonly Remote[]
  map: TopicMap
  totals: BridgeTotals
  /** The gateway's id. */
  gatewayId: string
  /** By how much a PUBLISH may grow on its way out. */
  growthBytes: number
  retainedDue: readonly OutboxSubscription[]
  /** Our own side let the session in. */
  onReady(): void
  onFailure(failure: RemoteFailure): void
  /** Runs something when what runs now has ended. */
  later(action: () => void): void
}

export class Relay implements PacketSink, LocalStream {
  readonly headroomBytes = 0
  readonly #options: RelayOptions
  readonly #decoder: Decoder
  readonly #connection: LocalConnection
  readonly #via: Uint8Array
  /** What a message must not have passed: on its way in, and out. */
  readonly #notIn: readonly string[]
  readonly #notOut: readonly string[]
  /** Of several connections, one does not know what came by another: this is said by the message itself. */
  readonly #viaIn: Uint8Array | null
  #toLocal: Uint8Array[] = []
  #scheduled = false
  #ended = false
  #blocked = 0
  /** QoS 2 exchanges of ours that the other broker has no part in, or has at QoS 1. */
  readonly #endedHere = new Set<number>()
  readonly #lowered = new Set<number>()
  /** The same of the other broker's. */
  readonly #endedThere = new Set<number>()
  /** Which connection a message went by, where there are several. */
  readonly #sentBy = new Map<number, Remote>()
  /** PUBREL that went to all connections: how many have not answered. */
  readonly #askedAll = new Map<number, number>()

  constructor(options: RelayOptions) {
    this.#options = options
    const { gatewayId, remotes, outbox } = options
    this.#decoder = new Decoder(this, { role: 'client', version: 5, packetBytesMax: localPacketBytesMax })
    this.#via = encodeVia(gatewayId)
    const own = `${gatewayId}/${outbox.clientId}`
    this.#notIn = [gatewayId]
    const there = remotes[0]!.session!.gatewayId
    this.#notOut = [gatewayId, ...(there === '' ? [] : [there]), ...(remotes.length > 1 ? [own] : [])]
    this.#viaIn = remotes.length > 1 ? encodeVia(own) : null
    this.#connection = outbox.connect(this)
  }

  /** Says CONNECT for the session, and what the other broker has forgotten. */
  begin(): void {
    const { remotes, outbox, growthBytes, retainedDue } = this.#options
    const receiveMaximum = remotes.reduce((sum, { session }) => sum + session!.receiveMaximum, 0)
    const largest = Math.min(...remotes.map(({ session }) => session!.maximumPacketSize))
    const properties = {
      sessionExpiryInterval: 0xffffffff,
      receiveMaximum: Math.min(65_535, receiveMaximum),
      ...(largest < localPacketBytesMax && { maximumPacketSize: Math.max(1024, largest - growthBytes) }),
    }
    const connect = { version: 5, cleanStart: false, keepAlive: 0, clientId: outbox.clientId, properties } as const
    this.#toLocal.push(encodeConnect(connect))
    // A broker that begins anew gives its packet identifiers to other messages.
    if (!remotes[0]!.session!.present) {
      for (const packetId of outbox.incoming()) {
        this.#endedThere.add(packetId)
        this.#toLocal.push(encodeAck(5, pubrel, packetId))
      }
    }
    if (retainedDue.length > 0) this.#toLocal.push(subscribeLocally(retainedDue))
    this.flushLocal()
  }

  /** The bridge leaves. No event follows. */
  stop(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#decoder.close()
    this.#connection.onClosed(reason)
  }

  // The other broker's packets.

  fromRemote(remote: Remote, frame: PublishFrame): void {
    const { map, totals, remotes, outbox } = this.#options
    const { buffer, topicStart, topicEnd, packetId, qos, dup } = frame
    const mapped = remote === remotes[0] ? map.in(buffer, topicStart, topicEnd) : 'unmatched'
    let properties = forwardProperties(frame)
    const skipped = typeof mapped === 'string' ? mapped : hasPassed(properties, this.#notIn) ? 'looped' : null
    if (skipped !== null) {
      totals.skippedIn.add(skipped)
      this.#answerRemote(remote, qos, packetId)
      return
    }
    if (this.#viaIn !== null) properties = withVia(properties, this.#viaIn)
    const { topic, retain } = mapped as Mapped
    const { accepts } = outbox
    const parts = { topic, payload: buffer.subarray(frame.payloadStart, frame.end), forwardProperties: properties }
    const options = publishOptions(frame, qos, frame.retain && retain && accepts.retainAvailable, dup)
    const { bytes } = encodePublish(5, parts, options)
    // Our own side would end the connection over it, and get it again on the next one.
    const refused = whyRefused(accepts, bytes, properties)
    if (refused !== null) {
      totals.skippedIn.add(refused)
      this.#answerRemote(remote, qos, packetId)
      return
    }
    totals.received++
    this.#toLocal.push(bytes)
  }

  #answerRemote(remote: Remote, qos: Qos, packetId: number): void {
    if (qos === 0) return
    if (qos === 2) this.#endedThere.add(packetId)
    remote.send(encodeAck(remote.version, qos === 1 ? puback : pubrec, packetId))
  }

  acknowledgedByRemote(remote: Remote, type: AckType, packetId: number, reasonCode: number): void {
    if (type === pubrel) {
      if (this.#endedThere.delete(packetId)) remote.send(encodeAck(remote.version, pubcomp, packetId))
      else this.#toLocal.push(encodeAck(5, pubrel, packetId))
      return
    }
    if (reasonCode === ReasonCode.quotaExceeded) {
      // It has no room now. The message stays ours, and is sent again on the next connection.
      this.#fail('quota_exceeded', 'the other broker has no room (quota exceeded)')
      return
    }
    if (type === pubcomp && !this.#allAnswered(packetId)) return
    if (type !== pubrec || reasonCode >= 0x80) remote.settle(packetId)
    if (type !== pubcomp && reasonCode >= 0x80) this.#options.totals.refused.add(reasonName(reasonCode))
    if (type === pubcomp || reasonCode >= 0x80) this.#sentBy.delete(packetId)
    if (type === puback && this.#lowered.has(packetId)) {
      this.#sentBy.delete(packetId)
      this.#toLocal.push(encodeAck(5, pubrec, packetId))
    } else {
      const refusal = reasonCode >= 0x80 && type !== pubcomp ? ReasonCode.unspecifiedError : 0
      this.#toLocal.push(encodeAck(5, type, packetId, refusal))
    }
  }

  #allAnswered(packetId: number): boolean {
    const missing = this.#askedAll.get(packetId)
    if (missing === undefined) return true
    for (const remote of this.#options.remotes) if (missing === 1) remote.settle(packetId)
    if (missing > 1) this.#askedAll.set(packetId, missing - 1)
    else this.#askedAll.delete(packetId)
    return missing === 1
  }

  /** Hands what has gathered to our own side. */
  flushLocal(): void {
    if (this.#toLocal.length === 0 || this.#ended) return
    const chunk = this.#toLocal.length === 1 ? this.#toLocal[0]! : Buffer.concat(this.#toLocal)
    this.#toLocal = []
    this.#connection.onData(chunk as Buffer)
  }

  /** The other broker took what was written. */
  onDrain(): void {
    if (this.#options.remotes.some(({ full }) => full)) return
    const blocked = this.#blocked
    this.#blocked = 0
    for (let writes = 0; writes < blocked && !this.#ended; writes++) this.#connection.onDrain()
  }

  // Our own side's bytes: what the engine writes, as it would to a socket.

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.#ended) return true
    // A fault of what our own side says would be ours, and is not caught.
    this.#decoder.push(buffer.subarray(start, end))
    for (const remote of this.#options.remotes) remote.flush()
    if (this.#toLocal.length > 0 && !this.#scheduled) {
      this.#scheduled = true
      this.#options.later(() => {
        this.#scheduled = false
        this.flushLocal()
      })
    }
    if (!this.#options.remotes.some(({ full }) => full)) return true
    this.#blocked++
    return false
  }

  pause(): void {
    for (const remote of this.#options.remotes) remote.pause()
  }

  resume(): void {
    for (const remote of this.#options.remotes) remote.resume()
  }

  end(): void {
    this.destroy()
  }

  destroy(): void {
    this.#endedByUs('our own side ended the connection')
  }

  #endedByUs(text: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.later(() => {
      this.#connection.onClosed('closed_by_peer')
      this.#options.onFailure({ reason: 'local', text })
    })
  }

  #fail(reason: string, text: string): void {
    if (this.#ended) return
    this.#options.later(() => this.#options.onFailure({ reason, text }))
  }

  onPublish(frame: PublishFrame): void {
    const { map, totals, remotes, outbox } = this.#options
    const { buffer, topicStart, topicEnd, packetId } = frame
    const mapped = map.out(buffer, topicStart, topicEnd)
    const properties = forwardProperties(frame)
    const skipped = this.#notToGo(mapped, properties)
    if (skipped !== null) {
      this.#skip(frame, skipped)
      return
    }
    const { topic, retain, connection, qos: qosMax } = mapped as Mapped
    const remote = remotes[connection]!
    const { maximumQos, retainAvailable, maximumPacketSize } = remote.session!
    const qos = Math.min(frame.qos, qosMax, maximumQos) as Qos
    const payload = buffer.subarray(frame.payloadStart, frame.end)
    const parts = { topic, payload, forwardProperties: withVia(properties, this.#via) }
    const keepsRetain = frame.retain && retain && retainAvailable
    const { bytes } = encodePublish(
      remote.version,
      parts,
      publishOptions(frame, qos, keepsRetain, frame.dup && qos > 0),
    )
    const { propertiesPerPacketMax } = outbox.accepts
    // The property of ours may be one too many to a gateway like this, which would end the connection over it, and get it again.
    const limits = { packetBytesMax: maximumPacketSize, propertiesPerPacketMax }
    const refused = whyRefused(limits, bytes, parts.forwardProperties)
    if (refused !== null) {
      this.#skip(frame, refused)
      return
    }
    totals.sent++
    if (remotes.length > 1 && qos > 0) this.#sentBy.set(packetId, remote)
    if (qos === 1 && frame.qos === 2) this.#lowered.add(packetId)
    remote.publish(bytes, packetId, qos)
    if (qos === 0) this.#answerLocal(frame)
  }

  #notToGo(mapped: Mapped | Unmapped, properties: Uint8Array): string | null {
    if (typeof mapped === 'string') return mapped
    return hasPassed(properties, this.#notOut) ? 'looped' : null
  }

  #skip(frame: PublishFrame, reason: string): void {
    this.#options.totals.skippedOut.add(reason)
    this.#answerLocal(frame)
  }

  /** For what the other broker has no part in. */
  #answerLocal({ qos, packetId }: PublishFrame): void {
    if (qos === 0) return
    if (qos === 2) this.#endedHere.add(packetId)
    this.#toLocal.push(encodeAck(5, qos === 1 ? puback : pubrec, packetId))
  }

  onPuback(packetId: number, reasonCode: number): void {
    this.#answeredByUs(puback, packetId, reasonCode)
  }

  onPubrec(packetId: number, reasonCode: number): void {
    this.#answeredByUs(pubrec, packetId, reasonCode)
  }

  onPubcomp(packetId: number): void {
    // Of an exchange that the other broker has forgotten.
    if (this.#endedThere.delete(packetId)) return
    this.#sendAck(this.#options.remotes[0]!, pubcomp, packetId)
  }

  #answeredByUs(type: typeof puback | typeof pubrec, packetId: number, reasonCode: number): void {
    if (reasonCode === ReasonCode.quotaExceeded) {
      this.#fail('local_quota_exceeded', 'there is no room here for what the other broker sends (quota exceeded)')
      return
    }
    if (reasonCode >= 0x80) this.#options.totals.skippedIn.add(reasonName(reasonCode))
    this.#sendAck(this.#options.remotes[0]!, type, packetId)
    // To the other broker it is taken: there is nothing that it could do better the next time.
    if (type === pubrec && reasonCode >= 0x80) this.#endedThere.add(packetId)
  }

  onPubrel(packetId: number): void {
    const { remotes } = this.#options
    if (this.#endedHere.delete(packetId) || this.#lowered.delete(packetId) || remotes[0]!.session!.maximumQos < 2) {
      this.#toLocal.push(encodeAck(5, pubcomp, packetId))
      return
    }
    const known = remotes.length === 1 ? remotes[0]! : this.#sentBy.get(packetId)
    if (known === undefined) this.#askedAll.set(packetId, remotes.length)
    for (const remote of known === undefined ? remotes : [known]) {
      remote.expect(packetId)
      this.#sendAck(remote, pubrel, packetId)
    }
  }

  #sendAck(remote: Remote, type: AckType, packetId: number): void {
    remote.send(encodeAck(remote.version, type, packetId))
  }

  onConnack({ reasonCode, properties }: ConnackPacket): void {
    if (reasonCode === 0) {
      this.#options.later(() => {
        if (!this.#ended) this.#options.onReady()
      })
      return
    }
    const why = properties.reasonString === undefined ? '' : `: ${properties.reasonString}`
    this.#fail('local', `the gateway does not let its own bridge in (${reasonName(reasonCode)})${why}`)
  }

  onDisconnect({ reasonCode }: DisconnectPacket): void {
    this.#endedByUs(`our own side ended the connection (${reasonName(reasonCode).replaceAll('_', ' ')})`)
  }

  onSuback({ reasonCodes }: SubackPacket): void {
    const refused = reasonCodes.find((code) => code >= 0x80)
    if (refused !== undefined)
      this.#fail('local', `the gateway refuses its own bridge a filter (${reasonName(refused)})`)
  }

  onConnect(): void {}
  onSubscribe(): void {}
  onUnsubscribe(): void {}
  onUnsuback(): void {}
  onPingreq(): void {}
  onPingresp(): void {}
  onAuth(): void {}
}

type PacketLimits = Pick<Accepts, 'packetBytesMax' | 'propertiesPerPacketMax'>

function whyRefused(accepts: PacketLimits, { length }: Uint8Array, properties: Uint8Array): string | null {
  if (length > accepts.packetBytesMax) return 'too_large'
  const { propertiesPerPacketMax } = accepts
  // One more may be added: Message Expiry Interval. None takes less than two bytes.
  if (properties.length < 2 * propertiesPerPacketMax) return null
  const { userProperties = [], ...others } = publishProperties(properties)
  const count = userProperties.length + Object.keys(others).length + 1
  return count > propertiesPerPacketMax ? 'too_many_properties' : null
}

function publishOptions(frame: PublishFrame, qos: Qos, retain: boolean, dup: boolean) {
  return {
    ...{ qos, retain, dup, packetId: frame.packetId, expiryIntervalSeconds: frame.messageExpiryInterval },
    ...{ subscriptionIdentifiers: [], topicAlias: 0, omitTopic: false },
  }
}

/** Again, for retained messages of filters that have not had them. */
function subscribeLocally(subscriptions: readonly OutboxSubscription[]): Uint8Array {
  const asked = subscriptions.map(({ topicFilter, qos }) => {
    return { topicFilter, qos, noLocal: true, retainAsPublished: true, retainHandling: 0 } as const
  })
  return encodeSubscribe(5, { packetId: 1, subscriptions: asked, properties: {} })
}
