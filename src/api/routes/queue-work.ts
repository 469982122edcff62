/** Being a consumer of a queue over HTTP: messages are leased for a time, and each lease ends with a verdict or by itself. */
import { createRoute, z } from '@hono/zod-openapi'
import type { QueuedMessageView, QueueVerdict, Settlement } from '../../core/ports/queues.ts'
import { known, namedIn, nameParam } from '../named.ts'
import { Problem } from '../problem.ts'
import { queueMessageBody, queueMessageSchema } from '../queue-bodies.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { ownerQuery } from '../schemas.ts'

const tags = ['Queues']
const dayMs = 86_400_000
const waitMsMax = 30_000
const receivedMax = 1000
const verdicts = ['ack', 'nack', 'reject', 'release', 'extend'] as const satisfies readonly QueueVerdict[]

const receive = createRoute({
  method: 'post',
  path: '/queues/{name}/receive',
  operationId: 'receiveFromQueue',
  tags,
  summary: 'Lease messages; whoever does not settle one in time gets it, or another gets it, again',
  ...needs({ role: 'operator', open: true, byNamespace: true }, { body: true }),
  request: {
    params: nameParam,
    query: ownerQuery,
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            max: z.number().int().min(1).max(receivedMax).default(1).describe('So many at most.'),
            waitMs: z.number().int().min(0).max(waitMsMax).default(0).describe('How long to wait for the first one.'),
            leaseMs: z.number().int().min(100).max(dayMs).default(30_000).describe('How long each stays leased.'),
          }),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(z.object({ messages: z.array(queueMessageSchema) }), 'The messages, whole; none: nothing came in time'),
    ...problems(400, 403, 404, 413, 415),
  },
})

const settlement = z.strictObject({
  delivery: z.string().min(1).max(1000),
  verdict: z
    .enum(verdicts)
    .default('ack')
    .describe(
      'ack: done. nack: failed, again after the back-off or delayMs. reject: a dead letter. release: given back, no failure. extend: the lease lasts delayMs from now.',
    ),
  delayMs: z.number().int().min(0).max(dayMs).optional(),
  reason: z.string().max(1000).optional().describe('Kept with a dead letter.'),
})

const settle = createRoute({
  method: 'post',
  path: '/queues/{name}/settle',
  operationId: 'settleInQueue',
  tags,
  summary: 'Verdicts on leased messages, answered when they are stored',
  ...needs({ role: 'operator', open: true, byNamespace: true }, { body: true }),
  request: {
    params: nameParam,
    query: ownerQuery,
    body: {
      content: { 'application/json': { schema: z.array(settlement).min(1).max(receivedMax) } },
      required: true,
    },
  },
  responses: {
    200: json(
      z.object({
        outcomes: z
          .array(z.enum(['done', 'unknown']))
          .describe('In the order of the verdicts. unknown: nothing unsettled has this delivery, or not any more.'),
      }),
      'What became of each',
    ),
    ...problems(400, 403, 404, 413, 415),
  },
})

const released = ({ delivery }: QueuedMessageView): Settlement => ({ delivery, verdict: 'release' })

export function addQueueWork(api: Api): void {
  api.openapi(receive, async (context) => {
    const queue = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { queues, wallTime } = context.get('sources')
    const { outgoing } = context.env
    const gone = new AbortController()
    let leased: readonly QueuedMessageView[] = []
    outgoing.once('close', () => {
      gone.abort()
      // Nobody has read what was leased.
      const given = outgoing.writableFinished ? [] : leased
      if (given.length > 0) void queues.settle(queue, given.map(released))
    })
    const messages = known(await queues.receive(queue, context.req.valid('json'), gone.signal), 'queue')
    leased = messages
    return context.json({ messages: messages.map((one) => queueMessageBody(one, wallTime, Infinity)) }, 200)
  })
  api.openapi(settle, async (context) => {
    const queue = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const settlements: Settlement[] = context.req.valid('json')
    const missing = settlements.findIndex(({ verdict, delayMs }) => verdict === 'extend' && delayMs === undefined)
    if (missing >= 0) {
      const errors = [{ path: `body.${missing}.delayMs`, message: 'extend needs it' }]
      throw new Problem(400, 'extend needs delayMs', { errors })
    }
    const { queues } = context.get('sources')
    const outcomes = known(await queues.settle(queue, settlements), 'queue')
    return context.json({ outcomes: [...outcomes] }, 200)
  })
}
