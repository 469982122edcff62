import { describe, expect, it } from 'vitest'
import {
  encodeAck,
  encodeAuth,
  encodeConnack,
  encodeConnect,
  encodeDisconnect,
  encodeProperties,
  encodeSuback,
  encodeSubscribe,
  encodeUnsuback,
} from '../../src/mqtt/encoder.ts'
import { noProperties, PacketType } from '../../src/mqtt/packet.ts'
import { decode, hex, opening } from './packets.ts'

describe('the encoder', () => {
  it('writes the shortest CONNECT', () => {
    for (const version of [3, 4, 5] as const) {
      const bytes = encodeConnect({ version, cleanStart: true, keepAlive: 60, clientId: 'c', properties: noProperties })
      expect(text(bytes)).toBe(opening('server', version).toString('hex'))
    }
  })

  it('writes acknowledgements in four bytes where the code is 0, with PUBREL flags 0010 [MQTT-3.6.1-1]', () => {
    expect(text(encodeAck(5, PacketType.pubrel, 0x1234))).toBe('62021234')
    expect(text(encodeAck(4, PacketType.puback, 7, 0x87))).toBe('40020007')
    expect(text(encodeAck(5, PacketType.puback, 7, 0x87))).toBe('4003000787')
  })

  it('writes a SUBSCRIBE that decodes to the same', () => {
    const subscribe = {
      packetId: 10,
      subscriptions: [
        { topicFilter: 'a/+', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
      ] as const,
      properties: { subscriptionIdentifiers: [268_435_455], userProperties: [['k', 'v']] as const },
    }
    expect(decode('server', 5, encodeSubscribe(5, subscribe))).toEqual([{ type: 'subscribe', packet: subscribe }])
  })

  it('writes nothing but an id for 3.x where 5.0 has codes and properties', () => {
    const properties = { reasonString: 'why' }
    expect(text(encodeUnsuback(4, { packetId: 1, reasonCodes: [0x11], properties }))).toBe('b0020001')
    expect(text(encodeSuback(4, { packetId: 1, reasonCodes: [2, 0x80], properties }))).toBe('900400010280')
    expect(text(encodeConnack(3, { sessionPresent: true, reasonCode: 0, properties }))).toBe('20020000')
    expect(text(encodeConnack(4, { sessionPresent: true, reasonCode: 0, properties }))).toBe('20020100')
    expect(text(encodeDisconnect(4, 0x8b, properties))).toBe('e000')
    expect(text(encodeAck(4, PacketType.pubrec, 0xffff, 0x80, properties))).toBe('5002ffff')
  })

  it('leaves out code and properties where both say nothing (3.4.2.1, 3.14.2.1, 3.15.2.1)', () => {
    expect(text(encodeAck(5, PacketType.pubcomp, 1, 0, {}))).toBe('70020001')
    expect(text(encodeDisconnect(5))).toBe('e000')
    expect(text(encodeDisconnect(5, 0x8b))).toBe('e0028b00')
    expect(text(encodeAuth(0, {}))).toBe('f000')
  })

  it('writes packets of more than 16,383 and properties of more than 127 bytes', () => {
    const reasonString = 'x'.repeat(20_000)
    const bytes = encodeAck(5, PacketType.puback, 1, 0, { reasonString })
    expect(text(bytes)).toBe(hex(`40 [ 0001 00 [ 1f "${reasonString}" ] ]`).toString('hex'))
  })

  it.each<[string, () => unknown]>([
    ['a property where it has no place', () => encodeDisconnect(5, 0, { topicAlias: 1 })],
    ['a flag of 2', () => encodeProperties(PacketType.connack, { retainAvailable: 2 })],
    ['Receive Maximum 0', () => encodeProperties(PacketType.connack, { receiveMaximum: 0 })],
    ['a number over its field', () => encodeProperties(PacketType.connack, { serverKeepAlive: 65_536 })],
    ['a fraction', () => encodeProperties(PacketType.connack, { sessionExpiryInterval: 1.5 })],
    ['a negative number', () => encodeProperties(PacketType.connack, { sessionExpiryInterval: -1 })],
    ['a number over four bytes', () => encodeProperties(PacketType.connack, { sessionExpiryInterval: 2 ** 32 })],
    [
      'an identifier over 268,435,455',
      () => encodeProperties(PacketType.subscribe, { subscriptionIdentifiers: [268_435_456] }),
    ],
    ['a string of 65,536 bytes', () => encodeAuth(0x18, { authenticationMethod: 'x'.repeat(65_536) })],
    ['binary data of 65,536 bytes', () => encodeAuth(0x18, { authenticationData: new Uint8Array(65_536) })],
    ['U+0000 in a string', () => encodeDisconnect(5, 0x80, { reasonString: '\0' })],
    ['a lone surrogate', () => encodeDisconnect(5, 0x80, { reasonString: '\ud800' })],
    ['a packet id over 65,535', () => encodeSuback(4, { packetId: 65_536, reasonCodes: [0], properties: {} })],
  ])('refuses %s, which is a fault of ours', (_, encode) => {
    expect(encode).toThrow(RangeError)
  })
})

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
