/** The drop ledger: who lost what, why and when. */
import { createRoute, z } from '@hono/zod-openapi'
import type { DropView } from '../../core/ports/inspection.ts'
import { matcherOf } from '../filter.ts'
import { orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { visible } from '../namespace.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { dropSchema, pageOf, pageQuery } from '../schemas.ts'
import { timeText } from '../views.ts'

const sorts = {
  lastAt: (line) => line.lastAt,
  firstAt: (line) => line.firstAt,
  count: (line) => line.count,
  clientId: (line) => line.clientId,
  reason: (line) => line.reason,
} satisfies Record<string, (line: DropView) => SortValue>
type Sort = keyof typeof sorts

const list = createRoute({
  method: 'get',
  path: '/drops',
  operationId: 'listDrops',
  tags: ['Gateway'],
  summary: 'Who lost messages, why and when: by client, reason and the beginning of the topic, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('client id', ['namespace', 'reason', 'topic']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('-lastAt'),
    }),
  },
  responses: {
    200: json(
      pageOf(dropSchema).extend({
        linesLost: z
          .number()
          .int()
          .nullable()
          .describe('Lines that gave way to others since the start; null: the token is of one namespace.'),
      }),
      'A page of them',
    ),
    ...problems(400, 503),
  },
})

export function addDrops(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const { inspection, wallTime } = context.get('sources')
    const matches = matcherOf<DropView>(filter, (line) => line.clientId, {
      namespace: (line) => line.namespace,
      reason: (line) => line.reason,
      topic: (line) => line.topicPrefix,
    })
    const identity = ({ namespace, clientId, reason, topicPrefix }: DropView) =>
      JSON.stringify([clientId, reason, topicPrefix, namespace])
    const order = orderBy<DropView, Sort>(sort, sorts, identity)
    const { rows, nextCursor } = await pages.page(visible(context, inspection.drops()), {
      limit,
      cursor,
      order,
      matches,
    })
    const items = rows.map(({ namespace, clientId, reason, topicPrefix, count, firstAt, lastAt }) => {
      const times = { firstAt: timeText(firstAt, wallTime), lastAt: timeText(lastAt, wallTime) }
      return { namespace, clientId, reason, topicPrefix, count, ...times }
    })
    // It counts over all namespaces.
    const linesLost = context.get('bearer')?.namespace === undefined ? inspection.dropLinesLost : null
    return context.json({ items, nextCursor, linesLost }, 200)
  })
}
