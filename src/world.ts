/** What of the world a gateway can be given in another form. Apart, so that the library's types need nothing of its adapters. */
import type { Clock } from './engine/clock.ts'
import type { Store } from './store/store.ts'

/** Things that tests put in the place of the world. */
export interface GatewayWorld {
  clock?: Clock
  store?: Store
}
