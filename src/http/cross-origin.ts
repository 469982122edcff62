/**
 * Pages of other origins at the API (CORS, the Fetch standard, section 3.3). Which may ask is `host-check.ts`'s to say; these are the
 * headers by which a browser lets such a page have its answers. Cookies are for pages of our own: a page of elsewhere brings a token, or a
 * ticket.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { isOwnPage } from './host-check.ts'

type Asked = Pick<IncomingMessage, 'headers' | 'method'>

const methods = 'GET, HEAD, POST, PUT, DELETE'
const requestHeaders = 'Authorization, Content-Type, Last-Event-ID'
const answerHeaders = 'Retry-After, WWW-Authenticate'
/** Seconds for which a browser does not ask again. */
const preflightAge = '600'

/** For an answer to a page that may ask. */
export function crossOriginHeaders(request: Asked): OutgoingHttpHeaders {
  const { origin } = request.headers
  if (origin === undefined || isOwnPage(request)) return {}
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': answerHeaders,
    'cross-origin-resource-policy': 'cross-origin',
    vary: 'Origin',
  }
}

/** A browser asks whether its page may ask. */
export function isPreflight({ method, headers }: Asked): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

export function preflightHeaders(request: Asked): OutgoingHttpHeaders {
  const isPrivate = request.headers['access-control-request-private-network'] === 'true'
  return {
    ...crossOriginHeaders(request),
    'access-control-allow-methods': methods,
    'access-control-allow-headers': requestHeaders,
    'access-control-max-age': preflightAge,
    // To an address of one's own network from a page of the internet, for browsers that tell them apart.
    ...(isPrivate && { 'access-control-allow-private-network': 'true' }),
  }
}
