/** What the main figures were: for curves on a page, without anything that scrapes. */
import { createRoute, z } from '@hono/zod-openapi'
import { type Api, json, needs, problems } from '../route.ts'

const history = createRoute({
  method: 'get',
  path: '/metrics/history',
  operationId: 'showMetricsHistory',
  tags: ['Gateway'],
  summary: 'The main figures since the start: every second for ten minutes, or every minute for a day',
  ...needs({ role: 'viewer', open: true }),
  request: {
    query: z.object({
      step: z.enum(['1s', '1m']).default('1s'),
      since: z.coerce
        .number()
        .min(0)
        .default(0)
        .describe('Only what was taken later, in milliseconds since the epoch.'),
    }),
  },
  responses: {
    200: json(
      z.object({
        step: z.enum(['1s', '1m']),
        times: z.array(z.number()).describe('Milliseconds since the epoch, oldest first.'),
        series: z
          .record(z.string(), z.array(z.number()))
          .describe('A value for each time. Of counters the difference of two is what came between them.'),
      }),
      'The figures',
    ),
    ...problems(400, 403),
  },
})

export function addHistory(api: Api): void {
  api.openapi(history, (context) => {
    const { step, since } = context.req.valid('query')
    return context.json({ step, ...context.get('sources').readings.history(step, since) }, 200)
  })
}
