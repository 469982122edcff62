/**
 * One network connection: bytes in (`Reading`), to the decoder and the core's `Client`; frames out, gathered through the turn and
 * written once at its end.
 *
 * Output has three stretches, in the order in which they leave: what the socket has and the kernel did not take, what this
 * turn gathered (both are `Output`), and frames held for a commit. Beyond `Output.limit` the connection is `full`, and the core
 * drops or queues. A held frame belongs to this connection and dies with it.
 */
import { Client } from '../core/connection/client.ts'
import type { Link } from '../core/ports/link.ts'
import { PacketType } from '../mqtt/packet.ts'
import { type ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import type { Durability } from '../store/store.ts'
import { arrive, noteFullAddress } from './arrival.ts'
import type { ByteStream } from './byte-stream.ts'
import { levelOf } from './durability.ts'
import type { Engine } from './engine.ts'
import { HeldFrames } from './held-frames.ts'
import { mqttWire } from './mqtt-wire.ts'
import type { Output } from './output.ts'
import { pausedFor, Reading } from './reading.ts'
import type { Room } from './room.ts'
import type { Tap } from './tap.ts'
import type { PacketDecoder, Wire } from './wire.ts'

/** How long an end waits for what is held; a full disk can keep a commit longer. */
const heldMsMax = 5000

export class Connection implements Link {
  readonly #engine: Engine
  readonly #room: Room
  readonly #stream: ByteStream
  readonly #decoder: PacketDecoder
  readonly #reading: Reading
  readonly client: Client
  readonly address: string
  readonly durability: number
  inboundInflight = 0
  readonly #output: Output
  #dirty = false
  #held: HeldFrames | null = null
  #holdAll = false
  #afterHeld: (() => void) | null = null
  #cancelAfterHeld: (() => void) | null = null
  #closing = false
  #closed = false

  /** `durability` and `room`: of the listener that accepted it. `wire`: what it speaks. */
  constructor(
    engine: Engine,
    stream: ByteStream,
    durability: Durability,
    room: Room = engine.room,
    wire: Wire = mqttWire,
  ) {
    this.#engine = engine
    this.#room = room
    this.#stream = stream
    this.durability = levelOf(durability)
    this.address = stream.peer.address
    this.client = new Client(engine.broker, this, stream.peer)
    const { decoder, output } = wire(engine, this, stream)
    this.#decoder = decoder
    this.#output = output
    this.#reading = new Reading(engine, this, stream, decoder)
    engine.tapper?.arrives(this)
    arrive(engine, room, this)
    // A fault that its peer meets may come before there is a client id to refuse.
    if (engine.broker.bans.refuses('', stream.peer.address)) this.client.end('banned')
  }

  lookOn(tap: Tap | null): void {
    this.#output.tap = tap
    this.#decoder.handTo(tap === null ? this.client : tap.sink)
  }

  get full(): boolean {
    return this.#pendingBytes() > this.#output.limit
  }

  get readingPaused(): boolean {
    return this.#reading.has(pausedFor.commit | pausedFor.rate)
  }

  get empty(): boolean {
    return this.#pendingBytes() === 0
  }

  #pendingBytes(): number {
    const held = this.#held === null ? 0 : this.#held.bytes
    return this.#output.bytes + held
  }

  /** Deliveries stop when it is full; what comes on top answers the peer itself, which does not read it. */
  get overflows(): boolean {
    return this.#output.blocked && this.#pendingBytes() > 2 * this.#output.limit
  }

  onData(chunk: Buffer, ends = false): void {
    this.#reading.take(chunk, ends)
  }

  /** The kernel took everything of a write that it did not take at once. */
  onDrain(): void {
    if (!this.#output.onDrain() || this.#closed) return
    this.#engine.run(() => this.client.pump())
    this.#markDirty()
  }

  onClosed(reason: string, lingers = false): void {
    if (!lingers || this.client.connected) this.#room.leave(this)
    if (this.#closed) return
    this.#closed = true
    this.#reading.end()
    this.#drop()
    this.#engine.run(() => this.client.withDurability(() => this.client.end(reason)))
    this.#engine.connections.delete(this)
  }

  write(frame: Uint8Array, start = 0, end = frame.length): void {
    if (this.#holdAll && this.#held !== null) {
      this.#held.push(Buffer.from(frame.subarray(start, end)), 0, false)
      return
    }
    this.client.namespace.traffic.packetsSent[frame[start]! >> 4]!++
    if (!this.#dirty) this.#markDirty()
    this.#output.write(frame, start, end)
  }

  writePublish(
    frame: Uint8Array,
    start: number,
    end: number,
    firstByte: number,
    packetIdAt: number,
    packetId: number,
  ): void {
    if (this.#holdAll && this.#held !== null) {
      const at = packetIdAt === 0 ? 0 : packetIdAt - start
      const own = this.#output.copyOfPublish(frame.subarray(start, end), firstByte, at, packetId)
      this.#held.push(own, 0, false)
      return
    }
    this.client.namespace.traffic.packetsSent[PacketType.publish]!++
    if (!this.#dirty) this.#markDirty()
    this.#output.writePublish(frame, start, end, firstByte, packetIdAt, packetId)
  }

  hold(frame: Uint8Array, ticket: number, freesReceiveSlot: boolean): void {
    if (this.#leavesAtOnce(frame[0]! >> 4, ticket, freesReceiveSlot)) {
      this.write(frame)
      return
    }
    this.#toHold().push(Buffer.from(frame), ticket, freesReceiveSlot)
  }

  holdAck(firstByte: number, packetId: number, ticket: number, freesReceiveSlot: boolean): void {
    const type = firstByte >> 4
    if (this.#leavesAtOnce(type, ticket, freesReceiveSlot)) {
      this.#writeAck(firstByte, packetId)
      return
    }
    this.#toHold().pushAck(firstByte, packetId, ticket, freesReceiveSlot)
  }

  holdAll(): void {
    this.#holdAll = this.#held !== null
  }

  /** A text of the wire's own, of which the core knows nothing. */
  say(text: string): void {
    const bytes = Buffer.from(text, 'utf8')
    if (this.#holdAll && this.#held !== null) {
      this.#held.push(bytes, 0, false)
      return
    }
    if (!this.#dirty) this.#markDirty()
    this.#output.write(bytes, 0, bytes.length)
  }

  pauseReading(): void {
    this.#reading.stop(pausedFor.answer)
  }

  resumeReading(): void {
    this.#engine.beginTurn()
    this.#reading.goOn(pausedFor.answer)
  }

  pauseForRate(): void {
    this.#reading.stop(pausedFor.rate)
  }

  resumeFromRate(): void {
    this.#engine.beginTurn()
    this.#reading.goOn(pausedFor.rate)
  }

  yieldTurn(): void {
    this.#reading.stop(pausedFor.turn)
    this.#engine.resumeNextTurn(this)
  }

  resumeTurn(): void {
    this.#reading.goOn(pausedFor.turn)
  }

  admit(replaced: Link | null): boolean {
    const guest = replaced as Connection | null
    if (this.#room.admit(this, guest)) return true
    if (!this.#room.addressAdmits(this, guest)) noteFullAddress(this.#engine.broker, this.client)
    return false
  }

  awaitHeld(then: () => void): boolean {
    if (this.#held === null) return false
    this.#afterHeld = then
    this.#cancelAfterHeld = this.#engine.after(heldMsMax, () => {
      this.#engine.broker.counters.closedUnacknowledged++
      this.#held = null
      this.#heldIsOver()
    })
    return true
  }

  #heldIsOver(): void {
    const then = this.#afterHeld
    this.#afterHeld = null
    this.#cancelAfterHeld?.()
    then?.()
  }

  close(reason: string): void {
    this.#output.tap?.closed(reason)
    // Who never was a client keeps its place until its socket is gone: it lingers, to read what it was told, also where the
    // peer closed first, and strangers must not have any number of such sockets.
    if (this.client.connected) this.#room.leave(this)
    if (this.#closing || this.#closed) return
    this.#closing = true
    this.#reading.end()
    this.#letGoOfHeld()
    this.#markDirty()
  }

  fault(reasonCode: ReasonCode, text: string): void {
    const reason = reasonName(reasonCode)
    this.#output.tap?.fault(reason, text)
    this.#engine.log.warn({ clientId: this.client.clientId, address: this.address, reason }, text)
  }

  /** Everything up to the engine's `committed` may leave now. */
  release(): boolean {
    const held = this.#held
    if (held === null || this.#closed) return true
    const { committed } = this.#engine
    const { packetsSent } = this.client.namespace.traffic
    let answered = 0
    for (let first = held.first; first !== undefined && first.ticket <= committed; first = held.first) {
      if (first.freesReceiveSlot) answered++
      held.shift()
      const { frame } = first
      if (frame === null) {
        this.#writeAck(first.ack >> 16, first.ack & 0xffff)
        continue
      }
      packetsSent[this.#output.typeOf(frame)]!++
      if (!this.#dirty) this.#markDirty()
      this.#output.write(frame, 0, frame.length)
    }
    this.inboundInflight = Math.max(0, this.inboundInflight - answered)
    if (held.first !== undefined) return false
    this.#held = null
    this.#holdAll = false
    this.#heldIsOver()
    return true
  }

  /** Ends the turn: one write of what it gathered. */
  flush(): void {
    this.#dirty = false
    if (this.#closed) return
    if (!this.#output.blocked || this.#closing) {
      const wasFull = this.full
      this.#output.writeOut()
      // The kernel took it all at once: no drain follows, and what stopped because the output was full goes on.
      if (wasFull && !this.#output.blocked && !this.#closing) this.#engine.broker.awaitTurn(this.client)
      if (this.#reading.has(pausedFor.output) && !this.full) this.#reading.resume(pausedFor.output)
    }
    this.#output.count()
    if (!this.#closing) return
    this.#closed = true
    this.#engine.connections.delete(this)
    this.#drop()
    this.#stream.end()
  }

  destroy(): void {
    this.#stream.destroy()
  }

  resumeAfterCommit(): void {
    this.#reading.resume(pausedFor.commit)
  }

  #writeAck(firstByte: number, packetId: number): void {
    this.client.namespace.traffic.packetsSent[firstByte >> 4]!++
    if (!this.#dirty) this.#markDirty()
    this.#output.writeAck(firstByte, packetId)
  }

  /** Whether a packet that batch `ticket` backs need not be held. An acknowledgement is counted in either case. */
  #leavesAtOnce(type: number, ticket: number, freesReceiveSlot: boolean): boolean {
    const engine = this.#engine
    if (type === PacketType.puback || type === PacketType.pubrec) engine.countAcknowledgement(ticket, this.durability)
    if (this.#held !== null || !engine.mayLeave(ticket, this.durability)) return false
    if (freesReceiveSlot) this.inboundInflight = Math.max(0, this.inboundInflight - 1)
    return true
  }

  #toHold(): HeldFrames {
    if (this.#held === null) {
      this.#held = new HeldFrames()
      this.#engine.holding(this)
    }
    return this.#held
  }

  #markDirty(): void {
    if (this.#dirty) return
    this.#dirty = true
    this.#engine.dirty(this)
  }

  #drop(): void {
    this.#reading.letGo()
    this.#output.drop()
    this.#letGoOfHeld()
  }

  #letGoOfHeld(): void {
    this.#held = null
    this.#holdAll = false
    this.#afterHeld = null
    this.#cancelAfterHeld?.()
  }
}
