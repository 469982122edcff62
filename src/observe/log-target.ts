/**
 * Standard error as a target of log lines that never blocks.
 *
 * A pipe, a socket and a terminal are written to as streams, which the kernel tells us about: a reader that stops only makes
 * lines wait. Anything else (a file, a device) is written by Node's thread pool, where a full disk is an error and not a wait.
 * A pipe must not go there: a thread that waits in a write would keep the process from ending.
 */
import { fstatSync, write, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty, WriteStream } from 'node:tty'
import type { LogTarget } from './log-output.ts'

/** How long the end of the process waits for a reader that is slow. */
const finishMs = 200
const pauseMs = 5

/** What a stream's handle knows and Node's types do not tell. */
interface Handle {
  /** Bytes that the kernel has not taken. */
  readonly writeQueueSize?: number
  setBlocking?(blocking: boolean): void
}

export function standardError(fd = 2): LogTarget {
  if (isatty(fd)) return new StreamTarget(terminal(fd), fd)
  try {
    const status = fstatSync(fd)
    if (status.isFIFO() || status.isSocket())
      return new StreamTarget(new Socket({ fd, readable: false, writable: true }), fd)
  } catch {
    // Standard error is closed; should it be opened again, it is a file.
  }
  return new FileTarget(fd)
}

function terminal(fd: number): Socket {
  const stream = new WriteStream(fd)
  const { _handle: handle } = stream as unknown as { _handle?: Handle }
  // Ctrl-S must not stop the process.
  handle?.setBlocking?.(false)
  return stream
}

class FileTarget implements LogTarget {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  write(bytes: Buffer, done: (error: Error | null, written: number) => void): void {
    write(this.#fd, bytes, done)
  }

  finish(_underWay: Buffer | null, rest: Buffer): void {
    // What is under way is completed before the process ends: it waits for its threads.
    writeAtOnce(this.#fd, rest)
  }
}

class StreamTarget implements LogTarget {
  readonly #stream: Socket
  readonly #fd: number
  #closed = false

  constructor(stream: Socket, fd: number) {
    this.#stream = stream
    this.#fd = fd
    // The log alone keeps no process alive.
    stream.unref()
    stream.on('error', () => {
      this.#closed = true
    })
  }

  write(bytes: Buffer, done: (error: Error | null, written: number) => void): void {
    if (this.#closed) {
      // Whoever read the pipe is gone for good; lines wait until they are dropped and counted.
      done(new Error('the reader of the log is gone'), 0)
      return
    }
    this.#stream.write(bytes, (error) => done(error ?? null, error ? 0 : bytes.length))
  }

  finish(underWay: Buffer | null, rest: Buffer): void {
    if (this.#closed) return
    const { _handle: handle } = this.#stream as unknown as { _handle: Handle | null }
    const unsent = underWay === null ? 0 : (handle?.writeQueueSize ?? 0)
    // A terminal that is stopped would block us.
    if (unsent === 0 || !isatty(this.#fd)) {
      writeAtOnce(
        this.#fd,
        underWay === null ? rest : Buffer.concat([underWay.subarray(underWay.length - unsent), rest]),
      )
    }
    // A write that waits would keep the process alive.
    if (unsent === 0) return
    this.#closed = true
    this.#stream.destroy()
  }
}

function writeAtOnce(fd: number, bytes: Buffer): void {
  const until = performance.now() + finishMs
  let at = 0
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > until) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
    }
  }
}
