/**
 * The subscription index: which sessions get a message, by topic.
 *
 * Filters without wildcards, most of all in practice, stand in one map from the filter to its subscribers: matching costs
 * one look-up however many there are. Filters with wildcards stand in a trie by level. A match walks at most the literal
 * child, `+` and `#` of each level, so it depends on the topic's depth and on what matches, not on what is subscribed.
 *
 * Topics beginning with `$` are not matched by a wildcard at the first level [MQTT-4.7.2-1].
 */
import type { Qos } from '../../mqtt/packet.ts'
import { parseTopicFilter, type TopicFilter } from '../../mqtt/topic.ts'
import type { Session } from '../session/session.ts'
import type { DispatchStrategy, SharedGroup } from './shared-group.ts'
import { createGroup } from './shared-group.ts'

export const noIdentifiers: readonly number[] = Object.freeze([])

/** Of a node that has none yet; never written to: the first subscriber brings an array of its own. */
const noSubscribers: Subscription[] = []

export class Subscription {
  readonly session: Session
  /** The whole filter, as subscribed. */
  readonly filter: string
  qos: Qos = 0
  noLocal = false
  retainAsPublished = false
  retainHandling: 0 | 1 | 2 = 0
  identifiers: readonly number[] = noIdentifiers
  /** The group it is a member of; null: not shared. */
  group: SharedGroup | null = null
  /** Its place in the node's list, for removal without search. */
  slot = -1
  /** For a delivery merged from overlapping subscriptions: those. */
  merged: Subscription[] | null = null

  constructor(session: Session, filter: string) {
    this.session = session
    this.filter = filter
  }
}

/** Who gets a message of one topic: one entry per session, and one per shared group. */
export interface Route {
  readonly recipients: readonly Subscription[]
  readonly groups: readonly SharedGroup[]
  /** The topic's first level, whose wildcard subscriptions may change the route. */
  readonly firstLevel: string
}

interface SubscriberNode {
  subscriptions: Subscription[]
  groups: Map<string, SharedGroup> | null
}

interface TrieNode extends SubscriberNode {
  children: Map<string, TrieNode> | null
  readonly parent: TrieNode | null
  readonly level: string
}

function trieNode(parent: TrieNode | null, level: string): TrieNode {
  return { subscriptions: noSubscribers, groups: null, children: null, parent, level }
}

export class SubscriptionIndex {
  /** Counts changes of wildcard subscriptions. */
  generation = 1
  #rootChangedAt = 0
  readonly #branchChangedAt = new Map<string, number>()
  readonly #exact = new Map<string, SubscriberNode>()
  readonly #root = trieNode(null, '')
  #matchNumber = 0
  count = 0
  sharedCount = 0
  onExactChange: (topic: string) => void = () => {}
  readonly #strategyOf: (group: string) => DispatchStrategy

  constructor(strategyOf: (group: string) => DispatchStrategy) {
    this.#strategyOf = strategyOf
  }

  add(subscription: Subscription, parsed: TopicFilter): void {
    const node = parsed.hasWildcard ? this.#trieNode(parsed.levels) : this.#exactNode(parsed.filter)
    this.count++
    if (parsed.shared === undefined) {
      subscription.slot = node.subscriptions.length
      // The first push onto an empty array reserves room for seventeen; most filters have one subscriber.
      if (subscription.slot === 0) node.subscriptions = [subscription]
      else node.subscriptions.push(subscription)
    } else {
      this.sharedCount++
      node.groups ??= new Map()
      let group = node.groups.get(parsed.shared.group)
      if (group === undefined) {
        group = createGroup(parsed.shared.group, subscription.filter, this.#strategyOf(parsed.shared.group))
        node.groups.set(parsed.shared.group, group)
      }
      group.members.push(subscription)
      subscription.group = group
    }
    this.changed(parsed)
  }

  remove(subscription: Subscription): void {
    const parsed = parseTopicFilter(subscription.filter)!
    const node = parsed.hasWildcard ? this.#findTrieNode(parsed.levels) : this.#exact.get(parsed.filter)
    if (node === undefined) return
    this.count--
    if (subscription.group === null) {
      const last = node.subscriptions.pop()!
      if (last !== subscription) {
        node.subscriptions[subscription.slot] = last
        last.slot = subscription.slot
      }
      subscription.slot = -1
    } else {
      this.sharedCount--
      const members = subscription.group.members
      members.splice(members.indexOf(subscription), 1)
      if (members.length === 0) node.groups?.delete(subscription.group.name)
      if (node.groups?.size === 0) node.groups = null
    }
    if (node.subscriptions.length === 0 && node.groups === null) {
      if (parsed.hasWildcard) this.#prune(node as TrieNode)
      else this.#exact.delete(parsed.filter)
    }
    this.changed(parsed)
  }

  /** To be called too when a subscription's options were changed in place: routes merge options. */
  changed(parsed: TopicFilter): void {
    if (!parsed.hasWildcard) {
      this.onExactChange(parsed.filter)
      return
    }
    this.generation++
    const first = parsed.levels[0]!
    if (first === '+' || first === '#') this.#rootChangedAt = this.generation
    else this.#branchChangedAt.set(first, this.generation)
    if (this.#branchChangedAt.size > 100_000) {
      this.#branchChangedAt.clear()
      this.#rootChangedAt = this.generation
    }
  }

  /** Whether a wildcard subscription that may match the route's topic has changed since that generation. */
  mayHaveChanged(route: Route, generation: number): boolean {
    return this.#rootChangedAt > generation || (this.#branchChangedAt.get(route.firstLevel) ?? 0) > generation
  }

  match(topic: string): Route {
    const recipients: Subscription[] = []
    const groups: SharedGroup[] = []
    const matchNumber = ++this.#matchNumber
    const collect = (node: SubscriberNode | undefined): void => {
      if (node === undefined) return
      for (const subscription of node.subscriptions) addRecipient(recipients, subscription, matchNumber)
      if (node.groups !== null) for (const group of node.groups.values()) groups.push(group)
    }
    collect(this.#exact.get(topic))
    const levels = topic.split('/')
    this.#walk(this.#root, levels, 0, topic.startsWith('$'), collect)
    return { recipients, groups, firstLevel: levels[0]! }
  }

  #walk(
    node: TrieNode,
    levels: readonly string[],
    depth: number,
    literalOnly: boolean,
    collect: (node: SubscriberNode | undefined) => void,
  ): void {
    const children = node.children
    if (depth === levels.length) {
      collect(node)
      // "sport/#" also matches "sport" itself (section 4.7.1.2).
      if (children !== null) collect(children.get('#'))
      return
    }
    if (children === null) return
    if (!literalOnly) {
      collect(children.get('#'))
      const plus = children.get('+')
      if (plus !== undefined) this.#walk(plus, levels, depth + 1, false, collect)
    }
    const child = children.get(levels[depth]!)
    if (child !== undefined) this.#walk(child, levels, depth + 1, false, collect)
  }

  #exactNode(filter: string): SubscriberNode {
    let node = this.#exact.get(filter)
    if (node === undefined) {
      node = { subscriptions: noSubscribers, groups: null }
      this.#exact.set(filter, node)
    }
    return node
  }

  #trieNode(levels: readonly string[]): TrieNode {
    let node = this.#root
    for (const level of levels) {
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = trieNode(node, level)
        node.children.set(level, child)
      }
      node = child
    }
    return node
  }

  #findTrieNode(levels: readonly string[]): TrieNode | undefined {
    let node: TrieNode | undefined = this.#root
    for (const level of levels) node = node?.children?.get(level)
    return node
  }

  #prune(start: TrieNode): void {
    let node = start
    while (node.parent !== null && node.children === null && node.groups === null && node.subscriptions.length === 0) {
      const parent: TrieNode = node.parent
      parent.children!.delete(node.level)
      if (parent.children!.size === 0) parent.children = null
      node = parent
    }
  }
}

/** One entry per session: overlapping subscriptions become one delivery with the highest QoS and all identifiers [MQTT-3.3.4-2]. */
function addRecipient(recipients: Subscription[], subscription: Subscription, matchNumber: number): void {
  const session = subscription.session
  if (session.matchNumber !== matchNumber) {
    session.matchNumber = matchNumber
    session.matchSlot = recipients.length
    recipients.push(subscription)
    return
  }
  const previous = recipients[session.matchSlot]!
  recipients[session.matchSlot] = mergeSubscriptions([...(previous.merged ?? [previous]), subscription])
}

export function mergeSubscriptions(subscriptions: Subscription[]): Subscription {
  const merged = new Subscription(subscriptions[0]!.session, '')
  const identifiers: number[] = []
  for (const subscription of subscriptions) {
    if (subscription.qos > merged.qos) merged.qos = subscription.qos
    merged.noLocal ||= subscription.noLocal
    merged.retainAsPublished ||= subscription.retainAsPublished
    identifiers.push(...subscription.identifiers)
  }
  if (identifiers.length > 0) merged.identifiers = identifiers
  merged.merged = subscriptions
  return merged
}

/** What remains of a delivery for the client that published the message: subscriptions without No Local [MQTT-3.8.3-3]. */
export function localDelivery(subscription: Subscription): Subscription | null {
  if (!subscription.noLocal) return subscription
  const others = (subscription.merged ?? [subscription]).filter((one) => !one.noLocal)
  return others.length === 0 ? null : others.length === 1 ? others[0]! : mergeSubscriptions(others)
}
