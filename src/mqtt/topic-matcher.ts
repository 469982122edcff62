/** A topic filter that is compared with many topics one by one, where no index is: taken apart once. */
const plus = 0x2b

export class TopicMatcher {
  readonly filter: string
  readonly #levels: readonly string[]
  readonly #endsInHash: boolean
  /** Topics in `$` are not meant by a wildcard at the first level [MQTT-4.7.2-1]. */
  readonly #beginsWithWildcard: boolean
  readonly #hasWildcard: boolean

  /** `filter`: a valid one, without `$share/group/`. */
  constructor(filter: string) {
    this.filter = filter
    const levels = filter.split('/')
    this.#beginsWithWildcard = levels[0] === '#' || levels[0] === '+'
    this.#endsInHash = levels.at(-1) === '#'
    if (this.#endsInHash) levels.pop()
    this.#levels = levels
    this.#hasWildcard = this.#endsInHash || levels.includes('+')
  }

  matches(topic: string): boolean {
    if (!this.#hasWildcard) return topic === this.filter
    if (this.#beginsWithWildcard && topic.charCodeAt(0) === 0x24) return false
    let start = 0
    for (const level of this.#levels) {
      if (start > topic.length) return false
      const slash = topic.indexOf('/', start)
      const end = slash < 0 ? topic.length : slash
      const isPlus = level.length === 1 && level.charCodeAt(0) === plus
      if (!isPlus && (end - start !== level.length || !topic.startsWith(level, start))) return false
      start = end + 1
    }
    // "#" stands for its parent level too (section 4.7.1.2).
    return this.#endsInHash || start > topic.length
  }
}
