/**
 * A trie by topic level, in which a chain of levels without a branch is one node: a deep topic costs what its bytes cost,
 * not a node and a map for each of its two hundred levels. Subscriptions with wildcards and retained messages stand in one
 * each; to the trie `+` is a level like any other.
 *
 *     sport/tennis/a/b    root ── "sport/tennis" ─┬─ "a/b"
 *     sport/tennis/c                              └─ "c"
 *
 * A node's label is its levels joined by "/"; its key among its parent's children is the first of them. Adding may split a
 * node: the lower part keeps its identity and its children. Removing may join a node without value with its only child: the
 * child stays and takes over the label. So whoever walks children while the trie changes goes by `depth`.
 */
export interface TrieNode<Value> {
  /** Its levels; of the root none. */
  label: string
  /** Levels above its label. */
  depth: number
  value: Value | null
  children: Map<string, TrieNode<Value>> | null
  parent: TrieNode<Value> | null
}

/** Where the level that begins at `at` ends. */
export function levelEnd(text: string, at: number): number {
  const slash = text.indexOf('/', at)
  return slash < 0 ? text.length : slash
}

export function firstLevel(text: string): string {
  return text.slice(0, levelEnd(text, 0))
}

export function countLevels(text: string): number {
  let levels = 1
  for (let at = text.indexOf('/'); at >= 0; at = text.indexOf('/', at + 1)) levels++
  return levels
}

const slash = 0x2f

/** How many characters of the label, in whole levels, the path has at `at`; their first level is the same. */
function sharedLabel(label: string, path: string, at: number): number {
  let shared = 0
  for (let i = 0; ; i++) {
    const inLabel = i < label.length ? label.charCodeAt(i) : slash
    const inPath = at + i < path.length ? path.charCodeAt(at + i) : slash
    if (inLabel !== inPath) return shared
    if (inLabel === slash) shared = i
    if (i >= label.length || at + i >= path.length) return shared
  }
}

/** Bytes that a node counts for beside its label and its value: the object, and its place among its parent's children. */
const nodeBytes = 160

export class TopicTrie<Value> {
  readonly root: TrieNode<Value> = { label: '', depth: 0, value: null, children: null, parent: null }
  nodes = 0
  #labelBytes = 0

  /** About what it takes, without its values. */
  get bytes(): number {
    return this.nodes * nodeBytes + this.#labelBytes
  }

  find(path: string): TrieNode<Value> | null {
    let node = this.root
    for (let at = 0; at <= path.length; ) {
      const child = node.children?.get(path.slice(at, levelEnd(path, at)))
      if (child === undefined || sharedLabel(child.label, path, at) < child.label.length) return null
      node = child
      at += child.label.length + 1
    }
    return node
  }

  /** The node of a path, made where there is none. */
  add(path: string): TrieNode<Value> {
    let node = this.root
    let depth = 0
    for (let at = 0; at <= path.length; ) {
      const level = path.slice(at, levelEnd(path, at))
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = { label: path.slice(at), depth, value: null, children: null, parent: node }
        this.nodes++
        this.#labelBytes += child.label.length
        node.children.set(level, child)
        return child
      }
      const shared = sharedLabel(child.label, path, at)
      if (shared < child.label.length) child = this.#split(child, level, shared)
      depth = child.depth + countLevels(child.label)
      at += shared + 1
      node = child
    }
    return node
  }

  /** To be called when a node's value became null: it goes where it has become needless. */
  prune(node: TrieNode<Value>): void {
    const { parent, children } = node
    if (parent === null || node.value !== null) return
    if (children === null) {
      parent.children!.delete(firstLevel(node.label))
      if (parent.children!.size === 0) parent.children = null
      this.nodes--
      this.#labelBytes -= node.label.length
      this.prune(parent)
    } else if (children.size === 1) {
      const [child] = children.values()
      parent.children!.set(firstLevel(node.label), child!)
      child!.label = `${node.label}/${child!.label}`
      child!.depth = node.depth
      child!.parent = parent
      this.nodes--
      this.#labelBytes++
    }
  }

  /** Makes a node of the first `shared` characters of the child's label; the child keeps the rest. Returns the new node. */
  #split(child: TrieNode<Value>, level: string, shared: number): TrieNode<Value> {
    const { label, depth, parent } = child
    const upper: TrieNode<Value> = { label: label.slice(0, shared), depth, value: null, children: null, parent }
    child.label = label.slice(shared + 1)
    child.depth += countLevels(upper.label)
    child.parent = upper
    upper.children = new Map([[firstLevel(child.label), child]])
    parent!.children!.set(level, upper)
    this.nodes++
    this.#labelBytes--
    return upper
  }
}
