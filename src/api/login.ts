/**
 * A login by cookie, as calls bring it. It stands in place of an Authorization header: for pages of the gateway itself only, and for what
 * changes something only with the login's CSRF token beside it. A cookie that says nothing is as good as none.
 *
 * Over https the cookie's name begins with `__Host-`, which browsers take from nobody but this very host over https. Over plain http, as
 * on 127.0.0.1, they would refuse such a name, so it has another one there. Browsers do not tell ports of a host apart in cookies: the
 * port is a part of the name, so that two gateways of one machine do not log each other's visitors out.
 */
import type { IncomingMessage } from 'node:http'
import { Problem } from './problem.ts'
import type { ApiSources, Caller, Login } from './sources.ts'

const cookieCharactersMax = 100
const csrfHeader = 'x-csrf-token'
const harmless: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS'])

type Asked = Pick<IncomingMessage, 'headers' | 'method' | 'socket'>

/** Undefined: there is none. @throws Problem for a call that changes something without the CSRF token */
export function loginOf(sources: ApiSources, caller: Caller, request: Asked): Login | undefined {
  if (!caller.ownPage || request.headers.authorization !== undefined) return undefined
  const { logins, auditRefusal } = sources
  const login = validLogin(sources, cookiesOf(request))
  if (login === undefined || harmless.has(request.method)) return login
  const brought = request.headers[csrfHeader]
  if (typeof brought === 'string' && logins.isSame(brought, login.csrfToken)) return login
  auditRefusal({ reason: 'csrf', address: caller.address }, 'API call refused')
  throw new Problem(
    403,
    'a call by cookie that changes something brings X-CSRF-Token, which GET /api/v1/identity tells',
  )
}

/** One whose token is gone is over. */
function validLogin({ logins, tokens }: ApiSources, cookies: readonly string[]): Login | undefined {
  for (const cookie of cookies) {
    const login = logins.find(cookie)
    if (login === undefined) continue
    if (tokens.find(login.token) !== undefined) return login
    logins.close(cookie)
  }
  return undefined
}

/** Undefined in place of a value: the cookie ends. */
export function setCookie(request: Asked, value: string | undefined): string {
  const secure = isSecure(request)
  const ending = value === undefined ? '; Max-Age=0' : ''
  return `${nameOf(request, secure)}=${value ?? ''}; Path=/; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}${ending}`
}

/** Behind a proxy that ends TLS the page knows, and says where it is from. */
function isSecure({ socket, headers }: Asked): boolean {
  return 'encrypted' in socket || headers.origin?.startsWith('https://') === true
}

function nameOf({ socket }: Asked, secure: boolean): string {
  const name = `mqtide-login-${socket.localPort}`
  return secure ? `__Host-${name}` : name
}

/** All of ours: somebody else on the host may have set one of that name, too. */
export function cookiesOf(request: Asked): string[] {
  const names = [nameOf(request, true), nameOf(request, false)]
  return (request.headers.cookie ?? '').split('; ').flatMap((one) => {
    const at = one.indexOf('=')
    const value = one.slice(at + 1)
    return names.includes(one.slice(0, at)) && value !== '' && value.length <= cookieCharactersMax ? [value] : []
  })
}
