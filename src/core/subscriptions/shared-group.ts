/**
 * Shared subscriptions, section 4.8.2: one member of a group gets each message, chosen by the group's dispatch strategy.
 *
 * A strategy chooses among the members with the best rank: those that can send now, then those that are connected and have
 * room to keep the message, then those that are away and keep it. A member that is away and subscribed at QoS 0 has no share;
 * one that is connected and may not receive the message gets it only where no other is left, and it is dropped there, counted.
 *
 * Hashing and sticky look only at who is connected: a key stays with its member while that is slow, and what it does not take
 * at once waits in its queue. Otherwise messages of one key would overtake each other.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import { drop } from '../drop.ts'
import type { Namespace } from '../namespace.ts'
import { type Message, republished } from '../publish/message.ts'
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

/** A message for which a member is chosen. */
export interface Dispatched {
  readonly topicName: string
  /** Client id; empty: the server itself. */
  readonly publisherName: string
  readonly qos: Qos
  readonly retain: boolean
}

export function createGroup(name: string, filter: string, strategy: DispatchStrategy): SharedGroup {
  // The state of a xorshift generator may not be 0; seeding from the name keeps the core deterministic.
  return { name, filter, members: [], strategy, cursor: (hashText(filter) | 1) >>> 0, sticky: null }
}

export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

/** How well a member can take a message now: the lower, the better. */
const Rank = { ready: 0, keeps: 1, keepsAway: 2, drops: 3, dropsAway: 4, forbidden: 5, none: 6 } as const

/** Whether a member that is connected may receive the message; of one that is away it is not known. */
export function mayTake({ destination, qos, retainAsPublished, group }: Subscription, message: Dispatched): boolean {
  const sentQos = message.qos < qos ? message.qos : qos
  return destination.mayReceive(message.topicName, sentQos, message.retain && retainAsPublished, group!.name)
}

/** At QoS 0 nothing is kept for a member, so that one that is away gets none. */
function rankOf(member: Subscription, message: Dispatched): number {
  const { destination } = member
  const { qos } = message
  if (!mayTake(member, message)) return Rank.forbidden
  const kept = qos > 0 && member.qos > 0
  if (destination.online) {
    if (destination.ready) return Rank.ready
    return kept && destination.hasRoom ? Rank.keeps : Rank.drops
  }
  if (!kept || !destination.durable) return Rank.none
  return destination.hasRoom ? Rank.keepsAway : Rank.dropsAway
}

/**
 * For strategies that hold on to a member: whoever is connected is as good as any other that is, but for one at QoS 0 with a full
 * output, where a message of a higher QoS would not wait but be lost.
 */
function presenceOf(member: Subscription, message: Dispatched): number {
  const { destination } = member
  const { qos } = message
  if (!mayTake(member, message)) return Rank.forbidden
  if (destination.online) return qos === 0 || member.qos > 0 || destination.ready ? Rank.ready : Rank.drops
  return destination.durable && qos > 0 && member.qos > 0 ? Rank.keepsAway : Rank.none
}

/** Members that are not asked. */
type Excluded = ((member: Subscription) => boolean) | null

/** The member that gets a message; null: none can take it. */
export function chooseMember(group: SharedGroup, message: Dispatched, excluded: Excluded = null): Subscription | null {
  const { members } = group
  switch (group.strategy) {
    case 'round-robin':
      return nextFrom(group, group.cursor + 1, message, excluded)
    case 'random':
      group.cursor = xorshift(group.cursor)
      return nextFrom(group, group.cursor, message, excluded)
    case 'sticky':
      if (group.sticky === null || excluded?.(group.sticky) || !staysSticky(group, group.sticky, message)) {
        group.sticky = nextFrom(group, group.cursor, message, excluded)
      }
      return group.sticky
    case 'least-inflight':
      return leastLoaded(members, message, excluded)
    case 'hash-publisher':
      return byHash(members, message.publisherName, message, excluded)
    case 'hash-topic':
      return byHash(members, message.topicName, message, excluded)
    default:
      return group.strategy satisfies never
  }
}

/** Whether nobody in the group has room for a message that would be kept for it: what is refused, where that is the policy. */
export function isGroupFull(
  group: SharedGroup,
  message: Dispatched,
  hasRoom: (member: Subscription) => boolean = () => true,
): boolean {
  let full = false
  for (const member of group.members) {
    const rank = rankOf(member, message)
    if (rank <= Rank.keepsAway && hasRoom(member)) return false
    if (rank < Rank.forbidden && member.qos > 0 && member.destination.refuses) full = true
  }
  return full
}

export function dispatchedMessage({ name, publisher, qos }: Message, retain: boolean): Dispatched {
  return { topicName: name, publisherName: publisher, qos, retain }
}

/** Gives a message that a member of the group did not take to another. */
export function dispatch(
  broker: Broker,
  namespace: Namespace,
  group: SharedGroup,
  message: Message,
  retain: boolean,
): void {
  const member = chooseMember(group, dispatchedMessage(message, retain))
  if (member === null) {
    drop(message.name, 'session_ended', namespace)
    return
  }
  const { publication } = broker
  const entry = broker.topics.lookupName(namespace, message.name)
  publication.beginMessage(republished(message), entry, retain, null, broker.now)
  member.destination.accept(broker, publication, member)
  publication.end()
}

/** A sticky member is left when it goes, or is away while another is connected. */
function staysSticky(group: SharedGroup, sticky: Subscription, message: Dispatched): boolean {
  if (!group.members.includes(sticky)) return false
  const presence = presenceOf(sticky, message)
  if (presence === Rank.ready) return true
  return presence !== Rank.none && !group.members.some((member) => member.destination.online)
}

export function xorshift(state: number): number {
  let x = state
  x ^= x << 13
  x ^= x >>> 17
  x ^= x << 5
  return x >>> 0
}

function nextFrom(group: SharedGroup, start: number, message: Dispatched, excluded: Excluded): Subscription | null {
  const { members } = group
  let best: Subscription | null = null
  let bestRank: number = Rank.none
  for (let i = 0; i < members.length && bestRank > Rank.ready; i++) {
    const place = (start + i) % members.length
    const member = members[place]!
    if (excluded?.(member)) continue
    const rank = rankOf(member, message)
    if (rank >= bestRank) continue
    best = member
    bestRank = rank
    if (group.strategy === 'round-robin') group.cursor = place
  }
  return best
}

function leastLoaded(members: Subscription[], message: Dispatched, excluded: Excluded): Subscription | null {
  let best: Subscription | null = null
  let bestRank: number = Rank.none
  let bestLoad = Infinity
  for (const member of members) {
    if (excluded?.(member)) continue
    const rank = rankOf(member, message)
    if (rank === Rank.none || rank > bestRank) continue
    const { load } = member.destination
    if (rank === bestRank && load >= bestLoad) continue
    best = member
    bestRank = rank
    bestLoad = load
  }
  return best
}

/**
 * Rendezvous hashing: each member's weight is a hash of its name with the key, the highest wins. When a member leaves or
 * joins, only its own keys move.
 */
function byHash(members: Subscription[], key: string, message: Dispatched, excluded: Excluded): Subscription | null {
  let best: Subscription | null = null
  let bestPresence: number = Rank.none
  let bestWeight = -1
  for (const member of members) {
    if (excluded?.(member)) continue
    const presence = presenceOf(member, message)
    if (presence === Rank.none || presence > bestPresence) continue
    const weight = hashText(`${member.destination.name}\0${key}`)
    if (presence === bestPresence && weight <= bestWeight) continue
    best = member
    bestPresence = presence
    bestWeight = weight
  }
  return best
}
