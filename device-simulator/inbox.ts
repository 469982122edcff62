/**
 * The receiving half of a device: its subscriptions and the books of what came. Shared subscriptions keep a receiver that
 * all members in this thread use.
 */
import type { IncomingMessage, SubscriptionRequest } from './client/client.ts'
import type { Context } from './context.ts'
import type { GroupLayout } from './layout.ts'
import { emptyEnvelope, findEnvelope, readEnvelope } from './payload/envelope.ts'
import { Random } from './random.ts'
import type { Protocol, SubscriptionSpec } from './scenario/schema.ts'
import { fillTemplate, type Variables } from './template.ts'
import { Receiver, type ReceiverIdentity, streamKey } from './verdict/receiver.ts'
import { filterMatches, splitShare } from './verdict/topic.ts'

interface Subscribed {
  request: SubscriptionRequest
  receiver: Receiver
  /** Index of the filter within the receiver. */
  place: number
  filter: string
  work: { mean: number; deviation: number } | undefined
  isOpen: boolean
  /** As the last SUBACK says; -1 before any. */
  granted: number
  /** What was not sent yet is kept and comes later, whoever was away. */
  isStream: boolean
}

/** What tells one device of a group from the others. */
export interface InboxOwner {
  clientId: string
  variables: Variables
  protocol: Protocol
  /** Index in the whole swarm, as envelopes have it. */
  device: number
  /** Index in its group, across all processes of a run. */
  shown: number
}

/** Receivers of shared subscriptions, by broker, group and filter. */
export type SharedReceivers = Map<string, Receiver>

const envelope = emptyEnvelope()
const utf8 = new TextEncoder()

export class Inbox {
  readonly receivers: Receiver[] = []
  readonly requests: SubscriptionRequest[]
  readonly #subscribed: Subscribed[] = []
  readonly #context: Context
  readonly #broker: string
  readonly #durable: boolean
  readonly #device: number
  readonly #workRandom: Random | undefined

  constructor(context: Context, group: GroupLayout, owner: InboxOwner, shared: SharedReceivers) {
    const { clientId, variables, protocol, shown } = owner
    this.#context = context
    this.#device = owner.device
    this.#broker = context.layout.brokerOf(group)
    this.#durable = group.spec.session === 'durable'
    const own = group.spec.subscriptions.map((spec) => addressOf(spec, fillTemplate(spec.filter, variables)))
    const allModern = [group.spec.protocol].flat().every((version) => version === '5.0')
    const plain = own.filter(({ share }) => share === undefined)
    const base = {
      group: group.name,
      broker: this.#broker,
      durable: this.#durable,
      readsProperties: protocol === '5.0',
    }
    const personal =
      plain.length === 0
        ? undefined
        : new Receiver(
            { ...base, id: clientId, shared: false },
            plain.map(({ spec, filter }) => ({ filter, noLocal: spec.noLocal ?? false })),
          )
    if (personal !== undefined) this.receivers.push(personal)
    for (const { spec, text, filter, share } of own) {
      const receiver = share === undefined ? personal! : this.#sharedReceiver(shared, base, text, filter, allModern)
      this.#subscribed.push({
        request: {
          filter: text,
          qos: spec.qos,
          noLocal: spec.noLocal ?? false,
          retainAsPublished: spec.retainAsPublished ?? false,
          retainHandling: spec.retainHandling ?? 0,
        },
        receiver,
        place: receiver.subscriptions.findIndex((subscription) => subscription.filter === filter),
        filter,
        work: spec.work,
        isOpen: false,
        granted: -1,
        isStream: spec.stream !== undefined,
      })
    }
    this.requests = this.#subscribed.map(({ request }) => request)
    const works = own.some(({ spec }) => spec.work !== undefined)
    this.#workRandom = works ? new Random(context.identity.seed, [group.name, shown, 'work']) : undefined
  }

  /** One SUBACK's codes, in the order of `requests`; a clean session is owed nothing from before it. */
  onGranted(codes: readonly number[]): void {
    for (const [i, subscribed] of this.#subscribed.entries()) {
      const code = codes[i] ?? 0x80
      const state = subscribed.receiver.subscriptions[subscribed.place]!
      // A durable session and the rest of a shared subscription were there all the time.
      const wasThere = state.granted >= 0 && (subscribed.receiver.shared || (this.#durable && subscribed.isOpen))
      state.granted = code
      subscribed.granted = code
      subscribed.isOpen = code < 0x80
      if (!wasThere) this.#excuse(subscribed)
    }
    for (const receiver of this.receivers) receiver.isAway = false
  }

  onOnline(): void {
    for (const { receiver } of this.#uniqueReceivers()) receiver.online += 1
  }

  onSessionLost(): void {
    for (const receiver of this.receivers) receiver.sessionsLost += 1
  }

  /** A clean session ended: what was in flight to it may be gone for good, and with it a shared subscription's share. */
  onClosed(): void {
    for (const { receiver } of this.#uniqueReceivers()) receiver.online -= 1
    if (this.#durable) return
    for (const receiver of this.receivers) receiver.onAway()
    for (const subscribed of this.#subscribed) if (subscribed.receiver.shared) this.#excuse(subscribed)
  }

  workMs(topic: string): number {
    if (this.#workRandom === undefined) return 0
    for (const { work, filter } of this.#subscribed) {
      if (work !== undefined && filterMatches(filter, topic)) {
        return Math.max(0, work.mean + work.deviation * this.#workRandom.normal())
      }
    }
    return 0
  }

  onMessage(message: IncomingMessage, nowMs: number): void {
    const { counters } = this.#context.measures
    counters.received += 1
    counters.receivedBytes += message.payload.length
    if (!this.#read(message)) {
      this.#onUnmarked(message)
      return
    }
    if (envelope.run !== this.#context.identity.run) {
      counters.foreign += 1
      return
    }
    const receiver = this.#receiverFor(message.topic)
    if (receiver === undefined) {
      this.receivers[0]?.misroute(message.topic)
      return
    }
    if (!envelope.whole) {
      receiver.corrupt(message.topic)
      counters.corruptedSeen += 1
      return
    }
    if (message.retain && !this.#keepsRetain(message.topic)) {
      // Copies of the retained message on subscribing are no part of the stream.
      receiver.retainedDeliveries += 1
      counters.retainedDeliveries += 1
      return
    }
    this.#book(receiver, message, nowMs)
  }

  #book(receiver: Receiver, { topic, qos }: IncomingMessage, nowMs: number): void {
    const { device, stream, sequence, intendedUs, lagUs } = envelope
    let flow = receiver.flows.get(streamKey(device, stream))
    if (flow === undefined || flow.topic !== topic) {
      if (!this.#topicVaries(device, stream) && this.#context.layout.expectedTopic(device, stream) !== topic) {
        receiver.misroute(topic)
        this.#context.measures.counters.misroutedSeen += 1
        return
      }
      flow ??= receiver.flow(device, stream, topic)
    }
    const { measures } = this.#context
    const kind = flow.take(sequence)
    if (kind === 'duplicate') measures.counters.duplicatesSeen += 1
    else if (kind === 'late' && !receiver.shared) measures.counters.outOfOrderSeen += 1
    if (kind !== 'duplicate') this.#checkQos(receiver, topic, stream % 3, qos)
    const us = nowMs * 1000 - intendedUs
    measures.interval.record(us)
    if (measures.isMeasured(intendedUs / 1000)) {
      measures.latency.endToEnd.record(us)
      measures.latency.endToEndFromSend.record(us - lagUs)
    }
  }

  /** It comes with the lower one of the QoS published and granted; where subscriptions overlap, with that of any of them. */
  #checkQos(receiver: Receiver, topic: string, published: number, qos: number): void {
    const [only, second] = this.#subscribed
    if (second === undefined && !only!.request.noLocal && expectedQos(only!, published) === qos) return
    const matching = this.#subscribed.filter(({ filter }) => filterMatches(filter, topic))
    const wanted = matching.filter(({ request }) => !this.#isOwn(request.noLocal))
    if (wanted.length === 0) {
      receiver.misroute(`${topic} (its own message, in spite of No Local)`)
    } else if (!wanted.some((one) => one.granted < 0 || one.granted > 2 || expectedQos(one, published) === qos)) {
      receiver.mistakeQos(`${topic}: published with QoS ${published}, came with QoS ${qos}`)
    }
  }

  /** The message at hand is the device's own, and the subscription does not want those. */
  #isOwn(noLocal: boolean): boolean {
    return noLocal && envelope.device === this.#device
  }

  /** Subscriptions of one session have one receiver. */
  #uniqueReceivers(): Subscribed[] {
    return this.#subscribed.filter(({ receiver }, i, all) => all.findIndex((one) => one.receiver === receiver) === i)
  }

  #topicVaries(device: number, stream: number): boolean {
    const publication = this.#context.layout.groupOf(device)?.spec.publications[Math.floor(stream / 3)]
    return publication?.payload.module !== undefined
  }

  #read({ payload, envelope: property }: IncomingMessage): boolean {
    if (property !== undefined) return readEnvelope(utf8.encode(property), 0, payload, envelope)
    const at = findEnvelope(payload)
    return at >= 0 && readEnvelope(payload, at, payload.subarray(0, at), envelope)
  }

  /** Without an envelope on a topic of ours, bytes were lost; elsewhere it is someone else's message. */
  #onUnmarked({ topic }: IncomingMessage): void {
    const { counters } = this.#context.measures
    const receiver = this.#receiverFor(topic)
    const streams = receiver === undefined ? [] : [...this.#context.layout.topicsAt(this.#broker).matching(topic)]
    if (receiver === undefined || streams.length === 0) {
      counters.foreign += 1
    } else if (!receiver.readsProperties && streams.some(({ inProperty }) => inProperty)) {
      counters.untrackedReceived += 1
    } else {
      receiver.corrupt(topic)
      counters.corruptedSeen += 1
    }
  }

  #receiverFor(topic: string): Receiver | undefined {
    const { length } = this.#subscribed
    if (length === 1)
      return filterMatches(this.#subscribed[0]!.filter, topic) ? this.#subscribed[0]!.receiver : undefined
    return this.#subscribed.find(({ filter }) => filterMatches(filter, topic))?.receiver
  }

  #keepsRetain(topic: string): boolean {
    return this.#subscribed.some(({ request, filter }) => request.retainAsPublished && filterMatches(filter, topic))
  }

  #excuse({ receiver, filter, isStream }: Subscribed): void {
    if (isStream) return
    const { layout, ledger } = this.#context
    for (const { device, stream } of layout.topicsAt(this.#broker).matching(filter)) {
      const group = layout.groupOf(device)!
      const sent = Atomics.load(ledger, layout.slotOf(group, device, stream))
      if (sent > 0) receiver.excuseUpTo(device, stream, layout.expectedTopic(device, stream)!, sent)
    }
  }

  #sharedReceiver(
    shared: SharedReceivers,
    base: Omit<ReceiverIdentity, 'id' | 'shared'>,
    text: string,
    filter: string,
    allModern: boolean,
  ): Receiver {
    const id = `${base.broker} ${text}`
    let receiver = shared.get(id)
    if (receiver === undefined) {
      // Members of a shared subscription may speak different versions; a 3.x member can't read properties.
      const readsProperties = base.readsProperties && allModern
      receiver = new Receiver({ ...base, readsProperties, id: text, shared: true }, [{ filter, noLocal: false }])
      shared.set(id, receiver)
    }
    return receiver
  }
}

/** A stream gives its messages at the QoS that it granted. */
function expectedQos({ granted, isStream }: Subscribed, published: number): number {
  return isStream ? granted : Math.min(published, granted)
}

interface Addressed {
  spec: SubscriptionSpec
  /** What SUBSCRIBE says. */
  text: string
  /** Which topics that is about. */
  filter: string
  share: string | undefined
}

function addressOf(spec: SubscriptionSpec, text: string): Addressed {
  const { stream, group } = spec
  if (stream === undefined) return { spec, text, ...splitShare(text) }
  const address = `$stream/${stream}@earliest/${text}`
  return { spec, text: group === undefined ? address : `$share/${group}/${address}`, filter: text, share: group }
}
