/** What a client is, and what it sees of the life that it is part of. */
import type { Books, Qos } from './books.ts'
import type { Client } from './client.ts'
import type { Random } from './random.ts'
import type { Sessions } from './sessions.ts'
import type { Wills } from './wills.ts'
import type { Version, Wire } from './wire.ts'

/** What clients see of the life that they are part of. */
export interface Surroundings {
  readonly books: Books
  readonly wills: Wills
  readonly sessions: Sessions
  readonly random: Random
  /** The disk may be full, so that what would have to be stored anew is refused. */
  readonly refusesNew: boolean
  now(): number
  open(wire: Wire): void
  onPublishWritten(client: Client, id: string, dup: boolean, firstTime: boolean): void
}

export interface Wish {
  filter: string
  qos: Qos
  noLocal: boolean
}

export interface ClientOptions {
  id: string
  version: Version
  /** 0: the session ends with its connection. */
  sessionSeconds: number
  keepAliveSeconds: number
  wishes: readonly Wish[]
  hasWill: boolean
}
