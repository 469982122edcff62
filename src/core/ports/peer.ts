import type { Admission } from './authority.ts'

/** Who is at the other end of a connection, as far as its listener knows before the first packet. */
export interface Peer {
  /** "address:port" of the client itself, also behind a proxy that is trusted to name it. */
  readonly address: string
  /** Name of the listener that it came by. */
  readonly listener: string
  /** Where that listener's clients belong; absent: it does not say. */
  readonly namespace?: string
  /** Fields of the client certificate, which was verified: cn, o, ou, san, fingerprint, …; null: it showed none. */
  readonly certificate: Readonly<Record<string, string>> | null
  /** What stood behind "Bearer" in the Authorization header of a WebSocket's handshake; absent: nothing did. Never to be logged. */
  readonly bearer?: string
  /** It was let in by a ticket, which says who it is: CONNECT brings no credentials of its own. Absent: it was not. */
  readonly ticket?: TicketPeer
  /** What is known of it already, so that the authority is not asked. */
  readonly admission?: Admission
  /** A bridge of ours, which passes on what another broker sends: that was told no Receive Maximum of ours where it speaks 3.1.1. */
  readonly relays?: true
}

export interface TicketPeer {
  /** What CONNECT is taken to have brought. Never to be logged. */
  readonly username?: string
  readonly password?: string
  /** It may only look on: its session has a name that is given, and ends with its connection. */
  readonly transient: boolean
}
