/** A client as aedes shows it: an emitter with its names. What it does goes to the core's client behind it. */
import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Aedes } from './broker.ts'
import type { PublishPacket, Subscription } from './packets.ts'

type Callback = (error?: Error) => void

/** What stands behind it. */
export interface ClientLink {
  publish(packet: PublishPacket): void
  /** Why not; undefined: it is subscribed. */
  subscribe(subscriptions: Subscription[], done: Callback): void
  unsubscribe(filters: string[]): void
  emptyQueue(): void
  close(): void
}

export type AedesStream = Duplex & { client?: AedesClient }

export class AedesClient extends EventEmitter {
  /** Null until CONNECT. */
  id: string | null = null
  clean = true
  version: number | null = null
  connecting = false
  connected = false
  connackSent = false
  closed = false
  errored = false
  will: object | null = null
  readonly subscriptions: Record<string, { qos: number }> = Object.create(null)
  readonly broker: Aedes
  readonly conn: AedesStream
  readonly req: IncomingMessage | undefined
  readonly connDetails: unknown
  /** @internal */
  link: ClientLink | null = null
  readonly #closing: (() => void)[] = []

  /** @internal */
  constructor(broker: Aedes, conn: AedesStream, req: IncomingMessage | undefined) {
    super()
    this.broker = broker
    this.conn = conn
    this.req = req
    this.connDetails = (req as { connDetails?: unknown } | undefined)?.connDetails ?? null
    conn.client = this
    this.on('error', (error: Error) => this.#failed(error))
  }

  /** Sends it a message, whatever it is subscribed to. */
  publish(message: PublishPacket, callback: Callback = () => {}): void {
    this.#do((link) => link.publish(message), callback)
  }

  subscribe(
    subscriptions: Subscription | Subscription[] | { subscriptions: Subscription[] },
    callback: Callback = () => {},
  ): void {
    const { link } = this
    if (link === null || this.closed) callback(new Error('the client is closed'))
    else link.subscribe(listOf(subscriptions), callback)
  }

  unsubscribe(
    filters: string | Subscription | (string | Subscription)[] | { unsubscriptions: string[] },
    callback: Callback = () => {},
  ): void {
    const given =
      typeof filters === 'object' && 'unsubscriptions' in filters ? filters.unsubscriptions : [filters].flat()
    const topics = given.map((one) => (typeof one === 'string' ? one : one.topic))
    this.#do((link) => link.unsubscribe(topics), callback)
  }

  /** Forgets what waits for it and was not sent. */
  emptyOutgoingQueue(callback: Callback = () => {}): void {
    this.#do((link) => link.emptyQueue(), callback)
  }

  /** Its connection ends, and its will is published. */
  close(callback?: () => void): void {
    if (this.closed) {
      callback?.()
      return
    }
    if (callback !== undefined) this.#closing.push(callback)
    if (this.link === null) this.conn.destroy()
    else this.link.close()
  }

  /** @internal It is over. */
  onClosed(): void {
    this.closed = true
    this.connected = false
    this.connecting = false
    for (const callback of this.#closing.splice(0)) callback()
  }

  /** @internal Ends it with an error that the program is told of, once. */
  fail(error: Error): void {
    this.emit('error', error)
  }

  #failed(error: Error): void {
    if (this.errored) return
    this.errored = true
    this.broker.tell(this.id === null ? 'connectionError' : 'clientError', this, error)
    this.close()
  }

  #do(action: (link: ClientLink) => void, callback: Callback): void {
    const { link } = this
    if (link === null || this.closed) {
      callback(new Error('the client is closed'))
      return
    }
    try {
      action(link)
    } catch (error) {
      callback(error as Error)
      return
    }
    setImmediate(callback)
  }
}

function listOf(given: Subscription | Subscription[] | { subscriptions: Subscription[] }): Subscription[] {
  if (Array.isArray(given)) return given
  return 'subscriptions' in given ? given.subscriptions : [given]
}
