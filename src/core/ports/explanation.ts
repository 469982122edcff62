/** What became of one message, as others may see it: its way from the publisher to each recipient. */
import type { Qos } from '../../mqtt/packet.ts'

/**
 * `sent`: on its way, at QoS 1 and 2 not yet acknowledged. `passed_on`: to a program in the gateway's process, or another
 * namespace. `not_sent`: nothing was lost, by the specification he does not get it. `dropped`: counted as such.
 */
export type RecipientState = 'sent' | 'acknowledged' | 'refused' | 'queued' | 'dropped' | 'not_sent' | 'passed_on'

export interface RecipientView {
  readonly kind: 'client' | 'program' | 'namespace' | 'group' | 'queue' | 'stream' | 'other'
  /** Client id, or what stands for it. */
  readonly name: string
  /** As subscribed, without $share; empty: none that matches. */
  readonly filter: string
  /** Of a shared subscription; empty: it is none. */
  readonly group: string
  readonly qos: Qos
  state: RecipientState
  /** Why it is not sent, not yet or not at all: a drop's reason, or what it waits for; empty: nothing is to be said. */
  because: string
  /** Which rule denies it; empty: none does. */
  rule: string
  /** Milliseconds from PUBLISH to that state. */
  afterMs: number
}

export interface PublisherView {
  readonly clientId: string
  readonly username: string
  readonly principal: string
  readonly address: string
  readonly listener: string
  /** 3: MQTT 3.1, 4: 3.1.1, 5: 5.0. */
  readonly protocolVersion: number
}

export interface Explanation {
  /** In the broker's time. */
  readonly at: number
  readonly namespace: string
  readonly topic: string
  readonly qos: Qos
  readonly retain: boolean
  readonly payloadBytes: number
  /** Null: the gateway itself, its program, a will, or what another namespace exports. */
  readonly publisher: PublisherView | null
  /** `duplicate`: a QoS 2 message that was sent again; the first was delivered. */
  readonly outcome: 'delivered' | 'no-subscribers' | 'refused' | 'duplicate'
  /** The reason code's name. */
  readonly reason: string
  /** Which rule lets it be published, or does not. */
  readonly rule: string
  /** How many subscriptions and share groups match. */
  readonly route: { readonly subscriptions: number; readonly groups: number }
  /** What the publisher is answered with; empty: nothing, or it is none. */
  readonly acknowledgement: '' | 'PUBACK' | 'PUBREC'
  /** What the acknowledgement waits for: `none`, or records that are `waiting` to be, or `committed`. */
  readonly commit: 'none' | 'waiting' | 'committed'
  readonly commitAfterMs: number
  readonly recipients: readonly RecipientView[]
  /** Recipients that are not listed, by state as it was when it was routed. */
  readonly others: Readonly<Record<string, number>>
  /** Messages that fitted too and were not explained, since the last that was: there were too many. */
  readonly missed: number
}

export interface Followed {
  namespace: string
  /** Topic filter. */
  filter: string
  /** Of the publisher. */
  clientId?: string | undefined
  /** Only what becomes of it for this client, also where it is no recipient. */
  recipient?: string | undefined
  /** How long an acknowledgement is waited for. */
  waitMs: number
  /** So many and no more. */
  messagesMax?: number | undefined
}

/** What somebody follows. */
export interface Following {
  /** Messages that he is told of, or will be when they are settled. */
  readonly begun: number
  end(): void
}
