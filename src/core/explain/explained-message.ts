/** One message whose way is followed, and each recipient of it: what is known so far, and the view of it for one follower. */
import type { PublishFrame } from '../../mqtt/packet.ts'
import { ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import type { Deadline } from '../deadlines.ts'
import type { Explanation, PublisherView, RecipientState, RecipientView } from '../ports/explanation.ts'
import type { Publication } from '../publish/publication.ts'
import type { PublishOutcome } from '../publish/publish.ts'
import type { IncomingPublish } from '../publish/receive.ts'
import type { TopicEntry } from '../publish/route-cache.ts'
import type { Follower } from './explainer.ts'

/** Of each message; how many others there are is told by state. */
export const recipientsListedMax = 100

export class ExplainedRecipient {
  readonly of: ExplainedMessage
  readonly view: RecipientView
  /** It goes on: acknowledged, or sent later. */
  awaitedAt: { session: number; position: number } | null = null

  constructor(of: ExplainedMessage, view: RecipientView) {
    this.of = of
    this.view = view
  }

  become(state: RecipientState, because: string): void {
    this.view.state = state
    this.view.because = because
    this.view.afterMs = this.of.elapsedMs
  }
}

export class ExplainedMessage {
  readonly followers: readonly Follower[]
  readonly recipients: ExplainedRecipient[] = []
  readonly others: Record<string, number> = {}
  isRouted = false
  outcome: PublishOutcome | null = null
  /** The turn whose commit the acknowledgement waits for; 0: none. */
  ticket = 0
  deadline: Deadline | null = null
  route = { subscriptions: 0, groups: 0 }
  readonly #broker: Broker
  readonly #at: number
  #committedAfterMs = -1
  #entry!: TopicEntry
  #publisher: PublisherView | null = null
  #packet: Pick<Explanation, 'qos' | 'retain' | 'payloadBytes'> = { qos: 0, retain: false, payloadBytes: 0 }
  #refusal: number = ReasonCode.success
  #rule = ''

  constructor(broker: Broker, followers: readonly Follower[]) {
    this.#broker = broker
    this.followers = followers
    this.#at = broker.now
  }

  get waitMs(): number {
    return Math.max(...this.followers.map(({ asked }) => asked.waitMs))
  }

  get elapsedMs(): number {
    return this.#broker.now - this.#at
  }

  ofClient({ client, entry, refusal }: IncomingPublish, { qos, retain, end, payloadStart }: PublishFrame): void {
    this.#entry = entry!
    this.#packet = { qos, retain, payloadBytes: end - payloadStart }
    this.#publisher = viewPublisher(client!)
    this.#refusal = refusal
    this.#rule = publishRule(client!, entry!, this.#packet)
  }

  /** A hook may have refused it. */
  judged(refusal: number): void {
    this.#refusal = refusal
  }

  ofServer({ entry, qos, retain, payloadLength }: Publication): void {
    this.#entry = entry!
    this.#packet = { qos, retain, payloadBytes: payloadLength }
    this.#rule = 'the gateway publishes it'
  }

  noteCommit(): void {
    if (this.#committedAfterMs < 0 && this.#isCommitted) this.#committedAfterMs = this.elapsedMs
  }

  get #isCommitted(): boolean {
    return this.ticket > 0 && this.ticket <= this.#broker.journal.committed
  }

  /** Nothing more is to be expected soon: what waits for a client that is away may wait for ever. */
  get settled(): boolean {
    if (this.ticket > 0 && !this.#isCommitted) return false
    return this.recipients.every(
      ({ awaitedAt, view }) => awaitedAt === null || (view.state === 'queued' && view.because === 'not_connected'),
    )
  }

  view({ asked: { recipient }, missed }: Follower): Explanation {
    const { commit, commitAfterMs } = this.#commit
    return {
      at: this.#at,
      namespace: this.#entry.namespace.name,
      topic: this.#entry.topic,
      ...this.#packet,
      publisher: this.#publisher,
      ...this.#result,
      rule: this.#rule,
      route: this.route,
      acknowledgement: this.#publisher === null ? '' : (['', 'PUBACK', 'PUBREC'] as const)[this.#packet.qos],
      commit,
      commitAfterMs,
      recipients: recipient === undefined ? this.recipients.map(({ view }) => view) : this.#ofOne(recipient),
      others: recipient === undefined ? this.others : {},
      missed,
    }
  }

  get #commit(): Pick<Explanation, 'commit' | 'commitAfterMs'> {
    if (this.ticket === 0) return { commit: 'none', commitAfterMs: 0 }
    return this.#committedAfterMs < 0
      ? { commit: 'waiting', commitAfterMs: this.elapsedMs }
      : { commit: 'committed', commitAfterMs: this.#committedAfterMs }
  }

  get #result(): Pick<Explanation, 'outcome' | 'reason'> {
    if (this.#refusal !== ReasonCode.success) return { outcome: 'refused', reason: reasonName(this.#refusal) }
    const { outcome } = this
    if (outcome === null) return { outcome: 'duplicate', reason: reasonName(ReasonCode.success) }
    if (outcome === 'quota-exceeded') return { outcome: 'refused', reason: reasonName(ReasonCode.quotaExceeded) }
    if (outcome === 'malformed-address') return { outcome: 'refused', reason: reasonName(ReasonCode.topicNameInvalid) }
    if (outcome === 'malformed-id')
      return { outcome: 'refused', reason: reasonName(ReasonCode.implementationSpecificError) }
    const code = outcome !== 'no-subscribers' ? ReasonCode.success : ReasonCode.noMatchingSubscribers
    return { outcome, reason: reasonName(code) }
  }

  /** What became of it for one client, who may be no recipient at all: then why not. */
  #ofOne(clientId: string): RecipientView[] {
    const own = this.recipients.filter(({ view: { kind, name } }) => kind === 'client' && name === clientId)
    if (own.length > 0) return own.map(({ view }) => view)
    const session = this.#entry.namespace.sessions.get(clientId)
    const none = { kind: 'client', name: clientId, filter: '', group: '', qos: 0, rule: '', afterMs: 0 } as const
    if (session === undefined) return [{ ...none, state: 'not_sent', because: 'no_session' }]
    if (!this.isRouted) return [{ ...none, state: 'not_sent', because: 'not_routed' }]
    return [{ ...none, state: 'not_sent', because: 'not_subscribed' }]
  }
}

function viewPublisher({ clientId, principal, peer, session, version }: Client): PublisherView {
  const { address, listener } = peer
  return { clientId, username: session?.username ?? '', principal, address, listener, protocolVersion: version }
}

/** Rules are asked about what stands behind an address. */
function topicToAsk({ topic, address }: TopicEntry): string {
  return address?.kind === 'delayed' ? address.topic : topic
}

function publishRule(client: Client, entry: TopicEntry, { qos, retain }: Pick<Explanation, 'qos' | 'retain'>): string {
  if (entry.readOnly) return 'topics like this are the gateway’s own, or what another namespace exports: read only'
  const { grant } = client
  if (grant === null) return 'no rules: everything is allowed'
  return grant.because?.({ action: 'publish', topic: topicToAsk(entry), qos, retain }) ?? 'rules of the program'
}
