/** Who a caller is to the gateway, and what it may do: for pages that show only what can be done. */
import { createRoute } from '@hono/zod-openapi'
import { type Api, json, needs, problems } from '../route.ts'
import { type Identity, identitySchema } from '../schemas.ts'
import type { ApiSources, Bearer, Role } from '../sources.ts'

const show = createRoute({
  method: 'get',
  path: '/identity',
  operationId: 'showIdentity',
  tags: ['Gateway'],
  summary: 'Whose token this is, and what it allows',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  responses: { 200: json(identitySchema, 'Who asks'), ...problems() },
})

const rightsOfRole: Record<Role, Identity['may']> = {
  viewer: ['read'],
  operator: ['read', 'publish', 'operate'],
  admin: ['read', 'publish', 'operate', 'configure'],
}

export function addIdentity(api: Api): void {
  api.openapi(show, (context) => {
    const { sources, bearer, login } = context.var
    return context.json({ ...identityOf(sources, bearer), csrfToken: login?.csrfToken ?? null }, 200)
  })
}

export function identityOf(sources: ApiSources, bearer: Bearer | null): Omit<Identity, 'csrfToken'> {
  return {
    token: bearer?.name ?? null,
    role: bearer?.role ?? null,
    namespace: bearer?.namespace ?? null,
    may: rightsOf(bearer),
    authentication: sources.authenticated(),
    version: sources.readings.version,
  }
}

/** Null: a program of this machine, while nobody is asked who he is. */
function rightsOf(bearer: Bearer | null): Identity['may'] {
  return bearer === null ? ['read', 'publish'] : [...rightsOfRole[bearer.role]]
}
