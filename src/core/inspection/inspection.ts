/** The broker's state as views of it (`ports/inspection.ts`): what the API and the tools on top of it may see. */
import type { Broker } from '../broker.ts'
import type {
  ClientView,
  DelayedAsked,
  DelayedPart,
  DelayedView,
  DropView,
  Inspection,
  Lazy,
  MessageView,
  Owner,
  QueueView,
  RouteView,
  SessionView,
  SubscriptionView,
  TopicView,
} from '../ports/inspection.ts'
import type { Message } from '../publish/message.ts'
import type { Session } from '../session/session.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { findDelayed, viewDelayed } from './delayed-view.ts'
import { viewQueue } from './queue-view.ts'

export class BrokerInspection implements Inspection {
  readonly #broker: Broker

  constructor(broker: Broker) {
    this.#broker = broker
  }

  *clients(): Lazy<ClientView> {
    for (const session of this.#allSessions()) yield viewClient(session)
  }

  *sessions(): Lazy<SessionView> {
    for (const session of this.#allSessions()) yield viewSession(session)
  }

  *subscriptions(): Lazy<SubscriptionView> {
    for (const session of this.#allSessions()) {
      yield null
      yield* subscriptionsOf(session)
    }
  }

  client(owner: Owner): ClientView | null {
    const session = this.#find(owner)
    return session === undefined ? null : viewClient(session)
  }

  session(owner: Owner): SessionView | null {
    const session = this.#find(owner)
    return session === undefined ? null : viewSession(session)
  }

  *subscriptionsOf(owner: Owner): Lazy<SubscriptionView> {
    const session = this.#find(owner)
    if (session !== undefined) yield* subscriptionsOf(session)
  }

  queue(owner: Owner, fromPosition: number, entriesMax: number, use: (part: QueueView) => void): boolean {
    const session = this.#find(owner)
    return session !== undefined && viewQueue(this.#broker, session, { fromPosition, entriesMax }, use)
  }

  delayed(asked: DelayedAsked, use: (part: DelayedPart) => void): void {
    viewDelayed(this.#broker, asked, use)
  }

  delayedMessage(id: string, use: (found: DelayedView | null) => void): void {
    findDelayed(this.#broker, id, use)
  }

  hasNamespace(name: string): boolean {
    return this.#broker.namespaces.has(name)
  }

  *retained(namespace: string, filter: string): Lazy<MessageView> {
    const { cost, namespaces } = this.#broker
    const scan = namespaces.get(namespace)?.retained.match(filter)
    while (scan?.done === false) {
      const message = scan.next(cost.steps + stepsAtOnce)
      yield message === null ? null : viewMessage(namespace, message)
    }
  }

  retainedMessage(namespace: string, topic: string): MessageView | null {
    const message = this.#broker.namespaces.get(namespace)?.retained.get(topic) ?? null
    return message === null ? null : viewMessage(namespace, message)
  }

  *drops(): Lazy<DropView> {
    for (const line of this.#broker.dropLedger.lines) yield line
  }

  get dropLinesLost(): number {
    return this.#broker.dropLedger.linesLost
  }

  *topics(): Lazy<TopicView> {
    for (const { namespace, topic, route } of this.#broker.topics.entries()) {
      if (route === null) yield null
      else yield { namespace: namespace.name, topic, recipients: route.recipients.length, groups: route.groups.length }
    }
  }

  route(namespace: string, topic: string, max: number): RouteView {
    const { recipients, groups } = this.#broker.namespaces.get(namespace)?.index.match(topic) ?? nobody
    return {
      recipientCount: recipients.length,
      groupCount: groups.length,
      recipients: recipients.slice(0, max).map(({ destination, filter, qos }) => {
        return { name: destination.name, filter, qos, online: destination.online }
      }),
      groups: groups.slice(0, max).map(({ name, filter, strategy, members }) => {
        return { name, filter, strategy, members: members.slice(0, max).map(({ destination }) => destination.name) }
      }),
    }
  }

  #find({ namespace, clientId }: Owner): Session | undefined {
    return this.#broker.namespaces.get(namespace)?.sessions.get(clientId)
  }

  *#allSessions(): Iterable<Session> {
    for (const { sessions } of this.#broker.namespaces.values()) yield* sessions.values()
  }
}

/** Nodes of the trie that are visited before a search says that it found nothing yet. */
const stepsAtOnce = 100

const nobody = { recipients: [], groups: [] }

function viewClient(session: Session): ClientView | null {
  const { client, username, principal, namespace } = session
  if (client === null) return null
  const { peer, keepAlive } = client
  return {
    namespace: namespace.name,
    clientId: session.clientId,
    username,
    principal,
    address: peer.address,
    listener: peer.listener,
    protocolVersion: session.version,
    connectedAt: session.connectedAt,
    keepAliveSeconds: keepAlive,
    sessionExpirySeconds: session.expiryInterval,
    ...waitingOf(session),
  }
}

function viewSession(session: Session): SessionView {
  const { client, username, principal, stored, expiry, namespace } = session
  return {
    namespace: namespace.name,
    clientId: session.clientId,
    connected: client !== null,
    username,
    principal,
    protocolVersion: session.version,
    stored,
    sessionExpirySeconds: session.expiryInterval,
    expiresAt: client !== null || expiry === null || expiry.index < 0 ? Infinity : expiry.at,
    ...waitingOf(session),
  }
}

function waitingOf({ subscriptions, queue, window, dropped }: Session) {
  return {
    subscriptions: subscriptions.size,
    queuedMessages: queue.waiting,
    queuedBytes: queue.bytes,
    inflightMessages: window.inflight,
    droppedMessages: dropped,
  }
}

function* subscriptionsOf({ namespace, clientId, subscriptions }: Session): Lazy<SubscriptionView> {
  const owner = { namespace: namespace.name, clientId }
  for (const subscription of subscriptions.values()) yield viewSubscription(owner, subscription)
}

function viewSubscription(owner: Owner, subscription: Subscription): SubscriptionView {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, identifiers } = subscription
  const group = subscription.group?.name ?? ''
  return { ...owner, filter, group, qos, noLocal, retainAsPublished, retainHandling, identifiers }
}

/** The bytes are shared: nobody changes them. */
export function viewMessage(namespace: string, message: Message): MessageView {
  const { name, payload, qos, forwardProperties, publisher, publishedAt, expiresAt } = message
  return { namespace, topic: name, payload, qos, properties: forwardProperties, publisher, publishedAt, expiresAt }
}
