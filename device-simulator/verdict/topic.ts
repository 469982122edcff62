/** Which filters match which topics (MQTT 5.0, section 4.7), as the judge of deliveries needs it. */

const sharePrefix = '$share/'

export interface SubscriptionFilter {
  /** Without the `$share/NAME/` prefix. */
  filter: string
  /** Undefined for a plain subscription. */
  share: string | undefined
}

export function splitShare(text: string): SubscriptionFilter {
  if (!text.startsWith(sharePrefix)) return { filter: text, share: undefined }
  const slash = text.indexOf('/', sharePrefix.length)
  return { filter: text.slice(slash + 1), share: text.slice(sharePrefix.length, slash) }
}

export function filterMatches(filter: string, topic: string): boolean {
  if (filter === topic) return true
  // Wildcards at the first level do not match topics that start with $ (4.7.2-1).
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false
  let f = 0
  let t = 0
  for (;;) {
    const filterEnd = filter.indexOf('/', f)
    const level = filterEnd < 0 ? filter.slice(f) : filter.slice(f, filterEnd)
    if (level === '#') return true
    const topicEnd = topic.indexOf('/', t)
    if (level !== '+' && level !== (topicEnd < 0 ? topic.slice(t) : topic.slice(t, topicEnd))) return false
    // `a/#` matches its parent `a` too (4.7.1.2).
    if (topicEnd < 0) return filterEnd < 0 || filter.slice(filterEnd) === '/#'
    if (filterEnd < 0) return false
    f = filterEnd + 1
    t = topicEnd + 1
  }
}

interface Indexed<T> {
  topic: string
  value: T
}

/**
 * Topics that can be asked for by filter. They are sorted, so a filter looks only at those that begin with its literal
 * part: a swarm whose devices each subscribe to topics of their own stays linear.
 */
export class TopicIndex<T> {
  readonly #entries: Indexed<T>[]

  constructor(entries: readonly Indexed<T>[]) {
    this.#entries = [...entries].sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0))
  }

  has(topic: string): boolean {
    return this.#entries[this.#lowerBound(topic)]?.topic === topic
  }

  /** In the order of the topics. */
  *matching(filter: string): Generator<T> {
    const wildcard = filter.search(/[+#]/)
    // `a/#` matches `a`, which does not begin with `a/`.
    const prefix = wildcard < 0 ? filter : filter.slice(0, wildcard).replace(/\/$/, '')
    for (let i = this.#lowerBound(prefix); i < this.#entries.length; i++) {
      const { topic, value } = this.#entries[i]!
      if (!topic.startsWith(prefix)) break
      if (filterMatches(filter, topic)) yield value
    }
  }

  #lowerBound(topic: string): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[middle]!.topic < topic) low = middle + 1
      else high = middle
    }
    return low
  }
}
