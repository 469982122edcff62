/**
 * As whom something is opened that lasts. Who has an API token is known by it, and so is a program of this machine while nobody is
 * asked who he is. Anybody else is a client like those of MQTT: his listener's authentication says who he is.
 */
import type { Context } from 'hono'
import { punishedRefusal, refusalOf, unauthorized } from './access.ts'
import type { ApiEnvironment } from './environment.ts'
import { namespaceOf } from './namespace.ts'
import { Problem } from './problem.ts'
import type { ApiSources, Bearer, Caller, Role, Visitor } from './sources.ts'

/** Longest credentials that are looked at: a token of 16 KiB, and as much again for a name. */
const authorizationCharactersMax = 40_000

/** Whoever asks for what clients may have: null is for `visitorOf` to say. @throws Problem */
export async function lookAt(
  sources: ApiSources,
  caller: Caller,
  authorization: string | undefined,
): Promise<Bearer | null> {
  const token = bearerIn(authorization)
  const bearer = token === undefined || token.length > 200 ? undefined : sources.tokens.find(token)
  if (bearer !== undefined) return bearer
  if (sources.authenticated()) return null
  if (authorization !== undefined) throw await punishedRefusal(sources, caller)
  if (!caller.local) throw unauthorized('this call needs a token: Authorization: Bearer TOKEN')
  return null
}

/** @throws Problem for a token whose role or namespace does not allow it, and for a namespace that there is none of */
export function visitorOf(context: Context<ApiEnvironment>, role: Role, namespace: string | undefined): Visitor {
  const bearer = context.get('bearer')
  const sources = context.get('sources')
  if (bearer === null && sources.authenticated()) return clientOf(context.req.header('authorization') ?? '')
  const refusal = bearer === null ? undefined : refusalOf(bearer, { role, byNamespace: true })
  if (refusal !== undefined) throw new Problem(403, refusal.text)
  const place = namespaceOf(context, namespace)
  if (!sources.inspection.hasNamespace(place)) throw new Problem(404, 'there is no such namespace')
  return {
    ...{ kind: 'known', namespace: place, principal: bearer === null ? '' : `api-token:${bearer.name}` },
    mayPublish: bearer === null || bearer.role !== 'viewer',
  }
}

function bearerIn(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1]
}

/** By `Bearer` a JSON Web Token, by `Basic` user name and password; nothing: anonymous, if that is allowed. */
function clientOf(authorization: string): Visitor {
  if (authorization.length > authorizationCharactersMax) throw unauthorized('these credentials are too long')
  const bearer = bearerIn(authorization)
  if (bearer !== undefined) return { kind: 'client', bearer }
  const basic = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization)?.[1]
  if (basic === undefined) return { kind: 'client' }
  const [, username = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString('utf8')) ?? []
  return { kind: 'client', username, password }
}
