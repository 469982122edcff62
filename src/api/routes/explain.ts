/** What becomes of messages: live, as they pass, or of one that is published for it. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Explanation } from '../../core/ports/explanation.ts'
import { isValidTopicName, parseTopicFilter } from '../../mqtt/topic.ts'
import { countQuery, lineContent, secondsQuery, streamLines } from '../line-stream.ts'
import { namespaceOf } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { explanationSchema, namespaceQuery } from '../schemas.ts'
import type { ApiSources } from '../sources.ts'
import { timeText } from '../views.ts'

const tags = ['Messages']
const clientId = z.string().max(65_535).optional()
const waitMs = z.coerce.number().int().min(0).max(60_000).default(2000)

const follow = createRoute({
  method: 'get',
  path: '/explain/messages',
  operationId: 'followMessages',
  tags,
  summary:
    'What becomes of messages as they pass: rule, route, each recipient, commit, acknowledgement; one JSON line for each',
  ...needs({ role: 'operator', byNamespace: true }),
  request: {
    query: z.object({
      namespace: namespaceQuery,
      filter: z
        .string()
        .max(65_535)
        .default('#')
        .refine((text) => parseTopicFilter(text)?.shared === undefined && parseTopicFilter(text) !== undefined, {
          error: 'not a topic filter',
        })
        .describe('Topic filter.'),
      from: clientId.describe('Client id of the publisher.'),
      to: clientId.describe('Only what becomes of it for this client, also where it gets nothing.'),
      waitMs: waitMs.describe('How long acknowledgements are waited for.'),
      seconds: secondsQuery,
      count: countQuery,
    }),
  },
  responses: {
    200: { content: { [lineContent]: { schema: z.string() } }, description: 'One Explanation on each line' },
    ...problems(400, 403, 404, 503),
  },
})

const publish = createRoute({
  method: 'post',
  path: '/explain/publish',
  operationId: 'publishExplained',
  tags,
  summary: 'Publish a message and say what became of it',
  ...needs({ role: 'operator', byNamespace: true }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            namespace: namespaceQuery,
            topic: z
              .string()
              .max(65_535)
              .refine((topic) => isValidTopicName(topic) && !topic.startsWith('$SYS/'), {
                error: 'not a topic name, or one below $SYS, which is the gateway’s own',
              }),
            payload: z.string().default('').describe('Text.'),
            qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).default(0),
            retain: z.boolean().default(false),
            to: clientId.describe('Only what becomes of it for this client, also where it gets nothing.'),
            waitMs: waitMs.describe('How long acknowledgements are waited for.'),
          }),
        },
      },
      required: true,
    },
  },
  responses: { 200: json(explanationSchema, 'What became of it'), ...problems(400, 403, 404, 413, 415, 503) },
})

export function addExplain(api: Api): void {
  api.openapi(follow, (context) => {
    const { seconds, count, from, to, namespace: named, ...asked } = context.req.valid('query')
    const namespace = namespaceOf(context, named)
    const sources = context.get('sources')
    if (!sources.inspection.hasNamespace(namespace)) throw new Problem(404, 'there is no such namespace')
    const followed = { ...asked, namespace, clientId: from, recipient: to }
    const { name } = context.get('bearer')!
    let tell: (explanation: Explanation) => void = () => {}
    const following = sources.explain(followed, (explanation) => tell(explanation))
    if (following === null) throw tooMany()
    sources.audit({ token: name, ...followed }, 'messages are followed')
    return streamLines({ seconds, count }, (lines) => {
      tell = (explanation) => {
        lines.write((leftOut) => ({ ...viewOf(explanation, sources), missed: explanation.missed + leftOut }))
      }
      return () => following.end()
    })
  })
  api.openapi(publish, async (context) => {
    const { to, waitMs: wait, payload, namespace: named, ...rest } = context.req.valid('json')
    const message = { ...rest, namespace: namespaceOf(context, named) }
    const sources = context.get('sources')
    let told: (explanation: Explanation) => void = () => {}
    const explained = new Promise<Explanation>((resolve) => (told = resolve))
    const { namespace, topic } = message
    const followed = { namespace, filter: topic, recipient: to, waitMs: wait, messagesMax: 1 }
    const following = sources.explain(followed, (explanation) => told(explanation))
    if (following === null) throw tooMany()
    try {
      const outcome = await sources.actions.publish({ ...message, payload: Buffer.from(payload), properties: {} })
      if (outcome === 'no-namespace') throw new Problem(404, 'there is no such namespace')
      if (outcome === 'too-large') throw new Problem(413, 'the message is larger than limits.packetBytesMax')
      if (following.begun === 0) throw new Problem(503, 'it was published; too many messages are explained right now')
      return context.json(viewOf(await explained, sources), 200)
    } finally {
      following.end()
    }
  })
}

function tooMany(): Problem {
  return new Problem(503, 'too many follow messages already', { headers: { 'retry-after': '10' } })
}

function viewOf(explanation: Explanation, { wallTime }: Pick<ApiSources, 'wallTime'>) {
  const { at, recipients, others, ...rest } = explanation
  return { at: timeText(at, wallTime), ...rest, recipients: [...recipients], others: { ...others } }
}
