/**
 * Delivers a message as `publish.ts` does, and looks at each recipient before and after: what a session's queue, window and counters
 * say then is what became of the message. Whoever changes the walk there changes it here.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import { Queue } from '../logs/queue.ts'
import { Stream } from '../logs/stream.ts'
import type { RecipientView } from '../ports/explanation.ts'
import { Export } from '../publish/export.ts'
import type { Publication } from '../publish/publication.ts'
import { Session } from '../session/session.ts'
import { Shaper } from '../shaping/shaper.ts'
import type { Destination } from '../subscriptions/destination.ts'
import { InProcessSubscriber } from '../subscriptions/in-process.ts'
import { chooseMember } from '../subscriptions/shared-group.ts'
import { type Route, type Subscription, withoutNoLocal } from '../subscriptions/subscription-index.ts'
import { type ExplainedMessage, ExplainedRecipient, recipientsListedMax } from './explained-message.ts'
import type { Explainer } from './explainer.ts'

interface Routed {
  publication: Publication
  route: Route
  explained: ExplainedMessage
}

export function acceptAndJudge(broker: Broker, explainer: Explainer, routed: Routed): void {
  const { publication, route, explained } = routed
  const { recipients, groups } = route
  explained.route = { subscriptions: recipients.length, groups: groups.length }
  for (const recipient of recipients) {
    const isOwn = recipient.noLocal && recipient.destination === publication.publisher
    const taken = isOwn ? withoutNoLocal(recipient) : recipient
    if (taken === null) list(explained, { ...viewOf(recipient), state: 'not_sent', because: 'no_local' })
    else judge(broker, explainer, routed, taken)
  }
  for (const group of groups) {
    const member = chooseMember(group, publication)
    if (member !== null) {
      judge(broker, explainer, routed, member)
      continue
    }
    const { name, filter } = group
    const none = { kind: 'group', name, filter, group: name, qos: 0, rule: '', afterMs: 0 } as const
    list(explained, { ...none, state: 'not_sent', because: 'no_member' })
  }
}

/** One recipient takes the message. */
function judge(broker: Broker, explainer: Explainer, { publication, explained }: Routed, taken: Subscription): void {
  const { destination } = taken
  explainer.lastDrop = ''
  if (destination instanceof Shaper) {
    list(explained, { ...viewOf(taken), ...judgeShaped(broker, explainer, publication, destination) })
    return
  }
  if (!(destination instanceof Session)) {
    destination.accept(broker, publication, taken)
    list(explained, { ...viewOf(taken), state: 'passed_on', because: '' })
    return
  }
  const { queue, namespace } = destination
  const qos: Qos = publication.qos < taken.qos ? publication.qos : taken.qos
  const { nextPosition } = queue
  const sentAtQos0 = namespace.traffic.messagesSent[0]!
  destination.accept(broker, publication, taken)
  const view = { ...viewOf(taken), qos }
  if (queue.nextPosition > nextPosition) {
    const position = queue.nextPosition - 1
    const recipient = list(explained, { ...view, ...stateAt(broker, destination, position, explainer.lastDrop) })
    const isOpen = recipient !== null && recipient.view.state !== 'dropped'
    if (isOpen) explainer.await(destination, position, recipient)
    return
  }
  if (explainer.lastDrop !== '') {
    const isDenied = explainer.lastDrop === 'not_authorized'
    const rule = isDenied ? receiveRule(destination, publication, taken, qos) : ''
    list(explained, { ...view, state: 'dropped', because: explainer.lastDrop, rule })
  } else if (qos === 0 && namespace.traffic.messagesSent[0]! > sentAtQos0) {
    list(explained, { ...view, state: 'sent', because: '' })
  } else list(explained, { ...view, state: 'not_sent', because: 'not_connected' })
}

/** Of a shaped subscription: what it leaves out was asked for, what it keeps comes later. */
function judgeShaped(
  broker: Broker,
  explainer: Explainer,
  publication: Publication,
  shaper: Shaper,
): Pick<RecipientView, 'state' | 'because'> {
  const { session, subscription } = shaper
  const { messagesSent } = session.namespace.traffic
  const sentBefore = messagesSent[0]! + messagesSent[1]! + messagesSent[2]!
  const { nextPosition } = session.queue
  shaper.accept(broker, publication, subscription)
  if (session.queue.nextPosition > nextPosition) return stateAt(broker, session, nextPosition, explainer.lastDrop)
  if (explainer.lastDrop !== '') return { state: 'dropped', because: explainer.lastDrop }
  if (messagesSent[0]! + messagesSent[1]! + messagesSent[2]! > sentBefore) return { state: 'sent', because: '' }
  return { state: shaper.keeps(publication.topicName) ? 'queued' : 'not_sent', because: 'shaped' }
}

function stateAt(
  broker: Broker,
  session: Session,
  position: number,
  lastDrop: string,
): Pick<RecipientView, 'state' | 'because'> {
  const { queue, link, client, window } = session
  const isResident = position < queue.residentEnd
  const delivery = isResident ? queue.at(position) : null
  // A full queue drops an older one: that one's place is another.
  if (isResident && delivery === null && lastDrop !== '') return { state: 'dropped', because: lastDrop }
  if (position < queue.sendPosition) return { state: 'sent', because: '' }
  if (link === null || client === null) return { state: 'queued', because: 'not_connected' }
  if (!window.open(client.inflightMax)) return { state: 'queued', because: 'window_full' }
  if (link.full) return { state: 'queued', because: 'slow_consumer' }
  if (delivery !== null && delivery.qos === 2 && session.stored && delivery.ticket > broker.journal.committed)
    return { state: 'queued', because: 'commit' }
  return { state: 'queued', because: 'behind_others' }
}

/** Null: there are others enough. */
function list(explained: ExplainedMessage, view: RecipientView): ExplainedRecipient | null {
  const { recipients, others, followers } = explained
  const isAskedFor = followers.some(({ asked }) => asked.recipient === view.name)
  if (recipients.length >= recipientsListedMax && !isAskedFor) {
    others[view.state] = (others[view.state] ?? 0) + 1
    return null
  }
  view.afterMs = explained.elapsedMs
  const recipient = new ExplainedRecipient(explained, view)
  recipients.push(recipient)
  return recipient
}

function viewOf({ destination, filter, group, qos, merged }: Subscription): RecipientView {
  const filters = merged === null ? filter : merged.map((one) => one.filter).join(' ')
  const { name } = destination
  const ofGroup = group === null ? '' : group.name
  const view = { kind: kindOf(destination), name, filter: filters, group: ofGroup, qos }
  return { ...view, state: 'not_sent', because: '', rule: '', afterMs: 0 }
}

function kindOf(destination: Destination): RecipientView['kind'] {
  if (destination instanceof Session || destination instanceof Shaper) return 'client'
  if (destination instanceof Export) return 'namespace'
  if (destination instanceof Queue) return 'queue'
  if (destination instanceof Stream) return 'stream'
  return destination instanceof InProcessSubscriber ? 'program' : 'other'
}

function receiveRule(session: Session, publication: Publication, taken: Subscription, qos: Qos): string {
  const grant = session.client?.grant ?? null
  const retain = publication.retain && taken.retainAsPublished
  const topic = publication.topicName
  return grant?.because?.({ action: 'receive', topic, qos, retain }) ?? 'rules of the program'
}
