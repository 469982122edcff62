/** Messages as they come, as server-sent events: for `EventSource` in a page and `curl -N` in a shell. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context, HonoRequest } from 'hono'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { parseTopicFilter } from '../../mqtt/topic.ts'
import type { ApiEnvironment } from '../environment.ts'
import { Problem, type ProblemStatus, problemAnswer } from '../problem.ts'
import { type Api, problems } from '../route.ts'
import { namespaceQuery } from '../schemas.ts'
import type { Redeemed } from '../sources.ts'
import { admissionOf, refusedTicket, visitorOf, visitorOfTicket } from '../visitor.ts'

const filtersMax = 100
const ticketCharactersMax = 100

const filter = z
  .string()
  .max(65_535)
  .refine((text) => parseTopicFilter(text) !== undefined, { error: 'not a topic filter' })

const stream = createRoute({
  method: 'get',
  path: '/stream',
  operationId: 'streamMessages',
  tags: ['Messages'],
  summary: 'Messages of matching topics as server-sent events, retained ones first',
  security: [{ token: [] as string[] }, {}],
  'x-role': 'viewer',
  request: {
    query: z.object({
      namespace: namespaceQuery,
      topic: z
        .preprocess((given) => (Array.isArray(given) ? given : [given]), z.array(filter).min(1).max(filtersMax))
        .describe('Topic filter; may be given several times. Or one $stream/NAME, with or without a filter behind.'),
      from: z
        .string()
        .min(1)
        .max(100)
        .optional()
        .describe(
          'Of a stream, where to begin: earliest, latest, offset:N, a time, or -1h. Last-Event-ID comes first.',
        ),
      payload: z
        .enum(['utf8', 'json', 'base64'])
        .default('utf8')
        .describe('How payloads come. json: a value where it is JSON. What is not UTF-8 comes as base64.'),
      where: z.string().max(1000).optional().describe('Only messages whose content fits: `temperature > 25`.'),
      sample: z.coerce.number().int().min(1).max(1_000_000).optional().describe('One message of so many.'),
      maxPerSecond: z.coerce.number().min(0.01).max(1000).optional().describe('No more messages than so many.'),
      latest: z.enum(['true', 'false']).optional().describe('Of what has to wait, the latest message of each topic.'),
      ticket: z.string().max(ticketCharactersMax).optional().describe('In place of an Authorization header.'),
    }),
  },
  responses: {
    200: {
      content: { 'text/event-stream': { schema: z.string() } },
      description:
        'Events `message` with topic, payload, encoding, qos, retain, at; of a stream `offset` too, which is their id',
    },
    ...problems(400, 403, 404, 503),
  },
})

/** Who brings a ticket is looked at when that is redeemed, as the last thing before the stream. */
export function isByTicket(request: Pick<HonoRequest, 'path' | 'query'>): boolean {
  return request.path.endsWith(stream.path) && request.query('ticket') !== undefined
}

const addressPrefix = '$stream/'

/** Where a stream is read from; undefined: where it says itself, or it is about topics. @throws Problem for what can't be answered */
function startOf(filters: readonly string[], from: string | undefined, lastEventId: string | undefined) {
  if (filters.some((one) => one.startsWith('$share/') && parseTopicFilter(one)!.filter.startsWith(addressPrefix))) {
    throw new Problem(
      400,
      'a group has to acknowledge what it reads of a stream, which events are not: leave out $share',
    )
  }
  if (!filters.some((one) => one.startsWith(addressPrefix))) {
    if (from !== undefined) throw new Problem(400, 'only a stream is read from somewhere: topic=$stream/NAME')
    return undefined
  }
  if (filters.length > 1) throw new Problem(400, 'a stream is read alone: other topics need a request of their own')
  if (lastEventId === undefined || lastEventId === '') return from
  if (!/^\d{1,15}$/.test(lastEventId)) throw new Problem(400, 'Last-Event-ID is not the id of an event of a stream')
  return `offset:${Number(lastEventId) + 1}`
}

export function addStream(api: Api): void {
  api.openapi(stream, (context) => {
    const { namespace, topic: filters, payload, from: asked, ticket: text, ...wishes } = context.req.valid('query')
    const { caller, incoming, outgoing } = context.env
    // A HEAD would be answered by a body that never comes.
    if (incoming.method !== 'GET') throw new Problem(405, 'only GET is for this path', { headers: { allow: 'GET' } })
    const from = startOf(filters, asked, context.req.header('last-event-id'))
    const ticket = text === undefined ? undefined : redeem(context, text)
    const visitor =
      ticket === undefined
        ? visitorOf(context, namespace)
        : visitorOfTicket(context.get('sources'), ticket, { ...caller, path: context.req.path }, namespace)
    // Who takes a message out of a queue or of a share group takes it from somebody.
    const takes = filters.some((one) => one.startsWith('$share/') || one.startsWith('$queue/'))
    if (takes && visitor.kind === 'known' && !visitor.mayPublish) {
      throw new Problem(403, 'role viewer may look on, and not take messages of share groups and queues')
    }
    const { username, password, bearer } = visitor.kind === 'client' ? visitor : {}
    const admission = visitor.kind === 'client' ? undefined : admissionOf(visitor)
    return new Promise<Response>((resolve) => {
      outgoing.once('streaming', () => resolve(alreadySent()))
      outgoing.once('close', () => resolve(alreadySent()))
      caller.serveEvents({
        ...{ filters, from, payload, shaping: shapingOf(wishes), username, password, bearer, admission },
        refuse: (reasonCode, text) => resolve(problemAnswer(new Problem(statusOf(reasonCode), text))),
        begun: ticket && ((end) => outgoing.once('close', ticket.hold(end))),
      })
    })
  })
}

function shapingOf({ where, sample, maxPerSecond, latest }: StreamWishes) {
  return {
    ...(where !== undefined && { where }),
    ...(sample !== undefined && { sample }),
    ...(maxPerSecond !== undefined && { maxPerSecond }),
    ...(latest !== undefined && { latest: latest === 'true' }),
  }
}

interface StreamWishes {
  where?: string | undefined
  sample?: number | undefined
  maxPerSecond?: number | undefined
  latest?: 'true' | 'false' | undefined
}

/** @throws Problem */
function redeem({ req, env: { caller, incoming }, var: { sources } }: Context<ApiEnvironment>, text: string): Redeemed {
  if (req.header('authorization') !== undefined) {
    throw new Problem(400, 'a ticket stands for an Authorization header: send one of them')
  }
  const place = `${incoming.headers.origin ?? ''} ${incoming.url}`
  const redeemed = sources.tickets.redeem(text, { listener: caller.listener, place })
  if (typeof redeemed === 'string') throw refusedTicket(sources, caller.address, redeemed)
  return redeemed
}

/** The response was written without the API's part. */
function alreadySent(): Response {
  return new Response(null, { headers: { 'x-hono-already-sent': 'true' } })
}

export function statusOf(reasonCode: number): ProblemStatus {
  switch (reasonCode) {
    case ReasonCode.badUserNameOrPassword:
      return 401
    case ReasonCode.notAuthorized:
    case ReasonCode.banned:
      return 403
    case ReasonCode.topicFilterInvalid:
    case ReasonCode.implementationSpecificError:
      return 400
    default:
      return 503
  }
}
