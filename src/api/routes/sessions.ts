/** Sessions, with and without a connected client: list, show, what they subscribed to, what waits in their queues, delete. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Owner, QueueView, SessionView, SubscriptionView } from '../../core/ports/inspection.ts'
import { matcherOf } from '../filter.ts'
import { identityOf, orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { ownerOf, visible } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import {
  clientIdParam,
  ownerQuery,
  pageOf,
  pageQuery,
  queuedSchema,
  sessionSchema,
  subscriptionSchema,
} from '../schemas.ts'
import type { ApiSources } from '../sources.ts'
import { queuedBody, sessionBody } from '../views.ts'

const tags = ['Sessions']
/** A page of the store is read behind everything that was committed before. */
const storedPageTimeoutMs = 10_000

const sorts = {
  clientId: identityOf,
  username: (session) => session.username,
  // A cursor is JSON, which has no Infinity.
  expiresAt: (session) => Math.min(session.expiresAt, Number.MAX_SAFE_INTEGER),
  subscriptions: (session) => session.subscriptions,
  queuedMessages: (session) => session.queuedMessages,
  queuedBytes: (session) => session.queuedBytes,
  inflightMessages: (session) => session.inflightMessages,
  droppedMessages: (session) => session.droppedMessages,
} satisfies Record<string, (session: SessionView) => SortValue>
type Sort = keyof typeof sorts

const list = createRoute({
  method: 'get',
  path: '/sessions',
  operationId: 'listSessions',
  tags,
  summary: 'Sessions, with and without a connected client, sorted, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('client id', ['namespace', 'username', 'principal', 'connected', 'stored']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('clientId'),
    }),
  },
  responses: { 200: json(pageOf(sessionSchema), 'A page of them'), ...problems(400, 503) },
})

const show = createRoute({
  method: 'get',
  path: '/sessions/{clientId}',
  operationId: 'showSession',
  tags,
  summary: 'One session',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: clientIdParam, query: ownerQuery },
  responses: { 200: json(sessionSchema, 'The session'), ...problems(400, 403, 404) },
})

const subscriptions = createRoute({
  method: 'get',
  path: '/sessions/{clientId}/subscriptions',
  operationId: 'listSubscriptionsOfSession',
  tags,
  summary: 'What one session is subscribed to, by filter, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: clientIdParam, query: ownerQuery.extend(pageQuery) },
  responses: { 200: json(pageOf(subscriptionSchema), 'A page of them'), ...problems(400, 403, 404, 503) },
})

const queue = createRoute({
  method: 'get',
  path: '/sessions/{clientId}/queue',
  operationId: 'showQueue',
  tags,
  summary: 'QoS 1 and 2 messages that a session has in flight or waiting, in order, page by page; payloads shortened',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: clientIdParam, query: ownerQuery.extend(pageQuery) },
  responses: { 200: json(pageOf(queuedSchema), 'A page of them'), ...problems(400, 403, 404, 503) },
})

const end = createRoute({
  method: 'delete',
  path: '/sessions/{clientId}',
  operationId: 'deleteSession',
  tags,
  summary: 'End a session: its client is disconnected, its will published, its subscriptions and queue are gone',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { params: clientIdParam, query: ownerQuery },
  responses: { 204: { description: 'It has ended, for good' }, ...problems(400, 403, 404, 409) },
})

export function addSessions(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const { inspection, wallTime } = context.get('sources')
    const matches = matcherOf<SessionView>(filter, (session) => session.clientId, {
      namespace: (session) => session.namespace,
      username: (session) => session.username,
      principal: (session) => session.principal,
      connected: (session) => String(session.connected),
      stored: (session) => String(session.stored),
    })
    const order = orderBy<SessionView, Sort>(sort, sorts, identityOf)
    const { rows, nextCursor } = await pages.page(visible(context, inspection.sessions()), {
      limit,
      cursor,
      order,
      matches,
    })
    return context.json({ items: rows.map((row) => sessionBody(row, wallTime)), nextCursor }, 200)
  })
  api.openapi(show, (context) => {
    const owner = ownerOf(context, context.req.valid('param'), context.req.valid('query'))
    const sources = context.get('sources')
    return context.json(sessionBody(sessionOf(sources, owner), sources.wallTime), 200)
  })
  api.openapi(end, async (context) => {
    const owner = ownerOf(context, context.req.valid('param'), context.req.valid('query'))
    const { actions, audit } = context.get('sources')
    const outcome = await actions.endSession(owner)
    if (outcome === 'unknown') throw noSession()
    if (outcome === 'of-bridge')
      throw new Problem(409, 'what waits for a bridge is in this session: it goes with the bridge')
    audit({ token: context.get('bearer')?.name, ...owner }, 'session deleted through the API')
    return context.body(null, 204)
  })
  addContents(api, pages)
}

function addContents(api: Api, pages: Pages): void {
  api.openapi(subscriptions, async (context) => {
    const { limit, cursor, namespace } = context.req.valid('query')
    const owner = ownerOf(context, context.req.valid('param'), { namespace })
    const sources = context.get('sources')
    sessionOf(sources, owner)
    const filter = (subscription: SubscriptionView) => subscription.filter
    const order = { value: filter, identity: filter, descending: false }
    const wanted = { limit, cursor, order, matches: () => true }
    const { rows, nextCursor } = await pages.page(sources.inspection.subscriptionsOf(owner), wanted)
    return context.json({ items: rows.map((row) => ({ ...row, identifiers: [...row.identifiers] })), nextCursor }, 200)
  })
  api.openapi(queue, async (context) => {
    const { limit, cursor, namespace } = context.req.valid('query')
    const owner = ownerOf(context, context.req.valid('param'), { namespace })
    const sources = context.get('sources')
    sessionOf(sources, owner)
    const { entries, nextPosition } = await queueOf(sources, owner, { from: positionOf(cursor), limit })
    const items = entries.map((entry) => queuedBody(entry, sources.wallTime))
    return context.json({ items, nextCursor: nextPosition === null ? null : String(nextPosition) }, 200)
  })
}

function sessionOf({ inspection }: ApiSources, owner: Owner): SessionView {
  const session = inspection.session(owner)
  if (session === null) throw noSession()
  return session
}

/** A cursor is the position of the next message. */
function positionOf(cursor = '0'): number {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor)
  throw new Problem(400, 'the cursor is none of ours', { errors: [{ path: 'query.cursor', message: 'not a cursor' }] })
}

/** What the store is asked for it may never answer: the session may end meanwhile. */
async function queueOf(
  { actions, sleep }: ApiSources,
  owner: Owner,
  { from, limit }: { from: number; limit: number },
): Promise<QueueView> {
  const { promise, resolve } = Promise.withResolvers<QueueView>()
  const again = { headers: { 'retry-after': '1' } }
  if (!actions.readQueue(owner, from, limit, resolve)) {
    throw new Problem(503, 'the stored part of this queue is being read already', again)
  }
  const part = await Promise.race([promise, sleep(storedPageTimeoutMs)])
  if (part === undefined) throw new Problem(503, 'the stored part of this queue could not be read in time', again)
  return part
}

function noSession(): Problem {
  return new Problem(404, 'there is no session of this client id')
}
