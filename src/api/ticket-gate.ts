/** Tickets in the URL of a WebSocket: who comes by one, or the answer to his handshake. */
import type { Peer } from '../core/ports/peer.ts'
import { Problem } from './problem.ts'
import type { ApiSources } from './sources.ts'
import { admissionOf, type Redeemer, refusedTicket, visitorOfTicket } from './visitor.ts'

export interface TicketAsked extends Redeemer {
  ticket: string
  namespace: string | undefined
  listener: string
}

/** What is known of its client, to be added to what the listener knows. */
export type ByTicket = Pick<Peer, 'admission' | 'bearer' | 'ticket'>

export interface TicketDenial {
  status: number
  text: string
}

export type TicketGate = (asked: TicketAsked) => ByTicket | TicketDenial

export function createTicketGate(sources: ApiSources): TicketGate {
  return ({ ticket, namespace, listener, ...redeemer }) => {
    try {
      // The one who opens the next WebSocket asks for the next ticket.
      const redeemed = sources.tickets.redeem(ticket, { listener, place: null })
      if (typeof redeemed === 'string') throw refusedTicket(sources, redeemer.address, redeemed)
      const visitor = visitorOfTicket(sources, redeemed, redeemer, namespace)
      if (visitor.kind === 'known') {
        return { admission: admissionOf(visitor), ticket: { transient: !visitor.mayPublish } }
      }
      const { kind: _, bearer, ...credentials } = visitor
      return { ...(bearer !== undefined && { bearer }), ticket: { ...credentials, transient: false } }
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      return { status: error.status, text: error.message }
    }
  }
}
