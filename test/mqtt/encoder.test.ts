import { describe, expect, it } from 'vitest'
import { encodeAck, encodeConnect, encodeSubscribe } from '../../src/mqtt/encoder.ts'
import { noProperties, PacketType } from '../../src/mqtt/packet.ts'
import { encodePublish, publishSize } from '../../src/mqtt/publish.ts'
import { decode, hex, opening } from './packets.ts'

describe('the encoder', () => {
  it('writes the shortest CONNECT', () => {
    for (const version of [3, 4, 5] as const) {
      const bytes = encodeConnect({ version, cleanStart: true, keepAlive: 60, clientId: 'c', properties: noProperties })
      expect(Buffer.from(bytes).toString('hex')).toBe(opening('server', version).toString('hex'))
    }
  })

  it('writes acknowledgements in four bytes where the code is 0, with PUBREL flags 0010 [MQTT-3.6.1-1]', () => {
    expect(Buffer.from(encodeAck(5, PacketType.pubrel, 0x1234)).toString('hex')).toBe('62021234')
    expect(Buffer.from(encodeAck(4, PacketType.puback, 7, 0x87)).toString('hex')).toBe('40020007')
    expect(Buffer.from(encodeAck(5, PacketType.puback, 7, 0x87)).toString('hex')).toBe('4003000787')
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

  it('says where the packet id and the expiry of a PUBLISH stand', () => {
    const parts = { topic: hex("'a'"), payload: hex("'x'"), forwardProperties: hex('01 01') }
    const options = {
      qos: 1,
      retain: true,
      dup: false,
      packetId: 0x0102,
      expiryIntervalSeconds: 9,
      subscriptionIdentifiers: [300],
      topicAlias: 5,
      omitTopic: false,
    } as const
    const { bytes, packetIdAt, expiryAt } = encodePublish(5, parts, options)
    const expected = hex("33 14 0001 'a' 0102 0d 02 00000009 23 0005 0b ac02 0101 'x'")
    expect(Buffer.from(bytes).toString('hex')).toBe(expected.toString('hex'))
    expect([packetIdAt, expiryAt, publishSize(5, parts, options)]).toEqual([5, 9, expected.length])
  })
})
