/**
 * The retained messages that one filter matches, one at a time: a subscriber takes them at its socket's pace, and in between
 * others are served. It is the nodes visited that are counted and cut, not the messages found: `+/+/+/x` may visit a hundred
 * thousand nodes and find nothing.
 *
 * Messages come and go meanwhile. Each is what is retained when it is taken; one that is retained anew after the SUBSCRIBE
 * reaches the subscriber as a live message, so that the scan may miss it.
 */
import type { Cost } from '../cost.ts'
import type { Message } from '../publish/message.ts'
import { countLevels, levelEnd, type TrieNode } from '../topic-trie.ts'

type Node = TrieNode<Message>

/** Children that are still to be visited, and what of the filter they have to match. */
interface Place {
  readonly children: Iterator<Node, undefined>
  /** Where the filter goes on; `everything`: any child matches. */
  readonly filterAt: number
  /** Levels above these children. */
  readonly depth: number
}

const everything = -1
const noMatch = -2

export class RetainedScan {
  readonly #filter: string
  readonly #cost: Cost
  readonly #root: Node
  /** Null before the first step. */
  #places: Place[] | null = null
  #found: Message | null = null

  constructor(root: Node, filter: string, cost: Cost) {
    this.#root = root
    this.#filter = filter
    this.#cost = cost
  }

  /** Nothing more comes. */
  get done(): boolean {
    return this.#places !== null && this.#places.length === 0 && this.#found === null
  }

  /** The next message; null: there is none, or none was found before the core's steps reached `stepsEnd`. */
  next(stepsEnd: number): Message | null {
    if (this.#places === null) {
      this.#places = []
      this.#enter(this.#root, 0, 0)
    }
    while (this.#found === null && this.#places.length > 0 && this.#cost.steps < stepsEnd) this.#step(this.#places)
    const found = this.#found
    this.#found = null
    return found
  }

  #step(places: Place[]): void {
    const place = places[places.length - 1]!
    const next = place.children.next()
    if (next.done === true) {
      places.pop()
      return
    }
    this.#visit(next.value, place.filterAt, place.depth)
  }

  #visit(child: Node, filterAt: number, depth: number): void {
    this.#cost.steps++
    // [MQTT-4.7.2-1]
    if (depth === 0 && child.label.charCodeAt(0) === 0x24 && this.#startsWithWildcard) return
    const at = filterAt === everything ? everything : this.#follow(child.label, filterAt, depth - child.depth)
    if (at !== noMatch) this.#enter(child, at, child.depth + countLevels(child.label))
  }

  get #startsWithWildcard(): boolean {
    const first = this.#filter.charCodeAt(0)
    return first === 0x23 || first === 0x2b
  }

  /** The node's levels match what precedes `filterAt`. */
  #enter(node: Node, filterAt: number, depth: number): void {
    const filter = this.#filter
    if (filterAt === everything || filterAt > filter.length) {
      this.#found = node.value
      if (filterAt === everything) this.#push(node.children?.values(), everything, depth)
      return
    }
    const level = filter.slice(filterAt, levelEnd(filter, filterAt))
    if (level === '#') {
      // It stands for the level before it too (section 4.7.1.2).
      this.#found = node.value
      this.#push(node.children?.values(), everything, depth)
    } else if (level === '+') {
      this.#push(node.children?.values(), filterAt, depth)
    } else {
      const child = node.children?.get(level)
      // Not put off: until then it might be split or joined.
      if (child !== undefined) this.#visit(child, filterAt, depth)
    }
  }

  #push(children: Iterator<Node, undefined> | undefined, filterAt: number, depth: number): void {
    if (children !== undefined) this.#places!.push({ children, filterAt, depth })
  }

  /**
   * Follows the filter along a label of which `skip` levels are matched already (the node has taken over its parent's label
   * since). Returns where the filter goes on, `everything` behind a `#`, or `noMatch`.
   */
  #follow(label: string, from: number, skip: number): number {
    const filter = this.#filter
    let start = 0
    for (let i = 0; i < skip; i++) start = levelEnd(label, start) + 1
    for (let at = from; at <= filter.length; ) {
      const end = levelEnd(label, start)
      const filterEnd = levelEnd(filter, at)
      const isOne = filterEnd === at + 1
      if (isOne && filter.charCodeAt(at) === 0x23) return everything
      if (!(isOne && filter.charCodeAt(at) === 0x2b)) {
        if (filterEnd - at !== end - start) return noMatch
        for (let i = 0; at + i < filterEnd; i++) {
          if (filter.charCodeAt(at + i) !== label.charCodeAt(start + i)) return noMatch
        }
      }
      at = filterEnd + 1
      if (end === label.length) return at
      start = end + 1
    }
    return noMatch
  }
}
