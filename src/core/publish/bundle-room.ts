/**
 * The room that the messages of a bundle need, judged before any of them is put anywhere: each is asked about as if all before it were
 * there already, and had been taken by nobody meanwhile.
 *
 * What a share group would get counts for each of its members, since nobody knows yet who gets it. So a bundle is refused rather too
 * early than taken by half. At QoS 0 nothing is kept for sessions; queues keep it, so that it counts there.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import { heldBytes } from '../budgets.ts'
import type { Address } from '../logs/address.ts'
import { Queue } from '../logs/queue.ts'
import type { QueuedMessage } from '../logs/queued-message.ts'
import { Stream } from '../logs/stream.ts'
import type { Namespace } from '../namespace.ts'
import { retainRefusal } from '../retained/retained-changes.ts'
import { Session } from '../session/session.ts'
import { Shaper } from '../shaping/shaper.ts'
import type { Ahead, Destination } from '../subscriptions/destination.ts'
import { dispatchedMessage, isGroupFull } from '../subscriptions/shared-group.ts'
import type { Route, Subscription } from '../subscriptions/subscription-index.ts'
import { Export } from './export.ts'
import { type Message, messageBytes } from './message.ts'
import type { PublishOutcome } from './publish.ts'
import type { TopicEntry } from './route-cache.ts'

export interface BundledMessage {
  readonly namespace: Namespace
  readonly message: Message
  readonly retain: boolean
}

class Load {
  messages = 0
  bytes = 0
}

export class BundleRoom {
  readonly #broker: Broker
  /** By destination and namespace, and for what is delayed. */
  readonly #loads = new Map<object, Load>()
  readonly #retained = new Map<Namespace, Load>()
  #heldBytes = 0

  constructor(broker: Broker) {
    this.#broker = broker
  }

  /** A message will have left its queue. */
  leaves({ lane: { queue }, bytes }: QueuedMessage): void {
    this.#add(queue, -1, -bytes)
    this.#add(queue.namespace, -1, -bytes)
  }

  /** Why there is no room for a message to its subscribers; empty: there is, and from here on the message has it. */
  routed({ namespace, message, retain }: BundledMessage, entry: TopicEntry): string {
    if (retain && message.payload.length > 0 && !this.#mayRetain(namespace, message, entry))
      return 'there is no room for one more retained message'
    return this.#kept(namespace, message, this.#broker.topics.route(entry))
  }

  /** The same for one that goes to this queue alone. */
  queued(queue: Queue, message: Message): string {
    return this.#broker.storeFull && !queue.seen?.knows(message, true) ? storeFull : this.#inQueue(queue, message)
  }

  /** What becomes of one that waits until it is due. */
  delayed(address: Extract<Address, { kind: 'delayed' }>, { namespace, message }: BundledMessage): PublishOutcome {
    const { delayed } = this.#broker
    const outcome = delayed.judge(address, namespace, message, this.#ahead(delayed, namespace))
    this.#add(delayed, 1, messageBytes(message))
    return outcome
  }

  #mayRetain(namespace: Namespace, message: Message, { readOnly }: TopicEntry): boolean {
    let load = this.#retained.get(namespace)
    if (load === undefined) {
      load = new Load()
      this.#retained.set(namespace, load)
    }
    const ahead = { ...load, namespaceBytes: 0, heldBytes: 0 }
    const asked = { topic: message.name, message, readOnly }
    if (retainRefusal(this.#broker, namespace, asked, ahead) !== null) return false
    load.messages++
    load.bytes += namespace.retained.bytesOf(message)
    return true
  }

  #kept(namespace: Namespace, message: Message, { recipients, groups }: Route): string {
    for (const { destination, qos } of recipients) {
      const finding = this.#at(destination, namespace, message, qos < message.qos ? qos : message.qos)
      if (finding !== '') return finding
    }
    const refuses = this.#broker.options.sessionQueueFull === 'reject'
    for (const group of groups) {
      if (message.qos > 0 && this.#broker.storeFull && group.members.some(isStored)) return storeFull
      const hasRoom = ({ destination }: Subscription) =>
        !(destination instanceof Session) || destination.hasRoomBehind(this.#ahead(destination, namespace))
      if (message.qos > 0 && refuses && isGroupFull(group, dispatchedMessage(message, false), hasRoom))
        return `nobody of the share group ${group.name} has room`
      for (const { destination } of group.members) this.#put(destination, namespace, message)
    }
    return ''
  }

  #at(destination: Destination, namespace: Namespace, message: Message, qos: Qos): string {
    const { storeFull: isFull, options } = this.#broker
    if (isFull && destination.stored && (qos > 0 || destination instanceof Stream)) return storeFull
    if (destination instanceof Queue) return this.#inQueue(destination, message)
    if (destination instanceof Export) return this.#exported(destination, message)
    if (qos === 0) return ''
    const session = destination instanceof Shaper ? destination.session : destination
    if (session instanceof Session) {
      if (options.sessionQueueFull === 'reject' && !session.hasRoomBehind(this.#ahead(session, namespace)))
        return `the queue of ${session.name} is full`
    } else if (destination.ownPolicy && destination.refuses && !destination.hasRoom)
      return `${destination.name} is full`
    this.#put(session, namespace, message)
    return ''
  }

  #inQueue(queue: Queue, message: Message): string {
    if (queue.seen?.knows(message, true)) return ''
    const ahead = this.#ahead(queue, queue.namespace)
    if (!queue.hasRoomBehind(ahead) && !queue.mayMakeRoomBehind(ahead)) {
      queue.totals.refused++
      return `the queue ${queue.name} is full`
    }
    this.#put(queue, queue.namespace, message)
    return ''
  }

  /** Where its topic can't be there, it is dropped there and not refused here, as ever. */
  #exported(destination: Export, message: Message): string {
    const there = destination.translated(message)
    return there !== null ? this.#kept(destination.to, there, destination.to.index.match(there.name)) : ''
  }

  #ahead(place: object, namespace: Namespace): Ahead {
    const { messages, bytes } = this.#load(place)
    return { messages, bytes, namespaceBytes: this.#load(namespace).bytes, heldBytes: this.#heldBytes }
  }

  #put(place: object, namespace: Namespace, message: Message): void {
    this.#add(place, 1, messageBytes(message))
    this.#add(namespace, 1, messageBytes(message))
    this.#heldBytes += heldBytes(message)
  }

  #add(place: object, messages: number, bytes: number): void {
    const load = this.#load(place)
    load.messages += messages
    load.bytes += bytes
  }

  #load(place: object): Load {
    let load = this.#loads.get(place)
    if (load === undefined) {
      load = new Load()
      this.#loads.set(place, load)
    }
    return load
  }
}

const storeFull = 'the store has no room'

const isStored = ({ destination, qos }: Subscription): boolean => destination.stored && qos > 0
