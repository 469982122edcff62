/** Logging a browser in and out: a token of the API once, and a cookie from then on. */
import { createRoute } from '@hono/zod-openapi'
import { cookiesOf, setCookie } from '../login.ts'
import { Problem } from '../problem.ts'
import { type Api, json, problems } from '../route.ts'
import { identitySchema } from '../schemas.ts'
import { identityOf } from './identity.ts'

const login = createRoute({
  method: 'post',
  path: '/login',
  operationId: 'logIn',
  tags: ['Gateway'],
  summary: 'A cookie for the token that this call brings, for pages of the gateway itself',
  security: [{ token: [] as string[] }],
  'x-role': 'viewer',
  responses: { 200: json(identitySchema, 'Who has logged in'), ...problems(403) },
})

const logout = createRoute({
  method: 'delete',
  path: '/login',
  operationId: 'logOut',
  tags: ['Gateway'],
  summary: 'Ends the login of the cookie that this call brings',
  security: [{}],
  'x-role': 'viewer',
  responses: { 204: { description: 'There is none any more' }, ...problems(403) },
})

export function addLogin(api: Api): void {
  api.openapi(login, (context) => {
    const { sources, bearer } = context.var
    const { incoming, caller } = context.env
    const token = /^Bearer +(\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1]
    if (bearer === null || token === undefined) {
      throw new Problem(401, 'to log in takes a token: Authorization: Bearer TOKEN')
    }
    if (!caller.ownPage) throw new Problem(403, 'pages of elsewhere ask for tickets: they are sent no cookie')
    const { cookie, csrfToken } = sources.logins.open(token)
    sources.audit({ token: bearer.name, address: caller.address }, 'logged in')
    context.header('set-cookie', setCookie(incoming, cookie))
    return context.json({ ...identityOf(sources, bearer), csrfToken }, 200)
  })
  api.openapi(logout, (context) => {
    const { sources, bearer } = context.var
    const { incoming, caller } = context.env
    for (const cookie of cookiesOf(incoming)) sources.logins.close(cookie)
    if (bearer !== null) sources.audit({ token: bearer.name, address: caller.address }, 'logged out')
    context.header('set-cookie', setCookie(incoming, undefined))
    return context.body(null, 204)
  })
}
