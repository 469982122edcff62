/** What of the world a gateway can be given in another form. Apart, so that the library's types need nothing of its adapters. */
import type { Clock } from './engine/clock.ts'
import type { Store } from './store/store.ts'

/** What the program does when it is asked to read its configuration again. */
export interface ReloadOutcome {
  /** Why nothing has changed, in lines; empty: the configuration is in force. */
  faults: readonly string[]
  /** Options that are not in force before a restart. */
  needRestart: readonly string[]
  warnings: readonly string[]
}

export interface GatewayWorld {
  /** In the place of the system's, for tests. */
  clock?: Clock
  /** In the place of the database, for tests. */
  store?: Store
  /** Reads the configuration again, for the API; without it, there is nothing to read. */
  reload?: () => Promise<ReloadOutcome>
  /** Where an option in force was given; undefined: it is the default. Without it, nobody knows. */
  sourceOf?: (path: readonly PropertyKey[]) => string | undefined
}
