/**
 * One bridge: its session here, its connections there, and what becomes of it when they fail. Several connections are one thing: they are
 * made together, and when one of them fails all are made anew.
 */
import type { ConnectPacket, Properties, Qos, SubackPacket } from '../mqtt/packet.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import { gatewayProperty } from '../mqtt/user-property.ts'
import { encodeUtf8 } from '../mqtt/utf8.ts'
import { readSecret } from './dial.ts'
import { goesRound, wouldLoop } from './goes-round.ts'
import type { Outbox, OutboxSubscription } from './outbox.ts'
import { Relay } from './relay.ts'
import { Remote, type RemoteEvents, type RemoteFailure } from './remote.ts'
import { type BridgeSettings, isIn, isOut, localFilter, remoteFilter, shownUrl } from './settings.ts'
import { growthBytes, TopicMap } from './topic-map.ts'
import { BridgeTotals } from './totals.ts'
import { encodeVia } from './via.ts'
import type { BridgeState, OutboxState } from './view.ts'

export interface BridgeWorld {
  readonly gatewayId: string
  readonly topicLevelsMax: number
  /** Steady milliseconds. */
  now(): number
  after(ms: number, action: () => void): () => void
  /** Runs something when what runs now has ended. */
  later(action: () => void): void
  /** From 0 to 1. */
  random(): number
  readonly log: BridgeLog
  onConnected(bridge: Bridge, connected: boolean): void
}

export interface BridgeLog {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export interface LastFailure extends RemoteFailure {
  /** Steady milliseconds. */
  readonly at: number
}

/** What `guard.ts` answers to a bridge of its own, in 5.0 and 3.1.1. */
const refusedAsOurs: ReadonlySet<string> = new Set(['use_another_server', 'server_unavailable'])
const tickMs = 1000
/** After so long a connection counts as one that holds: the next attempt comes soon again. */
const steadyAfterMs = 10_000
/** What a varying length in front of properties may take on top. */
const lengthBytesMax = 8

export class Bridge {
  readonly settings: BridgeSettings
  readonly totals = new BridgeTotals()
  state: BridgeState = 'stopped'
  lastFailure: LastFailure | null = null
  /** Steady milliseconds; -1: not now. */
  connectedAt = -1
  nextAttemptAt = -1
  /** Attempts that failed, one after the other. */
  attempts = 0
  readonly #world: BridgeWorld
  readonly #outbox: Outbox
  readonly #map: TopicMap
  readonly #loops: boolean
  #remotes: readonly Remote[] = []
  #relay: Relay | null = null
  #opened = 0
  #cancelTick: (() => void) | null = null
  #cancelAttempt: (() => void) | null = null
  #retainedDue: readonly OutboxSubscription[] = []
  /** The session here is new: what the other broker knows of an earlier one would be taken for it. */
  #startsAnew = false
  /** What the bridge that this one replaces has subscribed to there, and this one does not. */
  #goneFilters: readonly string[]
  /** This process has subscribed there already. */
  #subscribed = false
  #bridgeBit: boolean
  #bridgeBitWorks = false
  /** Somebody who says to be this bridge came to this gateway since it was dialled. */
  #cameHere = false

  constructor(settings: BridgeSettings, outbox: Outbox, world: BridgeWorld, replaced?: BridgeSettings) {
    this.settings = settings
    const filters = settings.topics.filter(isIn).map(remoteFilter)
    const before = replaced?.topics.filter(isIn).map(remoteFilter) ?? []
    this.#goneFilters = before.filter((filter) => !filters.includes(filter))
    this.#outbox = outbox
    this.#world = world
    const { topics, connections, protocolVersion } = settings
    this.#map = new TopicMap(topics, { connections, topicLevelsMax: world.topicLevelsMax })
    this.#bridgeBit = protocolVersion === 4
    this.#loops = goesRound(settings)
  }

  get clientId(): string {
    const { clientId, namespace, name } = this.settings
    // Bridges of two namespaces may have one name; none has an @ in it.
    const owner = namespace === 'default' ? '' : `@${namespace}`
    return clientId ?? `mqtide-${this.#world.gatewayId}-${name}${owner}`
  }

  /** Of all its connections. */
  get clientIds(): readonly string[] {
    return Array.from({ length: this.settings.connections }, (_, index) => this.#clientIdOf(index))
  }

  #clientIdOf(index: number): string {
    return index === 0 ? this.clientId : `${this.clientId}:${index + 1}`
  }

  get outbox(): OutboxState {
    return this.#outbox.state()
  }

  get #named() {
    const { namespace, name } = this.settings
    return { bridge: name, ...(namespace !== 'default' && { namespace }) }
  }

  /** From here on messages wait for the other broker. */
  declare(): void {
    const { topics, queueMessagesMax: messagesMax, queueBytesMax: bytesMax, queueFull: full } = this.settings
    const subscriptions = topics.filter(isOut).map((rule) => {
      return { topicFilter: localFilter(rule), qos: rule.qos, retainHandling: rule.retainHandling }
    })
    const { made, retainedDue } = this.#outbox.declare(subscriptions, { messagesMax, bytesMax, full })
    this.#retainedDue = retainedDue
    this.#startsAnew ||= made && topics.some((rule) => isOut(rule) && rule.qos === 2)
  }

  start(): void {
    if (this.state !== 'stopped') return
    this.#world.onConnected(this, false)
    this.#dial()
  }

  /** Leaves both sides in order. What waits stays. */
  stop(): void {
    this.#part('bridge_stopped', {})
    this.state = 'stopped'
  }

  /** The same for good: what waits is lost, and 5.0 brokers forget the bridge. */
  remove(): void {
    const { waiting } = this.outbox
    if (waiting > 0)
      this.#world.log.warn({ ...this.#named, waiting }, 'a bridge is gone: what waited for it is dropped')
    this.#part('bridge_removed', this.settings.protocolVersion === 5 ? { sessionExpiryInterval: 0 } : {})
    this.state = 'stopped'
    this.#outbox.end()
  }

  /** CONNECT may be on its way. */
  get isDialling(): boolean {
    return this.state === 'connecting' && this.#remotes.some(({ session }) => session === null)
  }

  /** Somebody came to this gateway who says to be this bridge, and is refused. That it was the bridge is known when it is refused so there. */
  cameHere(): void {
    this.#cameHere = true
  }

  #leadsHere(): void {
    const text = 'the address leads back to this gateway: it would be a bridge to itself'
    this.#note({ reason: 'itself', text })
    this.#part('bridge_stopped', {})
    this.state = 'refused'
    this.#world.log.error({ ...this.#named, url: shownUrl(this.settings.url) }, text)
  }

  /** Leaves and connects anew, at once. */
  restart(): void {
    this.#part('bridge_stopped', {})
    this.attempts = 0
    this.#dial()
  }

  #part(reason: string, properties: Properties): void {
    this.#cancelAttempt?.()
    this.#cancelTick?.()
    this.#cancelAttempt = null
    this.#cancelTick = null
    this.nextAttemptAt = -1
    const wasConnected = this.state === 'connected'
    for (const remote of this.#remotes) remote.leave(properties)
    this.#remotes = []
    this.#relay?.stop(reason)
    this.#relay = null
    this.connectedAt = -1
    if (wasConnected) this.#world.onConnected(this, false)
  }

  #dial(): void {
    const { settings } = this
    this.state = 'connecting'
    this.nextAttemptAt = -1
    this.#opened = 0
    this.#cameHere = false
    // Somebody may have ended the session here.
    this.declare()
    try {
      const secret = settings.passwordFile === undefined ? settings.password : readSecret(settings.passwordFile)
      this.#remotes = Array.from({ length: settings.connections }, (_, index) => this.#remote(index, secret))
    } catch (error) {
      this.#onFailure({ reason: 'file', text: (error as Error).message })
      return
    }
    this.#tick()
  }

  #remote(index: number, password: string | undefined): Remote {
    const { settings } = this
    const { username, protocolVersion: version, keepAliveSeconds: keepAlive } = settings
    const clientId = this.#clientIdOf(index)
    const connect: ConnectPacket = {
      ...{ version, cleanStart: this.#startsAnew, keepAlive, clientId },
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password: encodeUtf8(password) }),
      properties: version === 5 ? this.#connectProperties() : {},
    }
    const { now } = this.#world
    const bridgeBit = version === 4 && this.#bridgeBit
    return new Remote({ settings, connect, bridgeBit, now }, this.#events)
  }

  #connectProperties(): Properties {
    const { sessionExpirySeconds, packetBytesMax } = this.settings
    return {
      sessionExpiryInterval: sessionExpirySeconds,
      maximumPacketSize: packetBytesMax,
      receiveMaximum: 1000,
      userProperties: [[gatewayProperty, this.#world.gatewayId]],
    }
  }

  readonly #events: RemoteEvents = {
    onOpen: (remote) => this.#onOpen(remote),
    onPublish: (remote, frame) => this.#relay?.fromRemote(remote, frame),
    onAcknowledgement: (remote, type, packetId, reasonCode) =>
      this.#relay?.acknowledgedByRemote(remote, type, packetId, reasonCode),
    onSuback: (_remote, packet) => this.#onSuback(packet),
    onChunkEnd: () => this.#flush(),
    onDrain: () => this.#relay?.onDrain(),
    onClosed: (remote, failure) => {
      if (this.#remotes.includes(remote)) this.#onRemoteClosed(remote, failure)
    },
  }

  #flush(): void {
    this.#relay?.flushLocal()
    for (const remote of this.#remotes) remote.flush()
  }

  #onOpen(remote: Remote): void {
    if (!this.#remotes.includes(remote)) return
    if (this.settings.protocolVersion === 4) {
      if (this.#bridgeBit) this.#bridgeBitWorks = true
      else if (this.#loops) {
        this.#onFailure({ reason: 'would_loop', text: wouldLoop })
        return
      }
    }
    this.#opened++
    if (this.#opened === this.#remotes.length) this.#world.later(() => this.#join(this.#remotes))
  }

  #join(remotes: readonly Remote[]): void {
    if (remotes !== this.#remotes || remotes.length === 0 || this.#relay !== null) return
    if (this.#startsAnew) {
      // In 3.1.1 a session that begins anew ends with its connection, and Mosquitto 2.0 keeps none of 5.0 on its disk: the next one lasts.
      this.#startsAnew = false
      for (const remote of remotes) remote.leave()
      this.#dial()
      return
    }
    const options = {
      outbox: this.#outbox,
      remotes,
      map: this.#map,
      totals: this.totals,
      retainedDue: this.#retainedDue,
    }
    const relay = new Relay({
      ...options,
      gatewayId: this.#world.gatewayId,
      growthBytes: growthBytes(this.settings.topics) + encodeVia(this.#world.gatewayId).length + lengthBytesMax,
      onReady: () => this.#onReady(),
      onFailure: (failure) => {
        if (this.#relay === relay) this.#onFailure(failure)
      },
      later: this.#world.later,
    })
    this.#relay = relay
    relay.begin()
    this.#subscribe(remotes[0]!)
    for (const remote of remotes) remote.goOn()
    this.#flush()
  }

  #subscribe(remote: Remote): void {
    const rules = this.settings.topics.filter(isIn)
    const { present } = remote.session!
    const { maximumQos } = this.#outbox.accepts
    const [first, second] = this.#outbox.sparePacketIds(2) as [number, number]
    if (present && this.#goneFilters.length > 0) remote.unsubscribe(second, this.#goneFilters)
    this.#goneFilters = []
    if (rules.length === 0 || (present && this.#subscribed)) return
    const subscriptions = rules.map((rule) => ({
      ...{ topicFilter: remoteFilter(rule), qos: Math.min(rule.qos, maximumQos) as Qos },
      ...{ retainHandling: rule.retainHandling },
      ...{ noLocal: true, retainAsPublished: true },
    }))
    remote.subscribe(first, subscriptions)
  }

  #onSuback({ reasonCodes }: SubackPacket): void {
    this.#subscribed = true
    const rules = this.settings.topics.filter(isIn)
    for (const [index, code] of reasonCodes.entries()) {
      const rule = rules[index]
      if (code < 0x80 || rule === undefined) continue
      const reason = this.settings.protocolVersion === 5 ? reasonName(code) : 'refused'
      this.#note({ reason: 'subscription_refused', text: `the other broker refuses ${remoteFilter(rule)}: ${reason}` })
      this.#world.log.warn({ ...this.#named, filter: remoteFilter(rule), reason }, 'bridge: a subscription is refused')
    }
  }

  #onReady(): void {
    this.#outbox.keep()
    this.state = 'connected'
    this.connectedAt = this.#world.now()
    this.totals.connects++
    const { url } = this.settings
    const { waiting } = this.outbox
    this.#world.log.info({ ...this.#named, url: shownUrl(url), waiting }, 'bridge connected')
    this.#world.onConnected(this, true)
  }

  #onRemoteClosed(remote: Remote, failure: RemoteFailure): void {
    if (this.#cameHere && refusedAsOurs.has(failure.reason)) {
      this.#leadsHere()
      return
    }
    const refusesBit = failure.reason === 'unacceptable_protocol_version' || failure.reason === 'closed'
    const changesBit = remote.session === null && refusesBit && this.settings.protocolVersion === 4
    if (!changesBit || this.#bridgeBitWorks) {
      this.#onFailure(failure)
      return
    }
    this.#bridgeBit = !this.#bridgeBit
    if (this.#bridgeBit) this.#onFailure(failure)
    else this.#again()
  }

  /** At once, without the bit. */
  #again(): void {
    for (const remote of this.#remotes) remote.leave()
    this.#remotes = []
    this.#world.later(() => {
      if (this.state === 'connecting' && this.#remotes.length === 0) this.#dial()
    })
  }

  #onFailure(failure: RemoteFailure): void {
    const { now, random, after, log } = this.#world
    const held = this.connectedAt >= 0 && now() - this.connectedAt >= steadyAfterMs
    this.attempts = held ? 1 : this.attempts + 1
    this.#note(failure)
    this.#part('bridge_stopped', {})
    this.state = 'waiting'
    if (failure.reason === 'would_loop') this.#bridgeBit = true
    const { reconnectMs, reconnectMaxMs, url } = this.settings
    const longest = Math.min(reconnectMaxMs, reconnectMs * 2 ** Math.min(30, this.attempts - 1))
    const delayMs = Math.round(longest / 2 + (longest / 2) * random())
    this.nextAttemptAt = now() + delayMs
    const fields = { ...this.#named, url: shownUrl(url), reason: failure.reason, attempts: this.attempts, delayMs }
    log.warn(fields, `bridge not connected: ${failure.text}`)
    this.#cancelAttempt = after(delayMs, () => this.#dial())
  }

  #note(failure: RemoteFailure): void {
    this.totals.failures.add(failure.reason)
    this.lastFailure = { ...failure, at: this.#world.now() }
  }

  #tick(): void {
    this.#cancelTick?.()
    this.#cancelTick = this.#world.after(tickMs, () => {
      for (const remote of [...this.#remotes]) remote.tick()
      if (this.#remotes.length === 0) return
      if (this.state === 'connected' && this.#retainedDue.length > 0) this.#outbox.noteRetained()
      this.#tick()
    })
  }
}
