/**
 * What the peer of a connection sends: each chunk goes to the decoder as it comes, and while there is a reason not to, the peer's
 * bytes are left in the socket. Decoding stops at once for what the packet before has to wait for; what was read already is kept,
 * and decoded first when the reason is gone.
 */
import { turnStepsMax } from '../core/cost.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import type { ByteStream } from './byte-stream.ts'
import type { Connection } from './connection.ts'
import type { Engine } from './engine.ts'
import { InputMemory } from './input-memory.ts'
import type { PacketDecoder } from './wire.ts'

/**
 * An answer of the authority; room for what waits for a commit; a peer that asks without reading the answers; others' turn; the
 * rate at which it may publish.
 */
export const pausedFor = { answer: 1, commit: 2, output: 4, turn: 8, rate: 16 } as const

/** Of those, why the decoder stops too. */
const undecoded = pausedFor.answer | pausedFor.turn | pausedFor.rate

export class Reading {
  readonly #engine: Engine
  readonly #connection: Connection
  readonly #stream: ByteStream
  readonly #decoder: PacketDecoder
  readonly #memory: InputMemory
  /** Any of `pausedFor`; 0: they are read. */
  #reasons = 0
  #over = false

  constructor(engine: Engine, connection: Connection, stream: ByteStream, decoder: PacketDecoder) {
    this.#engine = engine
    this.#connection = connection
    this.#stream = stream
    this.#decoder = decoder
    this.#memory = new InputMemory(engine.broker.budgets)
  }

  /** `ends`: of a wire that consists of messages, whether one ends with the chunk. */
  take(chunk: Buffer, ends: boolean): void {
    if (this.#over) return
    this.#engine.beginTurn()
    this.#connection.client.namespace.traffic.bytesReceived += chunk.length
    this.#decode(() => this.#decoder.push(chunk, ends))
  }

  has(reasons: number): boolean {
    return (this.#reasons & reasons) !== 0
  }

  pause(reason: number): void {
    if (this.#reasons === 0) this.#stream.pause()
    this.#reasons |= reason
  }

  resume(reason: number): void {
    if (!this.has(reason)) return
    this.#reasons &= ~reason
    this.#flow()
  }

  /** The same as `pause`; what follows in the chunk is not decoded either. */
  stop(reason: number): void {
    this.#decoder.pause()
    this.pause(reason)
  }

  /** Goes on within a turn with what was kept, which may stop decoding for the same reason again. */
  goOn(reason: number): void {
    if (this.#over) return
    this.#reasons &= ~reason
    if (this.has(undecoded)) return
    this.#decode(() => this.#decoder.resume(), reason === pausedFor.answer)
    this.#flow()
  }

  #flow(): void {
    if (this.#reasons === 0 && !this.#over) this.#stream.resume()
  }

  /** The connection is closing: nothing is read any more. */
  end(): void {
    this.#over = true
    this.#decoder.close()
  }

  /** The connection is gone. */
  letGo(): void {
    this.#memory.end()
  }

  /** What the peer did wrong is answered; what we did wrong ends the process. */
  #decode(decode: () => void, answered = false): void {
    const { client } = this.#connection
    const { cost, journal } = this.#engine.broker
    const { appended } = journal
    cost.stepsEnd = cost.steps + turnStepsMax
    try {
      client.withDurability(() => {
        try {
          decode()
          this.#memory.count(this.#decoder.memoryBytes, client.connected)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          client.onFault(error, this.#decoder.version)
        }
      })
    } catch (error) {
      this.#engine.fault(error, this.#decoder.refusedBytes)
    }
    cost.stepsEnd = Infinity
    this.#pauseWhereDue(answered || journal.appended > appended)
  }

  /** `stores`: what was read had to be stored. Others are read on while the store is behind. */
  #pauseWhereDue(stores: boolean): void {
    if (this.#over) return
    const engine = this.#engine
    if (stores && engine.commitBacklogged && !this.has(pausedFor.commit)) {
      this.pause(pausedFor.commit)
      engine.broker.counters.commitPauses++
      engine.resumeAfterCommit(this.#connection)
    }
    if (this.#connection.overflows) this.pause(pausedFor.output)
  }
}
