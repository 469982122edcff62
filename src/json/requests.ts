/**
 * Which request an answer belongs to. In the core requests have packet identifiers, in JSON they have the ids that their client
 * gave them; a connection keeps which is which until the answer has left.
 */
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { RequestId } from './operations.ts'

const packetIdMax = 65_535

export class JsonRequests {
  /** Of `connect`; null: it gave none, or there was no `connect`. */
  connectId: RequestId | null = null
  /** Whether the client said `connect`, and is told that it is connected. */
  connectAsked = false
  /** Of pings, which are answered in order. */
  readonly pings: (RequestId | null)[] = []
  readonly #ids = new Map<number, RequestId | null>()
  /** Of those that are not answered by the operation's usual name: by which, or null: by nothing, if it goes well. */
  readonly #names = new Map<number, string | null>()
  #last = 0

  /** @throws ProtocolError where 65,535 requests wait for their answers */
  begin(id: RequestId | undefined, answeredBy?: string | null): number {
    if (this.#ids.size === packetIdMax) {
      throw new ProtocolError(ReasonCode.receiveMaximumExceeded, '65,535 requests wait for their answers')
    }
    do {
      this.#last = this.#last === packetIdMax ? 1 : this.#last + 1
    } while (this.#ids.has(this.#last))
    this.#ids.set(this.#last, id ?? null)
    if (answeredBy !== undefined) this.#names.set(this.#last, answeredBy)
    return this.#last
  }

  /** What a request is answered by if it goes well; undefined: as its packet is. */
  answerOf(packetId: number): string | null | undefined {
    return this.#names.get(packetId)
  }

  /** The request is answered. Null: its client gave no id. */
  end(packetId: number): RequestId | null {
    const id = this.#ids.get(packetId) ?? null
    this.#ids.delete(packetId)
    this.#names.delete(packetId)
    return id
  }
}
