/**
 * All subscriptions of this program over its connections: what the gateway is told of them, and who gets a message.
 *
 * The gateway knows each filter once, with the highest QoS that anybody here wants. After a new connection it is told again
 * what its session may not have: everything where it forgot the session, else what changed meanwhile, and what is at QoS 0,
 * because nothing was kept for that and its retained messages may be new.
 */
import { MqtideError } from './errors.ts'
import type { Link } from './link.ts'
import type { Message } from './message.ts'
import type { Subscription } from './subscription.ts'
import { hasWildcard, matchedBy, matches } from './topic-filter.ts'
import type { Qos } from './wire.ts'

interface Entry {
  filter: string
  /** What a topic is held against; of a shared subscription its filter alone. */
  matchedBy: string
  qos: Qos
  /** The session at the gateway has it with this QoS. */
  granted: Qos | undefined
  members: Set<Subscription>
}

/** Filters in one frame, so that none comes near the gateway's limit for frames. */
const filtersPerFrame = 50

export class Subscriptions {
  readonly #idOf: () => number
  readonly #onError: (error: MqtideError) => void
  readonly #entries = new Map<string, Entry>()
  /** Those without wildcard by topic, so that thousands of them cost a message nothing. */
  readonly #exact = new Map<string, Set<Entry>>()
  readonly #wild = new Set<Entry>()
  /** Filters that the session at the gateway may still have: nobody wants them, and it has not said that they are gone. */
  readonly #left = new Set<string>()
  readonly #leaving = new Map<number, string[]>()
  readonly #asked = new Map<number, { entry: Entry; qos: Qos }[]>()
  #link: Link | undefined

  constructor(idOf: () => number, onError: (error: MqtideError) => void) {
    this.#idOf = idOf
    this.#onError = onError
  }

  add(subscription: Subscription): void {
    const { filter, qos } = subscription
    let entry = this.#entries.get(filter)
    if (!entry) {
      entry = { filter, matchedBy: matchedBy(filter), qos, granted: undefined, members: new Set() }
      this.#entries.set(filter, entry)
      if (hasWildcard(entry.matchedBy)) this.#wild.add(entry)
      else this.#exact.set(entry.matchedBy, (this.#exact.get(entry.matchedBy) ?? new Set()).add(entry))
    }
    entry.members.add(subscription)
    if (qos > entry.qos) entry.qos = qos
    this.#left.delete(filter)
    // Also where the gateway has it: the newcomer is due its retained messages.
    if (this.#link) this.#ask(this.#link, [entry])
  }

  remove(subscription: Subscription): void {
    const entry = this.#entries.get(subscription.filter)
    if (!entry?.members.delete(subscription) || entry.members.size > 0) return
    this.#forget(entry)
    this.#left.add(entry.filter)
    if (this.#link) this.#leave(this.#link, [entry.filter])
  }

  onConnected(link: Link, sessionPresent: boolean): void {
    this.#link = link
    if (!sessionPresent) this.#left.clear()
    for (const filters of inParts([...this.#left])) this.#leave(link, filters)
    const entries = [...this.#entries.values()]
    if (!sessionPresent) for (const entry of entries) entry.granted = undefined
    for (const part of inParts(entries.filter(({ granted, qos }) => granted !== 1 || qos !== 1))) this.#ask(link, part)
  }

  onDisconnected(): void {
    this.#link = undefined
    this.#asked.clear()
    this.#leaving.clear()
  }

  /** The gateway's answer: a QoS or a reason for each filter. */
  onGranted(id: number, granted: readonly number[]): void {
    const asked = this.#asked.get(id) ?? []
    this.#asked.delete(id)
    for (const [index, { entry, qos }] of asked.entries()) {
      const answer = granted[index] ?? 0x80
      if (answer >= 0x80) this.#refuse(entry, answer)
      else {
        entry.granted = qos
        for (const member of entry.members) member.grant(answer as Qos)
      }
    }
  }

  onUnsubscribed(id: number): void {
    for (const filter of this.#leaving.get(id) ?? []) this.#left.delete(filter)
    this.#leaving.delete(id)
  }

  onRefused(id: number, reason: number, message?: string): boolean {
    const asked = this.#asked.get(id)
    this.#asked.delete(id)
    for (const { entry } of asked ?? []) this.#refuse(entry, reason, message)
    return asked !== undefined
  }

  /** Gives it to everybody here whose filter matches; what it returns settles when all have handled it. */
  onMessage(message: Message): Promise<unknown> | undefined {
    let pending: unknown[] | undefined
    const give = ({ members }: Entry) => {
      for (const member of [...members]) {
        const handled = this.#give(member, message)
        if (handled) (pending ??= []).push(handled)
      }
    }
    for (const entry of this.#exact.get(message.topic) ?? []) give(entry)
    for (const entry of [...this.#wild]) if (matches(entry.matchedBy, message.topic)) give(entry)
    return pending && Promise.all(pending)
  }

  close(error: MqtideError): void {
    for (const { members } of [...this.#entries.values()]) for (const member of [...members]) member.end(error)
  }

  #give(member: Subscription, message: Message): unknown {
    const fault = (cause: unknown) => {
      this.#onError(new MqtideError('callback', `a callback for ${member.filter} failed: ${String(cause)}`, { cause }))
    }
    try {
      const handled = member.take(message)
      return isThenable(handled) ? handled.then(undefined, fault) : undefined
    } catch (cause) {
      fault(cause)
      return undefined
    }
  }

  #ask(link: Link, entries: readonly Entry[]): void {
    const id = this.#idOf()
    this.#asked.set(
      id,
      entries.map((entry) => ({ entry, qos: entry.qos })),
    )
    // Whoever reads a stream has no other subscription on its connection.
    const [reader] = entries[0]?.members ?? []
    const from = reader?.from?.()
    const filters = entries.map(({ filter, qos }) => ({ filter, qos }))
    link.send({ op: 'subscribe', id, filters, ...(from === undefined ? {} : { from }) })
  }

  #leave(link: Link, filters: string[]): void {
    const id = this.#idOf()
    this.#leaving.set(id, filters)
    link.send({ op: 'unsubscribe', id, filters })
  }

  #refuse(entry: Entry, reason: number, message = `the gateway refused it with reason ${reason}`): void {
    if (this.#entries.get(entry.filter) !== entry) return
    this.#forget(entry)
    const error = new MqtideError('refused', `subscribing to ${entry.filter}: ${message}`, { reason })
    for (const member of [...entry.members]) member.end(error)
    this.#onError(error)
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry.filter)
    this.#wild.delete(entry)
    const exact = this.#exact.get(entry.matchedBy)
    exact?.delete(entry)
    if (exact?.size === 0) this.#exact.delete(entry.matchedBy)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}

function* inParts<Item>(items: readonly Item[]): Iterable<Item[]> {
  for (let start = 0; start < items.length; start += filtersPerFrame) yield items.slice(start, start + filtersPerFrame)
}
