/**
 * A correct client: it keeps what it has not seen acknowledged, sends it again in order with DUP when its session is there,
 * acknowledges in the order of arrival, and keeps QoS 2 packet identifiers for the life of its session.
 */
import type { Publication, Qos, Span } from './books.ts'
import { idOf, payloadOf } from './books.ts'
import { Publishing, type PublishOptions } from './publishing.ts'
import type { ClientOptions, Surroundings, Wish } from './surroundings.ts'
import type { Packet } from './wire.ts'
import { textOf, Wire } from './wire.ts'

const foreverSeconds = 0xffffffff

const isAccepted = ({ reasonCode, returnCode }: { reasonCode?: number; returnCode?: number }): boolean =>
  (reasonCode ?? returnCode ?? 0) === 0

export class Client {
  readonly id: string
  readonly options: ClientOptions
  epoch = 0
  wire: Wire | null = null
  wishes: Wish[]
  connections = 0
  /** CONNACK was read: what is old goes first. */
  ready = false
  /** The CONNECT under way asks for an end of the session, or one did and was never answered. */
  #wiping = false
  #clean = false
  /** When its last connection ended, in moments. */
  lastEnd = Number.NEGATIVE_INFINITY
  /** CONNACK was read, with this Session Present: what came with it is acknowledged before anything old is sent. */
  #resuming: boolean | undefined
  #answered = false
  #connectedAtMs = 0
  #willId: string | undefined
  #wills = 0
  readonly #publishing: Publishing
  readonly #identifiers = new Map<number, string>()
  #toAcknowledge: { type: 'puback' | 'pubrec' | 'pubcomp'; messageId: number; done: () => void }[] = []
  #subscribing = new Map<number, Span>()
  #unsubscribing = new Map<number, Span[]>()
  readonly #around: Surroundings
  readonly #writtenIds = new Set<string>()

  constructor(options: ClientOptions, around: Surroundings) {
    this.id = options.id
    this.options = options
    this.wishes = [...options.wishes]
    this.#around = around
    this.#publishing = new Publishing(options.id, around.books, () => around.now())
  }

  /** How long the session of the connection under way, or the last one, outlives it. */
  get sessionMs(): number {
    const { sessionSeconds, version } = this.options
    if (version === 4 && this.#clean) return 0
    return sessionSeconds === foreverSeconds ? Number.POSITIVE_INFINITY : sessionSeconds * 1000
  }

  get isConnected(): boolean {
    return this.wire !== null && !this.wire.ended
  }

  get idle(): boolean {
    return this.#publishing.idle
  }

  connect(cleanStart: boolean): void {
    const { books, wills, random } = this.#around
    this.noteEnd()
    const { id, version, sessionSeconds, keepAliveSeconds, hasWill } = this.options
    const clean = cleanStart || this.#wiping || (version === 4 && sessionSeconds === 0)
    this.#clean = clean
    if (clean) {
      for (const span of this.#spans()) span.endSent = Math.min(span.endSent, books.moment())
      this.#wiping = true
      wills.wiped(id, this.#around.now())
    }
    this.#connectedAtMs = this.#around.now()
    books.note(`${id} connects ${clean ? 'clean ' : ''}at ${this.#connectedAtMs}`)
    this.#answered = false
    this.connections++
    books.connections.push({ client: id, from: books.moment(), to: Number.POSITIVE_INFINITY })
    const wire = new Wire(version, random)
    wire.onWritten = (packet) => {
      books.note(`${id} <- ${textOf(packet)}${this.wire === wire ? '' : ' (old connection)'}`)
      if (this.wire === wire) this.#onWritten(packet, clean)
      else if (packet.cmd === 'publish') this.#noteWritten(packet.payload as Buffer, packet.qos, packet.dup)
    }
    this.wire = wire
    this.#around.open(wire)
    this.#willId = hasWill && random.chance(0.8) ? `${id}-will-${this.#wills++}` : undefined
    const delaySeconds = version === 5 ? random.pick([0, 0, 5, 60]) : 0
    if (this.#willId !== undefined) wills.offer(this.#willId, id, delaySeconds * 1000, this.sessionMs)
    wire.sendWhole({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId: id,
      clean,
      keepalive: keepAliveSeconds,
      ...(version === 5 && { properties: { sessionExpiryInterval: sessionSeconds } }),
      ...(this.#willId !== undefined && { will: this.#will(this.#willId, delaySeconds) }),
    })
  }

  #will(willId: string, delaySeconds: number) {
    return {
      topic: `w/${this.id}`,
      payload: Buffer.from(payloadOf(willId, 10)),
      qos: this.#around.random.pick([1, 2] as const),
      retain: false,
      ...(this.options.version === 5 && { properties: { willDelayInterval: delaySeconds } }),
    }
  }

  /** The books learn of the connection's end once, whoever ended it. */
  noteEnd(): void {
    const { wire } = this
    if (wire === null) return
    if (wire.finished) this.#readAnswers(wire)
    this.#alone()
    const { wills, sessions, books } = this.#around
    this.#ended()
    books.note(`${this.id} disconnected at ${this.#around.now()}`)
    if (!this.#answered) {
      wills.unanswered(this.id)
      sessions.unanswered(this.id)
    } else {
      wills.lost(this.id, this.#around.now())
      sessions.lost(this.id, this.#around.now())
    }
  }

  #ended(): void {
    this.lastEnd = this.#around.books.moment()
    const connection = this.#around.books.connections.findLast(({ client }) => client === this.id)
    if (connection !== undefined) connection.to = this.lastEnd
    // Its session may have expired and been replaced by one that it never heard of: it begins anew.
    if (!this.#answered && this.sessionMs < Number.POSITIVE_INFINITY) this.#wiping = true
    if (this.#answered && this.sessionMs === 0) this.#forget()
  }

  #alone(): void {
    this.wire = null
    this.ready = false
    this.#resuming = undefined
    this.#toAcknowledge = []
    this.#subscribing.clear()
    this.#unsubscribing.clear()
  }

  /** Its process died with the connection. */
  die(): void {
    const { wire } = this
    if (wire === null) return
    wire.die()
    this.#ended()
    this.#alone()
    if (!this.#answered) {
      this.#around.wills.unanswered(this.id)
      this.#around.sessions.unanswered(this.id)
    }
  }

  drop(): void {
    this.wire?.drop()
    this.noteEnd()
  }

  /** DISCONNECT, after which the will is not published; with reason code 4 it is. */
  disconnect(withWill: boolean): void {
    const { wire, version } = { wire: this.wire, version: this.options.version }
    if (wire === null) return
    const keepsWill = withWill && version === 5
    wire.sendWhole({ cmd: 'disconnect', ...(keepsWill && { reasonCode: 4 }) })
    // A 3.x client that was refused a message for want of room is closed: what it sent behind that is not read.
    if (version === 4 && !this.#publishing.idle) this.#around.wills.uncertain(this.id)
    else if (wire.flushed && !keepsWill) this.#around.wills.disconnected(this.id)
    else if (!wire.flushed) this.#around.wills.unanswered(this.id)
    wire.drop()
    this.noteEnd()
  }

  #spans(): Span[] {
    return this.#around.books.spans.filter(
      ({ client, ended }) => client === this.id && ended === Number.POSITIVE_INFINITY,
    )
  }

  #endSpans(moment: number): void {
    for (const span of this.#spans()) {
      span.endSent = Math.min(span.endSent, moment)
      span.ended = moment
    }
  }

  subscribe(wish: Wish): void {
    if (this.ready && this.#subscribing.size === 0 && this.#unsubscribing.size === 0) this.#subscribe(wish)
  }

  #subscribe(wish: Wish): void {
    const { books, random } = this.#around
    this.wishes = [...this.wishes.filter(({ filter }) => filter !== wish.filter), wish]
    const messageId = this.#publishing.nextPacketId()
    books.note(`${this.id} -> subscribe ${wish.filter} qos ${wish.qos}`)
    const group = /^\$share\/([^/]+)\//.exec(wish.filter)?.[1]
    const never = Number.POSITIVE_INFINITY
    const fleeting = this.sessionMs === 0
    const span = { client: this.id, epoch: this.epoch, ...wish, group, fleeting, sent: books.moment() }
    const entry: Span = { ...span, sure: never, endSent: never, ended: never }
    // It replaces the one with the same filter.
    for (const old of this.#spans()) if (old.filter === wish.filter) old.endSent = Math.min(old.endSent, span.sent)
    books.spans.push(entry)
    this.#subscribing.set(messageId, entry)
    const rh = random.pick([0, 0, 1, 2] as const)
    const options = this.options.version === 5 ? { nl: wish.noLocal, rap: false, rh } : {}
    this.wire!.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: [{ topic: wish.filter, qos: wish.qos, ...options }],
    })
  }

  unsubscribe(filter: string): void {
    if (!this.ready || this.wire === null || this.#subscribing.size > 0 || this.#unsubscribing.size > 0) return
    const { books } = this.#around
    this.wishes = this.wishes.filter((wish) => wish.filter !== filter)
    const messageId = this.#publishing.nextPacketId()
    books.note(`${this.id} -> unsubscribe ${filter}`)
    const spans = this.#spans().filter((span) => span.filter === filter)
    for (const span of spans) span.endSent = Math.min(span.endSent, books.moment())
    this.#unsubscribing.set(messageId, spans)
    this.wire.send({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] })
  }

  publish(topic: string, options: PublishOptions): Publication | undefined {
    return this.ready && this.wire !== null ? this.#publishing.publish(this.wire, topic, options) : undefined
  }

  noteTime(): void {
    this.#publishing.noteTime(this.wire)
  }

  /** The gateway wrote this, whether the client will read it or not. */
  #onWritten(packet: Packet, clean: boolean): void {
    const { books } = this.#around
    switch (packet.cmd) {
      case 'connack':
        if (isAccepted(packet)) this.#onConnack(packet.sessionPresent, clean)
        else if (!this.#around.refusesNew)
          books.fault(`${this.id}: CONNECT was refused with ${packet.reasonCode ?? packet.returnCode}`)
        break
      case 'suback': {
        const span = this.#subscribing.get(packet.messageId!)
        const granted = packet.granted[0] as number
        if (span === undefined || (granted >= 0x80 && !this.#around.refusesNew))
          books.fault(`${this.id}: SUBACK ${granted}`)
        else if (granted >= 0x80) span.ended = books.moment()
        else this.#onSubscribed(span)
        break
      }
      case 'unsuback':
        for (const span of this.#unsubscribing.get(packet.messageId!) ?? []) span.ended = books.moment()
        break
      case 'puback':
      case 'pubrec': {
        this.#publishing.onWritten(packet.messageId!, packet.reasonCode ?? 0)
        break
      }
      case 'publish':
        this.#onPublishWritten(packet.payload as Buffer, packet.qos, packet.dup)
        break
    }
  }

  #noteWritten(payload: Buffer, qos: Qos, dup: boolean): void {
    const { books } = this.#around
    const id = idOf(payload)
    this.#writtenIds.add(id)
    books.written.push({ client: this.id, id, qos, dup, at: books.moment(), fleeting: this.sessionMs === 0 })
  }

  #onPublishWritten(payload: Buffer, qos: Qos, dup: boolean): void {
    const id = idOf(payload)
    const firstTime = !this.#writtenIds.has(id)
    this.#noteWritten(payload, qos, dup)
    this.#around.onPublishWritten(this, id, dup, firstTime)
  }

  #onSubscribed(span: Span): void {
    const { books } = this.#around
    for (const old of this.#spans()) if (old.filter === span.filter && old !== span) old.ended = books.moment()
    span.sure = books.moment()
  }

  #onConnack(sessionPresent: boolean, clean: boolean): void {
    const { wills, sessions } = this.#around
    this.#answered = true
    wills.accepted(this.id, this.#willId, this.#connectedAtMs, sessionPresent, clean)
    sessions.accepted(this.id, this.#connectedAtMs, this.sessionMs, clean, sessionPresent)
    this.#wiping = false
    if (sessionPresent) return
    // Said here and not when it's read: a client that missed it would go on with what the gateway no longer has.
    this.#forget()
  }

  /** Its session is over. */
  #forget(): void {
    this.#endSpans(this.#around.books.moment())
    this.epoch++
    this.#publishing.forget()
    this.#identifiers.clear()
    this.#toAcknowledge = []
  }

  /** What the gateway wrote before it ended the connection is read before its end is. */
  #readAnswers(wire: Wire): void {
    for (const packet of wire.inbox) this.#publishing.onAnswer(wire, packet)
  }

  /** Reads what came. */
  read(): void {
    const { wire } = this
    if (wire !== null && this.#resuming !== undefined) this.#resume(this.#resuming)
    for (const packet of wire?.inbox.splice(0) ?? []) {
      if (packet.cmd === 'connack') this.#resuming = isAccepted(packet) ? packet.sessionPresent : undefined
      else if (packet.cmd === 'publish') this.#onPublish(packet)
      else if (packet.cmd === 'pubrel') {
        this.#identifiers.delete(packet.messageId!)
        this.#toAcknowledge.push({ type: 'pubcomp', messageId: packet.messageId!, done: () => {} })
      } else if (packet.cmd === 'suback') this.#subscribing.delete(packet.messageId!)
      else if (packet.cmd === 'unsuback') this.#unsubscribing.delete(packet.messageId!)
      else this.#publishing.onAnswer(wire!, packet)
    }
  }

  #resume(sessionPresent: boolean): void {
    this.#resuming = undefined
    this.ready = true
    this.#publishing.resume(this.wire!)
    if (sessionPresent) return
    for (const wish of [...this.wishes]) this.#subscribe(wish)
  }

  #onPublish(packet: Extract<Packet, { cmd: 'publish' }>): void {
    const { books } = this.#around
    const id = idOf(packet.payload as Buffer)
    const { topic, qos, retain, dup, messageId = 0 } = packet
    if (qos === 2 && this.#identifiers.has(messageId)) {
      if (this.#identifiers.get(messageId) !== id) {
        books.fault(
          `${this.id}: identifier ${messageId} carries ${id} while ${this.#identifiers.get(messageId)} has it`,
        )
      }
      this.#toAcknowledge.push({ type: 'pubrec', messageId, done: () => {} })
      return
    }
    if (qos === 2) this.#identifiers.set(messageId, id)
    const common = { client: this.id, epoch: this.epoch, id, topic, qos, retain, dup, connection: this.connections }
    const receipt = { ...common, at: books.moment(), fleeting: this.sessionMs === 0, acknowledged: false }
    books.receipts.push(receipt)
    const done = () => {
      receipt.acknowledged = true
    }
    if (qos === 0) done()
    else this.#toAcknowledge.push({ type: qos === 1 ? 'puback' : 'pubrec', messageId, done })
  }

  acknowledge(count: number): void {
    const { wire } = this
    if (wire === null) return
    for (const { type, messageId, done } of this.#toAcknowledge.splice(0, count)) {
      this.#around.books.note(`${this.id} -> ${type} ${messageId}`)
      wire.send({ cmd: type, messageId })
      if (wire.flushed) done()
    }
  }

  /** Reads and acknowledges everything. */
  answerAll(): void {
    this.read()
    this.acknowledge(Number.POSITIVE_INFINITY)
  }

  ping(): void {
    if (this.ready) this.wire?.send({ cmd: 'pingreq' })
  }
}
