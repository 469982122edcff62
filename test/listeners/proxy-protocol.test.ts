/** PROXY headers as bytes, whole, split at every byte, and wrong. */
import { describe, expect, test } from 'vitest'
import { ProxyHeaderError, parseProxyHeader, proxyHeaderBytesMax } from '../../src/listeners/proxy-protocol.ts'

const line = (text: string): Buffer => Buffer.from(text, 'latin1')
const signature = '0d0a0d0a000d0a515549540a'
const field = (type: number, value: Buffer): Buffer => {
  const head = Buffer.from([type, 0, 0])
  head.writeUInt16BE(value.length, 1)
  return Buffer.concat([head, value])
}
const version2 = (command: string, family: string, body: Buffer): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(body.length)
  return Buffer.concat([Buffer.from(signature + command + family, 'hex'), length, body])
}
const ipv4 = Buffer.from('c0000207c6336401d4311f90'.replace('1f90', '075b'), 'hex')
const tls = (client: number, verify: number): Buffer =>
  field(
    0x20,
    Buffer.concat([
      Buffer.from([client, 0, 0, 0, verify]),
      field(0x21, Buffer.from('TLSv1.3')),
      field(0x22, Buffer.from('pump-7')),
    ]),
  )

describe('a PROXY header', () => {
  test.each([
    [
      'version 1, TCP4',
      line('PROXY TCP4 192.0.2.7 198.51.100.1 54321 1883\r\n'),
      { address: '192.0.2.7', port: 54_321 },
    ],
    [
      'version 1, TCP6',
      line('PROXY TCP6 2001:db8::7 2001:db8::1 54321 1883\r\n'),
      { address: '2001:db8::7', port: 54_321 },
    ],
    ['version 1, UNKNOWN', line('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'), undefined],
    ['version 2, TCP over IPv4', version2('21', '11', ipv4), { address: '192.0.2.7', port: 54_321 }],
    [
      'version 2, TCP over IPv6',
      version2('21', '21', Buffer.from(`20010db8${'0'.repeat(22)}07${'0'.repeat(32)}d431075b`, 'hex')),
      { address: '2001:db8::7', port: 54_321 },
    ],
    ['version 2, a Unix socket', version2('21', '31', Buffer.alloc(216)), undefined],
    ['version 2, LOCAL', version2('20', '00', Buffer.alloc(0)), undefined],
  ])('of %s is read, at whatever byte it is split', (_name, header, source) => {
    const bytes = Buffer.concat([header, Buffer.from('10')])
    expect(parseProxyHeader(bytes)?.source).toEqual(source)
    expect(parseProxyHeader(bytes)?.bytes).toBe(header.length)
    for (let length = 0; length < header.length; length++) {
      expect(parseProxyHeader(bytes.subarray(0, length))).toBeUndefined()
    }
  })

  test('tells who the client is by its certificate, if the proxy verified it', () => {
    const withTls = (client: number, verify: number) =>
      parseProxyHeader(version2('21', '11', Buffer.concat([ipv4, field(2, Buffer.from('host')), tls(client, verify)])))
        ?.tls
    expect(withTls(7, 0)).toEqual({ version: 'TLSv1.3', verified: true, commonName: 'pump-7' })
    expect(withTls(7, 1)).toMatchObject({ verified: false })
    expect(withTls(1, 0)).toMatchObject({ verified: false })
    expect(withTls(0, 0)).toBeUndefined()
  })

  test.each([
    ['MQTT without one', line('\x10\x0c\0\x04MQTT')],
    ['TLS without one', line('\x16\x03\x01')],
    ['a wrong family', line('PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n')],
    ['an address of the other family', line('PROXY TCP4 2001:db8::7 198.51.100.1 1 2\r\n')],
    ['a port out of range', line('PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n')],
    ['a port with a sign', line('PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n')],
    ['a word too many', line('PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n')],
    ['a line without end', line(`PROXY TCP4 ${'1'.repeat(107)}`)],
    ['version 3', version2('31', '11', ipv4)],
    ['an unknown command', version2('22', '11', ipv4)],
    ['addresses cut short', version2('21', '11', ipv4.subarray(1))],
    ['an attribute cut short', version2('21', '11', Buffer.concat([ipv4, Buffer.from([0x20, 0, 9, 1])]))],
    ['TLS attributes cut short', version2('21', '11', Buffer.concat([ipv4, field(0x20, Buffer.from([7, 0]))]))],
    ['more than it may be long', version2('21', '11', Buffer.alloc(proxyHeaderBytesMax))],
  ])('that is %s is refused', (_name, bytes) => {
    expect(() => parseProxyHeader(bytes)).toThrow(ProxyHeaderError)
  })
})
