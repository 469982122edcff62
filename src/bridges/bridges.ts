/** The bridges of a gateway, by name in each namespace: a change of one does not touch the others. */
import { Bridge, type BridgeWorld } from './bridge.ts'
import type { Outbox } from './outbox.ts'
import type { BridgeSettings } from './settings.ts'

export interface BridgesWorld extends BridgeWorld {
  outbox(settings: Pick<BridgeSettings, 'namespace' | 'name'>): Outbox
  /** What is left of bridges that no configuration names any more. */
  endOthers(kept: readonly Pick<BridgeSettings, 'namespace' | 'name'>[]): void
  onRemoved(bridge: Bridge): void
}

export class Bridges {
  readonly #world: BridgesWorld
  readonly #bridges = new Map<string, Bridge>()
  #started = false

  constructor(world: BridgesWorld) {
    this.#world = world
  }

  get all(): readonly Bridge[] {
    return [...this.#bridges.values()]
  }

  find(namespace: string, name: string): Bridge | undefined {
    return this.#bridges.get(keyOf({ namespace, name }))
  }

  /** These and no others. Those that are as they were are not touched. */
  change(wanted: readonly BridgeSettings[]): void {
    const kept = new Set(wanted.map(keyOf))
    for (const [key, bridge] of [...this.#bridges]) {
      if (kept.has(key)) continue
      this.#bridges.delete(key)
      bridge.remove()
      this.#world.onRemoved(bridge)
    }
    if (!this.#started) this.#world.endOthers(wanted)
    for (const settings of wanted) this.#put(settings)
  }

  #put(settings: BridgeSettings): void {
    const key = keyOf(settings)
    const before = this.#bridges.get(key)
    if (before !== undefined && JSON.stringify(before.settings) === JSON.stringify(settings)) return
    before?.stop()
    const bridge = new Bridge(settings, this.#world.outbox(settings), this.#world, before?.settings)
    bridge.declare()
    this.#bridges.set(key, bridge)
    if (this.#started) bridge.start()
  }

  /** Begins to connect. */
  start(): void {
    this.#started = true
    for (const bridge of this.all) bridge.start()
  }

  stop(): void {
    for (const bridge of this.all) bridge.stop()
  }

  /** A client that connects to this gateway has this client id: the bridge that it may be, if one is on its way. */
  ofClient(clientId: string): Bridge | undefined {
    return this.all.find((bridge) => bridge.isDialling && bridge.clientIds.includes(clientId))
  }
}

/** Namespaces have no slash in their names. */
function keyOf({ namespace, name }: Pick<BridgeSettings, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}
