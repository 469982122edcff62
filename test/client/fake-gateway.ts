/** The other end of a client's WebSockets, played by the test: what the client says is kept, what the gateway says is given. */
import type { SocketConstructor, SocketLike } from '../../src/client/index.ts'
import type { Incoming, Outgoing } from '../../src/client/wire.ts'

type Frame = Record<string, unknown> & { op: Outgoing['op'] }

export class FakeSocket implements SocketLike {
  onopen: SocketLike['onopen'] = null
  onmessage: SocketLike['onmessage'] = null
  onclose: SocketLike['onclose'] = null
  onerror: SocketLike['onerror'] = null
  bufferedAmount = 0
  readonly url: string
  readonly protocols: string[]
  readonly said: Frame[] = []
  isClosed = false

  constructor(url: string, protocols: string[]) {
    this.url = url
    this.protocols = protocols
  }

  send(text: string): void {
    if (!this.isClosed) this.said.push(JSON.parse(text) as Frame)
  }

  /** As a browser does: the event comes later, if somebody still wants it. */
  close(): void {
    this.isClosed = true
  }

  open(): void {
    this.onopen?.(undefined as never)
  }

  say(frame: Incoming | string): void {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) })
  }

  message(topic: string, payload: string, more: { qos?: 0 | 1; packet?: number; retain?: boolean } = {}): void {
    this.say({ op: 'message', topic, payload, encoding: 'utf8', qos: 0, retain: false, ...more })
  }

  drop(code = 1006, reason = ''): void {
    this.isClosed = true
    this.onclose?.({ code, reason })
  }

  /** What it said of one kind. */
  ofKind(op: Outgoing['op']): Frame[] {
    return this.said.filter((frame) => frame.op === op)
  }

  /** The id of the last of one kind, for an answer. */
  lastId(op: Outgoing['op']): number {
    return this.ofKind(op).at(-1)?.['id'] as number
  }
}

export class FakeGateway {
  readonly sockets: FakeSocket[] = []
  readonly WebSocket: SocketConstructor

  constructor() {
    const { sockets } = this
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols)
        sockets.push(this)
      }
    }
  }

  get last(): FakeSocket {
    return this.sockets.at(-1)!
  }

  /** Lets the client's newest WebSocket open and its CONNECT succeed. */
  accept({ sessionPresent = false } = {}): FakeSocket {
    const socket = this.last
    socket.open()
    socket.say({ op: 'connected', sessionPresent })
    return socket
  }
}
