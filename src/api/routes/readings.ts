/** What the gateway says of itself: listeners, limits and their use, metrics. */
import { createRoute, z } from '@hono/zod-openapi'
import { type Api, json, needs, problems } from '../route.ts'
import { budgetSchema, listenerSchema } from '../schemas.ts'

const tags = ['Gateway']
const reading = needs({ role: 'viewer', open: true })

const listeners = createRoute({
  method: 'get',
  path: '/listeners',
  operationId: 'listListeners',
  tags,
  summary: 'Listeners: where they are bound and how many use them',
  ...reading,
  responses: { 200: json(z.object({ items: z.array(listenerSchema) }), 'All of them'), ...problems(403) },
})

const limits = createRoute({
  method: 'get',
  path: '/limits',
  operationId: 'showLimits',
  tags,
  summary: 'Limits: those over all clients with their use, and the others as configured',
  ...reading,
  responses: {
    200: json(
      z.object({ budgets: z.record(z.string(), budgetSchema), limits: z.record(z.string(), z.number()) }),
      'The limits',
    ),
    ...problems(403),
  },
})

const metrics = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'showMetrics',
  tags,
  summary: 'Every counter and gauge by its name in /metrics',
  ...reading,
  responses: {
    200: json(z.object({ time: z.iso.datetime(), metrics: z.record(z.string(), z.number()) }), 'Their values now'),
    ...problems(403),
  },
})

export function addReadings(api: Api): void {
  api.openapi(listeners, (context) => context.json({ items: context.get('sources').readings.listeners() }, 200))
  api.openapi(limits, (context) => {
    const { readings } = context.get('sources')
    const budgets = Object.entries(readings.budgets()).map(([kind, { used, max, refused }]) => [
      kind,
      { used, max: Number.isFinite(max) ? max : null, refused },
    ])
    return context.json({ budgets: Object.fromEntries(budgets), limits: readings.limits() }, 200)
  })
  api.openapi(metrics, (context) => {
    const time = new Date(Date.now()).toISOString()
    return context.json({ time, metrics: context.get('sources').readings.metrics() }, 200)
  })
}
