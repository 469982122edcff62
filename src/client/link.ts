/**
 * One WebSocket from its opening to its end, which it reports exactly once.
 *
 * Whether somebody is still there is found out by asking: a ping, and any frame within `answerMs` is the answer. Timers alone
 * can't be trusted: in a background tab they come up to a minute late, and after a sleep of the machine all at once, before
 * what arrived meanwhile is read. So a timer that comes late asks once more instead of giving up.
 */
import { MqtideError } from './errors.ts'
import { type ConnectedFrame, type ConnectFrame, type Incoming, type Outgoing, subprotocol } from './wire.ts'

/** What is used of a WebSocket, so that any implementation will do. */
export interface SocketLike {
  onopen: ((event: never) => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: ((event: never) => void) | null
  readonly bufferedAmount: number
  send(text: string): void
  close(code?: number, reason?: string): void
}

export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike

export interface LinkOptions {
  url: string
  WebSocket: SocketConstructor
  /** From the opening of the socket to the gateway's answer. */
  connectTimeoutMs: number
  pingMs: number
  /** How long the answer to a ping may take. */
  answerMs: number
}

export interface LinkEvents {
  onConnected(frame: ConnectedFrame): void
  onFrame(frame: Incoming): void
  onEnd(error: MqtideError): void
}

type Timer = ReturnType<typeof setTimeout>

/** Reasons after which the same attempt would end the same way: credentials, rights, a client id that somebody else uses now. */
const permanent = new Set([0x82, 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x8e])

export class Link {
  readonly #socket: SocketLike
  readonly #options: LinkOptions
  readonly #events: LinkEvents
  #timer: Timer | undefined
  #pingTimer: Timer | undefined
  #isConnected = false
  #isOver = false

  constructor(connect: ConnectFrame, options: LinkOptions, events: LinkEvents) {
    this.#options = options
    this.#events = events
    this.#socket = new options.WebSocket(options.url, [subprotocol])
    this.#timer = setTimeout(() => this.#fail('the gateway did not answer in time'), options.connectTimeoutMs)
    let isOpen = false
    this.#socket.onopen = () => {
      isOpen = true
      this.send(connect)
    }
    this.#socket.onmessage = ({ data }) => this.#onData(data)
    // Says nothing that the close which follows does not say better.
    this.#socket.onerror = () => {}
    this.#socket.onclose = ({ code, reason }) => this.#end(isOpen ? closeError(code, reason) : neverOpened(options.url))
  }

  /** Bytes that wait for the network. */
  get bufferedBytes(): number {
    return this.#socket.bufferedAmount
  }

  send(frame: Outgoing): void {
    this.sendText(JSON.stringify(frame))
  }

  sendText(frame: string): void {
    if (!this.#isOver) this.#socket.send(frame)
  }

  /** Asks whether the gateway is there, unless it is being asked. */
  probe(again = false): void {
    if (!this.#isConnected || this.#isOver || (this.#timer !== undefined && !again)) return
    this.send({ op: 'ping' })
    const askedAt = Date.now()
    this.#timer = setTimeout(() => {
      const late = Date.now() - askedAt > 1.5 * this.#options.answerMs
      if (late && !again) this.probe(true)
      else this.#fail('the gateway did not answer a ping')
    }, this.#options.answerMs)
  }

  /** Ends it without a report. */
  close(): void {
    if (this.#isOver) return
    this.#stop()
    this.#socket.close(1000)
  }

  #onData(data: unknown): void {
    if (this.#isOver) return
    let frame: Incoming
    try {
      frame = JSON.parse(String(data)) as Incoming
    } catch {
      this.#fail('what answers there does not speak mqtide.v1.json')
      return
    }
    if (!this.#isConnected) {
      this.#onFirst(frame)
      return
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (frame.op !== 'pong') this.#events.onFrame(frame)
  }

  #onFirst(frame: Incoming): void {
    if (frame.op === 'error') {
      this.#stop()
      this.#socket.close()
      this.#events.onEnd(refusalOf(frame.reason, frame.message))
    } else if (frame.op === 'connected') {
      clearTimeout(this.#timer)
      this.#timer = undefined
      this.#isConnected = true
      this.#ping()
      this.#events.onConnected(frame)
    }
  }

  #ping(): void {
    this.#pingTimer = setTimeout(() => {
      this.probe()
      this.#ping()
    }, this.#options.pingMs)
  }

  #fail(why: string): void {
    const error = new MqtideError('unreachable', why)
    if (this.#isOver) return
    this.#stop()
    this.#socket.close()
    this.#events.onEnd(error)
  }

  #end(error: MqtideError): void {
    if (this.#isOver) return
    this.#stop()
    this.#events.onEnd(error)
  }

  #stop(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    clearTimeout(this.#pingTimer)
  }
}

function refusalOf(reason: number, message: string): MqtideError {
  const code = permanent.has(reason) ? 'refused' : 'unreachable'
  return new MqtideError(code, message, { reason })
}

/** Browsers tell a page no more than that. */
function neverOpened(url: string): MqtideError {
  const why = 'the gateway does not answer there, or its allowedOrigins do not have the origin of this page'
  // A ticket is nobody else's business.
  return new MqtideError('unreachable', `no WebSocket to ${url.split('?')[0]}: ${why}`)
}

/** Codes from 4000 on are 4000 and the reason code. */
function closeError(code: number, reason: string): MqtideError {
  if (code >= 4000) return refusalOf(code - 4000, reason)
  return new MqtideError('unreachable', reason || `the connection ended (${code})`)
}
