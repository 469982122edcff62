/**
 * Shared subscriptions, section 4.8.2: one member of a group gets each message, chosen by the group's dispatch strategy.
 *
 * Members that are connected come first, and among them those whose output is not full; a group with no member connected
 * queues at one whose session waits.
 */
import type { Subscription } from './subscription-index.ts'

export const dispatchStrategies = [
  'round-robin',
  'random',
  'sticky',
  'least-inflight',
  'hash-publisher',
  'hash-topic',
] as const
export type DispatchStrategy = (typeof dispatchStrategies)[number]

export interface SharedGroup {
  readonly name: string
  /** `$share/name/filter`. */
  readonly filter: string
  readonly members: Subscription[]
  readonly strategy: DispatchStrategy
  /** Round robin: the member after this place is next. Random: the generator's state. */
  cursor: number
  sticky: Subscription | null
}

export function createGroup(name: string, filter: string, strategy: DispatchStrategy): SharedGroup {
  // The state of a xorshift generator may not be 0; seeding from the name keeps the core deterministic.
  return { name, filter, members: [], strategy, cursor: (hashText(filter) | 1) >>> 0, sticky: null }
}

function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

const able = (member: Subscription): boolean => member.session.link !== null && !member.session.link.full
const online = (member: Subscription): boolean => member.session.link !== null
const any = (): boolean => true

/** The member that gets a message; null only for a group without members. `except`: the one that is leaving. */
export function chooseMember(
  group: SharedGroup,
  publisher: string,
  topic: string,
  except: Subscription | null = null,
): Subscription | null {
  for (const wanted of [able, online, any]) {
    const member = chooseAmong(group, publisher, topic, (one) => one !== except && wanted(one))
    if (member !== null) return member
  }
  return null
}

function chooseAmong(
  group: SharedGroup,
  publisher: string,
  topic: string,
  wanted: (member: Subscription) => boolean,
): Subscription | null {
  const { members } = group
  switch (group.strategy) {
    case 'round-robin':
      return nextFrom(group, (group.cursor % members.length) + 1, wanted)
    case 'random':
      group.cursor = xorshift(group.cursor)
      return nextFrom(group, group.cursor, wanted)
    case 'sticky':
      if (group.sticky === null || !members.includes(group.sticky) || !wanted(group.sticky)) {
        group.sticky = nextFrom(group, group.cursor, wanted)
      }
      return group.sticky
    case 'least-inflight':
      return leastLoaded(members, wanted)
    case 'hash-publisher':
      return byHash(members, publisher, wanted)
    case 'hash-topic':
      return byHash(members, topic, wanted)
    default:
      return group.strategy satisfies never
  }
}

function xorshift(state: number): number {
  let x = state
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  return x >>> 0
}

function nextFrom(group: SharedGroup, start: number, wanted: (member: Subscription) => boolean): Subscription | null {
  const { members } = group
  for (let i = 0; i < members.length; i++) {
    const place = (start + i) % members.length
    const member = members[place]!
    if (!wanted(member)) continue
    if (group.strategy === 'round-robin') group.cursor = place
    return member
  }
  return null
}

function leastLoaded(members: Subscription[], wanted: (member: Subscription) => boolean): Subscription | null {
  let best: Subscription | null = null
  let bestLoad = Infinity
  for (const member of members) {
    if (!wanted(member)) continue
    const load = member.session.queue.inflight + member.session.queue.waiting
    if (load < bestLoad) {
      best = member
      bestLoad = load
    }
  }
  return best
}

/**
 * Rendezvous hashing: each member's weight is a hash of its client id with the key, the highest wins. When a member leaves
 * or joins, only its own keys move.
 */
function byHash(members: Subscription[], key: string, wanted: (member: Subscription) => boolean): Subscription | null {
  let best: Subscription | null = null
  let bestWeight = -1
  for (const member of members) {
    if (!wanted(member)) continue
    const weight = hashText(`${member.session.clientId}\0${key}`)
    if (weight > bestWeight) {
      best = member
      bestWeight = weight
    }
  }
  return best
}
