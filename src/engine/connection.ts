/**
 * One network connection: bytes in, to the decoder and the core's `Client`; frames out, gathered through the turn and
 * written once at its end.
 *
 * Output has three stretches, in the order in which they leave: what the socket has and the kernel did not take, what this
 * turn gathered (`#chunks`, `#chunk`), and frames held for a commit. While the socket is behind, nothing is given to it, so
 * that all that waits is counted here; beyond `outputBufferBytesMax` the connection is `full`, and the core drops or queues.
 *
 * A held frame belongs to this connection and dies with it.
 */
import { Client } from '../core/connection/client.ts'
import { turnStepsMax } from '../core/cost.ts'
import type { Link } from '../core/ports/link.ts'
import { Decoder } from '../mqtt/decoder.ts'
import { PacketType } from '../mqtt/packet.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { type ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import type { Durability } from '../store/store.ts'
import type { ByteStream } from './byte-stream.ts'
import { levelOf } from './durability.ts'
import type { Engine } from './engine.ts'
import { HeldFrames } from './held-frames.ts'
import { chunkMemory, copy, giveBackChunk, largeChunkBytes, patch, takeChunk } from './output-buffers.ts'
import { pausedFor, Reading } from './reading.ts'
import type { Room } from './room.ts'

export type { ByteStream }

export class Connection implements Link {
  readonly #engine: Engine
  readonly #room: Room
  readonly #stream: ByteStream
  readonly #decoder: Decoder
  readonly client: Client
  readonly durability: number
  inboundInflight = 0
  #chunk: Buffer | null = null
  #length = 0
  #chunks: { buffer: Buffer; end: number }[] = []
  #chunksBytes = 0
  /** Writes that the stream took and the kernel did not take whole yet. */
  #blockedWrites = 0
  #blockedBytes = 0
  #lent: Buffer[] = []
  #dirty = false
  #held: HeldFrames | null = null
  #holdAll = false
  #closing = false
  #closed = false
  readonly #reading: Reading

  /** `durability` and `room`: of the listener that accepted it. */
  constructor(engine: Engine, stream: ByteStream, durability: Durability, room: Room = engine.room) {
    this.#engine = engine
    this.#room = room
    this.#stream = stream
    this.#reading = new Reading(stream)
    this.durability = levelOf(durability)
    this.client = new Client(engine.broker, this, stream.peer)
    this.#decoder = new Decoder(this.client, {
      role: 'server',
      packetBytesMax: engine.broker.options.packetBytesMax,
      connectPacketBytesMax: Math.min(400_000, engine.broker.options.packetBytesMax),
      limits: engine.broker.options,
      memory: chunkMemory,
    })
    room.enter(this)
    // A fault that its peer meets may come before there is a client id to refuse.
    if (engine.broker.bans.refuses('', stream.peer.address)) this.client.end('banned')
  }

  get full(): boolean {
    return this.#pendingBytes() > this.#engine.outputBufferBytesMax
  }

  get readingPaused(): boolean {
    return this.#reading.has(pausedFor.commit)
  }

  get empty(): boolean {
    return this.#pendingBytes() === 0
  }

  #pendingBytes(): number {
    const held = this.#held === null ? 0 : this.#held.bytes
    return this.#length + this.#chunksBytes + this.#blockedBytes + held
  }

  onData(chunk: Buffer): void {
    if (this.#closing || this.#closed) return
    this.#engine.beginTurn()
    this.#engine.broker.counters.bytesReceived += chunk.length
    this.#decode(() => this.#decoder.push(chunk))
  }

  /** `stores`: what was read had to be stored. Others are read on while the store is behind. */
  #pauseWhereDue(stores: boolean): void {
    if (this.#closing) return
    const engine = this.#engine
    if (stores && engine.commitBacklogged && !this.readingPaused) {
      this.#reading.pause(pausedFor.commit)
      engine.broker.counters.commitPauses++
      engine.resumeAfterCommit(this)
    }
    // Deliveries stop when it is full; what comes on top answers the peer itself.
    if (this.#blockedWrites > 0 && this.#pendingBytes() > 2 * engine.outputBufferBytesMax)
      this.#reading.pause(pausedFor.output)
  }

  /** The kernel took everything of a write that it did not take at once. */
  onDrain(): void {
    if (--this.#blockedWrites > 0) return
    this.#blockedBytes = 0
    for (const chunk of this.#lent) giveBackChunk(chunk)
    this.#lent = []
    if (this.#closed) return
    this.#engine.run(() => this.client.pump())
    this.#markDirty()
  }

  onClosed(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#reading.end()
    this.#decoder.close()
    this.#drop()
    this.#engine.run(() => this.client.withDurability(() => this.client.end(reason)))
    this.#engine.connections.delete(this)
  }

  write(frame: Uint8Array, start = 0, end = frame.length): void {
    if (this.#holdAll && this.#held !== null) {
      this.#held.push(Buffer.from(frame.subarray(start, end)), 0, false)
      return
    }
    this.#engine.broker.counters.packetsSent[frame[start]! >> 4]!++
    const at = this.#reserve(end - start)
    copy(frame, start, end, this.#chunk!, at)
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
      const own = Buffer.from(frame.subarray(start, end))
      patch(own, 0, firstByte, packetIdAt === 0 ? 0 : packetIdAt - start, packetId)
      this.#held.push(own, 0, false)
      return
    }
    this.#engine.broker.counters.packetsSent[PacketType.publish]!++
    const at = this.#reserve(end - start)
    const chunk = this.#chunk!
    copy(frame, start, end, chunk, at)
    chunk[at] = firstByte
    if (packetIdAt > 0) {
      chunk[at + packetIdAt - start] = packetId >> 8
      chunk[at + packetIdAt - start + 1] = packetId
    }
  }

  hold(frame: Uint8Array, ticket: number, freesReceiveSlot: boolean): void {
    if (this.#leavesAtOnce(frame[0]! >> 4, ticket, freesReceiveSlot)) {
      this.write(frame)
      return
    }
    this.#hold(Buffer.from(frame), ticket, freesReceiveSlot)
  }

  holdAck(firstByte: number, packetId: number, ticket: number, freesReceiveSlot: boolean): void {
    const type = firstByte >> 4
    if (this.#leavesAtOnce(type, ticket, freesReceiveSlot)) {
      this.#engine.broker.counters.packetsSent[type]!++
      const at = this.#reserve(4)
      const chunk = this.#chunk!
      chunk[at] = firstByte
      chunk[at + 1] = 2
      chunk[at + 2] = packetId >> 8
      chunk[at + 3] = packetId
      return
    }
    this.#hold(Buffer.from([firstByte, 2, packetId >> 8, packetId & 0xff]), ticket, freesReceiveSlot)
  }

  holdAll(): void {
    this.#holdAll = this.#held !== null
  }

  pauseReading(): void {
    this.#decoder.pause()
    this.#reading.pause(pausedFor.answer)
  }

  resumeReading(): void {
    if (this.#closing || this.#closed) return
    this.#engine.beginTurn()
    this.#decodeOn(pausedFor.answer)
  }

  yieldTurn(): void {
    this.#decoder.pause()
    this.#reading.pause(pausedFor.turn)
    this.#engine.resumeNextTurn(this)
  }

  resumeTurn(): void {
    if (!this.#closing && !this.#closed) this.#decodeOn(pausedFor.turn)
  }

  /** Goes on with what was kept, which may stop decoding for the same reason again. */
  #decodeOn(reason: number): void {
    this.#reading.clear(reason)
    if (this.#reading.has(pausedFor.answer | pausedFor.turn)) return
    this.#decode(() => this.#decoder.resume(), reason === pausedFor.answer)
    this.#reading.flow()
  }

  admit(replaced: Link | null): boolean {
    return this.#room.admit(this, replaced as Connection | null)
  }

  close(_reason: string): void {
    this.#room.leave(this)
    if (this.#closing || this.#closed) return
    this.#closing = true
    this.#reading.end()
    this.#decoder.close()
    this.#held = null
    this.#holdAll = false
    this.#markDirty()
  }

  fault(reasonCode: ReasonCode, text: string): void {
    const { clientId, peer } = this.client
    this.#engine.log.warn({ clientId, address: peer.address, reason: reasonName(reasonCode) }, text)
  }

  /** Everything up to the engine's `committed` may leave now. */
  release(): boolean {
    const held = this.#held
    if (held === null || this.#closed) return true
    const { committed } = this.#engine
    const { packetsSent } = this.#engine.broker.counters
    let answered = 0
    for (let first = held.first; first !== undefined && first.ticket <= committed; first = held.first) {
      if (first.freesReceiveSlot) answered++
      held.shift()
      packetsSent[first.frame[0]! >> 4]!++
      const at = this.#reserve(first.frame.length)
      copy(first.frame, 0, first.frame.length, this.#chunk!, at)
    }
    this.inboundInflight = Math.max(0, this.inboundInflight - answered)
    if (held.first !== undefined) return false
    this.#held = null
    this.#holdAll = false
    return true
  }

  /** Ends the turn: one write of what it gathered. */
  flush(): void {
    this.#dirty = false
    if (this.#closed) return
    if (this.#blockedWrites === 0 || this.#closing) {
      const wasFull = this.full
      this.#writeOut()
      // The kernel took it all at once: no drain follows, and what stopped because the output was full goes on.
      if (wasFull && this.#blockedWrites === 0 && !this.#closing) this.#engine.broker.awaitTurn(this.client)
      if (this.#reading.has(pausedFor.output) && !this.full) this.#reading.resume(pausedFor.output)
    }
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

  #writeOut(): void {
    const headroom = this.#stream.headroomBytes
    const { counters } = this.#engine.broker
    if (this.#chunks.length > 0) {
      for (const { buffer, end } of this.#chunks) this.#give(buffer, headroom, end)
      this.#chunks = []
      this.#chunksBytes = 0
    }
    const chunk = this.#chunk
    if (chunk === null) return
    const end = headroom + this.#length
    counters.bytesSent += this.#length
    this.#chunk = null
    this.#length = 0
    this.#give(chunk, headroom, end)
  }

  #give(buffer: Buffer, start: number, end: number): void {
    if (this.#stream.write(buffer, start, end)) {
      giveBackChunk(buffer)
      return
    }
    this.#lent.push(buffer)
    this.#blockedWrites++
    this.#blockedBytes += end - start
  }

  /** Makes room for a frame in the current chunk. Returns where it begins. */
  #reserve(bytes: number): number {
    if (!this.#dirty) this.#markDirty()
    const at = this.#stream.headroomBytes + this.#length
    const chunk = this.#chunk
    if (chunk === null || at + bytes > chunk.length) return this.#reserveAnew(bytes)
    this.#length += bytes
    return at
  }

  #reserveAnew(bytes: number): number {
    const headroom = this.#stream.headroomBytes
    const chunk = this.#chunk
    const together = headroom + this.#length + bytes
    if (chunk === null || together > largeChunkBytes) {
      if (chunk !== null) {
        this.#chunks.push({ buffer: chunk, end: headroom + this.#length })
        this.#chunksBytes += this.#length
        this.#engine.broker.counters.bytesSent += this.#length
        this.#length = 0
      }
      this.#chunk = takeChunk(headroom + bytes)
    } else {
      const larger = takeChunk(together)
      chunk.copy(larger, headroom, headroom, headroom + this.#length)
      giveBackChunk(chunk)
      this.#chunk = larger
    }
    const at = headroom + this.#length
    this.#length += bytes
    return at
  }

  /** Whether a packet that batch `ticket` backs need not be held. An acknowledgement is counted in either case. */
  #leavesAtOnce(type: number, ticket: number, freesReceiveSlot: boolean): boolean {
    const engine = this.#engine
    if (type === PacketType.puback || type === PacketType.pubrec) engine.countAcknowledgement(ticket, this.durability)
    if (this.#held !== null || !engine.mayLeave(ticket, this.durability)) return false
    if (freesReceiveSlot) this.inboundInflight = Math.max(0, this.inboundInflight - 1)
    return true
  }

  #hold(frame: Buffer, ticket: number, freesReceiveSlot: boolean): void {
    if (this.#held === null) {
      this.#held = new HeldFrames()
      this.#engine.holding(this)
    }
    this.#held.push(frame, ticket, freesReceiveSlot)
  }

  #markDirty(): void {
    if (this.#dirty) return
    this.#dirty = true
    this.#engine.dirty(this)
  }

  #drop(): void {
    this.#chunk = null
    this.#chunks = []
    this.#length = 0
    this.#chunksBytes = 0
    this.#held = null
  }

  /** What the peer did wrong is answered; what we did wrong ends the process. */
  #decode(decode: () => void, answered = false): void {
    const { cost, journal } = this.#engine.broker
    const { appended } = journal
    cost.stepsEnd = cost.steps + turnStepsMax
    try {
      this.client.withDurability(() => {
        try {
          decode()
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.client.onFault(error, this.#decoder.version)
        }
      })
    } catch (error) {
      this.#engine.fault(error, this.#decoder.refusedBytes)
    }
    cost.stepsEnd = Infinity
    this.#pauseWhereDue(answered || journal.appended > appended)
  }
}
