/** What is known of one call while it is answered. */
import type { HttpBindings } from '@hono/node-server'
import type { ApiSources, Bearer, Caller } from './sources.ts'

export interface ApiEnvironment {
  Bindings: HttpBindings & { caller: Caller }
  Variables: {
    sources: ApiSources
    caller: Caller
    /** Null: a program of this machine without a token. */
    bearer: Bearer | null
  }
}
