/**
 * The subscription index: which destinations get a message, by topic.
 *
 * Filters without wildcards, most of all in practice, stand in one map from the filter to its subscribers: matching costs
 * one look-up however many there are. Filters with wildcards stand in a trie by level, those that end in `#` at the node of
 * what precedes it. A match walks at most the literal child and `+` of each level, so it depends on the topic's depth and on
 * what matches, not on what is subscribed.
 *
 * Topics beginning with `$` are not matched by a wildcard at the first level [MQTT-4.7.2-1].
 */
import type { Qos } from '../../mqtt/packet.ts'
import { parseTopicFilter, type TopicFilter } from '../../mqtt/topic.ts'
import type { Cost } from '../cost.ts'
import { firstLevel, levelEnd, TopicTrie, type TrieNode } from '../topic-trie.ts'
import type { Destination } from './destination.ts'
import type { DispatchStrategy, SharedGroup } from './shared-group.ts'
import { createGroup } from './shared-group.ts'

export const noIdentifiers: readonly number[] = Object.freeze([])

/** Of a node that has none yet; never written to: the first subscriber brings an array of its own. */
const noSubscribers: Subscription[] = []

export class Subscription {
  /** Who takes its messages. */
  readonly destination: Destination
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
  /** Of a merged delivery: what is left of it for the publisher itself, once that was asked for. */
  withoutNoLocal: Subscription | null | undefined = undefined

  constructor(destination: Destination, filter: string) {
    this.destination = destination
    this.filter = filter
  }
}

/** Who gets a message of one topic: one entry per destination, and one per shared group. */
export interface Route {
  readonly recipients: readonly Subscription[]
  readonly groups: readonly SharedGroup[]
  /** One of the recipients has a policy of its own for what it has no room for. */
  readonly ownPolicies: boolean
  /** The topic's first level, whose wildcard subscriptions may change the route. */
  readonly firstLevel: string
  /** About what it takes in memory. */
  readonly bytes: number
}

interface SubscriberNode {
  subscriptions: Subscription[]
  groups: Map<string, SharedGroup> | null
}

/** Of one node of the trie. */
interface WildcardSubscribers {
  /** Of the filter that ends here. */
  here: SubscriberNode | null
  /** Of the filter that goes on with `#`, which stands for this level too (section 4.7.1.2). */
  below: SubscriberNode | null
}

const subscriberNode = (): SubscriberNode => ({ subscriptions: noSubscribers, groups: null })

const isUnused = ({ subscriptions, groups }: SubscriberNode): boolean => subscriptions.length === 0 && groups === null

/** Whether the filter ends in `#`, and what precedes that. */
const endsInHash = (filter: string): boolean => filter.charCodeAt(filter.length - 1) === 0x23
const beforeHash = (filter: string): string => filter.slice(0, -2)

/** Follows a label along a topic, where `+` stands for any level. Returns where the level after it begins; -1: no match. */
function follow(label: string, topic: string, from: number): number {
  let at = from
  for (let start = 0; at <= topic.length; ) {
    const end = levelEnd(label, start)
    const topicEnd = levelEnd(topic, at)
    const isPlus = end === start + 1 && label.charCodeAt(start) === 0x2b
    if (!isPlus) {
      if (topicEnd - at !== end - start) return -1
      for (let i = 0; start + i < end; i++) if (label.charCodeAt(start + i) !== topic.charCodeAt(at + i)) return -1
    }
    at = topicEnd + 1
    if (end === label.length) return at
    start = end + 1
  }
  return -1
}

/** What a filter without wildcards counts for beside its text. */
const exactNodeBytes = 130

/** A route while it is being gathered. */
interface Gathered {
  readonly topic: string
  readonly recipients: Subscription[]
  readonly groups: SharedGroup[]
  /** Of deliveries merged from overlapping subscriptions. */
  mergedBytes: number
}

/** What a route counts for: itself, each recipient or group, a merged delivery, each subscription and identifier in that. */
const routeBytes = 150
const recipientBytes = 8
const mergedBytes = 300
const mergedSubscriptionBytes = 24

export class SubscriptionIndex {
  /** Counts changes of wildcard subscriptions. */
  generation = 1
  #rootChangedAt = 0
  readonly #branchChangedAt = new Map<string, number>()
  readonly #exact = new Map<string, SubscriberNode>()
  readonly #trie = new TopicTrie<WildcardSubscribers>()
  #exactBytes = 0
  #matchNumber = 0
  count = 0
  sharedCount = 0
  onExactChange: (topic: string) => void = () => {}
  /** A filter, without its share group, got its first subscriber or lost its last one. */
  onInterest: (filter: string, added: boolean) => void = () => {}
  readonly #strategyOf: (group: string) => DispatchStrategy
  readonly #cost: Cost

  constructor(strategyOf: (group: string) => DispatchStrategy, cost: Cost) {
    this.#strategyOf = strategyOf
    this.#cost = cost
  }

  add(subscription: Subscription, parsed: TopicFilter): void {
    const node = parsed.hasWildcard ? this.#wildcardNode(parsed.filter) : this.#exactNode(parsed.filter)
    if (isUnused(node)) this.onInterest(parsed.filter, true)
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
    const node = this.#find(parsed)
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
    if (isUnused(node)) {
      this.#forget(parsed)
      this.onInterest(parsed.filter, false)
    }
    this.changed(parsed)
  }

  /** The share group of a whole filter; undefined: it has no member. */
  group(filter: string): SharedGroup | undefined {
    const parsed = parseTopicFilter(filter)
    const name = parsed?.shared?.group
    return parsed === undefined || name === undefined ? undefined : this.#find(parsed)?.groups?.get(name)
  }

  /** The same, or one that nobody is in, for messages that came for it; undefined: no filter of a share group. */
  groupNow(filter: string): SharedGroup | undefined {
    const name = parseTopicFilter(filter)?.shared?.group
    if (name === undefined) return undefined
    return this.group(filter) ?? createGroup(name, filter, this.#strategyOf(name))
  }

  /** About what the filters take, without the subscriptions. */
  get bytes(): number {
    return this.#trie.bytes + this.#exactBytes
  }

  /** How many other groups share the filter. */
  groupsBeside(parsed: TopicFilter): number {
    const groups = this.#find(parsed)?.groups
    return groups == null || groups.has(parsed.shared!.group) ? 0 : groups.size
  }

  /** To be called too when a subscription's options were changed in place: routes merge options. */
  changed(parsed: TopicFilter): void {
    if (!parsed.hasWildcard) {
      this.onExactChange(parsed.filter)
      return
    }
    this.generation++
    const first = firstLevel(parsed.filter)
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
    const gathered: Gathered = { topic, recipients: [], groups: [], mergedBytes: 0 }
    this.#matchNumber++
    const exact = this.#exact.get(topic)
    if (exact !== undefined) this.#gather(exact, gathered)
    this.#walk(this.#trie.root, 0, gathered)
    const { recipients, groups } = gathered
    const bytes = routeBytes + recipientBytes * (recipients.length + groups.length) + gathered.mergedBytes
    const ownPolicies = recipients.some(({ destination }) => destination.ownPolicy)
    return { recipients, groups, ownPolicies, firstLevel: firstLevel(topic), bytes }
  }

  /** `at`: where the topic's level after the node's begins. */
  #walk(node: TrieNode<WildcardSubscribers>, at: number, gathered: Gathered): void {
    const { topic } = gathered
    const { value, children } = node
    this.#cost.steps++
    const literalOnly = at === 0 && topic.charCodeAt(0) === 0x24
    if (value !== null) {
      if (value.below !== null && !literalOnly) this.#gather(value.below, gathered)
      if (value.here !== null && at > topic.length) this.#gather(value.here, gathered)
    }
    if (at > topic.length || children === null) return
    const plus = literalOnly ? undefined : children.get('+')
    if (plus !== undefined) this.#enter(plus, at, gathered)
    const child = children.get(topic.slice(at, levelEnd(topic, at)))
    if (child !== undefined) this.#enter(child, at, gathered)
  }

  #enter(child: TrieNode<WildcardSubscribers>, at: number, gathered: Gathered): void {
    const next = follow(child.label, gathered.topic, at)
    if (next >= 0) this.#walk(child, next, gathered)
  }

  #gather({ subscriptions, groups }: SubscriberNode, gathered: Gathered): void {
    this.#cost.steps += subscriptions.length
    for (const subscription of subscriptions) addRecipient(gathered, subscription, this.#matchNumber)
    if (groups === null) return
    this.#cost.steps += groups.size
    for (const group of groups.values()) gathered.groups.push(group)
  }

  #exactNode(filter: string): SubscriberNode {
    let node = this.#exact.get(filter)
    if (node === undefined) {
      node = subscriberNode()
      this.#exact.set(filter, node)
      this.#exactBytes += exactNodeBytes + filter.length
    }
    return node
  }

  #wildcardNode(filter: string): SubscriberNode {
    const trieNode = this.#trieNode(filter, (path) => this.#trie.add(path))!
    trieNode.value ??= { here: null, below: null }
    return endsInHash(filter) ? (trieNode.value.below ??= subscriberNode()) : (trieNode.value.here ??= subscriberNode())
  }

  #trieNode(
    filter: string,
    at: (path: string) => TrieNode<WildcardSubscribers> | null,
  ): TrieNode<WildcardSubscribers> | null {
    if (filter === '#') return this.#trie.root
    return at(endsInHash(filter) ? beforeHash(filter) : filter)
  }

  #find({ filter, hasWildcard }: TopicFilter): SubscriberNode | undefined {
    if (!hasWildcard) return this.#exact.get(filter)
    const value = this.#trieNode(filter, (path) => this.#trie.find(path))?.value
    return (endsInHash(filter) ? value?.below : value?.here) ?? undefined
  }

  /** Nobody subscribes to the filter any more. */
  #forget({ filter, hasWildcard }: TopicFilter): void {
    if (!hasWildcard) {
      this.#exact.delete(filter)
      this.#exactBytes -= exactNodeBytes + filter.length
      return
    }
    const trieNode = this.#trieNode(filter, (path) => this.#trie.find(path))!
    const value = trieNode.value!
    if (endsInHash(filter)) value.below = null
    else value.here = null
    if (value.here !== null || value.below !== null) return
    trieNode.value = null
    this.#trie.prune(trieNode)
  }
}

/** One entry per destination: overlapping subscriptions become one delivery with the highest QoS and all identifiers [MQTT-3.3.4-2]. */
function addRecipient(gathered: Gathered, subscription: Subscription, matchNumber: number): void {
  const { destination } = subscription
  const { recipients } = gathered
  if (destination.matchNumber !== matchNumber) {
    destination.matchNumber = matchNumber
    destination.matchSlot = recipients.length
    recipients.push(subscription)
    return
  }
  const previous = recipients[destination.matchSlot]!
  let merged = previous
  if (previous.merged === null) {
    merged = mergeSubscriptions([previous])
    recipients[destination.matchSlot] = merged
    gathered.mergedBytes += mergedBytes
  }
  gathered.mergedBytes += mergedSubscriptionBytes
  merge(merged, subscription)
}

function mergeSubscriptions(subscriptions: readonly Subscription[]): Subscription {
  const merged = new Subscription(subscriptions[0]!.destination, '')
  merged.merged = []
  for (const subscription of subscriptions) merge(merged, subscription)
  return merged
}

function merge(merged: Subscription, subscription: Subscription): void {
  merged.merged!.push(subscription)
  if (subscription.qos > merged.qos) merged.qos = subscription.qos
  merged.noLocal ||= subscription.noLocal
  merged.retainAsPublished ||= subscription.retainAsPublished
  if (subscription.identifiers.length === 0) return
  // The list of a merged delivery is its own.
  if (merged.identifiers === noIdentifiers) merged.identifiers = [...subscription.identifiers]
  else (merged.identifiers as number[]).push(...subscription.identifiers)
}

/** What remains of a delivery for the client that published the message: subscriptions without No Local [MQTT-3.8.3-3]. */
export function withoutNoLocal(subscription: Subscription): Subscription | null {
  if (!subscription.noLocal) return subscription
  if (subscription.merged === null) return null
  if (subscription.withoutNoLocal === undefined) {
    const others = subscription.merged.filter((one) => !one.noLocal)
    subscription.withoutNoLocal = others.length === 0 ? null : mergeSubscriptions(others)
  }
  return subscription.withoutNoLocal
}
