/**
 * Stands between a connection's decoder and its client in the core, and asks the program what aedes asks it: before CONNECT, who it
 * is, what may be published, subscribed to and forwarded. A handler may answer at once or later; until it has, nothing of this
 * connection is decoded. What came of it is told as events, when the core has returned.
 */
import { randomUUID } from 'node:crypto'
import type { Client } from '../core/connection/client.ts'
import { Connection } from '../engine/connection.ts'
import type { Engine } from '../engine/engine.ts'
import type { Tap } from '../engine/tap.ts'
import type { JsonSink } from '../json/packets.ts'
import type { ConnectPacket, PublishFrame } from '../mqtt/packet.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { Durability } from '../store/store.ts'
import type { Aedes } from './broker.ts'
import type { AedesClient, ClientLink } from './client.ts'
import { type Ask, ClientSubscriptions } from './client-subscriptions.ts'
import { DuplexStream } from './duplex-stream.ts'
import { deliverTo, emptyQueueOf } from './for-client.ts'
import { Forwarding } from './forwarding.ts'
import { type AuthenticateError, defaultHandlers, systemPrefix } from './handlers.ts'
import {
  type AedesPublishPacket,
  bufferOf,
  type PublishPacket,
  packetOfConnect,
  packetOfFrame,
  type Subscription,
} from './packets.ts'
import { frameOf, isUnchanged } from './reframed.ts'

/** What aedes answers in CONNACK, and says of it. */
const refusals: Readonly<Record<number, string>> = {
  1: 'unacceptable protocol version',
  2: 'identifier rejected',
  3: 'Server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
  6: 'keep alive limit exceeded',
}
const reasonCodes: Readonly<Record<number, ReasonCode>> = {
  2: ReasonCode.clientIdentifierNotValid,
  3: ReasonCode.serverUnavailable,
  4: ReasonCode.badUserNameOrPassword,
}
const notAuthorized = 5

export class Gate implements ClientLink {
  readonly #aedes: Aedes
  readonly #client: AedesClient
  readonly #engine: Engine
  readonly #connection: Connection
  readonly #forwarding: Forwarding
  readonly #subscriptions: ClientSubscriptions
  /** Answers that are waited for. */
  #holds = 0
  #isRegistered = false
  /** Why its connection ends, where that was somebody's fault. */
  #fault: Error | null = null

  constructor(aedes: Aedes, client: AedesClient, engine: Engine, durability: Durability) {
    this.#aedes = aedes
    this.#client = client
    this.#engine = engine
    engine.beginTurn()
    const stream = new DuplexStream(client.conn, { address: addressOf(client), listener: 'handle', certificate: null })
    const connection = new Connection(engine, stream, durability)
    this.#connection = connection
    this.#forwarding = new Forwarding(aedes, client, (action) => this.#inTurn(action))
    this.#subscriptions = new ClientSubscriptions({
      ...{ aedes, client, core: connection.client },
      ask: (question, then) => this.#ask(question, then),
      inTurn: (action) => this.#inTurn(action),
    })
    engine.connections.add(connection)
    connection.lookOn(this.#tap())
    client.link = this
    stream.begin({
      onData: (chunk) => connection.onData(chunk),
      onDrain: () => connection.onDrain(),
      onEnd: (reason, error) => {
        if (error !== undefined && !client.closed) client.fail(error)
        connection.onClosed(reason)
      },
    })
  }

  get #core(): Client {
    return this.#connection.client
  }

  publish(packet: PublishPacket): void {
    const { session } = this.#core
    if (session === null) throw new Error('the client is not connected')
    const message = this.#aedes.messageOf(packet)
    this.#forwarding.allow(message)
    this.#inTurn(() => deliverTo(this.#engine.broker, session, message, packet.retain ?? false))
  }

  subscribe(subscriptions: Subscription[], done: (error?: Error) => void): void {
    this.#subscriptions.subscribe(subscriptions, done)
  }

  unsubscribe(filters: string[]): void {
    this.#subscriptions.unsubscribe(filters)
  }

  emptyQueue(): void {
    const { session } = this.#core
    if (session !== null) this.#inTurn(() => emptyQueueOf(this.#engine.broker, session))
  }

  close(): void {
    this.#inTurn(() => this.#core.disconnect(ReasonCode.administrativeAction))
  }

  #tap(): Tap {
    return {
      sink: this.#sink(),
      sent: (buffer, start, end) => this.#onSent(buffer, start, end),
      sentText() {},
      fault: (_reason, text) => {
        this.#fault = new Error(text)
      },
      closed: (reason) => this.#onClosed(reason),
    }
  }

  #sink(): JsonSink {
    const core = this.#core
    return {
      peer: core.peer,
      payloadForm: null,
      onConnect: (packet) => this.#onConnect(packet),
      onPublish: (frame) => this.#onPublish(frame),
      onSubscribe: (packet) => this.#subscriptions.onSubscribe(packet),
      onUnsubscribe: (packet) => this.#subscriptions.onUnsubscribe(packet),
      onPingreq: () => {
        core.onPingreq()
        this.#aedes.tell('ping', { cmd: 'pingreq' }, this.#client)
      },
      onPuback: (packetId, reasonCode, properties) => {
        const packet = this.#sentPacket(packetId)
        core.onPuback(packetId, reasonCode, properties)
        this.#aedes.tell('ack', { cmd: 'publish', messageId: packetId, ...packet }, this.#client)
      },
      onPubcomp: (packetId) => {
        core.onPubcomp(packetId)
        this.#aedes.tell('ack', { cmd: 'pubrel', messageId: packetId }, this.#client)
      },
      onAck: (...answer) => core.onAck(...answer),
      onPubrec: (packetId, reasonCode) => core.onPubrec(packetId, reasonCode),
      onPubrel: (packetId) => core.onPubrel(packetId),
      onDisconnect: (packet) => core.onDisconnect(packet),
      onAuth: (packet) => core.onAuth(packet),
      onConnack: () => core.onConnack(),
      onSuback: () => core.onSuback(),
      onUnsuback: () => core.onUnsuback(),
      onPingresp: () => core.onPingresp(),
    }
  }

  /** What an acknowledgement is for, as far as it is known. */
  #sentPacket(packetId: number): Partial<AedesPublishPacket> {
    const { session } = this.#core
    const position = session === null ? -1 : session.window.find(packetId)
    const message = position < 0 ? null : (session!.queue.at(position)?.message ?? null)
    return message === null ? {} : { topic: message.name, payload: bufferOf(message.payload), qos: 1 }
  }

  #onConnect(packet: ConnectPacket): void {
    const client = this.#client
    if (client.connecting || client.connected) {
      this.#core.onConnect(packet)
      return
    }
    client.connecting = true
    this.#ask<boolean>(
      (answer, fail) =>
        this.#aedes.preConnect(client, packetOfConnect(packet), (error, success) => {
          if (error) fail(error)
          else answer(success === true)
        }),
      (success) => {
        if (success) this.#begin(packet)
        else client.close()
      },
    )
  }

  #begin(packet: ConnectPacket): void {
    const { keepaliveLimit, maxClientsIdLength } = this.#aedes.limits
    const { version, clientId, keepAlive, cleanStart } = packet
    const isTooLong = version === 3 && clientId.length > maxClientsIdLength
    const isTooPatient = keepaliveLimit > 0 && (keepAlive === 0 || keepAlive > keepaliveLimit)
    if (isTooLong || isTooPatient) {
      this.#refuse(packet, isTooLong ? 2 : 6)
      return
    }
    const client = this.#client
    // A session without a name could not be come back to [MQTT-3.1.3-8].
    if (clientId === '' && (cleanStart || version === 5)) {
      packet.clientId = `aedes_${randomUUID()}`
      this.#core.assignedClientId = packet.clientId
    }
    client.id = packet.clientId
    client.clean = cleanStart
    client.version = version
    this.#ask<AuthenticateError | null>(
      (answer) => {
        const password = packet.password === undefined ? undefined : bufferOf(packet.password)
        this.#aedes.authenticate(client, packet.username, password, (error, success) =>
          answer(error ?? (success === true ? null : new Error(refusals[notAuthorized]))),
        )
      },
      (error) => {
        if (error !== null) this.#refuse(packet, codeOf(error), error)
        else this.#letIn(packet)
      },
    )
  }

  #letIn(packet: ConnectPacket): void {
    const core = this.#core
    const client = this.#client
    client.will = packet.will ?? null
    const grant = this.#forwarding.grant((filter, _qos, group) => this.#subscriptions.maySubscribe(filter, group))
    core.peer = { ...core.peer, admission: { grant } }
    core.onConnect(packet)
    client.connecting = false
    if (!core.connected || core.ended) return
    client.connected = true
    this.#isRegistered = true
    this.#aedes.register(client)
    this.#subscriptions.reconsider(core.session!)
  }

  #refuse({ version }: ConnectPacket, returnCode: number, error?: AuthenticateError): void {
    const core = this.#core
    const reasonCode = reasonCodes[returnCode] ?? ReasonCode.notAuthorized
    const frame = version === 5 ? [0x20, 3, 0, reasonCode, 0] : [0x20, 2, 0, returnCode]
    core.link.write(Uint8Array.from(frame))
    this.#client.connecting = false
    const refused = Object.assign(error ?? new Error(refusals[returnCode]), { errorCode: returnCode })
    if (refused.message === '') refused.message = refusals[returnCode] ?? ''
    this.#fault = refused
    core.end('not_authorized')
  }

  #onPublish(frame: PublishFrame): number {
    const core = this.#core
    const aedes = this.#aedes
    const topic = topicOf(frame, core)
    const isPlain =
      aedes.authorizePublish === defaultHandlers.authorizePublish && !topic.startsWith(systemPrefix) && !aedes.isCurious
    if (isPlain || topic === '' || !core.connected) return core.onPublish(frame)
    const packet = packetOfFrame(frame, topic)
    const before = { ...packet }
    let reasonCode = 0
    let isNow = true
    this.#ask<void>(
      (answer, fail) =>
        aedes.authorizePublish(this.#client, packet, (error) => {
          if (error) fail(error)
          else answer()
        }),
      () => {
        // As in aedes, a QoS that there is none of takes the message from everybody.
        if (![0, 1, 2].includes(packet.qos)) return
        const unchanged = isNow && isUnchanged(packet, before)
        reasonCode = core.onPublish(unchanged ? frame : frameOf(packet, core.version || 4))
        if (reasonCode < 0x80) aedes.notePublished(packet, this.#client)
      },
    )
    isNow = false
    return reasonCode
  }

  #onSent(buffer: Uint8Array, start: number, end: number): void {
    if (this.#client.connackSent || buffer[start]! >> 4 !== 2 || end - start < 4) return
    this.#client.connackSent = true
    const at = buffer[start + 1]! < 0x80 ? start + 2 : start + 3
    const connack = { cmd: 'connack', returnCode: buffer[at + 1]!, sessionPresent: buffer[at] === 1 }
    this.#aedes.tell('connackSent', connack, this.#client)
    if (connack.returnCode !== 0) return
    // When it may have read that.
    const ready = (): void => {
      this.#client.emit('connected')
      this.#aedes.tell('clientReady', this.#client)
    }
    setImmediate(() => setImmediate(ready))
  }

  #onClosed(reason: string): void {
    const client = this.#client
    const aedes = this.#aedes
    const isKeepAlive = reason === 'keep_alive_timeout'
    if (reason === 'connect_timeout') this.#fault = new Error('connect did not arrive in time')
    const fault = isKeepAlive ? new Error('keep alive timeout') : this.#fault
    client.connected = false
    client.connecting = false
    client.closed = true
    if (this.#isRegistered) aedes.unregister(client)
    // The program may call us, and its client is to have been told what it was told before: when the stream is gone.
    const over = (): void => {
      if (isKeepAlive) aedes.emit('keepaliveTimeout', client)
      if (fault !== null) client.fail(fault)
      client.onClosed()
    }
    if (client.conn.destroyed) setImmediate(over)
    else client.conn.once('close', () => setImmediate(over))
  }

  readonly #ask: Ask = <T>(
    question: (answer: (answer: T) => void, fail: (error: Error) => void) => void,
    then: (answer: T) => void,
  ): void => {
    let isAnswered = false
    let isLate = false
    const go = (action: () => void): void => {
      if (isAnswered) return
      isAnswered = true
      if (!isLate) {
        action()
        return
      }
      if (!this.#core.ended) this.#inTurn(action)
      if (--this.#holds === 0 && !this.#core.ended) this.#engine.run(() => this.#connection.resumeReading())
    }
    const fail = (error: Error): void => go(() => this.#client.fail(error))
    try {
      question((answer) => go(() => then(answer)), fail)
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      fail(error instanceof Error ? error : new Error(String(error)))
    }
    isLate = true
    if (!isAnswered && this.#holds++ === 0) this.#connection.pauseReading()
  }

  #inTurn(action: () => void): void {
    const core = this.#core
    this.#engine.run(() =>
      core.withDurability(() => {
        try {
          action()
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          core.onFault(error, core.version)
        }
      }),
    )
  }
}

function codeOf({ returnCode }: AuthenticateError): number {
  return returnCode !== undefined && returnCode >= 2 && returnCode <= 5 ? returnCode : notAuthorized
}

function topicOf({ buffer, topicStart, topicEnd, topicAlias }: PublishFrame, core: Client): string {
  if (topicStart < topicEnd) return Buffer.from(buffer.subarray(topicStart, topicEnd)).toString()
  return core.incomingAliases?.[topicAlias]?.topic ?? ''
}

function addressOf({ conn, req }: AedesClient): string {
  const { remoteAddress, remotePort } = { ...addressIn(req?.socket), ...addressIn(conn) }
  return remoteAddress === undefined ? 'stream' : `${remoteAddress}:${remotePort ?? 0}`
}

function addressIn(from: unknown): { remoteAddress?: string; remotePort?: number } {
  const { remoteAddress, remotePort } = (from ?? {}) as { remoteAddress?: string; remotePort?: number }
  return { ...(remoteAddress !== undefined && { remoteAddress }), ...(remotePort !== undefined && { remotePort }) }
}
