/** Messages of the caller's, as if the gateway itself published them; and requests, which wait for an answer. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { bundledVerdict, bundleProblem, bundleSchema } from '../bundle-body.ts'
import type { ApiEnvironment } from '../environment.ts'
import { messageFields, messageSchema, ownMessage } from '../message-body.ts'
import { namespaceOf } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import type { Published } from '../sources.ts'

const tags = ['Messages']
const messagesMax = 1000
const timeoutMsMax = 60_000

const outcome = z.enum(['delivered', 'no-subscribers', 'duplicate'])
const result = z.union([z.object({ outcome }), z.object({ status: z.number().int(), detail: z.string() })])

const publish = createRoute({
  method: 'post',
  path: '/publish',
  operationId: 'publish',
  tags,
  summary:
    'Publish a message, a list of them, or messages and verdicts all or none; answered when they are as safe as PUBACKs would say',
  ...needs({ role: 'operator', open: true, byNamespace: true }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z
            .union([messageSchema, z.array(z.any()).min(1).max(messagesMax), bundleSchema])
            .describe('One message, a list, or messages and verdicts that are taken all or none.'),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(
      z.union([z.object({ outcome }), z.array(result), z.object({ results: z.array(z.object({ outcome })) })]),
      'What became of it; of a list, what became of each or why it was refused',
    ),
    ...problems(400, 403, 404, 409, 413, 415, 503),
  },
})

const request = createRoute({
  method: 'post',
  path: '/request',
  operationId: 'request',
  tags,
  summary: 'Publish a message that asks for an answer, and wait for it',
  ...needs({ role: 'operator', open: true, byNamespace: true }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z
            .strictObject({
              ...messageFields,
              timeoutMs: z.number().int().min(1).max(timeoutMsMax).default(10_000),
            })
            .openapi('Request'),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(
      z.object({
        topic: z.string(),
        payload: z.any(),
        encoding: z.enum(['utf8', 'base64']),
        properties: z.record(z.string(), z.any()),
      }),
      'The answer',
    ),
    ...problems(400, 403, 404, 413, 415, 503, 504),
  },
})

export function addPublish(api: Api): void {
  api.openapi(publish, async (context) => {
    const body = context.req.valid('json')
    if ('atomic' in body) return context.json({ results: await publishAll(context, body) }, 200)
    if (!Array.isArray(body)) return context.json({ outcome: await publishOne(context, body) }, 200)
    // Begun one after the other before anything is waited for, so that they are committed together.
    const results = await Promise.all(body.map((one: unknown) => publishOne(context, one).then(resultOf, faultOf)))
    return context.json(results, 200)
  })
  api.openapi(request, async (context) => {
    const { namespace, timeoutMs, ...body } = context.req.valid('json')
    const own = ownMessage(body, namespaceOf(context, namespace))
    const answer = await context.get('sources').actions.request(own, timeoutMs)
    if (answer === 'too-many') throw new Problem(503, 'too many requests wait for their answers')
    if (answer === 'late') throw new Problem(504, `no answer came within ${timeoutMs} ms`)
    if (answer === 'no-subscribers') throw new Problem(504, 'nobody is subscribed to the topic of the request')
    if (typeof answer === 'string') throw refusalOf(answer)
    return context.json(answer, 200)
  })
}

type Taken = 'delivered' | 'no-subscribers' | 'duplicate'

const resultOf = (found: Taken) => ({ outcome: found })

function faultOf(error: unknown): { status: number; detail: string } {
  if (error instanceof Problem) return { status: error.status, detail: error.message }
  throw error
}

async function publishAll(context: Context<ApiEnvironment>, body: z.infer<typeof bundleSchema>) {
  const messages = body.messages.map(({ namespace, ...one }, index) => {
    const own = namespaceOf(context, namespace)
    try {
      return ownMessage(one, own)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      const text = error.message
      throw bundleProblem({ part: 'messages', index, reason: 'malformed', text })
    }
  })
  const verdicts = body.settle.map((one) => bundledVerdict(one, namespaceOf(context, one.namespace)))
  const done = await context.get('sources').actions.publishAll({ messages, verdicts })
  if ('part' in done) throw bundleProblem(done)
  return done.outcomes.map(resultOf)
}

async function publishOne(context: Context<ApiEnvironment>, given: unknown): Promise<Taken> {
  const parsed = messageSchema.safeParse(given)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    throw new Problem(400, path.length === 0 ? message : `${path.join('.')}: ${message}`)
  }
  const { namespace, ...body } = parsed.data
  const found = await context.get('sources').actions.publish(ownMessage(body, namespaceOf(context, namespace)))
  if (found === 'delivered' || found === 'no-subscribers' || found === 'duplicate') return found
  throw refusalOf(found)
}

function refusalOf(found: Exclude<Published, Taken>): Problem {
  switch (found) {
    case 'no-namespace':
      return new Problem(404, 'there is no such namespace')
    case 'too-large':
      return new Problem(413, 'the message is larger than limits.packetBytesMax')
    case 'quota-exceeded':
      return new Problem(503, 'refused: a queue or the store has no room')
  }
}
