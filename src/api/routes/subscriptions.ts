/** Subscriptions of all clients, topics whose recipients are kept, and who would get a message. */
import { createRoute, z } from '@hono/zod-openapi'
import type { SubscriptionView, TopicView } from '../../core/ports/inspection.ts'
import { isValidTopicName } from '../../mqtt/topic.ts'
import { matcherOf } from '../filter.ts'
import { orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { namespaceOf, visible } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { namespaceQuery, pageOf, pageQuery, routeSchema, subscriptionSchema, topicSchema } from '../schemas.ts'

const tags = ['Subscriptions']
const reading = needs({ role: 'viewer', open: true, byNamespace: true })
/** Recipients, groups and members of a group that a route shows. */
const routeShownMax = 100

const sorts = {
  filter: (subscription) => subscription.filter,
  clientId: (subscription) => subscription.clientId,
  qos: (subscription) => subscription.qos,
} satisfies Record<string, (subscription: SubscriptionView) => SortValue>
type Sort = keyof typeof sorts

const topicSorts = {
  topic: (topic) => topic.topic,
  recipients: (topic) => topic.recipients,
} satisfies Record<string, (topic: TopicView) => SortValue>
type TopicSort = keyof typeof topicSorts

const list = createRoute({
  method: 'get',
  path: '/subscriptions',
  operationId: 'listSubscriptions',
  tags,
  summary: 'Subscriptions of all sessions, sorted, page by page',
  ...reading,
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('topic filter', ['namespace', 'clientId', 'group']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('filter'),
    }),
  },
  responses: { 200: json(pageOf(subscriptionSchema), 'A page of them'), ...problems(400, 503) },
})

const topics = createRoute({
  method: 'get',
  path: '/topics',
  operationId: 'listTopics',
  tags,
  summary: 'Topics that were published to lately and whose recipients are kept resolved, page by page',
  ...reading,
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('topic', ['namespace']),
      sort: sortQuery(Object.keys(topicSorts) as TopicSort[]).default('topic'),
    }),
  },
  responses: { 200: json(pageOf(topicSchema), 'A page of them'), ...problems(400, 503) },
})

const route = createRoute({
  method: 'get',
  path: '/routes',
  operationId: 'showRoute',
  tags,
  summary: `Who would get a message of a topic: at most ${routeShownMax} of each kind are shown`,
  ...reading,
  request: {
    query: z.object({
      namespace: namespaceQuery,
      topic: z
        .string()
        .max(65_535)
        .refine((topic) => isValidTopicName(topic), { error: 'not a topic name' }),
    }),
  },
  responses: { 200: json(routeSchema, 'The route'), ...problems(400, 403, 404) },
})

export function addSubscriptions(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const matches = matcherOf<SubscriptionView>(filter, (subscription) => subscription.filter, {
      namespace: (subscription) => subscription.namespace,
      clientId: (subscription) => subscription.clientId,
      group: (subscription) => subscription.group,
    })
    const identity = ({ namespace, clientId, filter: own }: SubscriptionView) =>
      JSON.stringify([own, clientId, namespace])
    const order = orderBy<SubscriptionView, Sort>(sort, sorts, identity)
    const rows = visible(context, context.get('sources').inspection.subscriptions())
    const page = await pages.page(rows, { limit, cursor, order, matches })
    const items = page.rows.map((row) => ({ ...row, identifiers: [...row.identifiers] }))
    return context.json({ items, nextCursor: page.nextCursor }, 200)
  })
  api.openapi(topics, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const matches = matcherOf<TopicView>(filter, (topic) => topic.topic, { namespace: (topic) => topic.namespace })
    const identity = ({ namespace, topic }: TopicView) => JSON.stringify([topic, namespace])
    const order = orderBy<TopicView, TopicSort>(sort, topicSorts, identity)
    const rows = visible(context, context.get('sources').inspection.topics())
    const page = await pages.page(rows, { limit, cursor, order, matches })
    return context.json({ items: page.rows, nextCursor: page.nextCursor }, 200)
  })
  api.openapi(route, (context) => {
    const { namespace: asked, topic } = context.req.valid('query')
    const namespace = namespaceOf(context, asked)
    const { inspection } = context.get('sources')
    if (!inspection.hasNamespace(namespace)) throw new Problem(404, 'there is no such namespace')
    const { recipients, groups, ...counts } = inspection.route(namespace, topic, routeShownMax)
    const shown = groups.map((group) => ({ ...group, members: [...group.members] }))
    return context.json({ topic, ...counts, recipients: [...recipients], groups: shown }, 200)
  })
}
