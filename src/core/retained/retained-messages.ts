/**
 * Retained messages, in a trie by topic level, so that a subscription visits what it may match and no more.
 */
import type { Cost } from '../cost.ts'
import type { Deadline } from '../deadlines.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import { TopicTrie } from '../topic-trie.ts'
import { RetainedScan } from './retained-scan.ts'

export class RetainedMessages {
  readonly #trie = new TopicTrie<Message>()
  readonly #cost: Cost
  #messageBytes = 0
  count = 0
  /** Payload bytes. */
  bytes = 0
  /** Of the messages that expire. */
  readonly expiries = new Map<Message, Deadline>()

  constructor(cost: Cost) {
    this.#cost = cost
  }

  /** About what they take in memory, with the objects around them. */
  get memoryBytes(): number {
    return this.#trie.bytes + this.#messageBytes + this.count * messageObjectBytes
  }

  /** What one message takes, but for its place in the trie. */
  bytesOf(message: Message): number {
    return messageBytes(message) + messageObjectBytes
  }

  get(topic: string): Message | null {
    return this.#trie.find(topic)?.value ?? null
  }

  /** Sets a topic's retained message, or removes it (null). Returns what it replaces. */
  set(topic: string, message: Message | null): Message | null {
    const node = message === null ? this.#trie.find(topic) : this.#trie.add(topic)
    if (node === null) return null
    const previous = node.value
    this.#count(previous, message)
    node.value = message
    if (message === null) this.#trie.prune(node)
    return previous
  }

  #count(previous: Message | null, message: Message | null): void {
    if (previous !== null) {
      this.count--
      this.bytes -= previous.payload.length
      this.#messageBytes -= messageBytes(previous)
    }
    if (message !== null) {
      this.count++
      this.bytes += message.payload.length
      this.#messageBytes += messageBytes(message)
    }
  }

  /** What a filter matches, to be taken at the subscriber's pace. */
  match(filter: string): RetainedScan {
    return new RetainedScan(this.#trie.root, filter, this.#cost)
  }
}

/** A retained message's object, its three arrays of bytes and its name. */
const messageObjectBytes = 600
