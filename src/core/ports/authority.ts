/**
 * Who may connect, and what they may do. The core asks, and goes on when it is answered, at once or later; it never waits.
 */
import type { ConnectPacket, Qos } from '../../mqtt/packet.ts'
import type { Peer } from './peer.ts'

/** What is asked of a grant when somebody wants to know why. */
export interface GrantQuestion {
  readonly action: 'publish' | 'receive'
  readonly topic: string
  readonly qos: Qos
  readonly retain: boolean
}

/** The message that is asked about: reading it may copy it. */
export interface GrantContent {
  readonly message: { readonly payload: Uint8Array } | null
}

/** What a client may do. Absent (null): everything. Asked on the hot path, so that implementations cache. None throws. */
export interface Grant {
  mayPublish(topic: string, qos: Qos, retain: boolean): boolean
  /** `topicFilter` is what follows `$share/group/` for a shared subscription, whose group's name is `group`. */
  maySubscribe(topicFilter: string, qos: Qos, group: string | null): boolean
  /**
   * Asked for each message when it is sent. `group`: of the shared subscription it is sent for. `content`: the message itself, to be
   * read during the call only; absent where only a member of a share group is being chosen.
   */
  mayReceive(topic: string, qos: Qos, retain: boolean, group: string | null, content?: GrantContent): boolean
  /**
   * Whether it may take messages of a queue and settle them. `address`: `$queue/name`. `filter`: what the queue takes in; null: only what is
   * published to it by name. Absent: `maySubscribe` is asked about the filter, or about the address where there is none.
   */
  mayConsume?(address: string, filter: string | null, group: string | null): boolean
  /** Which rule decides, for people; never on the hot path. Absent: it can't tell. */
  because?(question: GrantQuestion): string | undefined
}

/** Null as a grant: everything is allowed. */
export function mayConsume(
  grant: Grant | null,
  address: string,
  filter: string | null,
  group: string | null = null,
): boolean {
  if (grant === null) return true
  return grant.mayConsume?.(address, filter, group) ?? grant.maySubscribe(filter ?? address, 1, null)
}

/** What a client may use, where that differs from the broker's own limits. */
export interface ClientLimits {
  /** Subscriptions of a session, in place of `subscriptionsPerSessionMax`. */
  subscriptionsMax?: number | undefined
  /** Sessions of its principal, connected or not. */
  sessionsMax?: number | undefined
  /** PUBLISH packets of one connection. */
  publishesPerSecondMax?: number | undefined
  /** What it may send at once after a pause; unset, what a second brings. */
  publishesBurstMax?: number | undefined
  /** Bytes of its PUBLISH packets. */
  publishBytesPerSecondMax?: number | undefined
  publishBytesBurstMax?: number | undefined
  /** The same of all connections of its principal together. */
  userPublishesPerSecondMax?: number | undefined
  userPublishesBurstMax?: number | undefined
  userPublishBytesPerSecondMax?: number | undefined
  userPublishBytesBurstMax?: number | undefined
}

/** Whose the sessions of consumers inside the program are: no client is let in under this name. */
export const programPrincipal = '$program'

/** What an authority says of a client that it lets in. */
export interface Admission {
  /** null or absent: everything is allowed. */
  grant?: Grant | null | undefined
  /** A stable name (a user, a token's subject, a certificate's name); absent or empty: nobody in particular. */
  principal?: string | undefined
  /** In the time of `Broker.now`: from then on the client has to have authenticated anew. Absent: never. */
  expiresAt?: number | undefined
  limits?: ClientLimits | undefined
  /** Where it belongs; absent: where its listener says, else in the default namespace. */
  namespace?: string | undefined
}

export interface Verdict extends Admission {
  /** 0: accepted; else the CONNACK reason code of MQTT 5.0, translated for 3.x. */
  reasonCode: number
  reasonString?: string | undefined
  serverReference?: string | undefined
}

export type ExchangeStep =
  | { type: 'continue'; data?: Uint8Array | undefined }
  | ({ type: 'success'; data?: Uint8Array | undefined } & Admission)
  | { type: 'failure'; reasonCode: number; reasonString?: string | undefined }

/** One enhanced authentication exchange, section 4.12. */
export interface Exchange {
  next(data: Uint8Array | undefined, done: (step: ExchangeStep) => void): void
}

/** Who begins an exchange. */
export interface Claimant {
  clientId: string
  username: string | undefined
  peer: Peer
  /** It is connected: this is its re-authentication. */
  renews: boolean
}

export interface Authority {
  authenticate(packet: ConnectPacket, peer: Peer, done: (verdict: Verdict) => void): void
  /** null: the method is not known. */
  beginExchange(method: string, claimant: Claimant): Exchange | null
}

export const anonymousAuthority: Authority = {
  authenticate: (_packet, _peer, done) => done({ reasonCode: 0 }),
  beginExchange: () => null,
}
