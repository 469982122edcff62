/**
 * Exports: messages of one namespace that another gets, below a prefix, to read. Nothing else crosses.
 *
 * An export is a destination in the namespace that it exports from. What it takes is published in the other one as a message of the
 * server itself, after its own routing has ended, since routing never nests, and before the publisher is answered, so that its
 * acknowledgement waits for both. Topics below the prefix are read only there, as `$SYS` is: nobody can publish what looks like
 * an export, and what is retained there is retained in memory only, taken from where it was exported at each start.
 *
 * The configuration has no loops, so that each message comes to an end.
 */
import { parseTopicFilter } from '../../mqtt/topic.ts'
import { encodeUtf8, isEncodable } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { drop } from '../drop.ts'
import type { Namespace } from '../namespace.ts'
import { setRetained } from '../retained/retained-changes.ts'
import type { Destination } from '../subscriptions/destination.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import { type Message, republished } from './message.ts'
import type { Publication } from './publication.ts'

/** As the configuration has it: what of `from` goes to `to`. */
export interface ExportRule {
  readonly from: string
  readonly to: string
  readonly filter: string
  /** Ends in a slash. */
  readonly prefix: string
}

/** A message on its way into another namespace. */
export interface Exported {
  readonly namespace: Namespace
  readonly message: Message
  readonly retain: boolean
}

export class Export implements Destination {
  readonly name: string
  readonly online = true
  readonly ready = true
  readonly durable = false
  readonly stored = false
  readonly hasRoom = true
  readonly refuses = false
  readonly ownPolicy = false
  readonly load = 0
  matchNumber = 0
  matchSlot = 0
  readonly from: Namespace
  readonly to: Namespace
  readonly filters: string[] = []
  readonly #prefix: string

  constructor(from: Namespace, to: Namespace, prefix: string) {
    this.name = `export to ${to.name}`
    this.from = from
    this.to = to
    this.#prefix = prefix
  }

  mayReceive(): boolean {
    return true
  }

  accept(broker: Broker, publication: Publication): void {
    const message = this.translated(publication.message)
    if (message === null) drop(this.topicOf(publication.topicName), 'export_refused', this.to)
    else broker.exported.push({ namespace: this.to, message, retain: publication.retain })
  }

  topicOf(name: string): string {
    return this.#prefix + name
  }

  /**
   * The message as it is there; null: its topic would be longer than MQTT carries. Bytes of payload and properties are shared; who
   * published it is not told.
   */
  translated(message: Message): Message | null {
    const name = this.topicOf(message.name)
    if (!isEncodable(name)) return null
    return { ...republished(message), name, topic: encodeUtf8(name), publisher: '' }
  }
}

/** Puts the exports of the configuration in force. One destination for each prefix, so that filters may overlap. */
export function addExports(broker: Broker, rules: readonly ExportRule[]): void {
  const exports = new Map<string, Export>()
  for (const { from, to, filter, prefix } of rules) {
    const key = JSON.stringify([from, to, prefix])
    let destination = exports.get(key)
    if (destination === undefined) {
      destination = new Export(broker.namespace(from), broker.namespace(to), prefix)
      destination.to.importPrefixes.push(prefix)
      exports.set(key, destination)
      broker.exports.push(destination)
    }
    const subscription = new Subscription(destination, filter)
    subscription.qos = 2
    subscription.retainAsPublished = true
    destination.from.addOwn(subscription, parseTopicFilter(filter)!)
    destination.filters.push(filter)
  }
}

/** After a start: what is retained there is retained here too. Nobody is told, since it is no news. */
export function copyRetained(broker: Broker): void {
  const copied = new Set<Namespace>()
  const copyInto = (namespace: Namespace): void => {
    if (copied.has(namespace)) return
    copied.add(namespace)
    for (const one of broker.exports) {
      if (one.to !== namespace) continue
      // What was imported there may be exported on.
      copyInto(one.from)
      copyFrom(broker, one)
    }
  }
  for (const { to } of broker.exports) copyInto(to)
}

function copyFrom(broker: Broker, one: Export): void {
  for (const filter of one.filters) {
    const scan = one.from.retained.match(filter)
    while (!scan.done) {
      const message = scan.next(Infinity)
      if (message === null) continue
      const translated = one.translated(message)
      if (translated !== null) setRetained(broker, one.to, translated.name, translated)
    }
  }
}
