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
  const text = Array.isArray(value) ? value.join(',') : (value ?? '')
  const hops = proxies.header === 'forwarded' ? forwardedHops(text) : text.split(',')
  while (isTrusted(proxies, client.address)) {
    const hop = addressOf(hops.pop())
    if (hop === undefined) return client
    client = hop
  }
  return client
}

/** The `for` of each element (RFC 7239); an element without one hides its client. */
function forwardedHops(text: string): string[] {
  const elements = text.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []
  return elements.map((element) => {
    const [, quoted, token] = /(?:^|;)\s*for="?(?:(?<=")((?:[^"\\]|\\.)*)"|([^\s;"]*))/i.exec(element) ?? []
    return quoted ?? token ?? ''
  })
}

/** An address, with or without a port; undefined for anything else, such as `unknown`. */
function addressOf(hop = ''): ClientAddress | undefined {
  const text = hop.trim()
  const [, bracketed, dotted, port = '0'] = /^(?:\[([^\]]*)\]|(\d[\d.]*))(?::(\d{1,5}))?$/.exec(text) ?? []
  const address = bracketed ?? dotted ?? text
  return isIP(address) === 0 ? undefined : { address, port: Number(port) }
}
