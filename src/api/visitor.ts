/**
 * As whom something is opened that lasts. Who has an API token is known by it, and so is a program of this machine while nobody is
 * asked who he is. Anybody else is a client like those of MQTT: his listener's authentication says who he is.
 *
 * A ticket says it too, in a URL: it stands for what its asker brought, which is looked at again.
 */
import type { Context } from 'hono'
import type { Admission, Grant } from '../core/ports/authority.ts'
import { punishedRefusal, refusalOf, unauthorized } from './access.ts'
import type { ApiEnvironment } from './environment.ts'
import { type Asker, placeOf } from './namespace.ts'
import { Problem } from './problem.ts'
import type { ApiSources, Bearer, Caller, KnownVisitor, Redeemed, TicketRefusal, Visitor } from './sources.ts'

/** Longest credentials that are looked at: a token of 16 KiB, and as much again for a name. */
const authorizationCharactersMax = 40_000

/** Whoever asks for what clients may have: null is for `visitorOf` to say. @throws Problem */
export async function lookAt(
  sources: ApiSources,
  caller: Caller,
  authorization: string | undefined,
): Promise<Bearer | null> {
  const bearer = bearerOf(sources, authorization)
  if (bearer !== null) return bearer
  if (sources.authenticated()) return null
  if (authorization !== undefined) throw await punishedRefusal(sources, caller)
  if (!caller.local) throw unauthorized('this call needs a token: Authorization: Bearer TOKEN')
  return null
}

/** @throws Problem for a token whose namespace does not allow it, and for a namespace that there is none of */
export function visitorOf(context: Context<ApiEnvironment>, namespace: string | undefined): Visitor {
  const bearer = context.get('bearer')
  const sources = context.get('sources')
  if (bearer === null && sources.authenticated()) return clientOf(context.get('authorization'))
  const { address } = context.get('caller')
  return knownAs(sources, { bearer, address, path: context.req.path }, namespace)
}

/** What is known of who redeems a ticket, and by what. */
export type Redeemer = Pick<Caller, 'local'> & Omit<Asker, 'bearer'>

/** @throws Problem where what the ticket stands for does not do any more */
export function visitorOfTicket(
  sources: ApiSources,
  { authorization }: Redeemed,
  { local, ...redeemer }: Redeemer,
  namespace: string | undefined,
): Visitor {
  const bearer = bearerOf(sources, authorization)
  if (bearer === null && sources.authenticated()) return clientOf(authorization)
  if (bearer === null && (authorization !== undefined || !local)) {
    throw unauthorized('what this ticket stands for is not valid any more')
  }
  return knownAs(sources, { bearer, ...redeemer }, namespace)
}

function knownAs(sources: ApiSources, asker: Asker, namespace: string | undefined): Visitor {
  const { bearer } = asker
  const refusal = bearer === null ? undefined : refusalOf(bearer, { role: 'viewer', byNamespace: true })
  if (refusal !== undefined) throw new Problem(403, refusal.text)
  const place = placeOf(sources, asker, namespace)
  if (!sources.inspection.hasNamespace(place)) throw new Problem(404, 'there is no such namespace')
  return {
    ...{ kind: 'known', namespace: place, principal: bearer === null ? '' : `api-token:${bearer.name}` },
    mayPublish: bearer === null || bearer.role !== 'viewer',
  }
}

/** What the core is told of somebody whom the API knows. */
export function admissionOf({ principal, namespace, mayPublish }: KnownVisitor): Admission {
  return { principal, namespace, grant: mayPublish ? null : looksOnly }
}

/** Role viewer as a client: everything that takes nothing from anybody. */
const looksOnly: Grant = {
  mayPublish: () => false,
  maySubscribe: (_filter, _qos, group) => group === null,
  mayReceive: () => true,
  // A stream is as it was for whoever reads it, but for a group, which goes on together.
  mayConsume: (address, _filter, group) => group === null && address.startsWith('$stream/'),
}

const refusalTexts: Readonly<Record<TicketRefusal, string>> = {
  unknown: 'there is no such ticket, or it was used, or it has expired',
  expired: 'this ticket has expired: ask for another one',
  other_listener: 'this ticket was given at another listener',
  other_place: 'this ticket was used for another URL or by another origin',
  no_room: 'there are too many tickets',
}

/** Counted, and logged without the ticket. */
export function noteRefusedTicket(
  { onTicketRefused, auditRefusal }: ApiSources,
  address: string,
  reason: TicketRefusal,
): void {
  onTicketRefused(reason)
  auditRefusal({ reason: `ticket_${reason}`, address }, 'ticket refused')
}

/** Whoever brings what is no ticket may be guessing: that counts as a wrong token of his address. */
export function refusedTicket(sources: ApiSources, address: string, reason: TicketRefusal): Problem {
  const { throttle } = sources
  noteRefusedTicket(sources, address, reason)
  if (reason === 'unknown' && throttle.reserve(address) === undefined) {
    return new Problem(429, 'too many wrong tickets from this address', { headers: { 'retry-after': '5' } })
  }
  if (reason === 'unknown') throttle.mistake(address)
  return unauthorized(refusalTexts[reason], 'invalid_token')
}

function bearerOf({ tokens }: ApiSources, authorization: string | undefined): Bearer | null {
  const token = bearerIn(authorization)
  return token === undefined || token.length > 200 ? null : (tokens.find(token) ?? null)
}

function bearerIn(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^Bearer +(\S+)$/i.exec(authorization)?.[1]
}

/** By `Bearer` a JSON Web Token, by `Basic` user name and password; nothing: anonymous, if that is allowed. */
function clientOf(authorization = ''): Visitor {
  if (authorization.length > authorizationCharactersMax) throw unauthorized('these credentials are too long')
  const bearer = bearerIn(authorization)
  if (bearer !== undefined) return { kind: 'client', bearer }
  const basic = /^Basic +([A-Za-z0-9+/]+=*)$/i.exec(authorization)?.[1]
  if (basic === undefined) return { kind: 'client' }
  const [, username = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic, 'base64').toString('utf8')) ?? []
  return { kind: 'client', username, password }
}
