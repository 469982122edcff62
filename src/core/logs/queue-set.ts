/** The queues of all namespaces: as they are declared, and as the store knows them. */
import { parseTopicFilter } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import { defaultNamespaceName, type Namespace } from '../namespace.ts'
import type { RecoveredLog, SeenOf } from '../ports/recovered.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import { queuePrefix } from './address.ts'
import { endConsumer } from './consume.ts'
import {
  type DeclaredQueue,
  deadLetterNameOf,
  defaultDeadLetterDefinition,
  noDedupe,
  type QueueDefinition,
} from './definition.ts'
import { Lane } from './lane.ts'
import { Queue } from './queue.ts'
import { SeenMessages } from './seen.ts'

/** These queues there are from here on, with those of their dead letters. What the others have waits until they are declared again. */
export function declareQueues(broker: Broker, declared: readonly DeclaredQueue[]): void {
  const wanted = withDeadLetters(declared)
  for (const { queues } of broker.namespaces.values()) {
    for (const queue of queues.values()) if (!wanted.get(queue.namespace.name)?.has(queue.name)) withdraw(broker, queue)
  }
  for (const [namespace, definitions] of wanted) {
    for (const [name, definition] of definitions) declare(broker, broker.namespace(namespace), name, definition)
  }
}

/** By namespace and name. */
function withDeadLetters(declared: readonly DeclaredQueue[]): Map<string, Map<string, QueueDefinition>> {
  const wanted = new Map<string, Map<string, QueueDefinition>>()
  for (const { namespace, name, definition } of declared) {
    let definitions = wanted.get(namespace)
    if (definitions === undefined) {
      definitions = new Map()
      wanted.set(namespace, definitions)
    }
    definitions.set(name, definition)
  }
  for (const { namespace, name, definition } of declared) {
    const dead = deadLetterNameOf(name, definition)
    const definitions = wanted.get(namespace)!
    if (dead !== null && !definitions.has(dead)) definitions.set(dead, defaultDeadLetterDefinition)
  }
  return wanted
}

function declare(broker: Broker, namespace: Namespace, name: string, definition: QueueDefinition): void {
  let queue = namespace.queues.get(name)
  if (queue === undefined) {
    queue = new Queue(broker, namespace, name, definition)
    namespace.queues.set(name, queue)
  }
  queue.declared = true
  const captures = queue.subscription?.filter ?? null
  queue.define(definition)
  if (captures !== definition.filter) {
    capture(queue, definition.filter)
    if (queue.stored) for (const lane of queue.lanes) if (lane !== null) broker.journal.log(lane)
  }
  queue.pump()
}

function capture(queue: Queue, filter: string | null): void {
  const { namespace, subscription } = queue
  if (subscription !== null) namespace.removeOwn(subscription)
  queue.subscription = null
  const parsed = filter === null ? undefined : parseTopicFilter(filter)
  if (filter === null || parsed === undefined) return
  queue.subscription = new Subscription(queue, filter)
  queue.subscription.qos = 1
  namespace.addOwn(queue.subscription, parsed)
}

/** Nobody declares it any more: nothing comes in, nobody gets anything of it. */
function withdraw(broker: Broker, queue: Queue): void {
  if (!queue.declared) return
  queue.declared = false
  capture(queue, null)
  for (const consumer of [...queue.consumers]) {
    const { session, filter } = consumer
    endConsumer(broker, consumer)
    session.subscriptions.delete(filter)
    if (session.stored) broker.journal.unsubscription(session, filter)
    broker.counters.subscriptionsRevoked++
  }
}

/** A log in the store. */
export function recoverLog(broker: Broker, { number, namespace: storedName, name, priority }: RecoveredLog): void {
  const namespace = broker.namespace(storedName || defaultNamespaceName)
  let queue = namespace.queues.get(name)
  if (queue === undefined) {
    queue = new Queue(broker, namespace, name, { ...defaultDeadLetterDefinition, messageTtlMs: 0, overflow: 'reject' })
    queue.declared = false
    namespace.queues.set(name, queue)
  }
  queue.addLane(broker, new Lane(queue, priority, number))
}

/**
 * Who keeps what a queue had seen; null: there is no such queue. One that is not declared has it kept for it in the store; one that does not
 * ask any more gets something to forget it with, in `unasked`.
 */
export function recoveredSeen(
  broker: Broker,
  of: SeenOf,
  unasked: Map<Queue, SeenMessages>,
): Pick<SeenMessages, 'recoverId' | 'recoverSequence'> | null {
  const namespace = broker.namespaces.get(of.namespace || defaultNamespaceName)
  const queue = namespace?.queues.get(of.log.slice(queuePrefix.length))
  if (queue === undefined || !queue.declared) return null
  if (queue.seen !== null) return queue.seen
  const forgets = unasked.get(queue) ?? new SeenMessages(broker, of, noDedupe, queue.totals)
  unasked.set(queue, forgets)
  return forgets
}
