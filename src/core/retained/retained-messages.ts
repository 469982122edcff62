/**
 * Retained messages, in a trie by topic level, so that a subscription with wildcards visits what it matches and no more.
 */
import type { Deadline } from '../deadlines.ts'
import type { Message } from '../publish/message.ts'

interface RetainedNode {
  message: Message | null
  children: Map<string, RetainedNode> | null
}

export class RetainedMessages {
  readonly #root: RetainedNode = { message: null, children: null }
  count = 0
  /** Payload bytes. */
  bytes = 0
  /** Of the messages that expire. */
  readonly expiries = new Map<Message, Deadline>()

  get(topic: string): Message | null {
    let node: RetainedNode | undefined = this.#root
    for (const level of topic.split('/')) {
      node = node.children?.get(level)
      if (node === undefined) return null
    }
    return node.message
  }

  /** Sets a topic's retained message, or removes it (null). Returns what it replaces. */
  set(topic: string, message: Message | null): Message | null {
    const levels = topic.split('/')
    return message === null ? this.#remove(this.#root, levels, 0) : this.#put(levels, message)
  }

  #put(levels: readonly string[], message: Message): Message | null {
    let node = this.#root
    for (const level of levels) {
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = { message: null, children: null }
        node.children.set(level, child)
      }
      node = child
    }
    const previous = node.message
    this.#count(previous, message)
    node.message = message
    return previous
  }

  #remove(node: RetainedNode, levels: readonly string[], depth: number): Message | null {
    if (depth === levels.length) {
      const previous = node.message
      this.#count(previous, null)
      node.message = null
      return previous
    }
    const level = levels[depth]!
    const child = node.children?.get(level)
    if (child === undefined) return null
    const previous = this.#remove(child, levels, depth + 1)
    if (child.message === null && child.children === null) {
      node.children!.delete(level)
      if (node.children!.size === 0) node.children = null
    }
    return previous
  }

  #count(previous: Message | null, message: Message | null): void {
    if (previous !== null) {
      this.count--
      this.bytes -= previous.payload.length
    }
    if (message !== null) {
      this.count++
      this.bytes += message.payload.length
    }
  }

  /**
   * The messages whose topics a filter matches, one at a time: a subscriber takes them at its socket's pace. Each is what is
   * retained when it is taken.
   */
  *match(levels: readonly string[]): Generator<Message, void, undefined> {
    yield* this.#match(this.#root, levels, 0)
  }

  *#match(node: RetainedNode, levels: readonly string[], depth: number): Generator<Message, void, undefined> {
    if (depth === levels.length) {
      if (node.message !== null) yield node.message
      return
    }
    const level = levels[depth]!
    if (level === '#') {
      yield* this.#subtree(node, depth === 0)
      return
    }
    if (node.children === null) return
    if (level !== '+') {
      const child = node.children.get(level)
      if (child !== undefined) yield* this.#match(child, levels, depth + 1)
      return
    }
    for (const [name, child] of node.children) {
      if (depth === 0 && name.startsWith('$')) continue
      yield* this.#match(child, levels, depth + 1)
    }
  }

  /** The node and everything below it; at the root without topics beginning with `$` [MQTT-4.7.2-1]. */
  *#subtree(node: RetainedNode, isRoot: boolean): Generator<Message, void, undefined> {
    if (node.message !== null) yield node.message
    if (node.children === null) return
    for (const [name, child] of node.children) {
      if (isRoot && name.startsWith('$')) continue
      yield* this.#subtree(child, false)
    }
  }
}
