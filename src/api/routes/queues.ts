/**
 * Queues: list and show them, look at what waits, drop it or give dead letters back, and be a consumer: receive and settle. Receiving
 * leases for a time, since there is no connection that would end.
 */
import { createRoute, z } from '@hono/zod-openapi'
import type { QueueState } from '../../core/ports/queues.ts'
import { matcherOf } from '../filter.ts'
import { orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { begun, identityOf, inTime, known, namedIn, nameParam } from '../named.ts'
import { visible } from '../namespace.ts'
import { Problem } from '../problem.ts'
import {
  consumerBody,
  queueBody,
  queueDetailsSchema,
  queueMessageBody,
  queueMessageSchema,
  queueSchema,
} from '../queue-bodies.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { namespaceQuery, ownerQuery, pageOf, pageQuery } from '../schemas.ts'
import { topicFilter } from '../topic-filter.ts'

const tags = ['Queues']
const sorts = {
  name: identityOf,
  ready: (queue) => queue.ready,
  leased: (queue) => queue.leased,
  waiting: (queue) => queue.waiting,
  messages: (queue) => queue.ready + queue.leased + queue.waiting,
  bytes: (queue) => queue.bytes,
  consumers: (queue) => queue.consumers,
  // The empty ones come last.
  oldestAt: (queue) => queue.oldestAt ?? Number.MAX_SAFE_INTEGER,
} satisfies Record<string, (queue: QueueState) => SortValue>
type Sort = keyof typeof sorts

const list = createRoute({
  method: 'get',
  path: '/queues',
  operationId: 'listQueues',
  tags,
  summary: 'Queues, sorted, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('name', ['namespace', 'filter', 'declared']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('name'),
    }),
  },
  responses: { 200: json(pageOf(queueSchema), 'A page of them'), ...problems(400, 503) },
})

const show = createRoute({
  method: 'get',
  path: '/queues/{name}',
  operationId: 'showQueueByName',
  tags,
  summary: 'One queue, with its consumers and its options',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: nameParam, query: ownerQuery },
  responses: { 200: json(queueDetailsSchema, 'The queue'), ...problems(400, 403, 404) },
})

const peek = createRoute({
  method: 'get',
  path: '/queues/{name}/messages',
  operationId: 'peekQueue',
  tags,
  summary: 'What is in it, in order, page by page; payloads shortened. Looking leases nothing',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: nameParam, query: ownerQuery.extend(pageQuery) },
  responses: { 200: json(pageOf(queueMessageSchema), 'A page of it'), ...problems(400, 403, 404, 503) },
})

const filterQuery = topicFilter.optional().describe('Only messages of topics that this MQTT filter matches.')

const purge = createRoute({
  method: 'delete',
  path: '/queues/{name}/messages',
  operationId: 'purgeQueue',
  tags,
  summary: 'Drop what is in it and not with a consumer, all or by topic',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { params: nameParam, query: z.object({ namespace: namespaceQuery, filter: filterQuery }) },
  responses: {
    200: json(z.object({ purged: z.number().int() }), 'How many were dropped, for good'),
    ...problems(400, 403, 404, 503),
  },
})

const redrive = createRoute({
  method: 'post',
  path: '/queues/{name}/redrive',
  operationId: 'redriveQueue',
  tags,
  summary: 'Dead letters go back to the queue that they came from, with their attempts forgotten',
  ...needs({ role: 'operator', byNamespace: true }, { body: true }),
  request: {
    params: nameParam,
    query: ownerQuery,
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            max: z.number().int().min(1).max(1_000_000).default(1000).describe('So many at most, the oldest first.'),
            filter: filterQuery,
          }),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(z.object({ redriven: z.number().int() }), 'How many went back, for good'),
    ...problems(400, 403, 404, 413, 415, 503),
  },
})

export function addQueues(api: Api, pages: Pages): void {
  addLooking(api, pages)
  api.openapi(purge, async (context) => {
    const { filter = null, namespace } = context.req.valid('query')
    const queue = namedIn(context, context.req.valid('param'), { namespace })
    const sources = context.get('sources')
    const purged = begun(await inTime(sources, sources.queues.purge(queue, filter)), 'queue')
    sources.audit({ token: context.get('bearer')?.name, ...queue, filter, purged }, 'queue purged through the API')
    return context.json({ purged }, 200)
  })
  api.openapi(redrive, async (context) => {
    const { max, filter = null } = context.req.valid('json')
    const queue = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const sources = context.get('sources')
    const redriven = begun(await inTime(sources, sources.queues.redrive(queue, max, filter)), 'queue')
    sources.audit(
      { token: context.get('bearer')?.name, ...queue, filter, redriven },
      'dead letters redriven through the API',
    )
    return context.json({ redriven }, 200)
  })
}

function addLooking(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const { queues, wallTime } = context.get('sources')
    const matches = matcherOf<QueueState>(filter, (queue) => queue.name, {
      namespace: (queue) => queue.namespace,
      filter: (queue) => queue.filter ?? '',
      declared: (queue) => String(queue.declared),
    })
    const order = orderBy<QueueState, Sort>(sort, sorts, identityOf)
    const wanted = { limit, cursor, order, matches }
    const { rows, nextCursor } = await pages.page(visible(context, queues.list()), wanted)
    return context.json({ items: rows.map((row) => queueBody(row, wallTime)), nextCursor }, 200)
  })
  api.openapi(show, (context) => {
    const queue = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { queues, wallTime } = context.get('sources')
    const state = known(queues.state(queue) ?? undefined, 'queue')
    const consumerList = queues.consumers(queue).map(consumerBody)
    return context.json({ ...queueBody(state, wallTime), consumerList, options: queues.options(queue) ?? null }, 200)
  })
  api.openapi(peek, async (context) => {
    const { limit, cursor = '', namespace } = context.req.valid('query')
    const queue = namedIn(context, context.req.valid('param'), { namespace })
    const sources = context.get('sources')
    known(sources.queues.state(queue) ?? undefined, 'queue')
    const found = await inTime(sources, sources.queues.peek(queue, cursor, limit))
    if (found === 'unknown') {
      const errors = [{ path: 'query.cursor', message: 'not a cursor' }]
      throw new Problem(400, 'the cursor is none of ours', { errors })
    }
    const { messages, next } = begun(found, 'queue')
    const items = messages.map((one) => queueMessageBody(one, sources.wallTime))
    return context.json({ items, nextCursor: next }, 200)
  })
}
