/**
 * Which topic a message has at the other end. The first rule that fits a topic decides; what it says is remembered by topic, for so
 * many topics, since most messages are of the same few.
 */
import type { Qos } from '../mqtt/packet.ts'
import { topicMatchesFilter } from '../mqtt/topic.ts'
import { decodeUtf8, encodeUtf8, isEncodable } from '../mqtt/utf8.ts'
import { isIn, isOut, remoteFilter, type TopicRule } from './settings.ts'

export interface Mapped {
  /** At the other end, as UTF-8. */
  readonly topic: Uint8Array
  readonly qos: Qos
  readonly retain: boolean
  /** Of those that outgoing messages are spread over. */
  readonly connection: number
}

/** Why a message does not go over. */
export type Unmapped = 'unmatched' | 'excepted' | 'topic_too_long' | 'topic_invalid'

const rememberedMax = 10_000

export interface MapOptions {
  connections: number
  /** Of a topic, on either side. */
  topicLevelsMax: number
}

export class TopicMap {
  readonly #rules: readonly TopicRule[]
  readonly #options: MapOptions
  readonly #out = new Map<string, Mapped | Unmapped>()
  readonly #in = new Map<string, Mapped | Unmapped>()

  constructor(rules: readonly TopicRule[], options: MapOptions) {
    this.#rules = rules
    this.#options = options
  }

  /** Of a topic here, in UTF-8. */
  out(bytes: Uint8Array, start: number, end: number): Mapped | Unmapped {
    return this.#look(this.#out, bytes, start, end, (topic) => this.#mapOut(topic))
  }

  /** Of a topic there, in UTF-8. */
  in(bytes: Uint8Array, start: number, end: number): Mapped | Unmapped {
    return this.#look(this.#in, bytes, start, end, (topic) => this.#mapIn(topic))
  }

  #look(
    known: Map<string, Mapped | Unmapped>,
    bytes: Uint8Array,
    start: number,
    end: number,
    find: (topic: string) => Mapped | Unmapped,
  ): Mapped | Unmapped {
    const topic = decodeUtf8(bytes, start, end)
    if (topic === undefined) return 'unmatched'
    let mapped = known.get(topic)
    if (mapped !== undefined) return mapped
    mapped = find(topic)
    if (known.size >= rememberedMax) known.clear()
    known.set(topic, mapped)
    return mapped
  }

  #mapOut(topic: string): Mapped | Unmapped {
    for (const rule of this.#rules) {
      const { localPrefix, remotePrefix, except } = rule
      if (!isOut(rule) || !fits(topic, localPrefix, rule.filter)) continue
      if (except.some((filter) => topicMatchesFilter(localPrefix + filter, topic))) return 'excepted'
      const there = remotePrefix + topic.slice(localPrefix.length)
      // Without its prefix `x/$queue/a` would be an address there, which the rule does not name.
      if (there.startsWith('$') && !remoteFilter(rule).startsWith('$')) return 'excepted'
      // Longer by its prefix than any topic here: another gateway would end the connection over it, and get it again.
      return this.#hasTooManyLevels(there) ? 'topic_too_long' : this.#mapped(rule, there, hashOf(topic))
    }
    return 'unmatched'
  }

  #mapIn(topic: string): Mapped | Unmapped {
    for (const rule of this.#rules) {
      const { localPrefix, remotePrefix, except } = rule
      if (!isIn(rule) || !fits(topic, remotePrefix, rule.filter)) continue
      if (except.some((filter) => topicMatchesFilter(remotePrefix + filter, topic))) return 'excepted'
      const here = localPrefix + topic.slice(remotePrefix.length)
      // What begins with $ is ours to say: $SYS, and addresses such as $queue.
      if (here.startsWith('$')) return 'excepted'
      if (/[+#]/.test(here)) return 'topic_invalid'
      return this.#hasTooManyLevels(here) ? 'topic_too_long' : this.#mapped(rule, here, 0)
    }
    return 'unmatched'
  }

  #hasTooManyLevels(topic: string): boolean {
    return topic.split('/').length > this.#options.topicLevelsMax
  }

  #mapped({ qos, retain }: TopicRule, topic: string, hash: number): Mapped | Unmapped {
    if (!isEncodable(topic)) return 'topic_too_long'
    return { topic: encodeUtf8(topic), qos, retain, connection: hash % this.#options.connections }
  }
}

/** A filter such as `a/#` matches `a` too, of which nothing is left without the prefix `a/`. */
function fits(topic: string, prefix: string, filter: string): boolean {
  return topic.length > prefix.length && topic.startsWith(prefix) && topicMatchesFilter(prefix + filter, topic)
}

/** FNV-1a: the same in each process, so that what was begun on one connection goes on there. */
function hashOf(topic: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < topic.length; at++) hash = Math.imul(hash ^ topic.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** By how much topics may grow on their way out. */
export function growthBytes(rules: readonly TopicRule[]): number {
  const growth = rules.filter(isOut).map(({ localPrefix, remotePrefix }) => {
    return encodeUtf8(remotePrefix).length - encodeUtf8(localPrefix).length
  })
  return Math.max(0, ...growth)
}
