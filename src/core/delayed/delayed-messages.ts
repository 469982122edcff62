/**
 * Delayed messages: published to `$delayed/<n>/<topic>`, stored, and published to the topic when they are due.
 *
 * A due time in seconds from now is reckoned on the gateway's own clock, which never jumps; one that is a date on the clock of the
 * system, and looked at again when that was set. So there are two orders; what is due is taken from both, the earliest first.
 *
 * The removal of a message and all that its delivery stores are records of one turn, so that a crash leaves both or neither. The
 * rights are asked for when it is published, and again when it is due.
 */
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import type { Broker } from '../broker.ts'
import { workStepsMax } from '../cost.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import { type Address, addressOf } from '../logs/address.ts'
import { defaultNamespaceName, type Namespace } from '../namespace.ts'
import type { DelayClock } from '../ports/inspection.ts'
import type { RecoveredDelayedCount, RecoveredDelayedName } from '../ports/recovered.ts'
import { mayPublishWhenDue } from '../publish/may-publish.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import type { Publication } from '../publish/publication.ts'
import { isRefused, type PublishOutcome, publishMessage } from '../publish/publish.ts'
import type { Ahead } from '../subscriptions/destination.ts'
import {
  type DelayedMessage,
  delayedBytes,
  delayedObjectBytes,
  recoveredDelayed,
  scheduleIdOf,
} from './delayed-message.ts'
import { DueOrder } from './due-order.ts'
import { Recurring } from './recurring.ts'

/** How long a message that is due waits for room on the disk before it is tried again. */
const storeFullRetryMs = 5000
/** Numbers given within a millisecond before they run ahead of the clock. */
const idsPerMs = 1024
const scheduleIdCharactersMax = 256

type DelayedAddress = Extract<Address, { kind: 'delayed' }>

/** What has a `schedule-id`, wherever it is. */
interface Named {
  readonly id: number
  readonly scheduleId: string
  readonly clock: DelayClock
  readonly namespace: Namespace
  readonly bytes: number
}

export class DelayedMessages {
  readonly #broker: Broker
  readonly recurring = new Recurring(this)
  readonly orders: Readonly<Record<DelayClock, DueOrder>>
  /** By whose they are and what they are called. */
  readonly #named = new Map<string, Named>()
  readonly #deadline = new Deadline(() => this.#onDue())
  /** That were taken back where they stood, in the store alone: a page that was asked for before may still show them. By number, the ticket. */
  readonly #takenBack = new Map<number, number>()
  #lastId = 0
  /** What is due is being published, over some turns. */
  #firing = false

  constructor(broker: Broker) {
    this.#broker = broker
    const order = (clock: DelayClock): DueOrder =>
      new DueOrder({
        clock,
        journal: broker.journal,
        now: () => broker.now + this.#ahead(clock),
        recovered: ({ entries }) => entries.map((one) => recoveredDelayed(one, this.#namespaceOf(one.namespace))),
        onPage: () => this.look(),
      })
    this.orders = { steady: order('steady'), system: order('system') }
  }

  /** Of a message whose topic is the address. */
  accept(address: DelayedAddress, { entry, message, retain, publisher, now }: Publication): PublishOutcome {
    const { namespace } = entry!
    const broker = this.#broker
    if (!isWellFormed(address, namespace, message)) return 'malformed-address'
    const scheduleId = scheduleIdOf(message)
    const { bytes: topic, topic: name } = broker.topics.lookupName(namespace, address.topic)
    const clock = address.isDate ? 'system' : 'steady'
    const delayed: DelayedMessage = {
      id: this.#nextId(),
      namespace,
      clock,
      dueAt: address.isDate ? address.seconds * 1000 : broker.now + address.seconds * 1000,
      retain,
      principal: publisher?.principal ?? '',
      scheduleId: scheduleId ?? '',
      expiryMs: message.expiresAt - now,
      message: { ...message, topic, name, expiresAt: Infinity },
    }
    const replaced = scheduleId === undefined ? undefined : this.#named.get(keyOf(delayed))
    const bytes = delayedBytes(delayed) - (replaced?.bytes ?? 0)
    if (!broker.inBundle && !this.#admits(namespace, replaced === undefined ? 1 : 0, bytes)) return 'quota-exceeded'
    if (replaced !== undefined) {
      this.#end(replaced)
      namespace.traffic.delayedReplaced++
    }
    this.#begin(delayed)
    return 'delivered'
  }

  /** What `accept` would say, were so many others taken before. Nothing is changed. */
  judge(address: DelayedAddress, namespace: Namespace, message: Message, ahead: Ahead): PublishOutcome {
    if (!isWellFormed(address, namespace, message)) return 'malformed-address'
    this.#broker.topics.lookupName(namespace, address.topic)
    const bytes = ahead.bytes + messageBytes(message) + (ahead.messages + 1) * delayedObjectBytes
    return this.#admits(namespace, ahead.messages + 1, bytes) ? 'delivered' : 'quota-exceeded'
  }

  /** Takes back what the same user gave this name. Returns whether there was something. */
  cancel(scheduleId: string, { entry, message, publisher }: Publication): boolean {
    const { namespace } = entry!
    const key = keyOf({ namespace, scheduleId, principal: publisher?.principal ?? '', message })
    const named = this.#named.get(key)
    if (named === undefined) return false
    this.#named.delete(key)
    this.#end(named)
    namespace.traffic.delayedCancelled++
    this.look()
    return true
  }

  /** Takes back any one, as it was seen. Returns whether it was still there. */
  remove(delayed: DelayedMessage): boolean {
    const order = this.orders[delayed.clock]
    if (order.get(delayed.id) === undefined && (order.covers(delayed) || this.#takenBack.has(delayed.id))) return false
    const key = delayed.scheduleId === '' ? undefined : keyOf(delayed)
    if (key !== undefined && this.#named.get(key)?.id !== delayed.id) return false
    if (key !== undefined) this.#named.delete(key)
    this.#noteTakenBack(delayed.id)
    this.#end({ ...delayed, bytes: delayedBytes(delayed) })
    delayed.namespace.traffic.delayedCancelled++
    if (this.recurring.isOne(delayed)) this.recurring.onCancelled(delayed)
    this.look()
    return true
  }

  #noteTakenBack(id: number): void {
    const { journal } = this.#broker
    for (const [earlier, ticket] of this.#takenBack) if (ticket <= journal.committed) this.#takenBack.delete(earlier)
    this.#takenBack.set(id, journal.ticket)
  }

  /** Without asking whether there is room. */
  put(delayed: Omit<DelayedMessage, 'id'>): void {
    this.#begin({ ...delayed, id: this.#nextId() })
  }

  /** Of one owner. */
  namedOf({
    principal,
    publisher,
  }: {
    principal: string
    publisher: string
  }): Pick<Named, 'namespace' | 'scheduleId'>[] {
    const all = [...this.#named]
    return all.flatMap(([key, { namespace, scheduleId }]) => {
      const isOwn = key === keyOf({ namespace, scheduleId, principal, message: { publisher } })
      return isOwn ? [{ namespace, scheduleId }] : []
    })
  }

  endNamed(owned: Owned): void {
    const key = keyOf(owned)
    const named = this.#named.get(key)
    if (named === undefined) return
    this.#named.delete(key)
    this.#end(named)
  }

  /** The clock of the system was looked at. */
  onClock(): void {
    this.recurring.onClock()
    this.look()
  }

  recoverCount({ namespace: name, clock, messages, bytes, lastId }: RecoveredDelayedCount): void {
    this.#lastId = Math.max(this.#lastId, lastId)
    const namespace = this.#namespaceOf(name)
    this.#count(namespace, messages, bytes + messages * delayedObjectBytes)
    this.orders[clock].recover(messages)
  }

  recoverName({ namespace: name, bytes, ...named }: RecoveredDelayedName): void {
    const namespace = this.#namespaceOf(name)
    const { principal, scheduleId, publisher, id, clock } = named
    const key = keyOf({ namespace, principal, scheduleId, message: { publisher } })
    this.#named.set(key, { id, scheduleId, clock, namespace, bytes: bytes + delayedObjectBytes })
  }

  /** Something has come or gone, the clock of the system was set, or what the store had was told. */
  look(): void {
    this.orders.steady.look()
    this.orders.system.look()
    this.#arm()
  }

  #arm(): void {
    if (this.#firing) return
    const { steady, system } = this.orders
    const ahead = this.#ahead('system')
    const lookAt = Math.min(steady.nextLookAt, system.nextLookAt - ahead)
    const firstAt = Math.min(steady.first?.dueAt ?? Infinity, (system.first?.dueAt ?? Infinity) - ahead)
    // What may have earlier ones before it waits for their page, whatever the time is.
    this.#broker.deadlines.set(this.#deadline, firstAt <= this.#completeUntil ? Math.min(firstAt, lookAt) : lookAt)
  }

  /** What is due later than this may have earlier ones before it that are not in memory. */
  get #completeUntil(): number {
    const { steady, system } = this.orders
    return Math.min(steady.completeUntil, system.completeUntil - this.#ahead('system'))
  }

  /** By how much a clock is ahead of the broker's. */
  #ahead(clock: DelayClock): number {
    return clock === 'steady' ? 0 : this.#broker.wallOffset
  }

  #nextId(): number {
    this.#lastId = Math.max(this.#lastId + 1, Math.floor(this.#broker.now) * idsPerMs)
    return this.#lastId
  }

  #namespaceOf(storedName: string): Namespace {
    return this.#broker.namespace(storedName || defaultNamespaceName)
  }

  #admits({ quotas }: Namespace, messages: number, bytes: number): boolean {
    const { budgets, storeFull, journal } = this.#broker
    if (storeFull && journal.durable) return false
    return (
      quotas.delayedMessages.admits(messages) &&
      quotas.delayedBytes.admits(bytes) &&
      budgets.delayedMessages.admits(messages) &&
      budgets.delayedBytes.admits(bytes)
    )
  }

  #count({ quotas }: Namespace, messages: number, bytes: number): void {
    const { budgets } = this.#broker
    quotas.delayedMessages.used += messages
    quotas.delayedBytes.used += bytes
    budgets.delayedMessages.used += messages
    budgets.delayedBytes.used += bytes
  }

  #begin(delayed: DelayedMessage): void {
    const { journal } = this.#broker
    const { id, clock, namespace, scheduleId } = delayed
    const bytes = delayedBytes(delayed)
    if (scheduleId !== '') this.#named.set(keyOf(delayed), { id, scheduleId, clock, namespace, bytes })
    this.#count(namespace, 1, bytes)
    namespace.traffic.delayedAccepted++
    journal.delayed(delayed)
    this.orders[clock].add(delayed)
    this.look()
  }

  #end({ id, clock, namespace, bytes }: Omit<Named, 'scheduleId'>): void {
    this.#count(namespace, -1, -bytes)
    this.#broker.journal.delayedEnd(id)
    this.orders[clock].remove(id)
  }

  #onDue(): void {
    this.orders.steady.look()
    this.orders.system.look()
    if (this.#firing) return
    this.#firing = true
    const { cost } = this.#broker
    if (!this.#fire(cost.steps + workStepsMax)) this.#broker.later((stepsEnd) => this.#fire(stepsEnd))
  }

  /** Publishes what is due, in order. Returns whether that was all for now. */
  #fire(stepsEnd: number): boolean {
    const { cost } = this.#broker
    for (let next = this.#nextDue(); next !== undefined; next = this.#nextDue()) {
      if (cost.steps >= stepsEnd) return false
      if (this.#mustWait(next)) {
        this.#firing = false
        this.#broker.deadlines.set(this.#deadline, this.#broker.now + storeFullRetryMs)
        return true
      }
      cost.steps++
      this.#publish(next)
    }
    this.#firing = false
    this.look()
    return true
  }

  /** What is due and not later than anything that is not read yet. */
  #nextDue(): DelayedMessage | undefined {
    const { now } = this.#broker
    const dueAt = ({ dueAt: at, clock }: DelayedMessage): number => at - this.#ahead(clock)
    const { steady, system } = this.orders
    const firsts = [steady.first, system.first].filter((one) => one !== undefined)
    const first = firsts.sort((a, b) => dueAt(a) - dueAt(b) || a.id - b.id)[0]
    if (first === undefined) return undefined
    return dueAt(first) <= Math.min(now, this.#completeUntil) ? first : undefined
  }

  #mustWait({ message: { qos }, retain }: DelayedMessage): boolean {
    const { storeFull, journal } = this.#broker
    return storeFull && journal.durable && (qos > 0 || retain)
  }

  #publish(delayed: DelayedMessage): void {
    const { now } = this.#broker
    const { namespace, message, retain, principal } = delayed
    if (delayed.scheduleId !== '') this.#named.delete(keyOf(delayed))
    this.#end({ ...delayed, bytes: delayedBytes(delayed) })
    if (this.recurring.isOne(delayed) && !this.recurring.onDue(delayed)) return
    const dueAt = delayed.dueAt - this.#ahead(delayed.clock)
    const expiresAt = dueAt + delayed.expiryMs
    if (expiresAt <= now) {
      drop(message.name, 'expired', namespace)
      return
    }
    if (!mayPublishWhenDue(this.#broker, delayed)) {
      drop(message.name, 'not_authorized', namespace)
      return
    }
    namespace.traffic.delayedPublished++
    namespace.traffic.delayedLatenessSeconds += Math.max(0, now - dueAt) / 1000
    const session = namespace.sessions.get(message.publisher)
    const publisher = session?.principal === principal ? session : null
    try {
      const due = { ...message, expiresAt, publishedAt: now }
      const outcome = publishMessage(this.#broker, namespace, due, retain, publisher)
      if (isRefused(outcome)) drop(message.name, 'delayed_refused', namespace)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // For instance where fewer levels are allowed than before a restart.
      drop(message.name, 'delayed_refused', namespace)
    }
  }
}

function isWellFormed({ topic }: DelayedAddress, namespace: Namespace, message: Message): boolean {
  const scheduleId = scheduleIdOf(message)
  if (scheduleId === '' || (scheduleId?.length ?? 0) > scheduleIdCharactersMax) return false
  return !namespace.isReadOnly(topic) && isThere(namespace, topic)
}

/** A queue has to be there already. */
function isThere({ queues }: Namespace, topic: string): boolean {
  const address = addressOf(topic)
  return address?.kind !== 'queue' || queues.get(address.queue)?.declared === true
}

interface Owned {
  readonly namespace: Namespace
  readonly principal: string
  readonly scheduleId: string
  readonly message: { readonly publisher: string }
}

/** A name is its user's; where there are no users, its client's. No part can hold what stands between them. */
function keyOf({ namespace, principal, scheduleId, message: { publisher } }: Owned): string {
  if (publisher === '') return `${namespace.name}\u0000gateway\u0000${principal}\u0000${scheduleId}`
  const owner = principal === '' ? `client\u0000${publisher}` : `user\u0000${principal}`
  return `${namespace.name}\u0000${owner}\u0000${scheduleId}`
}
