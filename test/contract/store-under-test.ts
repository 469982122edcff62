/** The store that each test of a part of the contract begins with: started anew, open, and ended behind it. */
import { afterEach, beforeEach } from 'vitest'
import type { BatchRecords } from '../../src/store/batch.ts'
import type { Store } from '../../src/store/store.ts'
import { batch } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { open } from './survived.ts'

/** To be called within a `describe`. */
export function storeUnderTest(factory: () => StoreEnvironment) {
  let environment: StoreEnvironment
  let store: Store

  beforeEach(async () => {
    environment = factory()
    store = environment.start()
    await open(store)
  })

  afterEach(async () => {
    await store.close()
    environment.dispose()
  })

  return {
    /** Another one after `restarted`. */
    get store(): Store {
      return store
    },
    commit: (write: (records: BatchRecords) => void): Promise<void> => store.commit(batch(write), 'fsync'),
    /** Resolves with what it recovers. */
    async restarted() {
      await store.close()
      store = environment.start()
      return open(store)
    },
  }
}
