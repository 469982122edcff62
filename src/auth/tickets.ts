/**
 * Tickets: what stands in a URL in place of credentials, where a page can bring them in no other way (`EventSource`, WebSocket).
 *
 * A ticket stands for the Authorization header of whoever asked for it. It is looked at anew each time that the ticket is redeemed, as
 * if it had come then: so a ticket never allows more than its asker may, and nothing any more once the token behind it is
 * removed or has expired.
 *
 * It is redeemed once, at the listener by which it was asked for. One that opened a stream of events also opens it again: by the same
 * URL and for the same origin, since that is how `EventSource` comes back. The latest connection takes the place of the one before.
 *
 * Only hashes of tickets are kept. What is kept is bounded in number and in bytes; to make room, redeemed ones give way whose stream
 * has ended.
 */
import { createHash, randomBytes } from 'node:crypto'

export interface TicketLimits {
  ticketLifeMs: number
  /** How long one that opened a stream may open it again after that ended. */
  returnMsMax: number
  ticketsMax: number
  ticketBytesMax: number
  /** Not yet redeemed, of one Authorization header. */
  ticketsPerAskerMax: number
}

export const defaultTicketLimits: TicketLimits = {
  ticketLifeMs: 30_000,
  returnMsMax: 24 * 60 * 60 * 1000,
  ticketsMax: 10_000,
  ticketBytesMax: 16 * 1024 * 1024,
  ticketsPerAskerMax: 1000,
}

/** Why a ticket is not issued, or not redeemed. */
export type TicketRefusal = 'unknown' | 'expired' | 'other_listener' | 'other_place' | 'no_room'

/** For what a ticket is redeemed. */
export interface TicketUse {
  listener: string
  /** URL and origin of a stream, by which it may come back; null: the ticket is used up. */
  place: string | null
}

export interface Redeemed {
  /** As its asker sent it; undefined: he sent none. */
  readonly authorization: string | undefined
  /** What it opened stands, and is ended by `end` when another takes its place. Returns what to call when it is over. */
  hold(end: () => void): () => void
}

interface Ticket {
  readonly authorization: string | undefined
  readonly listener: string
  /** Until then it may be redeemed; of one that was, until then its stream may be opened again. Infinity: the stream is open. */
  until: number
  /** As a hash. */
  place: string | null
  end: (() => void) | null
}

/** Of a ticket besides the header that it stands for. */
const objectBytes = 300
const prefix = 'mqtide_ticket_'

export class Tickets {
  readonly #limits: TicketLimits
  readonly #now: () => number
  /** By hash, in the order in which they end. */
  readonly #fresh = new Map<string, Ticket>()
  readonly #redeemed = new Map<string, Ticket>()
  readonly #freshByAsker = new Map<string, number>()
  #bytes = 0

  /** `now`: steady milliseconds. */
  constructor(now: () => number, limits: TicketLimits = defaultTicketLimits) {
    this.#now = now
    this.#limits = limits
  }

  get size(): number {
    return this.#fresh.size + this.#redeemed.size
  }

  get lifeMs(): number {
    return this.#limits.ticketLifeMs
  }

  /** Null: there is no room for another one. */
  issue(authorization: string | undefined, listener: string): string | null {
    this.#forgetOld()
    const asker = authorization ?? ''
    const ofAsker = this.#freshByAsker.get(asker) ?? 0
    if (ofAsker >= this.#limits.ticketsPerAskerMax || !this.#makeRoom(bytesOf(authorization))) return null
    const text = `${prefix}${randomBytes(32).toString('base64url')}`
    const until = this.#now() + this.#limits.ticketLifeMs
    this.#fresh.set(hashOf(text), { authorization, listener, until, place: null, end: null })
    this.#freshByAsker.set(asker, ofAsker + 1)
    this.#bytes += bytesOf(authorization)
    return text
  }

  redeem(text: string, { listener, place }: TicketUse): Redeemed | TicketRefusal {
    const hash = hashOf(text)
    // The ticket itself is a part of the URL.
    const placeHash = place === null ? null : hashOf(place)
    const ticket = this.#fresh.get(hash) ?? this.#redeemed.get(hash)
    if (ticket === undefined) return 'unknown'
    if (ticket.until <= this.#now()) return 'expired'
    if (ticket.listener !== listener) return 'other_listener'
    if (this.#fresh.has(hash)) {
      this.#forgetFresh(hash, ticket)
      ticket.place = placeHash
      if (place !== null) {
        this.#bytes += bytesOf(ticket.authorization)
        this.#redeemed.set(hash, ticket)
        this.#letReturn(ticket)
      }
    } else if (ticket.place !== placeHash) return 'other_place'
    return { authorization: ticket.authorization, hold: (end) => this.#hold(ticket, end) }
  }

  #hold(ticket: Ticket, end: () => void): () => void {
    const before = ticket.end
    ticket.end = end
    ticket.until = Infinity
    before?.()
    return () => {
      if (ticket.end !== end) return
      ticket.end = null
      this.#letReturn(ticket)
    }
  }

  #letReturn(ticket: Ticket): void {
    ticket.until = this.#now() + this.#limits.returnMsMax
  }

  #forgetOld(): void {
    const now = this.#now()
    for (const [hash, ticket] of this.#fresh) {
      if (ticket.until > now) break
      this.#forgetFresh(hash, ticket)
    }
  }

  #forgetFresh(hash: string, { authorization }: Ticket): void {
    this.#fresh.delete(hash)
    this.#bytes -= bytesOf(authorization)
    const asker = authorization ?? ''
    const left = this.#freshByAsker.get(asker)! - 1
    if (left === 0) this.#freshByAsker.delete(asker)
    else this.#freshByAsker.set(asker, left)
  }

  #makeRoom(bytes: number): boolean {
    const { ticketsMax, ticketBytesMax } = this.#limits
    const isFull = () => this.size >= ticketsMax || this.#bytes + bytes > ticketBytesMax
    if (!isFull()) return true
    for (const [hash, { authorization, end }] of this.#redeemed) {
      if (end !== null) continue
      this.#redeemed.delete(hash)
      this.#bytes -= bytesOf(authorization)
      if (!isFull()) return true
    }
    return false
  }
}

function bytesOf(authorization: string | undefined): number {
  return objectBytes + (authorization?.length ?? 0)
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
