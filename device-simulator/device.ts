/**
 * One simulated device: a client, its publications, its subscriptions, and the manners of a device: it comes back after a
 * break with growing pauses, keeps messages of QoS 1 and 2 while it is offline, and drops those of QoS 0.
 */
import { BirthCertificates } from './births.ts'
import type { Client, IncomingMessage, OutgoingMessage, SessionOptions, SubscriptionRequest } from './client/client.ts'
import { LeanClient } from './client/lean.ts'
import { combinedShape, type LinkShape } from './client/link.ts'
import { MqttJsClient } from './client/mqttjs.ts'
import { Commands } from './commands.ts'
import { type Context, targetFor } from './context.ts'
import { Inbox, type SharedReceivers } from './inbox.ts'
import { Jobs } from './jobs.ts'
import type { GroupLayout } from './layout.ts'
import { type Letter, Publication, type PublicationOwner } from './publication.ts'
import { Random } from './random.ts'
import type { Protocol } from './scenario/schema.ts'
import type { Variables } from './template.ts'
import type { JobBooks } from './verdict/job-books.ts'

/** Messages in flight at once, whatever more the broker would take. */
const inflightMessagesMax = 1000
const connackTimeoutMs = 10_000
const packetIdentifierNotFound = 0x92
/** CONNACK: bad user name or password, not authorized, banned, bad authentication method; of 3.x 4 and 5. */
const loginRefusals = new Set([4, 5, 0x86, 0x87, 0x8a, 0x8c])

/** What devices of one thread have in common. */
export interface Shared {
  receivers: SharedReceivers
  books: JobBooks
}

export class Device implements PublicationOwner {
  readonly number: number
  readonly group: GroupLayout
  readonly variables: Variables
  readonly protocol: Protocol
  readonly publications: Publication[]
  readonly inbox: Inbox
  online = false
  /** Subscribed, or without subscriptions: from here on it is owed its messages. */
  ready = false
  repeatProbability = 0
  readonly #context: Context
  readonly #client: Client
  readonly #random: Random
  readonly #commands: Commands
  readonly #births: BirthCertificates
  readonly #jobs: Jobs | undefined
  readonly #shapes = new Map<number, LinkShape>()
  readonly #outbox: Letter[] = []
  #inflight = 0
  #window = inflightMessagesMax
  /** Has been told to connect, and never could. */
  isShutOut = false
  #isWanted = false
  #isAsleep = false
  #hasSubscribed = false
  #attempts = 0
  #nextDialMs: number | undefined
  #dialledMs = 0
  #timer: NodeJS.Timeout | undefined
  #sparkplugSequence = 0
  #clockOffsetMs = 0
  #clockDrift = 0
  #clockSetMs = 0

  constructor(context: Context, group: GroupLayout, index: number, shared: Shared, disturbed: boolean) {
    this.#context = context
    this.group = group
    this.number = group.firstDevice + index
    this.variables = context.layout.variablesOf(group, index)
    this.protocol = context.layout.protocolOf(group, index)
    const shown = index + context.identity.startNumber
    this.#random = new Random(context.identity.seed, [group.name, shown, 'device'])
    this.publications = group.spec.publications.map(
      (spec, i) => new Publication(context, group, this, i, context.layout.identityOf(group, index, spec)),
    )
    const { clientId, variables, protocol, number: device } = this
    this.inbox = new Inbox(context, group, { clientId, variables, protocol, device, shown }, shared.receivers)
    this.#births = new BirthCertificates(this)
    const events = {
      onOnline: (sessionPresent: boolean, receiveMaximum: number) => this.#onOnline(sessionPresent, receiveMaximum),
      onRefused: (code: number) => this.#onRefused(code),
      onClosed: () => this.#onClosed(),
      onMessage: (message: IncomingMessage) => this.#onMessage(message),
      workMs: (topic: string) => this.inbox.workMs(topic),
      onError: (text: string) => context.measures.noteError(text),
    }
    const linkRandom = new Random(context.identity.seed, [group.name, shown, 'link'])
    const { consumes } = group.spec
    // Only MQTT.js reads and writes the properties that verdicts need.
    this.#client =
      context.scenario.client === 'lean' && consumes === undefined
        ? new LeanClient(this.#session(), events, linkRandom, disturbed)
        : new MqttJsClient(this.#session(), events, linkRandom)
    const publish = (message: OutgoingMessage, onAcknowledged: (code: number) => void) => {
      this.#client.publish(message, onAcknowledged)
      context.unflushed.add(this)
    }
    this.#commands = new Commands(context, this, this.#random, publish)
    this.#jobs =
      consumes && new Jobs(context, consumes, { clientId, random: this.#random, publish }, shared.books.of(group))
  }

  get clientId(): string {
    return this.variables['clientId']!
  }

  /** Messages waiting in the outbox or for an acknowledgement. */
  get pending(): number {
    return this.#outbox.length + this.#inflight + (this.#jobs?.pending ?? 0)
  }

  get outstandingCommands(): number {
    return this.#commands.outstanding
  }

  goOnline(): void {
    if (this.#isWanted) return
    this.#isWanted = true
    this.isShutOut = !this.ready
    this.#dial()
  }

  goOffline(): void {
    if (!this.#isWanted) return
    this.#isWanted = false
    clearTimeout(this.#timer)
    for (const publication of this.publications) publication.stop()
    this.#client.disconnect()
  }

  /** Says DISCONNECT, goes on measuring, and comes back after `forMs`. */
  sleep(forMs: number): void {
    if (!this.online) return
    this.#nextDialMs = forMs
    this.#isAsleep = true
    this.#client.disconnect()
  }

  /** Loses its connection without DISCONNECT and comes back after `downMs`. */
  die(downMs: number): void {
    this.#nextDialMs = downMs
    if (this.online) this.#client.sever()
  }

  takeOver(onOutcome: (closedByBroker: boolean) => void): void {
    if (!this.online) return
    this.#nextDialMs = 0
    this.#client.abandon(onOutcome)
  }

  hold(up: boolean, down: boolean): void {
    if (this.online) this.#client.hold(up, down)
  }

  release(): void {
    this.#client.release()
  }

  setShape(fault: number, shape: LinkShape | undefined): void {
    if (shape === undefined) this.#shapes.delete(fault)
    else this.#shapes.set(fault, shape)
    this.#client.setShape(combinedShape([...this.#shapes.values()]))
  }

  /** `drift` in milliseconds per second. */
  setClock(offsetMs: number, drift: number): void {
    this.#clockOffsetMs = offsetMs
    this.#clockDrift = drift
    this.#clockSetMs = this.#context.now()
  }

  clockMs(elapsedMs: number): number {
    const drift = this.#clockDrift === 0 ? 0 : (this.#clockDrift * (this.#context.now() - this.#clockSetMs)) / 1000
    return this.#context.clockStartMs + elapsedMs + this.#clockOffsetMs + drift
  }

  nextSparkplugSequence(): number {
    return this.#sparkplugSequence++ & 0xff
  }

  resetSparkplugSequence(): void {
    this.#sparkplugSequence = 0
  }

  startSending(): void {
    if (!this.ready) return
    const now = this.#context.now()
    for (const publication of this.publications) publication.start(now)
    this.#commands.start(now)
  }

  send(letter: Letter): void {
    const { counters } = this.#context.measures
    if (letter.qos === 0) {
      if (!this.online) {
        counters.skippedOffline += 1
        return
      }
      letter.publication.number(letter)
      this.#handOver(letter)
    } else if (this.#outbox.length >= this.group.spec.offlineMessagesMax) {
      counters.skippedFull += 1
    } else {
      letter.publication.number(letter)
      this.#outbox.push(letter)
      this.#pump()
    }
  }

  flush(): void {
    this.#client.flush()
  }

  tick(nowMs: number): void {
    this.#client.tick()
    this.#commands.tick(nowMs)
  }

  end(): void {
    this.#isWanted = false
    clearTimeout(this.#timer)
    this.#client.end()
  }

  #pump(): void {
    while (this.online && this.#inflight < this.#window) {
      const letter = this.#outbox.shift()
      if (letter === undefined) return
      this.#handOver(letter)
    }
  }

  #handOver(letter: Letter): void {
    const { publication, topic, qos, payload, stream, sequence, property } = letter
    const { counters } = this.#context.measures
    const sentMs = this.#context.now()
    publication.seal(letter, sentMs)
    counters.sent += 1
    counters.sentBytes += payload.bytes.length
    if (stream === undefined) counters.untracked += 1
    const message = { topic, payload: payload.bytes, qos, retain: publication.spec.retain }
    const envelope = property === undefined ? undefined : Buffer.from(property).toString('latin1')
    const full = envelope === undefined ? message : { ...message, envelope }
    if (qos > 0) this.#inflight += 1
    this.#client.publish(full, (code) => this.#onAcknowledged(letter, code, sentMs))
    if (this.repeatProbability > 0 && stream !== undefined && this.#random.next() < this.repeatProbability) {
      stream.repeat(sequence)
      if (qos > 0) this.#inflight += 1
      this.#client.publish(full, () => this.#onRoom())
    }
    this.#context.unflushed.add(this)
  }

  #onAcknowledged({ stream, sequence, qos }: Letter, code: number, sentMs: number): void {
    const { measures } = this.#context
    const { counters, latency } = measures
    // A PUBREL sent again finds its packet identifier gone when PUBCOMP was lost: the message had been accepted.
    if (code >= 0x80 && code !== packetIdentifierNotFound) {
      counters.refused += 1
      stream?.refuse(sequence)
    } else {
      counters.acknowledged += 1
      stream?.acknowledged.add(sequence)
      if (measures.isMeasured(sentMs)) {
        latency[qos === 1 ? 'puback' : 'pubcomp'].record((this.#context.now() - sentMs) * 1000)
      }
    }
    this.#onRoom()
  }

  #onRoom(): void {
    this.#inflight = Math.max(0, this.#inflight - 1)
    if (this.#outbox.length > 0) this.#pump()
  }

  #dial(): void {
    clearTimeout(this.#timer)
    const target = targetFor(this.#context, this.group, this.number, this.protocol === '3.1')
    if (target === undefined) {
      // The broker is being restarted and has no address yet.
      this.#timer = setTimeout(() => this.#dial(), 100)
      return
    }
    this.#dialledMs = this.#context.now()
    this.#attempts += 1
    this.#timer = setTimeout(() => this.#client.sever(), connackTimeoutMs)
    this.#client.connect(target)
  }

  #onOnline(sessionPresent: boolean, receiveMaximum: number): void {
    const { counters, latency } = this.#context.measures
    clearTimeout(this.#timer)
    this.online = true
    this.inbox.onOnline()
    this.isShutOut = false
    this.#attempts = 0
    this.#nextDialMs = undefined
    counters.connects += 1
    latency.connect.record((this.#context.now() - this.#dialledMs) * 1000)
    this.#window = Math.min(inflightMessagesMax, receiveMaximum)
    if (this.group.spec.session === 'clean') this.#onNewSession()
    if (!this.#isWanted) {
      this.#client.disconnect()
      return
    }
    const needed = this.#requests.length
    const isDurable = this.group.spec.session === 'durable'
    if (this.#hasSubscribed && isDurable && !sessionPresent && this.protocol !== '3.1') this.inbox.onSessionLost()
    if (needed > 0 && !(this.#hasSubscribed && isDurable && sessionPresent)) this.#subscribe()
    else this.#onReady()
  }

  /** The lean client forgets what was in flight in a clean session; MQTT.js sends it again and reports its end. */
  #onNewSession(): void {
    if (this.#inflight === 0) return
    for (const publication of this.publications) {
      for (const stream of publication.streams) if (stream !== undefined) stream.resentAcrossSessions = true
    }
    if (this.#client instanceof LeanClient) this.#inflight = 0
  }

  get #requests(): SubscriptionRequest[] {
    const own = [...this.inbox.requests, ...this.#commands.requests]
    return this.#jobs === undefined ? own : [...own, this.#jobs.request]
  }

  #subscribe(): void {
    const startedMs = this.#context.now()
    this.#client.subscribe(this.#requests, (codes) => {
      if (!this.online) return
      this.#context.measures.latency.suback.record((this.#context.now() - startedMs) * 1000)
      this.#hasSubscribed = true
      this.inbox.onGranted(codes.slice(0, this.inbox.requests.length))
      this.#onReady()
    })
  }

  #onReady(): void {
    this.ready = true
    this.#births.announce((message) => {
      this.#client.publish(message, () => {})
      this.#context.unflushed.add(this)
    })
    this.#pump()
    this.startSending()
    this.#client.flush()
  }

  #onRefused(code: number): void {
    this.#context.measures.counters.refusedConnects += 1
    if (loginRefusals.has(code)) this.#context.measures.counters.refusedLogins += 1
    this.#context.measures.noteError(`CONNACK with code 0x${code.toString(16).padStart(2, '0')}`)
  }

  #onClosed(): void {
    clearTimeout(this.#timer)
    const { counters } = this.#context.measures
    if (this.online) {
      if (!this.#isAsleep) counters.disconnects += 1
      this.#isAsleep = false
      this.inbox.onClosed()
      this.#jobs?.onClosed()
    } else if (this.#isWanted) {
      counters.connectFailures += 1
    }
    this.online = false
    if (!this.#isWanted) return
    const { min, max, jitter } = this.group.spec.reconnect
    const pause = Math.min(max, min * 2 ** Math.max(0, this.#attempts - 1))
    const waitMs = this.#nextDialMs ?? pause * (1 + jitter * (this.#random.next() - 0.5) * 2)
    this.#nextDialMs = undefined
    this.#timer = setTimeout(() => this.#dial(), waitMs)
  }

  #onMessage(message: IncomingMessage): void {
    const now = this.#context.now()
    if (this.#jobs?.onMessage(message, now)) return
    if (this.#births.onMessage(message) || this.#commands.onMessage(message, now)) return
    this.inbox.onMessage(message, now)
  }

  #session(): SessionOptions {
    const { session, sessionExpiry, keepAlive, receiveMaximum, credentials } = this.group.spec
    return {
      clientId: this.clientId,
      protocol: this.protocol,
      clean: session === 'clean',
      sessionExpirySeconds: Math.round(sessionExpiry / 1000),
      keepAliveSeconds: Math.round(keepAlive / 1000),
      receiveMaximum,
      username: credentials === undefined ? undefined : this.variables['username'],
      password: credentials?.password,
      will: this.#births.will(),
    }
  }
}
