/**
 * Explains messages as they pass: who published, which rule let it, whom the route ends at, and what becomes of it for each.
 *
 * There is one only while somebody follows (`Broker.explainer`, else null): the hot path asks that once for a message, and for each
 * acknowledgement; whatever is found out is read from the recipients' queues before and after (`judge.ts`), so that delivering
 * itself knows nothing of it.
 *
 *     PUBLISH -> `incoming` begins one -> `deliver` judges each recipient -> acknowledgements, commit -> told when all is settled,
 *     or when `waitMs` have passed
 *
 * Bounded: so many begin in a second, wait for the rest of their story at once, and recipients are listed of each. What
 * fitted and was not explained is counted and told.
 */
import { topicMatchesFilter } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import type { DropReason } from '../counters.ts'
import { Deadline } from '../deadlines.ts'
import type { Explanation, Followed, Following, RecipientState } from '../ports/explanation.ts'
import type { Publication } from '../publish/publication.ts'
import type { PublishOutcome } from '../publish/publish.ts'
import type { IncomingPublish } from '../publish/receive.ts'
import type { Session } from '../session/session.ts'
import type { Route } from '../subscriptions/subscription-index.ts'
import { ExplainedMessage, type ExplainedRecipient } from './explained-message.ts'
import { acceptAndJudge } from './judge.ts'

export const explanationsPerSecondMax = 200
export const explanationsOpenMax = 1000
export const followersMax = 8

export class Follower implements Following {
  readonly #broker: Broker
  readonly asked: Followed
  readonly tell: (explanation: Explanation) => void
  missed = 0
  begun = 0

  constructor(broker: Broker, asked: Followed, tell: (explanation: Explanation) => void) {
    this.#broker = broker
    this.asked = asked
    this.tell = tell
  }

  end(): void {
    this.#broker.explainer?.leave(this)
  }
}

/** Follows messages from here on. Null: too many do already. */
export function follow(broker: Broker, asked: Followed, tell: (explanation: Explanation) => void): Following | null {
  const explainer = broker.explainer ?? new Explainer(broker)
  if (explainer.followers.size >= followersMax) return null
  const follower = new Follower(broker, asked, tell)
  explainer.followers.add(follower)
  broker.explainer = explainer
  broker.dropLedger.explainer = explainer
  return follower
}

export class Explainer {
  readonly followers = new Set<Follower>()
  readonly #broker: Broker
  /** The message that is being routed; null: none, or none that anybody follows. */
  #current: ExplainedMessage | null = null
  /** Of the message being routed: the last drop since the recipient was asked. */
  lastDrop: DropReason | '' = ''
  /** What the next discarded delivery is dropped for. */
  #nextDiscarded: DropReason | '' = ''
  /** By session number and position: whose acknowledgement is waited for. */
  readonly #awaited = new Map<number, Map<number, ExplainedRecipient>>()
  readonly #open = new Set<ExplainedMessage>()
  #second = 0
  #begunThisSecond = 0

  constructor(broker: Broker) {
    this.#broker = broker
  }

  /** A client's PUBLISH, which `accept` judges, routes and answers. */
  incoming(publish: IncomingPublish, accept: () => void): void {
    const { client, entry, frame } = publish
    const made = this.#begin(entry!.namespace.name, entry!.topic, client!.clientId)
    if (made === null) {
      this.#unfollowed(accept)
      return
    }
    made.ofClient(publish, frame!)
    this.#routed(made, () => {
      accept()
      made.judged(publish.refusal)
    })
  }

  /** A message that is routed: of the client whose PUBLISH is being judged, or of the server. */
  routed(publication: Publication, route: () => PublishOutcome): PublishOutcome {
    const current = this.#current
    // A hook may have made another message of the frame.
    const isClients = publication.frame !== null || publication.publisher !== null
    if (current !== null && !current.isRouted && isClients) {
      current.isRouted = true
      return (current.outcome = route())
    }
    // What is exported follows within the same call, and is a message of its own.
    const { entry, publisherName } = publication
    const made = publication.frame === null ? this.#begin(entry!.namespace.name, entry!.topic, publisherName) : null
    if (made === null) return this.#unfollowed(route)
    made.ofServer(publication)
    made.isRouted = true
    let outcome: PublishOutcome = 'quota-exceeded'
    this.#routed(made, () => {
      outcome = made.outcome = route()
    })
    return outcome
  }

  /** False: nobody follows the message being routed, and it is for the caller to deliver it. */
  deliver(publication: Publication, route: Route): boolean {
    const current = this.#current
    if (current === null) return false
    acceptAndJudge(this.#broker, this, { publication, route, explained: current })
    return true
  }

  dropped(reason: DropReason): void {
    this.lastDrop = reason
    this.#nextDiscarded = reason
  }

  /** What waited was sent. */
  sent(session: Session, position: number): void {
    this.#settle(session, position, 'sent', '')
  }

  /** It left the queue: dropped, as `dropped` was told just before, or else for another member of its share group. */
  discarded(session: Session, position: number): void {
    const reason = this.#nextDiscarded
    this.#nextDiscarded = ''
    if (reason === '') this.#settle(session, position, 'passed_on', 'handed_over')
    else this.#settle(session, position, 'dropped', reason)
  }

  acknowledged(session: Session, position: number, refused: boolean): void {
    this.#settle(session, position, refused ? 'refused' : 'acknowledged', '')
  }

  committed(): void {
    for (const explained of [...this.#open]) this.#tellIfSettled(explained)
  }

  /** Its end at this position is to be told of. */
  await(session: Session, position: number, recipient: ExplainedRecipient): void {
    let positions = this.#awaited.get(session.number)
    if (positions === undefined) this.#awaited.set(session.number, (positions = new Map()))
    positions.set(position, recipient)
    recipient.awaitedAt = { session: session.number, position }
  }

  leave(follower: Follower): void {
    this.followers.delete(follower)
    if (this.followers.size > 0) return
    this.#broker.explainer = null
    this.#broker.dropLedger.explainer = null
    for (const explained of this.#open) this.#broker.deadlines.clear(explained.deadline!)
    this.#open.clear()
    this.#awaited.clear()
  }

  #begin(namespace: string, topic: string, publisher: string): ExplainedMessage | null {
    let followers: Follower[] | null = null
    for (const follower of this.followers) {
      const { asked } = follower
      if (asked.namespace !== namespace || !topicMatchesFilter(asked.filter, topic)) continue
      if (asked.clientId !== undefined && asked.clientId !== publisher) continue
      if (asked.messagesMax !== undefined && follower.begun >= asked.messagesMax) continue
      followers ??= []
      followers.push(follower)
    }
    if (followers === null) return null
    const mayBegin = this.#mayBegin()
    for (const follower of followers) {
      if (mayBegin) follower.begun++
      else {
        follower.missed++
        this.#broker.counters.explanationsMissed++
      }
    }
    return mayBegin ? new ExplainedMessage(this.#broker, followers) : null
  }

  #mayBegin(): boolean {
    const second = Math.floor(this.#broker.now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#begunThisSecond = 0
    }
    return this.#open.size < explanationsOpenMax && this.#begunThisSecond++ < explanationsPerSecondMax
  }

  #unfollowed<T>(action: () => T): T {
    const outer = this.#current
    this.#current = null
    try {
      return action()
    } finally {
      this.#current = outer
    }
  }

  #routed(made: ExplainedMessage, action: () => void): void {
    const outer = this.#current
    const { journal } = this.#broker
    const { appended } = journal
    this.#current = made
    try {
      action()
    } finally {
      this.#current = outer
      made.ticket = journal.appended === appended ? 0 : journal.ticket
      this.#keep(made)
    }
  }

  #keep(made: ExplainedMessage): void {
    const { deadlines, now } = this.#broker
    this.#open.add(made)
    made.deadline = new Deadline(() => this.#tell(made))
    deadlines.set(made.deadline, now + made.waitMs)
    this.#tellIfSettled(made)
  }

  #settle(session: Session, position: number, state: RecipientState, why: string): void {
    const recipient = this.#awaited.get(session.number)?.get(position)
    if (recipient === undefined) return
    recipient.become(state, why)
    if (state === 'sent') return
    this.#forget(recipient)
    this.#tellIfSettled(recipient.of)
  }

  #forget(recipient: ExplainedRecipient): void {
    const at = recipient.awaitedAt
    if (at === null) return
    recipient.awaitedAt = null
    const positions = this.#awaited.get(at.session)
    positions?.delete(at.position)
    if (positions?.size === 0) this.#awaited.delete(at.session)
  }

  #tellIfSettled(explained: ExplainedMessage): void {
    if (!this.#open.has(explained)) return
    explained.noteCommit()
    if (explained.settled) this.#tell(explained)
  }

  #tell(explained: ExplainedMessage): void {
    this.#broker.deadlines.clear(explained.deadline!)
    this.#open.delete(explained)
    for (const recipient of explained.recipients) this.#forget(recipient)
    explained.noteCommit()
    for (const follower of explained.followers) {
      if (!this.followers.has(follower)) continue
      follower.tell(explained.view(follower))
      follower.missed = 0
    }
  }
}
