/**
 * Who may make a call. With a token: whatever its role allows. Without one, and only while no authentication is configured:
 * programs of this machine may read, publish and subscribe (`open`); whatever deletes, disconnects or configures needs a token.
 *
 * A wrong token is a mistake of its address, whose answers come later and later (`Throttle`); a right one is never held up.
 */
import { Problem } from './problem.ts'
import { type ApiSources, type Bearer, type Caller, type Role, roles } from './sources.ts'

/** Characters; longer ones are none of ours. */
const tokenCharactersMax = 200

/** Who asks, as far as it matters here. */
type Asker = Pick<Caller, 'address' | 'local'>

export interface Need {
  role: Role
  /** Programs of this machine may do it without a token while nobody is asked who he is. */
  open?: boolean
  /** It is about one namespace at a time (`namespace.ts`). Without it a token of one namespace may not. */
  byNamespace?: boolean
}

/** Null: no token, but a program of this machine that needs none. @throws Problem */
export async function authenticate(
  sources: ApiSources,
  caller: Asker,
  authorization: string | undefined,
): Promise<Bearer | null> {
  if (authorization === undefined) {
    if (!sources.authenticated() && caller.local) return null
    throw unauthorized('this call needs a token: Authorization: Bearer TOKEN')
  }
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  if (token === undefined) throw unauthorized('expected Authorization: Bearer TOKEN')
  const bearer = token.length > tokenCharactersMax ? undefined : sources.tokens.find(token)
  if (bearer !== undefined) return bearer
  throw await punishedRefusal(sources, caller)
}

/** What is said to whoever brings a wrong token, when it is time to say it. @throws Problem where he has brought too many */
export async function punishedRefusal(sources: ApiSources, caller: Asker): Promise<Problem> {
  await punish(sources, caller)
  return unauthorized('nobody has this token', 'invalid_token')
}

async function punish({ throttle, sleep, auditRefusal }: ApiSources, { address }: Asker): Promise<void> {
  const waitMs = throttle.reserve(address)
  if (waitMs === undefined) {
    throw new Problem(429, 'too many wrong tokens from this address', { headers: { 'retry-after': '5' } })
  }
  throttle.mistake(address)
  auditRefusal({ reason: 'wrong_token', address }, 'API token refused')
  if (waitMs > 0) await sleep(waitMs)
}

export function unauthorized(detail: string, error?: string): Problem {
  const challenge = error === undefined ? 'Bearer realm="mqtide"' : `Bearer realm="mqtide", error="${error}"`
  return new Problem(401, detail, { headers: { 'www-authenticate': challenge } })
}

/** Undefined: the bearer may. */
export function refusalOf(
  bearer: Bearer,
  { role, byNamespace = false }: Need,
): { reason: string; text: string } | undefined {
  if (roles.indexOf(bearer.role) < roles.indexOf(role)) {
    return { reason: 'role', text: `this call needs role ${role}; the token ${bearer.name} has role ${bearer.role}` }
  }
  if (byNamespace || bearer.namespace === undefined) return undefined
  const text = `this call is about the whole gateway; the token ${bearer.name} is for namespace ${bearer.namespace} only`
  return { reason: 'namespace', text }
}
