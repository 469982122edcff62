/** The configuration in force: what every option is, and where it comes from. Nothing that is a secret. */
import { createRoute, z } from '@hono/zod-openapi'
import { type Api, json, needs, problems } from '../route.ts'
import { optionSchema } from '../schemas.ts'

const show = createRoute({
  method: 'get',
  path: '/configuration',
  operationId: 'showConfiguration',
  tags: ['Gateway'],
  summary: 'Every option in force with where its value comes from; secrets are hidden',
  ...needs({ role: 'viewer', open: true }),
  responses: { 200: json(z.object({ items: z.array(optionSchema) }), 'All of them'), ...problems(403) },
})

export function addConfiguration(api: Api): void {
  api.openapi(show, (context) => context.json({ items: context.get('sources').readings.configuration() }, 200))
}
