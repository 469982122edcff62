/** The middleware of calls that need a role. */
import { createMiddleware } from 'hono/factory'
import { type Need, refusalOf, unauthorized } from './access.ts'
import type { ApiEnvironment } from './environment.ts'
import { Problem } from './problem.ts'

/** Lets a call through whose bearer has at least this role. */
export function requireRole({ role, open = false, byNamespace = false }: Need) {
  return createMiddleware<ApiEnvironment>(async (context, next) => {
    const bearer = context.get('bearer')
    if (bearer === null && !open) throw unauthorized('this call needs a token, always: Authorization: Bearer TOKEN')
    const refusal = bearer === null ? undefined : refusalOf(bearer, { role, byNamespace })
    if (refusal !== undefined) {
      const { address } = context.get('caller')
      context
        .get('sources')
        .auditRefusal(
          { reason: refusal.reason, token: bearer!.name, address, path: context.req.path },
          'API call refused',
        )
      throw new Problem(403, refusal.text)
    }
    await next()
  })
}
