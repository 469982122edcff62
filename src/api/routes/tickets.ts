/** Tickets for pages: what stands in the URL of a stream or of a WebSocket, which can bring no header. */
import { createRoute, z } from '@hono/zod-openapi'
import { unauthorized } from '../access.ts'
import { Problem } from '../problem.ts'
import { type Api, json, problems } from '../route.ts'
import { noteRefusedTicket, visitorOf } from '../visitor.ts'
import { statusOf } from './stream.ts'

const ticketSchema = z
  .object({
    ticket: z.string().describe('For the parameter `ticket` of /api/v1/stream or of /ws, once.'),
    expiresInSeconds: z.number().describe('Until then it has to be used.'),
  })
  .openapi('Ticket')

const issue = createRoute({
  method: 'post',
  path: '/tickets',
  operationId: 'issueTicket',
  tags: ['Messages'],
  summary: 'A ticket that stands for the Authorization header of this call in a URL, once and soon',
  security: [{ token: [] as string[] }, {}],
  'x-role': 'viewer',
  responses: {
    201: json(ticketSchema, 'The ticket, which nobody else is told'),
    ...problems(403, 404, 503),
  },
})

export function addTickets(api: Api): void {
  api.openapi(issue, async (context) => {
    const { sources, caller } = context.var
    const visitor = visitorOf(context, undefined)
    if (visitor.kind === 'client') {
      const { kind: _, ...credentials } = visitor
      const reasonCode = await caller.identify(credentials)
      const status = reasonCode === 0 ? undefined : statusOf(reasonCode)
      if (status === 401) throw unauthorized('nobody has these credentials')
      if (status !== undefined) throw new Problem(status, 'these credentials give no right to connect')
    }
    const ticket = sources.tickets.issue(context.get('authorization'), caller.listener)
    if (ticket === null) {
      noteRefusedTicket(sources, caller.address, 'no_room')
      throw new Problem(503, 'there are too many tickets that nobody has used', { headers: { 'retry-after': '5' } })
    }
    return context.json({ ticket, expiresInSeconds: sources.tickets.lifeMs / 1000 }, 201)
  })
}
