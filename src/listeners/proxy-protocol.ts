/**
 * The PROXY protocol, versions 1 and 2: what a proxy in front of us writes first on each connection to say whom it stands for
 * (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Pure: bytes in, a header or "more" out.
 *
 * Whoever may write it may pretend to be anyone, so it is read only from addresses that the configuration trusts, and there it
 * is due: a connection that does not begin with one is refused.
 */
import { isIPv4, isIPv6 } from 'node:net'

/** What a client showed to the proxy that ended its TLS connection. */
export interface ProxiedTls {
  version: string
  /** The proxy asked for a client certificate and verified it. */
  verified: boolean
  commonName: string
}

export interface ProxyHeader {
  /** Length of the header; what follows is the client's. */
  bytes: number
  /** Absent where the proxy speaks for itself (health checks: LOCAL, UNKNOWN). */
  source?: { address: string; port: number }
  tls?: ProxiedTls
}

/** The bytes are no PROXY header. */
export class ProxyHeaderError extends Error {}

const version1Start = Buffer.from('PROXY ')
/** The longest line of version 1, with its CR LF. */
const version1BytesMax = 107
const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const fixedBytes = 16
/** A header may be 64 KiB long; addresses and what is read here of TLS fit many times into this. */
export const proxyHeaderBytesMax = 4096

/**
 * Reads the header at the buffer's start; undefined: more bytes are needed.
 *
 * @throws ProxyHeaderError as soon as no header can come of it
 */
export function parseProxyHeader(buffer: Buffer): ProxyHeader | undefined {
  if (startsLike(buffer, signature)) return buffer.length < fixedBytes ? undefined : parseVersion2(buffer)
  if (startsLike(buffer, version1Start)) return parseVersion1(buffer)
  throw new ProxyHeaderError('the connection does not begin with a PROXY header')
}

function startsLike(buffer: Buffer, start: Buffer): boolean {
  const length = Math.min(buffer.length, start.length)
  return buffer.compare(start, 0, length, 0, length) === 0
}

function parseVersion1(buffer: Buffer): ProxyHeader | undefined {
  const end = buffer.subarray(0, version1BytesMax).indexOf('\r\n')
  if (end < 0) {
    if (buffer.length < version1BytesMax) return undefined
    throw new ProxyHeaderError('a PROXY header of version 1 is longer than 107 bytes')
  }
  const [, family, source, destination, sourcePort, destinationPort, ...more] = buffer
    .toString('latin1', 0, end)
    .split(' ')
  const bytes = end + 2
  if (family === 'UNKNOWN') return { bytes }
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : () => false
  const [from, to] = [portOf(sourcePort), portOf(destinationPort)]
  const sound = isAddress(source ?? '') && isAddress(destination ?? '') && more.length === 0
  if (!sound || from === undefined || to === undefined) {
    throw new ProxyHeaderError('a PROXY header of version 1 names no two addresses and ports')
  }
  return { bytes, source: { address: source!, port: from } }
}

function portOf(text: string | undefined): number | undefined {
  return text !== undefined && /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined
}

function parseVersion2(buffer: Buffer): ProxyHeader | undefined {
  const command = buffer[12]!
  const bytes = fixedBytes + buffer.readUInt16BE(14)
  if (command >> 4 !== 2 || (command & 15) > 1)
    throw new ProxyHeaderError('a PROXY header of an unknown version or command')
  if (bytes > proxyHeaderBytesMax)
    throw new ProxyHeaderError(`a PROXY header is longer than ${proxyHeaderBytesMax} bytes`)
  if (buffer.length < bytes) return undefined
  if ((command & 15) === 0) return { bytes }
  const family = buffer[13]! >> 4
  const addressBytes = { 1: 12, 2: 36, 3: 216 }[family]
  const header: ProxyHeader = { bytes }
  if (addressBytes === undefined) return header
  if (fixedBytes + addressBytes > bytes) throw new ProxyHeaderError('a PROXY header ends within its addresses')
  if (family === 1) header.source = { address: [...buffer.subarray(16, 20)].join('.'), port: buffer.readUInt16BE(24) }
  if (family === 2) header.source = { address: textOfIPv6(buffer.subarray(16, 32)), port: buffer.readUInt16BE(48) }
  const tls = tlsOf(buffer.subarray(fixedBytes + addressBytes, bytes))
  if (tls !== undefined) header.tls = tls
  return header
}

function textOfIPv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':')
  // The URL parser writes addresses in their short form (RFC 5952).
  return new URL(`http://[${groups}]`).hostname.slice(1, -1)
}

const typeTls = 0x20
const typeTlsVersion = 0x21
const typeTlsCommonName = 0x22
const clientUsedTls = 1
const clientShowedCertificate = 2 | 4

function tlsOf(bytes: Buffer): ProxiedTls | undefined {
  const value = fieldsOf(bytes).get(typeTls)
  if (value === undefined) return undefined
  if (value.length < 5) throw new ProxyHeaderError('a PROXY header ends within its TLS attributes')
  const client = value[0]!
  if ((client & clientUsedTls) === 0) return undefined
  const attributes = fieldsOf(value.subarray(5))
  return {
    version: attributes.get(typeTlsVersion)?.toString('utf8') ?? '',
    verified: (client & clientShowedCertificate) !== 0 && value.readUInt32BE(1) === 0,
    commonName: attributes.get(typeTlsCommonName)?.toString('utf8') ?? '',
  }
}

/** Type, length, value; of a repeated type the first counts. */
function fieldsOf(bytes: Buffer): Map<number, Buffer> {
  const fields = new Map<number, Buffer>()
  for (let at = 0; at < bytes.length; ) {
    const end = at + 3 <= bytes.length ? at + 3 + bytes.readUInt16BE(at + 1) : Number.POSITIVE_INFINITY
    if (end > bytes.length) throw new ProxyHeaderError('a PROXY header ends within an attribute')
    const type = bytes[at]!
    if (!fields.has(type)) fields.set(type, bytes.subarray(at + 3, end))
    at = end
  }
  return fields
}
