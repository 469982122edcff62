/** The part of the composition root that puts another configuration in force while everything runs: all of it, or nothing. */
import { loadListenerAccess } from './auth/access-files.ts'
import type { ListenerAccess } from './auth/listener-access.ts'
import { declareAgain } from './compose-declared.ts'
import type { ComposedListeners } from './compose-listeners.ts'
import { accessOfListeners, authenticatesAnywhere } from './config/access-settings.ts'
import { clientLimitsOf } from './config/client-limits.ts'
import { listenersOf } from './config/listeners.ts'
import { namespacesOfUsers, quotasOf } from './config/namespaces.ts'
import { rewritesOf } from './config/rewrite.ts'
import type { GatewayConfig } from './config/schema.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Streams } from './core/ports/streams.ts'
import { declareRewrites } from './core/rewrite/declare.ts'
import type { Connection } from './engine/connection.ts'
import type { Engine } from './engine/engine.ts'
import type { ListenerChanges } from './listeners/listener-set.ts'
import { ReasonCode } from './mqtt/reason-code.ts'
import type { Schedules } from './schedules/schedules.ts'

interface Parts {
  engine: Engine
  queues: Queues
  streams: Streams
  listeners: ComposedListeners
  access: ListenerAccess | undefined
  userNamespaces: { inForce: ReadonlyMap<string, string> }
  schedules: Schedules
  bridges: { change(config: GatewayConfig): void }
  inForce: { config: GatewayConfig }
  /** Of namespaces that are new. */
  sysTopics: { start(): void }
}

export class Reload {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @throws AccessFileError, ListenError; nothing has changed then */
  async all(config: GatewayConfig): Promise<ListenerChanges> {
    const { engine, listeners } = this.#parts
    const prepared = await listeners.set.prepare(listeners.wanted(config))
    try {
      this.access(config)
    } catch (error) {
      await prepared.undo()
      throw error
    }
    const { changes, gone } = prepared.commit()
    engine.room.limits = config.limits
    this.#namespaces(config)
    engine.run(() => declareRewrites(engine.broker, rewritesOf(config)))
    declareAgain({ ...this.#parts, broker: engine.broker }, config)
    this.limits(config)
    engine.run(() => this.#parts.schedules.change(config.schedules))
    this.#parts.bridges.change(config)
    this.#parts.inForce.config = config
    engine.run(() => {
      for (const guest of gone.flatMap(({ settings }) => settings.room.guests)) {
        const connection = engine.connections.has(guest as Connection) ? (guest as Connection) : undefined
        if (connection === undefined) guest.destroy()
        else connection.client.disconnect(ReasonCode.administrativeAction)
      }
    })
    this.certificates()
    return changes
  }

  /** Users and rules. @throws AccessFileError where a file has a fault; nothing has changed then */
  access(config: GatewayConfig): void {
    const { access, engine } = this.#parts
    const { broker } = engine
    if (access === undefined) return
    const isGone = access.replace(loadListenerAccess(accessOfListeners(config)))
    broker.options.sessionOwnership = authenticatesAnywhere(config) ? config.sessionOwnership : 'none'
    engine.run(() => {
      for (const { client } of [...broker.sessionsByNumber.values()]) {
        // What lets a bridge of ours in is no rule.
        if (client === null || client.peer.relays === true) continue
        const { principal, peer } = client
        if (isGone({ listener: peer.listener, principal })) client.disconnect(ReasonCode.notAuthorized)
        else client.regrant(client.grant)
      }
    })
  }

  /** At once, also for those that are connected. */
  limits(config: GatewayConfig): void {
    const { engine } = this.#parts
    engine.broker.changeLimits(config.limits)
    engine.broker.limitsOf = clientLimitsOf(config)
    engine.run(() => engine.broker.limitsChanged())
  }

  certificates(): void {
    for (const { certificates } of this.#parts.listeners.set.all) certificates?.check()
  }

  /** Namespaces that are new, quotas, and who is where. One that is gone stays until a restart. */
  #namespaces(config: GatewayConfig): void {
    const { engine, userNamespaces, sysTopics } = this.#parts
    const { broker } = engine
    const before = userNamespaces.inForce
    const now = namespacesOfUsers(config.namespaces)
    userNamespaces.inForce = now
    const byListener = new Map(listenersOf(config).map(({ name, namespace }) => [name, namespace]))
    for (const [name, quotas] of Object.entries(quotasOf(config.namespaces)))
      broker.namespace(name).openWith(quotas, broker.now)
    sysTopics.start()
    engine.run(() => {
      for (const { client } of [...broker.sessionsByNumber.values()]) {
        if (client === null) continue
        const { principal, peer, namespace } = client
        const isElsewhere = principal !== '' && before.get(principal) !== now.get(principal)
        const place = byListener.get(peer.listener)
        const isMoved = byListener.has(peer.listener) && peer.namespace !== place && namespace.name !== place
        if (isElsewhere || isMoved) client.disconnect(ReasonCode.notAuthorized)
      }
    })
  }
}
