/**
 * A subscriber inside the gateway's process, which takes at once what comes, and ends with the process at the latest. The books
 * have it as a client whose session is new with each subscription.
 */
import type { ReceivedMessage } from '../../src/engine/local-subscription.ts'
import { type Books, idOf, type Span } from './books.ts'
import type { Process } from './process.ts'

const never = Number.POSITIVE_INFINITY

export class Inside {
  readonly id = 'inside'
  epoch = 0
  readonly #books: Books
  #span: Span | undefined
  #subscription: AsyncIterableIterator<ReceivedMessage> | undefined

  constructor(books: Books) {
    this.#books = books
  }

  /** Subscribes, or ends that. */
  act(process: Process, filter: string): void {
    if (this.#span === undefined) this.#subscribe(process, filter)
    else this.end()
  }

  #subscribe(process: Process, filter: string): void {
    const { id } = this
    this.#books.note(`${id} subscribes ${filter}`)
    this.epoch++
    const sent = this.#books.moment()
    this.#books.connections.push({ client: id, from: sent, to: never })
    const group = /^\$share\/([^/]+)\//.exec(filter)?.[1]
    const common = { client: id, epoch: this.epoch, filter, group, qos: 2, noLocal: false, fleeting: true } as const
    this.#subscription = process.subscribe(filter)
    this.#span = { ...common, sent, sure: this.#books.moment(), endSent: never, ended: never }
    this.#books.spans.push(this.#span)
    this.#take(this.#subscription, this.epoch)
  }

  /** Within the process, or because that died. */
  end(): void {
    const span = this.#span
    if (span === undefined) return
    this.#books.note(`${this.id} ends`)
    span.endSent = this.#books.moment()
    this.#subscription!.return!()
    span.ended = this.#books.moment()
    this.#books.connections.findLast(({ client }) => client === this.id)!.to = span.ended
    this.#span = undefined
  }

  async #take(messages: AsyncIterableIterator<ReceivedMessage>, epoch: number): Promise<void> {
    for await (const { topic, payload, qos, retain } of messages) {
      const id = idOf(new TextDecoder().decode(payload))
      this.#books.note(`${this.id} <- publish ${id} ${topic} qos ${qos}`)
      const common = { client: this.id, id, qos, dup: false, at: this.#books.moment(), fleeting: true }
      this.#books.written.push(common)
      this.#books.receipts.push({ ...common, epoch, topic, retain, connection: epoch, acknowledged: true })
    }
  }
}
