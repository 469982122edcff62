/**
 * A connection that can be disturbed: a duplex stream around the real one, which delays, throttles, holds or kills what
 * passes, as networks do. Bytes are never reordered or dropped within a living connection: TCP would not.
 *
 * The link also stands in for a connection that is not there yet: a client may write into it before `open`, and the
 * device decides when the dialling starts.
 */
import { Duplex } from 'node:stream'
import type { Random } from '../random.ts'
import { killStream, openStream, type StreamTarget } from './stream.ts'

export interface LinkShape {
  delayMs: number
  jitterMs: number
  /** Bytes per second; 0 is no limit. */
  upRate: number
  downRate: number
}

/** Beyond this the link stops reading: the sender feels it through TCP, as with a slow network. */
const bufferedBytesMax = 65_536
const takeoverCheckMs = 10_000

interface Piece {
  chunk: Buffer
  dueMs: number
}

/** One direction: a queue with due times. */
class Pipe {
  readonly #queue: Piece[] = []
  readonly #deliver: (chunk: Buffer) => void
  #timer: NodeJS.Timeout | undefined
  #lastDueMs = 0
  #freeMs = 0
  buffered = 0
  held = false
  onDrain: (() => void) | undefined

  constructor(deliver: (chunk: Buffer) => void) {
    this.#deliver = deliver
  }

  push(chunk: Buffer, delayMs: number, bytesPerSecond: number): void {
    if (!this.held && this.#queue.length === 0 && delayMs === 0 && bytesPerSecond === 0) {
      this.#deliver(chunk)
      return
    }
    const now = performance.now()
    if (bytesPerSecond > 0) this.#freeMs = Math.max(this.#freeMs, now) + (chunk.length / bytesPerSecond) * 1000
    const sentMs = bytesPerSecond > 0 ? this.#freeMs : now
    // Later bytes never overtake earlier ones, however the jitter falls.
    this.#lastDueMs = Math.max(this.#lastDueMs, sentMs + delayMs)
    this.#queue.push({ chunk, dueMs: this.#lastDueMs })
    this.buffered += chunk.length
    this.#arm()
  }

  release(): void {
    this.held = false
    this.#arm()
  }

  clear(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#queue.length = 0
    this.buffered = 0
  }

  /** Delivers all at once: the other side has closed. */
  flush(): void {
    for (const { chunk } of this.#queue.splice(0)) this.#deliver(chunk)
    this.clear()
  }

  #arm(): void {
    const first = this.#queue[0]
    if (first === undefined || this.held || this.#timer !== undefined) return
    this.#timer = setTimeout(() => this.#run(), Math.max(0, first.dueMs - performance.now()))
  }

  #run(): void {
    this.#timer = undefined
    const now = performance.now()
    for (
      let first = this.#queue[0];
      first !== undefined && !this.held && first.dueMs <= now + 0.5;
      first = this.#queue[0]
    ) {
      this.#queue.shift()
      this.buffered -= first.chunk.length
      this.#deliver(first.chunk)
    }
    this.onDrain?.()
    this.#arm()
  }
}

export class Link extends Duplex {
  readonly #random: Random
  #inner: Duplex | undefined
  #shape: LinkShape | undefined
  #written: (() => void) | undefined
  #early: Buffer[] = []
  readonly #up: Pipe
  readonly #down: Pipe
  #closedWhileHeld = false

  constructor(random: Random, shape: LinkShape | undefined) {
    super({ allowHalfOpen: false })
    this.#random = random
    this.#shape = shape
    this.#up = new Pipe((chunk) => this.#inner?.write(chunk))
    this.#down = new Pipe((chunk) => this.push(chunk))
    this.#up.onDrain = () => this.#drainUp()
    this.#down.onDrain = () => {
      if (this.#down.buffered < bufferedBytesMax) this.#inner?.resume()
    }
  }

  /** Dials. Errors and the end of the connection show on the link, as on a socket. */
  open(target: StreamTarget, onConnected: () => void): void {
    if (this.destroyed || this.#inner !== undefined) return
    const inner = openStream(target)
    this.#inner = inner
    inner.once(target.url.protocol === 'mqtts:' ? 'secureConnect' : 'connect', onConnected)
    inner.on('data', (chunk: Buffer) => this.#onDown(chunk))
    inner.on('error', (error) => this.destroy(error))
    inner.on('close', () => this.#onInnerClose())
    inner.on('drain', () => this.#drainUp())
    for (const chunk of this.#early.splice(0)) this.#send(chunk)
    this.#drainUp()
  }

  setShape(shape: LinkShape | undefined): void {
    this.#shape = shape
  }

  /** Nothing passes in the directions given, though the connection stays: out of reach, or a process that hangs. */
  hold(up: boolean, down: boolean): void {
    this.#up.held ||= up
    if (down) {
      this.#down.held = true
      this.#inner?.pause()
    }
  }

  /** What was held passes, late. */
  release(): void {
    this.#up.release()
    this.#down.release()
    this.#inner?.resume()
    if (this.#closedWhileHeld) this.#onInnerClose()
  }

  /** The device is gone: no DISCONNECT. */
  sever(): void {
    if (this.#inner !== undefined) killStream(this.#inner)
    this.destroy()
  }

  /**
   * The device has moved to another network: it opens a new connection and leaves this one open and silent. The broker
   * has to close it when the new one takes the session over; `onOutcome` tells whether it did, within 10 s.
   */
  abandon(onOutcome: (closedByBroker: boolean) => void): void {
    const inner = this.#inner
    this.#inner = undefined
    this.destroy()
    if (inner === undefined || inner.destroyed) return
    inner.removeAllListeners('data')
    inner.removeAllListeners('close')
    inner.removeAllListeners('error')
    inner.on('error', () => {})
    inner.resume()
    const timer = setTimeout(() => {
      inner.removeAllListeners('close')
      inner.destroy()
      onOutcome(false)
    }, takeoverCheckMs)
    inner.once('close', () => {
      clearTimeout(timer)
      onOutcome(true)
    })
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#inner === undefined) {
      this.#early.push(chunk)
      done()
      return
    }
    this.#send(chunk)
    if (this.#up.buffered < bufferedBytesMax && !this.#inner.writableNeedDrain) done()
    else this.#written = done
  }

  override _read(): void {
    if (!this.#down.held && this.#down.buffered < bufferedBytesMax) this.#inner?.resume()
  }

  override _final(done: () => void): void {
    this.#up.flush()
    this.#inner?.end()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#up.clear()
    this.#down.clear()
    this.#inner?.destroy()
    done(error)
  }

  #send(chunk: Buffer): void {
    const shape = this.#shape
    this.#up.push(chunk, this.#delay(shape), shape?.upRate ?? 0)
  }

  #onDown(chunk: Buffer): void {
    const shape = this.#shape
    this.#down.push(chunk, this.#delay(shape), shape?.downRate ?? 0)
    if (this.#down.buffered >= bufferedBytesMax || this.readableLength > bufferedBytesMax) this.#inner?.pause()
  }

  #delay(shape: LinkShape | undefined): number {
    if (shape === undefined) return 0
    return shape.delayMs + (shape.jitterMs > 0 ? shape.jitterMs * this.#random.next() : 0)
  }

  #drainUp(): void {
    const done = this.#written
    if (done === undefined || this.#up.buffered >= bufferedBytesMax) return
    this.#written = undefined
    done()
  }

  #onInnerClose(): void {
    if (this.#down.held) {
      // A device out of reach does not learn that the broker has closed.
      this.#closedWhileHeld = true
      return
    }
    this.#down.flush()
    this.push(null)
    // The reader takes what came before the end, then the close.
    if (this.readableLength === 0) this.destroy()
    else this.once('end', () => this.destroy())
  }
}

/** Of several at a time. */
export function combinedShape(shapes: readonly LinkShape[]): LinkShape | undefined {
  if (shapes.length === 0) return undefined
  const lowest = (a: number, b: number): number => (a === 0 ? b : b === 0 ? a : Math.min(a, b))
  return shapes.reduce((sum, shape) => ({
    delayMs: sum.delayMs + shape.delayMs,
    jitterMs: sum.jitterMs + shape.jitterMs,
    upRate: lowest(sum.upRate, shape.upRate),
    downRate: lowest(sum.downRate, shape.downRate),
  }))
}
