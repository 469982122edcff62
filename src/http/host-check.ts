/**
 * Whether a browser was led here by somebody else: the names by which this gateway may be asked for (`Host`) and the pages that
 * may ask (`Origin`).
 *
 * A browser lets any page talk to any address that its user can reach, and a page's owner can let the page's own name point at
 * that address (DNS rebinding), after which the browser takes both for one origin. Such a name is in `Host`, so that names
 * which nobody told us are refused; an address in its place can't be made to point anywhere. Programs that are no browsers
 * send no Origin.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP } from 'node:net'

export interface HostCheckOptions {
  /** Where the listener is bound. */
  boundHost: string
  /** Names by which this gateway is known besides that; `*`: any. */
  allowedHosts: readonly string[]
  /** Origins of pages that may come besides our own and those of this machine; `*`: all. */
  allowedOrigins: readonly string[]
}

export interface HostRefusal {
  status: 403 | 421
  text: string
}

/** Why a request with these headers is refused; undefined: it isn't. */
export type HostCheck = (headers: IncomingHttpHeaders) => HostRefusal | undefined

export function createHostCheck({ boundHost, allowedHosts, allowedOrigins }: HostCheckOptions): HostCheck {
  const anyHost = allowedHosts.includes('*')
  const anyOrigin = allowedOrigins.includes('*')
  const names = new Set([boundHost, ...allowedHosts].map(plainName))
  const isKnown = (name: string) => isLoopbackName(name) || isIP(name) !== 0 || names.has(name)
  const mayAsk = (origin: string, host: string | undefined): boolean => {
    if (anyOrigin || allowedOrigins.includes(origin)) return true
    if (!/^https?:/.test(origin) || !URL.canParse(origin)) return false
    const page = new URL(origin)
    const name = plainName(page.hostname)
    return (
      isLoopbackName(name) || isLoopbackAddress(name) || (isIP(name) === 0 && names.has(name)) || isSame(page, host)
    )
  }
  return ({ host, origin }) => {
    if (host !== undefined && !anyHost && !isKnown(nameIn(host))) {
      return { status: 421, text: `this gateway is not known as ${cut(nameIn(host))}; list the name in allowedHosts` }
    }
    if (origin === undefined || mayAsk(origin, host)) return undefined
    return { status: 403, text: `pages of ${cut(origin)} may not connect here; list it in allowedOrigins` }
  }
}

/** What proxies add. */
const forwardingHeaders = [
  'forwarded',
  'via',
  'x-real-ip',
  'client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'fly-client-ip',
]
/** For, -Host, -Proto, -Port, -Server, -Prefix and what else there is. */
const forwardingPrefix = /^x-(original-)?forwarded(-|$)/

/**
 * Whether a program of this machine asks for itself: by loopback, by a name of loopback, through no proxy that says what it is,
 * and no browser on behalf of a page that did not come from here. `clientAddress`: whom a trusted proxy names, else the socket's.
 */
export function comesFromThisMachine(
  {
    headers,
    socket,
  }: { headers: IncomingHttpHeaders; socket: { remoteAddress?: string | undefined; encrypted?: boolean } },
  clientAddress: string,
): boolean {
  const { host, origin } = headers
  for (const address of [socket.remoteAddress ?? '', clientAddress]) {
    if (!isLoopbackAddress(address.replace(/^::ffff:/, ''))) return false
  }
  if (host === undefined || !(isLoopbackName(nameIn(host)) || isLoopbackAddress(nameIn(host)))) return false
  if (forwardingHeaders.some((name) => headers[name] !== undefined)) return false
  if (Object.keys(headers).some((name) => forwardingPrefix.test(name))) return false
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  return origin === undefined || origin === `${socket.encrypted === true ? 'https' : 'http'}://${host}`
}

/** Whether it is a page of ours that asks, or no page at all. Behind a proxy that ends TLS, the page is from https. */
export function isOwnPage({
  headers: { host, origin, 'sec-fetch-site': site },
}: Pick<IncomingMessage, 'headers'>): boolean {
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false
  return origin === undefined || (URL.canParse(origin) && isSame(new URL(origin), host))
}

/** The name or address in a Host header, without port and brackets. */
function nameIn(host: string): string {
  return plainName(host.replace(/:\d*$/, ''))
}

function plainName(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
}

/** Browsers resolve these to this machine without asking anybody. */
function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost')
}

function isLoopbackAddress(name: string): boolean {
  return name === '::1' || /^127(\.\d{1,3}){3}$/.test(name)
}

/** Whether the page came from where it now asks. */
function isSame(page: URL, host: string | undefined): boolean {
  const asked = `${page.protocol}//${host}`
  return host !== undefined && URL.canParse(asked) && new URL(asked).host === page.host
}

function cut(text: string): string {
  return text.slice(0, 200)
}
