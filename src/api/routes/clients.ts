/** Clients that are connected: list, show, disconnect. */
import { createRoute, z } from '@hono/zod-openapi'
import type { ClientView } from '../../core/ports/inspection.ts'
import { matcherOf } from '../filter.ts'
import { identityOf, orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { ownerOf, visible } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { clientIdParam, clientSchema, ownerQuery, pageOf, pageQuery } from '../schemas.ts'
import { clientBody } from '../views.ts'

const tags = ['Clients']

const sorts = {
  clientId: identityOf,
  username: (client) => client.username,
  connectedAt: (client) => client.connectedAt,
  subscriptions: (client) => client.subscriptions,
  queuedMessages: (client) => client.queuedMessages,
  queuedBytes: (client) => client.queuedBytes,
  inflightMessages: (client) => client.inflightMessages,
  droppedMessages: (client) => client.droppedMessages,
} satisfies Record<string, (client: ClientView) => SortValue>
type Sort = keyof typeof sorts

const list = createRoute({
  method: 'get',
  path: '/clients',
  operationId: 'listClients',
  tags,
  summary: 'Connected clients, sorted, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('client id', ['namespace', 'username', 'principal', 'address', 'listener']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('clientId'),
    }),
  },
  responses: { 200: json(pageOf(clientSchema), 'A page of them'), ...problems(400, 503) },
})

const show = createRoute({
  method: 'get',
  path: '/clients/{clientId}',
  operationId: 'showClient',
  tags,
  summary: 'One connected client',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: clientIdParam, query: ownerQuery },
  responses: { 200: json(clientSchema, 'The client'), ...problems(400, 403, 404) },
})

const disconnect = createRoute({
  method: 'delete',
  path: '/clients/{clientId}',
  operationId: 'disconnectClient',
  tags,
  summary: 'Disconnect a client; its session stays as long as it would otherwise',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { params: clientIdParam, query: ownerQuery },
  responses: { 204: { description: 'It is disconnected' }, ...problems(400, 403, 404) },
})

export function addClients(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const { inspection, wallTime } = context.get('sources')
    const matches = matcherOf<ClientView>(filter, (client) => client.clientId, {
      namespace: (client) => client.namespace,
      username: (client) => client.username,
      principal: (client) => client.principal,
      address: (client) => client.address,
      listener: (client) => client.listener,
    })
    const order = orderBy<ClientView, Sort>(sort, sorts, identityOf)
    const { rows, nextCursor } = await pages.page(visible(context, inspection.clients()), {
      limit,
      cursor,
      order,
      matches,
    })
    return context.json({ items: rows.map((row) => clientBody(row, wallTime)), nextCursor }, 200)
  })
  api.openapi(show, (context) => {
    const { inspection, wallTime } = context.get('sources')
    const client = inspection.client(ownerOf(context, context.req.valid('param'), context.req.valid('query')))
    if (client === null) throw notConnected()
    return context.json(clientBody(client, wallTime), 200)
  })
  api.openapi(disconnect, (context) => {
    const owner = ownerOf(context, context.req.valid('param'), context.req.valid('query'))
    const { actions, audit } = context.get('sources')
    if (!actions.disconnect(owner)) throw notConnected()
    audit({ token: context.get('bearer')?.name, ...owner }, 'client disconnected through the API')
    return context.body(null, 204)
  })
}

function notConnected(): Problem {
  return new Problem(404, 'no client with this id is connected')
}
