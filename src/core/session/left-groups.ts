/**
 * Of which share groups a session has messages: of those that it is subscribed to, and of those that it has left and that nobody else
 * was in then.
 *
 * A delivery in memory names its group. Of what is in the store only, `Session.leftGroups` knows the groups that were left in this
 * process. For what an earlier process stored, the store is asked when the session ends: each entry there says for which filter it came.
 */
import { sharePrefix } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import type { SharedGroup } from '../subscriptions/shared-group.ts'
import { requestPage } from './queue-pages.ts'
import type { Session } from './session.ts'

/** All of which it may have messages, by filter. */
export function groupsLeft(session: Session): Map<string, SharedGroup> {
  const { queue, subscriptions, leftGroups } = session
  const groups = groupsInMemory(session)
  if (queue.residentEnd === queue.nextPosition) return groups
  for (const [filter, group] of leftGroups ?? []) groups.set(filter, group)
  for (const [filter, { group }] of subscriptions) if (group !== null) groups.set(filter, group)
  return groups
}

export function groupsInMemory({ queue }: Session): Map<string, SharedGroup> {
  const groups = new Map<string, SharedGroup>()
  for (let position = queue.base; position < queue.residentEnd; position++) {
    const group = queue.at(position)?.group ?? null
    if (group !== null) groups.set(group.filter, group)
  }
  return groups
}

/** The group of an entry that comes from the store. */
export function groupOfStored(session: Session, sharedFilter: string): SharedGroup | null {
  if (sharedFilter === '') return null
  const known = session.subscriptions.get(sharedFilter)?.group ?? session.leftGroups?.get(sharedFilter)
  return known ?? session.namespace.index.groupNow(sharedFilter) ?? null
}

/** Something of the group is in the store, or will be in the store only. */
export function keepLeftGroup(session: Session, group: SharedGroup): void {
  if (session.subscriptions.has(group.filter)) return
  session.leftGroups ??= new Map()
  session.leftGroups.set(group.filter, group)
}

/** What goes on until an ended session, or one whose client is away, has given on what it has. */
export interface Leaving {
  /** Goes on; called too when a page of the queue has come. */
  pump(): void
  cancel(): void
}

export function endLeaving(session: Session, leaving: Leaving): void {
  session.handOvers?.delete(leaving)
  if (session.handOvers?.size === 0) session.handOvers = null
}

export interface LeftGroupEvents {
  onFound(group: SharedGroup): void
  onEnd(): void
}

/** Whether an earlier process may have stored messages of groups that nobody knows of now, and somebody could take them over. */
export function mayHaveLeftGroups({ stored, queue, namespace }: Session): boolean {
  return stored && queue.residentEnd < queue.recoveredEnd && namespace.index.sharedCount > 0
}

/** Looks for them in what an earlier process stored. */
export class LeftGroupSearch implements Leaving {
  readonly #broker: Broker
  readonly #session: Session
  readonly #known: Set<string>
  readonly #events: LeftGroupEvents
  #position: number
  #over = false

  constructor(broker: Broker, session: Session, known: Iterable<string>, events: LeftGroupEvents) {
    this.#broker = broker
    this.#session = session
    this.#known = new Set(known)
    this.#events = events
    this.#position = session.queue.residentEnd
  }

  pump(): void {
    if (this.#over) return
    requestPage(this.#broker, this.#session, this.#position, sharePrefix, (page) => this.#onPage(page))
  }

  cancel(): void {
    this.#over = true
  }

  #onPage({ entries, more }: RecoveredPage): void {
    if (this.#over) return
    for (const { reference } of entries) {
      const { sharedFilter, position } = reference
      this.#position = position + 1
      if (this.#known.has(sharedFilter)) continue
      this.#known.add(sharedFilter)
      const group = this.#session.namespace.index.group(sharedFilter)
      if (group !== undefined) this.#events.onFound(group)
    }
    // Else onQueuePage calls `pump`, which asks for the next.
    if (more && this.#position < this.#session.queue.recoveredEnd) return
    this.#over = true
    endLeaving(this.#session, this)
    this.#events.onEnd()
  }
}
