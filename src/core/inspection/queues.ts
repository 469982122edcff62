/** The queues for the API and the program (`ports/queues.ts`): views as copies, and what may be done with them beside MQTT. */

import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { isOvertaken, judge, messageById } from '../logs/client-verdict.ts'
import type { Lane } from '../logs/lane.ts'
import type { Queue } from '../logs/queue.ts'
import { type Past, type QueuedMessage, recoveredPast } from '../logs/queued-message.ts'
import { purgeQueue, redriveQueue } from '../logs/sweep.ts'
import { fail } from '../logs/verdict.ts'
import type { Lazy } from '../ports/inspection.ts'
import type {
  AddedMessage,
  AddOutcome,
  Begun,
  DeadLetterView,
  PeekedMessages,
  QueueConsumerView,
  QueuedMessageView,
  QueueName,
  QueueState,
  Queues,
  Settlement,
  SettlementOutcome,
} from '../ports/queues.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import { messageOf } from '../session/queue-pages.ts'
import { viewMessage } from './inspection.ts'

/** What a program gets at once: a message begun below it comes whole. One answer holds them all. */
const receivedBytesMax = 4 * 1024 * 1024

export class BrokerQueues implements Queues {
  readonly #broker: Broker

  constructor(broker: Broker) {
    this.#broker = broker
  }

  *list(): Lazy<QueueState> {
    for (const { queues } of this.#broker.namespaces.values()) {
      yield null
      for (const queue of queues.values()) yield viewState(queue)
    }
  }

  state(name: QueueName): QueueState | null {
    const queue = this.#find(name)
    return queue === undefined ? null : viewState(queue)
  }

  consumers(name: QueueName): readonly QueueConsumerView[] {
    return [...(this.#find(name)?.consumers ?? [])].map((consumer) => ({
      clientId: consumer.session.clientId,
      connected: consumer.session.client !== null,
      prefetch: Math.min(consumer.leasesMax, consumer.session.client?.inflightMax ?? Infinity),
      leased: consumer.leases.size,
      paused: consumer.isPaused,
    }))
  }

  peek(name: QueueName, from: string, max: number, use: (found: PeekedMessages) => void): Begun {
    const queue = this.#find(name)
    const place = /^(?:([0-9]):([0-9]{1,16}))?$/.exec(from)
    if (queue === undefined || place === null) return 'unknown'
    const [, priority = '9', position = '0'] = place
    const begun = peekFrom(this.#broker, queue, { priority: Number(priority), position: Number(position), max }, use)
    return begun ? 'begun' : 'busy'
  }

  purge(name: QueueName, filter: string | null, done: (purged: number) => void): Begun {
    const queue = this.#find(name)
    if (queue === undefined) return 'unknown'
    return purgeQueue(this.#broker, queue, filter, done) ? 'begun' : 'busy'
  }

  redrive(name: QueueName, max: number, filter: string | null, done: (redriven: number) => void): Begun {
    const queue = this.#find(name)
    if (queue === undefined) return 'unknown'
    return redriveQueue(this.#broker, queue, { max, filter }, done) ? 'begun' : 'busy'
  }

  receive(name: QueueName, max: number, leaseMs: number): readonly QueuedMessageView[] | null {
    const queue = this.#find(name)
    if (queue === undefined) return null
    const { deadlines, now } = this.#broker
    const received: QueuedMessageView[] = []
    for (let bytes = 0; received.length < max && bytes < receivedBytesMax; ) {
      const queued = queue.dispatch.take()
      if (queued === null) break
      bytes += queued.bytes
      const { lease } = queued
      lease!.deadline = new Deadline(() => {
        queue.totals.timedOut++
        fail(this.#broker, queued, 'no verdict in time')
        queue.pump()
      })
      deadlines.set(lease!.deadline, now + leaseMs)
      received.push({ ...viewQueued(queued), delivery: lease!.id })
    }
    return received
  }

  whenReady(name: QueueName, notify: () => void): () => void {
    const queue = this.#find(name)
    if (queue === undefined) return () => {}
    const cancel = queue.dispatch.watch(notify)
    queue.pump()
    return cancel
  }

  settle(name: QueueName, settlements: readonly Settlement[]): readonly SettlementOutcome[] {
    const queue = this.#find(name)
    if (queue === undefined) return settlements.map(() => 'unknown')
    return settlements.map(({ delivery, verdict, delayMs, reason = '' }) => {
      const queued = messageById(queue, delivery)
      if (queued === null || queued === 'settled' || isOvertaken(queued, delivery, verdict)) return 'unknown'
      return judge(this.#broker, queued, verdict, { delayMs, reason }) ? 'done' : 'unknown'
    })
  }

  add(name: QueueName, { topic, payload, properties, expiresAt, publisher }: AddedMessage): AddOutcome {
    const queue = this.#find(name)
    if (queue === undefined || !queue.declared) return 'unknown-queue'
    const own = topic === '' ? queue.name : topic
    const common = { id: 0, references: 0, holders: 0, qos: 1, publishedAt: this.#broker.now } as const
    const message = { ...common, name: own, topic: encodeUtf8(own), payload, forwardProperties: properties }
    if (queue.seen !== null && queue.seen.findingOf(properties) !== '') return 'malformed-id'
    this.#broker.cameBefore = false
    if (!queue.add(this.#broker, { ...message, expiresAt, publisher })) return 'full'
    return this.#broker.cameBefore ? 'duplicate' : 'added'
  }

  #find({ namespace, name }: QueueName): Queue | undefined {
    return this.#broker.namespaces.get(namespace)?.queues.get(name)
  }
}

function viewState(queue: Queue): QueueState {
  const { name, namespace, definition, declared, count, leased, waiting, bytes, consumers, totals } = queue
  return {
    namespace: namespace.name,
    name,
    filter: definition.filter,
    declared,
    ready: count - leased - waiting,
    leased,
    waiting,
    bytes,
    oldestAt: oldestOf(queue),
    consumers: consumers.size,
    totals: { ...totals },
  }
}

/** Null where something older may be in the store only. */
function oldestOf({ lanes }: Queue): number | null {
  let oldest = Infinity
  for (const lane of lanes) {
    if (lane === null || lane.count === 0) continue
    const first = lane.messages.values().next()
    if (first.done === true) return null
    const { past, message } = first.value
    oldest = Math.min(oldest, past === null ? message.publishedAt : past.at)
  }
  return oldest === Infinity ? null : oldest
}

const stageNames = { ready: 'ready', parked: 'ready', leased: 'leased', waiting: 'waiting', gone: 'ready' } as const

function viewQueued({ lane, id, stage, failed, dueAt, past, message }: QueuedMessage): QueuedMessageView {
  return {
    delivery: id,
    state: stageNames[stage],
    priority: lane.priority,
    attempt: failed + 1,
    dueAt: stage === 'waiting' ? dueAt : null,
    deadLetter: viewPast(past),
    message: viewMessage(lane.queue.namespace.name, message),
  }
}

function viewPast(past: Past | null): DeadLetterView | null {
  if (past === null || past.queue === '') return null
  const { queue, reason, attempts, text } = past
  return { queue, reason, attempts, text }
}

/** From the highest priority down. False: a page of the store is being read already, for somebody else. */
function peekFrom(
  broker: Broker,
  queue: Queue,
  place: { priority: number; position: number; max: number },
  use: (found: PeekedMessages) => void,
): boolean {
  const messages: QueuedMessageView[] = []
  const { max } = place
  let from = place.position
  for (let { priority } = place; priority >= 0; priority--, from = 0) {
    const lane = queue.lanes[priority]
    if (lane == null) continue
    for (const queued of lane.messages.values()) {
      if (queued.position < from) continue
      if (messages.length === max) {
        use({ messages, next: `${priority}:${queued.position}` })
        return true
      }
      messages.push(viewQueued(queued))
    }
    if (!lane.hasMoreStored) continue
    const start = Math.max(from, lane.residentEnd)
    if (messages.length === max) {
      use({ messages, next: `${priority}:${start}` })
      return true
    }
    if (start >= lane.nextPosition) continue
    return lane.requestPage(broker, start, (page) => use(withPage(lane, messages, page, max)))
  }
  use({ messages, next: null })
  return true
}

function withPage(lane: Lane, before: readonly QueuedMessageView[], page: RecoveredPage, max: number): PeekedMessages {
  const taken = page.entries.slice(0, max - before.length)
  const stored = taken.map(({ reference, message: own }): QueuedMessageView => {
    const message = messageOf(own)
    const { position, sharedFilter } = reference
    const attempt = lane.attempts.get(position)
    return {
      delivery: lane.idOf(position, message),
      state: 'ready',
      priority: lane.priority,
      attempt: (attempt?.failed ?? 0) + 1,
      dueAt: null,
      deadLetter: viewPast(recoveredPast(sharedFilter)),
      message: viewMessage(lane.queue.namespace.name, message),
    }
  })
  const last = taken.at(-1)
  const goesOn = page.more || page.entries.length > taken.length
  // What follows in this lane, or what has a lower priority.
  const here = goesOn && last !== undefined ? `${lane.priority}:${last.reference.position + 1}` : null
  const below = lane.priority > 0 ? `${lane.priority - 1}:0` : null
  return { messages: [...before, ...stored], next: here ?? below }
}
