/** What is known of one call while it is answered. */
import type { HttpBindings } from '@hono/node-server'
import type { ApiSources, Bearer, Caller, Login } from './sources.ts'

export interface ApiEnvironment {
  Bindings: HttpBindings & { caller: Caller }
  Variables: {
    sources: ApiSources
    caller: Caller
    /** Null: a program of this machine without a token. */
    bearer: Bearer | null
    /** By whose cookie the bearer is known; undefined: it is not by a cookie. */
    login: Login | undefined
    /** The Authorization header that was brought, or what the cookie stands for. */
    authorization: string | undefined
  }
}
