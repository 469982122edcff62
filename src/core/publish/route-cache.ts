/**
 * The route cache: topic bytes as they come off the wire -> the topic's resolved route.
 *
 * A hot topic is found by hashing its bytes in place: no string is made and its UTF-8 was checked when the entry was made. A
 * cold topic is decoded, checked and resolved by walking the subscription index once.
 *
 * An entry's route is dropped when a subscription that matches it changes: an exact filter drops the one entry of that
 * topic; a wildcard filter moves on a generation that entries compare, that of its first level, or the one for all when it
 * begins with a wildcard. So a change costs the topics it may concern and no others.
 *
 * The cache is bounded: when full it is emptied and fills again with what is hot.
 */
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { decodeTopicName } from '../../mqtt/topic.ts'
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Counters } from '../counters.ts'
import type { Route, SubscriptionIndex } from '../subscriptions/subscription-index.ts'

export class TopicEntry {
  readonly topic: string
  readonly bytes: Uint8Array
  readonly hash: number
  next: TopicEntry | null
  route: Route | null = null
  /** The index's generation when `route` was resolved. */
  generation = 0
  /** The cache's epoch that this entry belongs to: one that was emptied away is no longer told of changes. */
  readonly epoch: number

  constructor(topic: string, bytes: Uint8Array, hash: number, next: TopicEntry | null, epoch: number) {
    this.topic = topic
    this.bytes = bytes
    this.hash = hash
    this.next = next
    this.epoch = epoch
  }
}

/** FNV-1a over the bytes: cheap, and spread well enough for a chained table. */
function hashBytes(buffer: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ buffer[i]!, 0x01000193)
  return hash ^ (hash >>> 15)
}

function refuseManyLevels(topic: string, levelsMax: number): void {
  let levels = 1
  for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) levels++
  if (levels <= levelsMax) return
  throw new ProtocolError(
    ReasonCode.topicNameInvalid,
    `the topic name has ${levels} levels, at most ${levelsMax} are served`,
  )
}

/** Whether the entry is that of the topic in these bytes. */
export function isTopic(entry: TopicEntry, buffer: Uint8Array, start: number, end: number): boolean {
  const bytes = entry.bytes
  const length = bytes.length
  if (length !== end - start) return false
  for (let i = 0; i < length; i++) if (bytes[i] !== buffer[start + i]) return false
  return true
}

export class TopicCache {
  readonly #index: SubscriptionIndex
  readonly #counters: Counters
  readonly #entriesMax: number
  readonly #levelsMax: number
  readonly #mask: number
  #buckets: (TopicEntry | null)[]
  #size = 0
  epoch = 1

  constructor(index: SubscriptionIndex, counters: Counters, entriesMax: number, levelsMax: number) {
    this.#levelsMax = levelsMax
    this.#index = index
    this.#counters = counters
    this.#entriesMax = entriesMax
    let capacity = 16
    while (capacity < entriesMax) capacity *= 2
    this.#mask = capacity - 1
    this.#buckets = new Array<TopicEntry | null>(capacity).fill(null)
    index.onExactChange = (topic) => this.#forget(topic)
  }

  get size(): number {
    return this.#size
  }

  /** The entry of a topic on the wire. Throws a ProtocolError for bytes that are no topic name. */
  lookup(buffer: Uint8Array, start: number, end: number): TopicEntry {
    const hash = hashBytes(buffer, start, end)
    for (let entry = this.#buckets[hash & this.#mask]!; entry !== null; entry = entry.next!) {
      if (entry.hash === hash && isTopic(entry, buffer, start, end)) return entry
    }
    const topic = decodeTopicName(buffer, start, end)
    refuseManyLevels(topic, this.#levelsMax)
    return this.#add(topic, buffer.slice(start, end), hash)
  }

  lookupName(topic: string): TopicEntry {
    const bytes = encodeUtf8(topic)
    return this.lookup(bytes, 0, bytes.length)
  }

  /** The entry's route, resolved anew when a subscription that may match has changed. */
  route(entry: TopicEntry): Route {
    const generation = this.#index.generation
    if (entry.route !== null) {
      if (entry.generation === generation || !this.#index.mayHaveChanged(entry.route, entry.generation)) {
        entry.generation = generation
        this.#counters.routeCacheHits++
        return entry.route
      }
    }
    this.#counters.routeCacheMisses++
    entry.generation = generation
    entry.route = this.#index.match(entry.topic)
    return entry.route
  }

  #add(topic: string, bytes: Uint8Array, hash: number): TopicEntry {
    if (this.#size >= this.#entriesMax) {
      this.#buckets = new Array<TopicEntry | null>(this.#mask + 1).fill(null)
      this.#size = 0
      this.epoch++
    }
    const bucket = hash & this.#mask
    // A Buffer's slice is a view: the copy is made so that the entry does not pin the socket's chunk.
    const entry = new TopicEntry(topic, new Uint8Array(bytes), hash, this.#buckets[bucket]!, this.epoch)
    this.#buckets[bucket] = entry
    this.#size++
    return entry
  }

  #forget(topic: string): void {
    const bytes = encodeUtf8(topic)
    const hash = hashBytes(bytes, 0, bytes.length)
    for (let entry = this.#buckets[hash & this.#mask]!; entry !== null; entry = entry.next!) {
      if (entry.hash === hash && isTopic(entry, bytes, 0, bytes.length)) entry.route = null
    }
  }
}
