/** Retained messages: list by filter, show, delete one or by filter. */
import { createRoute, z } from '@hono/zod-openapi'
import type { MessageView } from '../../core/ports/inspection.ts'
import { isValidTopicName } from '../../mqtt/topic.ts'
import type { Pages } from '../listing.ts'
import { namespaceOf } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { fromPath, namespaceQuery, ownerQuery, pageOf, pageQuery, pathText, retainedSchema } from '../schemas.ts'
import { topicFilter } from '../topic-filter.ts'
import { messageBody } from '../views.ts'

const tags = ['Retained messages']

const filterText =
  'An MQTT topic filter. As in MQTT, a wildcard at the first level matches no topic that begins with $.'

/** What the gateway says of itself comes with its next change only, which may be never. */
const isOwn = (topic: string) => topic === '$SYS' || topic.startsWith('$SYS/')
const deletable = { error: 'what is below $SYS is the gateway’s own' }

const topicParam = z.object({
  topic: z
    .string()
    .max(65_535)
    .transform(fromPath)
    .refine((topic) => isValidTopicName(topic), { error: 'not a topic name' })
    .openapi({ type: 'string', param: { name: 'topic', in: 'path' }, description: pathText }),
})

const list = createRoute({
  method: 'get',
  path: '/retained',
  operationId: 'listRetained',
  tags,
  summary: 'Retained messages that a filter matches, by topic, page by page; payloads shortened',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({ ...pageQuery, namespace: namespaceQuery, filter: topicFilter.default('#').describe(filterText) }),
  },
  responses: { 200: json(pageOf(retainedSchema), 'A page of them'), ...problems(400, 403, 503) },
})

const show = createRoute({
  method: 'get',
  path: '/retained/{topic}',
  operationId: 'showRetained',
  tags,
  summary: 'The retained message of one topic, whole',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: topicParam, query: ownerQuery },
  responses: { 200: json(retainedSchema, 'The message'), ...problems(400, 403, 404) },
})

const removeOne = createRoute({
  method: 'delete',
  path: '/retained/{topic}',
  operationId: 'deleteRetained',
  tags,
  summary: 'Delete the retained message of one topic; subscribers are told nothing',
  ...needs({ role: 'operator', byNamespace: true }),
  request: {
    params: topicParam.refine(({ topic }) => !isOwn(topic), { ...deletable, path: ['topic'] }),
    query: ownerQuery,
  },
  responses: { 204: { description: 'It is deleted, for good' }, ...problems(400, 403, 404) },
})

const removeMatching = createRoute({
  method: 'delete',
  path: '/retained',
  operationId: 'deleteRetainedByFilter',
  tags,
  summary: 'Delete the retained messages that a filter matches; subscribers are told nothing',
  ...needs({ role: 'operator', byNamespace: true }),
  request: {
    query: z.object({
      namespace: namespaceQuery,
      filter: topicFilter.refine((filter) => !isOwn(filter), deletable).describe(filterText),
    }),
  },
  responses: {
    200: json(z.object({ deleted: z.number().int() }), 'How many were deleted, for good'),
    ...problems(400, 403, 503),
  },
})

export function addRetained(api: Api, pages: Pages): void {
  addReading(api, pages)
  addDeleting(api, pages)
}

function addReading(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, namespace: asked, filter } = context.req.valid('query')
    const namespace = namespaceOf(context, asked)
    const { inspection, wallTime } = context.get('sources')
    const topic = (message: MessageView) => message.topic
    const order = { value: topic, identity: topic, descending: false }
    const matches = () => true
    const { rows, nextCursor } = await pages.page(inspection.retained(namespace, filter), {
      limit,
      cursor,
      order,
      matches,
    })
    return context.json({ items: rows.map((row) => messageBody(row, wallTime)), nextCursor }, 200)
  })
  api.openapi(show, (context) => {
    const { inspection, wallTime } = context.get('sources')
    const namespace = namespaceOf(context, context.req.valid('query').namespace)
    const message = inspection.retainedMessage(namespace, context.req.valid('param').topic)
    if (message === null) throw nothingRetained()
    return context.json(messageBody(message, wallTime, Infinity), 200)
  })
}

function addDeleting(api: Api, pages: Pages): void {
  api.openapi(removeOne, async (context) => {
    const { topic } = context.req.valid('param')
    const namespace = namespaceOf(context, context.req.valid('query').namespace)
    const { actions, audit } = context.get('sources')
    if (!actions.deleteRetained(namespace, topic)) throw nothingRetained()
    await actions.settled()
    audit({ token: context.get('bearer')?.name, namespace, topic }, 'retained message deleted through the API')
    return context.body(null, 204)
  })
  api.openapi(removeMatching, async (context) => {
    const { namespace: asked, filter } = context.req.valid('query')
    const namespace = namespaceOf(context, asked)
    const { inspection, actions, audit } = context.get('sources')
    let deleted = 0
    await pages.walk(inspection.retained(namespace, filter), ({ topic }) => {
      if (actions.deleteRetained(namespace, topic)) deleted++
    })
    await actions.settled()
    audit(
      { token: context.get('bearer')?.name, namespace, filter, deleted },
      'retained messages deleted through the API',
    )
    return context.json({ deleted }, 200)
  })
}

function nothingRetained(): Problem {
  return new Problem(404, 'nothing is retained for this topic, or not by this namespace')
}
