/**
 * Who the client at an accepted socket is: the other end of the socket, or whom a proxy that is trusted stands for. A proxy says so
 * in a PROXY header before anything else (`proxy-header.ts`), or in a header of HTTP, which is read here.
 *
 * Any client may send such a header of HTTP, and proxies add to what they got: it is read from its end, and only as far as those who
 * wrote it are trusted. Which header a proxy writes is configured, since it passes on the other one as the client sent it.
 */
import type { IncomingMessage } from 'node:http'
import { type BlockList, isIP, isIPv6, type Socket } from 'node:net'

export interface ClientAddress {
  readonly address: string
  readonly port: number
  /** CN of the client certificate that a proxy verified. */
  readonly commonName?: string | undefined
}

/** The proxies that are believed, and the header of HTTP in which they name the client. */
export interface TrustedProxies {
  addresses: Pick<BlockList, 'check'>
  header: 'x-forwarded-for' | 'forwarded'
}

const namedByProxies = new WeakMap<Socket, ClientAddress>()

export function nameClient(socket: Socket, client: ClientAddress): void {
  namedByProxies.set(socket, client)
}

export function clientAt(socket: Socket): ClientAddress {
  return namedByProxies.get(socket) ?? { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
}

/** "address:port", as the log and rules know it. */
export function clientText({ address, port }: ClientAddress): string {
  return `${address}:${port}`
}

export function isTrusted({ addresses }: TrustedProxies, address: string): boolean {
  return isIP(address) !== 0 && addresses.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

/** Without proxies that are trusted, headers say nothing. */
export function clientOfRequest(request: IncomingMessage, proxies: TrustedProxies | undefined): ClientAddress {
  let client = clientAt(request.socket)
  if (proxies === undefined) return client
  const value = request.headers[proxies.header]
  let rest = Array.isArray(value) ? value.join(',') : (value ?? '')
  const lastHop = proxies.header === 'forwarded' ? lastForwarded : lastListed
  while (isTrusted(proxies, client.address)) {
    const last = lastHop(rest)
    const hop = addressOf(last.hop)
    if (hop === undefined) return client
    client = hop
    rest = last.rest
  }
  return client
}

interface LastHop {
  hop: string
  /** What stands before it. */
  rest: string
}

function lastListed(text: string): LastHop {
  const comma = text.lastIndexOf(',')
  return { hop: text.slice(comma + 1), rest: text.slice(0, Math.max(0, comma)) }
}

const forwardedPair = /[\w!#$%&'*+.^`|~-]+=(?:[^\s",;=]+|"(?:[^"\\]|\\.)*")/.source
const forwardedElement = new RegExp(`^${forwardedPair}(?: *; *${forwardedPair})*$`)
/** What proxies write is far shorter. */
const forwardedCharactersMax = 1024

/**
 * The `for` of the last element (RFC 7239); one without hides its client. The last is the shortest end of the text behind a comma that
 * is an element: whoever began a quoted text before it, and did not end it, must not swallow what the proxy added.
 */
function lastForwarded(text: string): LastHop {
  const earliest = text.length - forwardedCharactersMax
  for (let comma = text.lastIndexOf(','); ; comma = text.lastIndexOf(',', comma - 1)) {
    const element = text.slice(comma + 1).trim()
    const rest = text.slice(0, Math.max(0, comma))
    if (forwardedElement.test(element)) return { hop: forIn(element), rest }
    if (comma <= 0 || comma < earliest) return { hop: '', rest }
  }
}

function forIn(element: string): string {
  const [, quoted, token] = /(?:^|; *)for=(?:"((?:[^"\\]|\\.)*)"|([^";]*))/i.exec(element) ?? []
  return quoted ?? token ?? ''
}

/** An address, with or without a port; undefined for anything else, such as `unknown`. */
function addressOf(hop = ''): ClientAddress | undefined {
  const text = hop.trim()
  const [, bracketed, dotted, port = '0'] = /^(?:\[([^\]]*)\]|(\d[\d.]*))(?::(\d{1,5}))?$/.exec(text) ?? []
  const address = bracketed ?? dotted ?? text
  return isIP(address) === 0 ? undefined : { address: plainAddress(address), port: Number(port) }
}

/** In one writing, IPv4 in IPv6's clothes undressed: limits and rules tell addresses apart by their text. */
export function plainAddress(address: string): string {
  if (!isIPv6(address) || address.includes('%')) return address
  // The URL parser writes addresses in their short form (RFC 5952).
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(short) ?? []
  if (high === undefined) return short
  return [high, low!].flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]).join('.')
}
