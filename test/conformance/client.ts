/*
 * A client that knows nothing of MQTT but where a packet ends.
 *
 * It sends the bytes it is given and hands back what the broker sent, packet by packet, as bytes. The same tests run
 * over TCP and over WebSocket, so both are hidden behind a `Link`. Nothing here sleeps: absence is shown by a PINGREQ
 * whose PINGRESP must come next, and each expectation ends with an event or with the timeout that fails the test.
 */

import { connect as connectTcp, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import { type Bytes, bytesOf, concat, connack, pingreq, pingresp, toHex } from './bytes.ts'

/** How long an expected packet or close may take before the test fails; it never decides what passes. */
export const expectTimeoutMs = 5_000

export interface Endpoint {
  host: string
  port: number
}

export interface LinkEvents {
  onBytes(bytes: Uint8Array): void
  onClosed(why: string): void
}

/** A byte stream in both directions. */
export interface Link {
  send(bytes: Uint8Array): void
  /** Ends the stream in order, as a client that is done: FIN, or the close frame. */
  end(): void
  /** Breaks the stream without a word: RST where the system can, no close frame. */
  destroy(): void
  /** Stops or continues reading from the system, so that the peer's writes fill its own buffers. */
  pause(): void
  resume(): void
}

interface Waiting {
  resolve(): void
  timer: NodeJS.Timeout
}

export class RawClient implements LinkEvents {
  /** The CONNACK, for clients made by `connected`. */
  connack: Uint8Array = connack()
  /** Set once by `openTcp` or `openWebSocket`, before anyone else sees the client. */
  link!: Link
  #received: Uint8Array = new Uint8Array(0)
  #closedWhy: string | undefined
  #waiting: Waiting | undefined

  onBytes(bytes: Uint8Array): void {
    this.#received = concat(this.#received, bytes)
    this.#wake()
  }

  onClosed(why: string): void {
    this.#closedWhy ??= why
    this.#wake()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting === undefined) return
    clearTimeout(waiting.timer)
    waiting.resolve()
  }

  async #change(deadline: number): Promise<void> {
    if (this.#waiting !== undefined) throw new Error('two expectations wait on one client')
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#wake(), Math.max(0, deadline - Date.now()))
      this.#waiting = { resolve, timer }
    })
  }

  /** Sends the parts as one chunk: one write on TCP, one binary frame on WebSocket. */
  send(...parts: Bytes[]): void {
    this.link.send(concat(...parts))
  }

  /** Sends bytes one by one, each in a chunk or frame of its own. */
  sendBytewise(...parts: Bytes[]): void {
    for (const byte of concat(...parts)) this.link.send(Uint8Array.of(byte))
  }

  /** Whether the broker has ended the connection, as far as this client has noticed. */
  get closed(): boolean {
    return this.#closedWhy !== undefined
  }

  /**
   * The next whole packet. With `expected` it must be exactly those bytes.
   * Throws when the connection closes first, or after `timeoutMs`.
   */
  async expectPacket(expected?: Bytes, timeoutMs = expectTimeoutMs): Promise<Uint8Array> {
    const wanted = expected === undefined ? 'a packet' : toHex(bytesOf(expected))
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const next = this.#takePacket()
      if (next !== undefined) {
        if (expected !== undefined && toHex(next) !== wanted) throw unexpected(wanted, toHex(next))
        return next
      }
      if (this.#closedWhy !== undefined) throw unexpected(wanted, `${this.#closedWhy}${this.#leftOver()}`)
      if (Date.now() >= deadline) throw unexpected(wanted, `nothing in ${timeoutMs} ms${this.#leftOver()}`)
      await this.#change(deadline)
    }
  }

  /** Puts a packet back, to be taken by the next expectation. */
  unread(packet: Uint8Array): void {
    this.#received = concat(packet, this.#received)
  }

  /** The given packets in the given order, and nothing between them. */
  async expectPackets(...expected: Bytes[]): Promise<void> {
    for (const one of expected) await this.expectPacket(one)
  }

  /** The given packets in any order. */
  async expectInAnyOrder(...expected: Bytes[]): Promise<void> {
    const wanted = expected.map((one) => toHex(bytesOf(one)))
    const arrived: string[] = []
    while (arrived.length < wanted.length) arrived.push(toHex(await this.expectPacket()))
    const difference = [wanted.toSorted().join('\n'), arrived.toSorted().join('\n')] as const
    if (difference[0] !== difference[1]) throw unexpected(...difference)
  }

  /** The broker closes the connection, and sends nothing before it does. */
  async expectClosed(timeoutMs = expectTimeoutMs): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (this.#closedWhy === undefined && this.#received.length === 0 && Date.now() < deadline) {
      await this.#change(deadline)
    }
    if (this.#received.length > 0) throw unexpected('a closed connection', toHex(this.#received))
    if (this.#closedWhy === undefined) throw unexpected('a closed connection', `still open after ${timeoutMs} ms`)
  }

  /** Nothing has been sent to this client, and the connection is alive: a PINGREQ is answered first. */
  async expectNothing(): Promise<void> {
    this.send(pingreq)
    await this.expectPacket(pingresp)
  }

  /** Everything this client sent has been handled: its PINGREQ is answered. Alias of `expectNothing` for publishers. */
  async settled(): Promise<void> {
    await this.expectNothing()
  }

  end(): void {
    this.link.end()
  }

  destroy(): void {
    this.link.destroy()
  }

  #leftOver(): string {
    return this.#received.length === 0 ? '' : `, after the incomplete ${toHex(this.#received)}`
  }

  #takePacket(): Uint8Array | undefined {
    let length = 0
    for (let i = 1; i <= 4 && i < this.#received.length; i++) {
      const byte = this.#received[i]!
      length += (byte & 0x7f) * 128 ** (i - 1)
      if (byte >= 0x80) continue
      const end = i + 1 + length
      if (this.#received.length < end) return undefined
      const taken = this.#received.subarray(0, end)
      this.#received = this.#received.subarray(end)
      return taken
    }
    return undefined
  }
}

function unexpected(expected: string, received: string): Error {
  const error = new Error(`expected ${expected}\nreceived ${received}`)
  return Object.assign(error, { expected, actual: received })
}

class TcpLink implements Link {
  readonly socket: Socket

  constructor(socket: Socket) {
    this.socket = socket
  }

  send(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.resetAndDestroy()
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }
}

/** Connects over TCP. */
export function openTcp(endpoint: Endpoint): Promise<RawClient> {
  const client = new RawClient()
  const socket = connectTcp({ host: endpoint.host, port: endpoint.port, noDelay: true })
  client.link = new TcpLink(socket)
  socket.on('data', (chunk) => client.onBytes(chunk))
  socket.on('end', () => client.onClosed('closed by the broker'))
  socket.on('close', () => client.onClosed('closed'))
  return new Promise((resolve, reject) => {
    socket.on('error', (error) => {
      client.onClosed(`closed with ${error.message}`)
      reject(error)
    })
    socket.on('connect', () => resolve(client))
  })
}

export class WebSocketLink implements Link {
  readonly socket: WebSocket

  constructor(socket: WebSocket) {
    this.socket = socket
  }

  send(bytes: Uint8Array): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes)
  }

  end(): void {
    this.socket.close()
  }

  destroy(): void {
    this.socket.terminate()
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }
}

export interface WebSocketFields {
  /** Default /mqtt. */
  path?: string
  /** Default mqtt; an empty list offers none. */
  subprotocols?: string[]
  headers?: Record<string, string>
  perMessageDeflate?: boolean
}

/** Connects over WebSocket. A text frame from the broker counts as a broken connection. */
export function openWebSocket(endpoint: Endpoint, fields: WebSocketFields = {}): Promise<RawClient> {
  const client = new RawClient()
  const { path = '/mqtt', subprotocols = ['mqtt'], headers = {}, perMessageDeflate = false } = fields
  const url = `ws://${endpoint.host}:${endpoint.port}${path}`
  const socket = new WebSocket(url, subprotocols, { headers, perMessageDeflate })
  client.link = new WebSocketLink(socket)
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) client.onBytes(data)
    else client.onClosed('the broker sent a text frame')
  })
  socket.on('close', (code) => client.onClosed(`closed with WebSocket code ${code}`))
  return new Promise((resolve, reject) => {
    socket.on('error', (error) => {
      client.onClosed(`closed with ${error.message}`)
      reject(error)
    })
    socket.on('open', () => resolve(client))
  })
}
