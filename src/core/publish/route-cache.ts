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
 * One cache serves all namespaces: a topic is that of its namespace, by which its hash begins.
 *
 * The cache is bounded in entries and in bytes: a route takes as many bytes as it has recipients, so that two thousand
 * subscribers of `#` would otherwise multiply every topic. At a limit the entries pass in a circle, and the first that was
 * not used since it was passed last gives way (second chance).
 *
 * Topics come from clients, who may choose them so that they fall into one bucket. The hash begins with a seed that they
 * don't know, and a bucket holds at most `chainEntriesMax`: beyond it the oldest of the bucket gives way, so that a
 * look-up never compares with more.
 */
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { decodeTopicName } from '../../mqtt/topic.ts'
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Counters } from '../counters.ts'
import { type Address, addressOf } from '../logs/address.ts'
import type { Namespace } from '../namespace.ts'
import type { Rewrite } from '../rewrite/rewrites.ts'
import type { Route } from '../subscriptions/subscription-index.ts'

export class TopicEntry {
  readonly namespace: Namespace
  readonly topic: string
  /** For clients: the server's own, or what another namespace exports. */
  readonly readOnly: boolean
  /** What is published to it goes to a thing of the gateway itself; null: to its subscribers. */
  readonly address: Address | null
  /** Its messages get other topics; null: they keep it. */
  readonly rewrite: Rewrite | null
  readonly bytes: Uint8Array
  readonly hash: number
  /** Of its bucket. */
  next: TopicEntry | null = null
  route: Route | null = null
  /** The index's generation when `route` was resolved. */
  generation = 0
  /** False: it gave way, and is no longer told of changes. Whoever kept it looks its topic up again. */
  live = true
  /** Its route was used since the circle passed. */
  used = false
  /** Its place in the circle. */
  place: number

  constructor(namespace: Namespace, topic: string, bytes: Uint8Array, hash: number, place: number) {
    this.namespace = namespace
    this.topic = topic
    this.readOnly = namespace.isReadOnly(topic)
    this.address = addressOf(topic)
    this.rewrite = this.readOnly ? null : namespace.rewrites.topic(topic)
    this.bytes = bytes
    this.hash = hash
    this.place = place
  }
}

/** FNV-1a over the bytes: cheap, and spread well enough for a chained table. */
function hashBytes(seed: number, buffer: Uint8Array, start: number, end: number): number {
  let hash = seed
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ buffer[i]!, 0x01000193)
  return hash ^ (hash >>> 15)
}

const chainEntriesMax = 8

/** What an entry counts for besides its topic, which is there as bytes and as text. */
const entryBytes = 200

const bytesOf = (entry: TopicEntry): number => entryBytes + 2 * entry.bytes.length + (entry.route?.bytes ?? 0)

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

export interface TopicCacheOptions {
  routeCacheEntriesMax: number
  routeCacheBytesMax: number
  topicLevelsMax: number
}

export class TopicCache {
  readonly #counters: Counters
  readonly #options: TopicCacheOptions
  readonly #mask: number
  readonly #buckets: (TopicEntry | null)[]
  readonly #circle: TopicEntry[] = []
  #hand = 0
  /** About what entries and routes take. */
  bytes = 0

  constructor(counters: Counters, options: TopicCacheOptions) {
    this.#counters = counters
    this.#options = options
    let capacity = 16
    while (capacity < options.routeCacheEntriesMax) capacity *= 2
    this.#mask = capacity - 1
    this.#buckets = new Array<TopicEntry | null>(capacity).fill(null)
  }

  /** Is told of the namespace's subscriptions from now on. */
  follow(namespace: Namespace): void {
    namespace.index.onExactChange = (topic) => this.#forget(namespace, topic)
  }

  /** Its topics may mean something else by now: each is looked at anew. */
  forget(namespace: Namespace): void {
    for (const entry of this.#circle.filter((one) => one.namespace === namespace)) this.#remove(entry)
  }

  get size(): number {
    return this.#circle.length
  }

  /** For whoever looks; entries that come and go meanwhile are among them or not. */
  *entries(): Iterable<TopicEntry> {
    for (let place = 0; place < this.#circle.length; place++) yield this.#circle[place]!
  }

  /** The entry of a topic on the wire. Throws a ProtocolError for bytes that are no topic name. */
  lookup(namespace: Namespace, buffer: Uint8Array, start: number, end: number): TopicEntry {
    const hash = hashBytes(namespace.topicSeed, buffer, start, end)
    for (let entry = this.#buckets[hash & this.#mask]!; entry !== null; entry = entry.next!) {
      if (entry.hash === hash && entry.namespace === namespace && isTopic(entry, buffer, start, end)) return entry
    }
    const topic = decodeTopicName(buffer, start, end)
    refuseManyLevels(topic, this.#options.topicLevelsMax)
    return this.#add(namespace, topic, buffer.slice(start, end), hash)
  }

  lookupName(namespace: Namespace, topic: string): TopicEntry {
    const bytes = encodeUtf8(topic)
    return this.lookup(namespace, bytes, 0, bytes.length)
  }

  /** The entry's route, resolved anew when a subscription that may match has changed. */
  route(entry: TopicEntry): Route {
    const { index } = entry.namespace
    const { generation } = index
    if (entry.route !== null) {
      if (entry.generation === generation || !index.mayHaveChanged(entry.route, entry.generation)) {
        entry.generation = generation
        entry.used = true
        this.#counters.routeCacheHits++
        return entry.route
      }
    }
    this.#counters.routeCacheMisses++
    const route = index.match(entry.topic)
    if (entry.live) this.#keep(entry, route, generation)
    return route
  }

  #keep(entry: TopicEntry, route: Route, generation: number): void {
    this.#drop(entry)
    entry.generation = generation
    // A route that would push out all others is resolved each time.
    if (route.bytes > this.#options.routeCacheBytesMax / 4) return
    entry.route = route
    this.bytes += route.bytes
    this.#shrink(entry)
  }

  #drop(entry: TopicEntry): void {
    if (entry.route === null) return
    this.bytes -= entry.route.bytes
    entry.route = null
  }

  /** Lets entries go until the limit of bytes holds; not the one in hand. */
  #shrink(inHand: TopicEntry): void {
    while (this.bytes > this.#options.routeCacheBytesMax && this.size > 1) this.#remove(this.#leastUsed(inHand))
  }

  #leastUsed(inHand: TopicEntry | null): TopicEntry {
    for (;;) {
      if (this.#hand >= this.#circle.length) this.#hand = 0
      const entry = this.#circle[this.#hand++]!
      if (entry === inHand) continue
      if (!entry.used) return entry
      entry.used = false
    }
  }

  #remove(entry: TopicEntry): void {
    const bucket = entry.hash & this.#mask
    const first = this.#buckets[bucket]!
    if (first === entry) this.#buckets[bucket] = entry.next
    else {
      let before = first
      while (before.next !== entry) before = before.next!
      before.next = entry.next
    }
    const last = this.#circle.pop()!
    if (last !== entry) {
      this.#circle[entry.place] = last
      last.place = entry.place
    }
    this.bytes -= bytesOf(entry)
    entry.live = false
    entry.next = null
    entry.route = null
    this.#counters.routeCacheEvictions++
  }

  #add(namespace: Namespace, topic: string, bytes: Uint8Array, hash: number): TopicEntry {
    if (this.size >= this.#options.routeCacheEntriesMax) this.#remove(this.#leastUsed(null))
    const bucket = hash & this.#mask
    this.#shorten(bucket)
    // A Buffer's slice is a view: the copy is made so that the entry does not pin the socket's chunk.
    const entry = new TopicEntry(namespace, topic, new Uint8Array(bytes), hash, this.size)
    entry.next = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    this.#circle.push(entry)
    this.bytes += bytesOf(entry)
    this.#shrink(entry)
    return entry
  }

  /** Makes room for one more in a bucket. */
  #shorten(bucket: number): void {
    let length = 0
    let last: TopicEntry | null = null
    for (let entry = this.#buckets[bucket]!; entry !== null; entry = entry.next!) {
      length++
      last = entry
    }
    if (length >= chainEntriesMax) this.#remove(last!)
  }

  #forget(namespace: Namespace, topic: string): void {
    const bytes = encodeUtf8(topic)
    const hash = hashBytes(namespace.topicSeed, bytes, 0, bytes.length)
    for (let entry = this.#buckets[hash & this.#mask]!; entry !== null; entry = entry.next!) {
      const isIt = entry.hash === hash && entry.namespace === namespace && isTopic(entry, bytes, 0, bytes.length)
      if (isIt) this.#drop(entry)
    }
  }
}
