/**
 * Topics by level, as they arrive: what was last said on each, and what before. Everything has a bound: topics (beyond it new ones are
 * counted and not shown), the beginning of each payload, values kept of one topic, and bytes of all values together, of
 * which the oldest give way.
 */
import type { Payload } from '../shown.ts'

export const payloadBytesKept = 1024
export const topicsMax = 10_000
export const valuesPerTopicMax = 100
const levelsMax = 32
const historyBytesMax = 16 * 1024 * 1024
/** What a value takes beside its bytes, about. */
const valueBytes = 120

export interface Value extends Payload {
  qos: 0 | 1 | 2
  retain: boolean
  at: number
}

export interface Arrival extends Value {
  topic: string
}

interface Kept extends Value {
  of: TopicNode | null
}

export class TopicNode {
  readonly name: string
  readonly path: string
  readonly depth: number
  readonly parent: TopicNode | null
  readonly children = new Map<string, TopicNode>()
  #sorted: TopicNode[] | null = null
  /** Of this topic itself, oldest first. */
  readonly values: Value[] = []
  /** Messages of this topic. */
  count = 0
  /** Messages of this topic and of those below it. */
  countBelow = 0
  topicsBelow = 0
  changedAt = 0
  /** Undefined: nobody has decided. */
  open: boolean | undefined

  constructor(name: string, parent: TopicNode | null) {
    this.name = name
    this.parent = parent
    this.path = parent === null || parent.depth < 0 ? name : `${parent.path}/${name}`
    this.depth = parent === null ? -1 : parent.depth + 1
  }

  get last(): Value | undefined {
    return this.values.at(-1)
  }

  child(name: string): TopicNode {
    const known = this.children.get(name)
    if (known !== undefined) return known
    const made = new TopicNode(name, this)
    this.children.set(name, made)
    this.#sorted = null
    return made
  }

  get sorted(): readonly TopicNode[] {
    this.#sorted ??= [...this.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return this.#sorted
  }
}

export class TopicTree {
  readonly root = new TopicNode('', null)
  /** By whole topic: a prefix of others is one only if something came for it. */
  readonly #topics = new Map<string, TopicNode>()
  messages = 0
  /** Messages of topics for which there was no room. */
  unshown = 0
  /** In the order of their arrival; what its topic gave up before has no topic here. */
  #kept: Kept[] = []
  #firstKept = 0
  #keptBytes = 0

  get size(): number {
    return this.#topics.size
  }

  find(topic: string): TopicNode | undefined {
    return this.#topics.get(topic)
  }

  take({ topic, ...value }: Arrival): TopicNode | undefined {
    this.messages++
    const node = this.#topics.get(topic) ?? this.#add(topic)
    if (node === undefined) {
      this.unshown++
      return undefined
    }
    node.count++
    for (let above: TopicNode | null = node; above !== null; above = above.parent) {
      above.countBelow++
      above.changedAt = value.at
    }
    this.#keep(node, value)
    return node
  }

  #add(topic: string): TopicNode | undefined {
    if (this.#topics.size >= topicsMax) return undefined
    let node = this.root
    for (const level of levelsOf(topic)) node = node.child(level)
    this.#topics.set(topic, node)
    for (let above: TopicNode | null = node; above !== null; above = above.parent) above.topicsBelow++
    return node
  }

  #keep(node: TopicNode, value: Value): void {
    const kept: Kept = { ...value, of: node }
    if (node.values.length >= valuesPerTopicMax) this.#release(node.values[0] as Kept)
    node.values.push(kept)
    this.#kept.push(kept)
    this.#keptBytes += kept.bytes.length + valueBytes
    while (this.#keptBytes > historyBytesMax && this.#firstKept < this.#kept.length) {
      this.#release(this.#kept[this.#firstKept++]!)
    }
    if (this.#firstKept > 10_000 && this.#firstKept * 2 > this.#kept.length) this.#tidy()
    else if (this.#kept.length > 2 * this.#keptMost()) this.#tidy()
  }

  #keptMost(): number {
    return Math.max(10_000, this.#topics.size * valuesPerTopicMax)
  }

  /** The oldest of its topic; the last value of a topic stays. */
  #release(kept: Kept): void {
    if (kept.of === null || kept.of.values.length === 1) return
    kept.of.values.shift()
    kept.of = null
    this.#keptBytes -= kept.bytes.length + valueBytes
  }

  #tidy(): void {
    this.#kept = this.#kept.filter(({ of }) => of !== null)
    this.#firstKept = 0
  }
}

/** What lies deeper is one level. */
function levelsOf(topic: string): string[] {
  const levels = topic.split('/')
  if (levels.length <= levelsMax) return levels
  return [...levels.slice(0, levelsMax - 1), levels.slice(levelsMax - 1).join('/')]
}

export interface Row {
  node: TopicNode
  hasChildren: boolean
  open: boolean
}

/** Of a branch that nobody has opened or closed yet. */
const openedChildrenMax = 30

/** What is seen of the tree, from top to bottom; with a search, whatever leads to a topic that has it. */
export function rowsOf(tree: TopicTree, search: string): Row[] {
  const rows: Row[] = []
  const sought = search.toLowerCase()
  const walk = (node: TopicNode): boolean => {
    const at = rows.length
    let found = sought === '' || (node.count > 0 && node.path.toLowerCase().includes(sought))
    if (node.depth >= 0) {
      node.open ??= node.depth === 0 && node.children.size <= openedChildrenMax
      rows.push({ node, hasChildren: node.children.size > 0, open: sought !== '' || node.open })
    }
    if (node.depth < 0 || sought !== '' || node.open === true) {
      for (const child of node.sorted) if (walk(child)) found = true
    }
    if (!found) rows.length = at
    return found
  }
  walk(tree.root)
  return rows
}
