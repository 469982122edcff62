/** Bridges: list and show them, make and remove those that no configuration names, and connect one anew. */
import { createRoute, z } from '@hono/zod-openapi'
import type { BridgeView } from '../../bridges/view.ts'
import { bridgeBody, bridgeDetailsBody, bridgeDetailsSchema, bridgeSchema } from '../bridge-bodies.ts'
import { matcherOf } from '../filter.ts'
import { orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { identityOf, known, namedIn, nameParam } from '../named.ts'
import { visible } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { ownerQuery, pageOf, pageQuery } from '../schemas.ts'

const tags = ['Bridges']
const sorts = {
  name: identityOf,
  state: (bridge) => bridge.state,
  waiting: (bridge) => bridge.waiting,
  sent: (bridge) => bridge.sent,
  received: (bridge) => bridge.received,
} satisfies Record<string, (bridge: BridgeView) => SortValue>
type Sort = keyof typeof sorts

const list = createRoute({
  method: 'get',
  path: '/bridges',
  operationId: 'listBridges',
  tags,
  summary: 'Bridges to other brokers, with their state and what waits for them, sorted, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('name', ['namespace', 'state', 'url', 'source']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('name'),
    }),
  },
  responses: { 200: json(pageOf(bridgeSchema), 'A page of them'), ...problems(400, 503) },
})

const show = createRoute({
  method: 'get',
  path: '/bridges/{name}',
  operationId: 'showBridge',
  tags,
  summary: 'One bridge, with its topics',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: nameParam, query: ownerQuery },
  responses: { 200: json(bridgeDetailsSchema, 'The bridge'), ...problems(400, 403, 404) },
})

const put = createRoute({
  method: 'post',
  path: '/bridges',
  operationId: 'putBridge',
  tags,
  summary: 'Make a bridge, or change one that was made here: it lasts over restarts, in a file of the data folder',
  ...needs({ role: 'admin' }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z
            .looseObject({
              name: z
                .string()
                .regex(/^[0-9a-zA-Z][-.0-9a-zA-Z_]{0,63}$/, 'expected a name of letters, digits, -, . and _'),
              namespace: z.string().max(256).default('default'),
            })
            .describe('And the options of a bridge, as in the configuration.'),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(bridgeDetailsSchema, 'It is there, and connects; one that was there keeps what waits for it'),
    ...problems(400, 403, 404, 409, 413, 415),
  },
})

const restart = createRoute({
  method: 'post',
  path: '/bridges/{name}/restart',
  operationId: 'restartBridge',
  tags,
  summary: 'End its connections and make them anew, at once. What waits stays',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { params: nameParam, query: ownerQuery },
  responses: { 204: { description: 'It connects' }, ...problems(400, 403, 404) },
})

const remove = createRoute({
  method: 'delete',
  path: '/bridges/{name}',
  operationId: 'deleteBridge',
  tags,
  summary: 'Remove one that was made here, with what waits for it',
  ...needs({ role: 'admin' }),
  request: { params: nameParam, query: ownerQuery },
  responses: { 204: { description: 'It is gone, for good' }, ...problems(400, 403, 404, 409) },
})

export function addBridges(api: Api, pages: Pages): void {
  addLooking(api, pages)
  api.openapi(put, (context) => {
    const { name, namespace, ...options } = context.req.valid('json')
    const { bridges, audit } = context.get('sources')
    const outcome = bridges.put({ namespace, name }, options)
    if (outcome === 'no-namespace') throw new Problem(404, `there is no namespace ${namespace}`)
    if (outcome === 'configured') throw ofConfiguration(name)
    if (outcome !== 'done') {
      const errors = outcome.map(({ path, message }) => ({ path: ['body', ...path.map(String)].join('.'), message }))
      throw new Problem(400, `the bridge is not valid: ${errors[0]!.path}: ${errors[0]!.message}`, { errors })
    }
    const view = known(bridges.find({ namespace, name }), 'bridge')
    audit({ token: context.get('bearer')!.name, namespace, name, url: view.url }, 'bridge made through the API')
    return context.json(bridgeDetailsBody(view), 200)
  })
  api.openapi(restart, (context) => {
    const bridge = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { bridges, audit } = context.get('sources')
    if (!bridges.restart(bridge)) known(undefined, 'bridge')
    audit({ token: context.get('bearer')!.name, ...bridge }, 'bridge connected anew through the API')
    return context.body(null, 204)
  })
  api.openapi(remove, (context) => {
    const bridge = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { bridges, audit } = context.get('sources')
    const outcome = bridges.remove(bridge)
    if (outcome === 'unknown') known(undefined, 'bridge')
    if (outcome === 'configured') throw ofConfiguration(bridge.name)
    audit({ token: context.get('bearer')!.name, ...bridge }, 'bridge removed through the API')
    return context.body(null, 204)
  })
}

function ofConfiguration(name: string): Problem {
  return new Problem(409, `the bridge ${name} is in the configuration: it is changed there, and reloaded`)
}

function addLooking(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const { bridges } = context.get('sources')
    const matches = matcherOf<BridgeView>(filter, (bridge) => bridge.name, {
      namespace: (bridge) => bridge.namespace,
      state: (bridge) => bridge.state,
      url: (bridge) => bridge.url,
      source: (bridge) => bridge.source,
    })
    const order = orderBy<BridgeView, Sort>(sort, sorts, identityOf)
    const { rows, nextCursor } = await pages.page(visible(context, bridges.list()), { limit, cursor, order, matches })
    return context.json({ items: rows.map(bridgeBody), nextCursor }, 200)
  })
  api.openapi(show, (context) => {
    const bridge = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { bridges } = context.get('sources')
    return context.json(bridgeDetailsBody(known(bridges.find(bridge), 'bridge')), 200)
  })
}
