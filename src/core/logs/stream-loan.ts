/** A message of a stream that a session was sent and has not acknowledged: in memory only, for a second sending. */
import type { Properties } from '../../mqtt/packet.ts'
import type { PublishParts } from '../../mqtt/publish.ts'
import type { Broker } from '../broker.ts'
import type { Loan } from '../session/delivery.ts'
import type { StreamEntry } from './stream-entry.ts'
import type { StreamReader } from './stream-reader.ts'

/** Before a message. */
export interface Gap {
  readonly missed: number
  readonly place: number
}

export class StreamLoan implements Loan {
  readonly entry: StreamEntry
  readonly reader: StreamReader
  /** Acknowledged, or with somebody else by now. */
  ended = false
  readonly expires = true
  /** Messages that are gone before it, the first of which was at `place`. */
  readonly #missed: number
  readonly place: number
  readonly #wallTime: number

  constructor(entry: StreamEntry, reader: StreamReader, { missed, place }: Gap, wallTime: number) {
    this.entry = entry
    this.reader = reader
    this.#missed = missed
    this.place = missed === 0 ? entry.offset : place
    this.#wallTime = wallTime
  }

  get parts(): PublishParts {
    return this.entry.partsBehindGap(this.#wallTime, this.#missed)
  }

  onAcknowledged(_broker: Broker, reasonCode: number, properties: Properties): void {
    this.reader.acknowledged(this, reasonCode, properties)
  }

  onUnsent(): void {
    this.reader.end(this)
  }
}
