/** What of a received PUBLISH goes on, and the packet that a recipient gets. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import type { PublishFrame } from '../../src/mqtt/packet.ts'
import {
  encodePublish,
  forwardProperties,
  type PublishOptions,
  publishProperties,
  publishSize,
  writeExpiryInterval,
} from '../../src/mqtt/publish.ts'
import { gatheringSink, hex, opening, type Role } from './packets.ts'

/** What `look` makes of the frame while it is valid. */
function inFrame<T>(role: Role, bytes: Buffer, look: (frame: PublishFrame) => T): T {
  const looked: T[] = []
  const sink = { ...gatheringSink([]), onPublish: (frame: PublishFrame) => void looked.push(look(frame)) }
  const decoder = new Decoder(sink, { role, version: 5, packetBytesMax: 1_000_000 })
  decoder.push(opening(role, 5))
  decoder.push(bytes)
  if (looked.length !== 1) throw new Error(`${looked.length} frames`)
  return looked[0]!
}

function forwarded(role: Role, properties: string): string {
  const bytes = hex(`30 [ "a" [ ${properties} ] 'payload' ]`)
  return inFrame(role, bytes, (frame) => Buffer.from(forwardProperties(frame)).toString('hex'))
}

const kept = ['01 01', '03 "type"', '08 "reply"', '09 0003 00ff02', '26 "b" "1"', '26 "a" "2"', '26 "b" "1"']

describe('forwarded properties', () => {
  it('are empty where there are none', () => {
    expect(forwarded('server', '')).toBe('')
    expect(forwarded('server', '02 00000001')).toBe('')
    expect(forwarded('client', '23 0001 0b 01 0b 02')).toBe('')
  })

  it('are all that belong to the message, in their order [MQTT-3.3.2-4, -15 to -18, -20]', () => {
    const all = kept.join(' ')
    expect(forwarded('server', all)).toBe(hex(all).toString('hex'))
  })

  it('lack what belongs to one hop, wherever it stands', () => {
    const hops = ['02 02000000', '23 0203', '0b 8c01', '0b 01']
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...hops.keys()]),
        fc.array(fc.nat(kept.length), { minLength: 4 }),
        (some, places) => {
          const parts = [...kept]
          for (const [index, hop] of some.entries()) parts.splice(places[index] ?? 0, 0, hops[hop]!)
          expect(forwarded('client', parts.join(' '))).toBe(hex(kept.join(' ')).toString('hex'))
        },
      ),
    )
  })

  it('are a copy: the chunk may change afterwards', () => {
    const bytes = hex('30 [ "a" [ 01 01 03 "t" ] ]')
    const copy = inFrame('server', bytes, forwardProperties)
    bytes.fill(0)
    expect(Buffer.from(copy).toString('hex')).toBe('01010300' + '0174')
  })

  it('decode to an object', () => {
    expect(publishProperties(hex(`${kept.join(' ')} 02 00000009 23 0001 0b 01 0b 8001`))).toEqual({
      payloadFormatIndicator: 1,
      contentType: 'type',
      responseTopic: 'reply',
      correlationData: Uint8Array.of(0, 255, 2),
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '1'],
      ],
      messageExpiryInterval: 9,
      topicAlias: 1,
      subscriptionIdentifiers: [1, 128],
    })
    expect(publishProperties(hex(''))).toEqual({})
  })
})

const plain: PublishOptions = {
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
  expiryIntervalSeconds: -1,
  subscriptionIdentifiers: [],
  topicAlias: 0,
  omitTopic: false,
}

describe('an outgoing PUBLISH', () => {
  const parts = { topic: hex("'a/b'"), payload: hex("'hi'"), forwardProperties: hex('01 01') }
  const text = (version: 3 | 4 | 5, options: Partial<PublishOptions>) =>
    Buffer.from(encodePublish(version, parts, { ...plain, ...options }).bytes).toString('hex')

  it('has no properties in 3.x, whatever the message has', () => {
    const options = { expiryIntervalSeconds: 9, subscriptionIdentifiers: [1] }
    expect(text(4, options)).toBe(hex("30 07 0003 'a/b' 'hi'").toString('hex'))
    expect(text(3, { ...options, qos: 2, packetId: 0xfffe, dup: true })).toBe(
      hex("3c 09 0003 'a/b' fffe 'hi'").toString('hex'),
    )
  })

  it('carries every identifier, the expiry 0 and the greatest [MQTT-3.3.4-4]', () => {
    expect(text(5, { subscriptionIdentifiers: [1, 128, 268_435_455] })).toBe(
      hex(`30 [ "a/b" [ 0b 01 0b 8001 0b ffffff7f 01 01 ] 'hi' ]`).toString('hex'),
    )
    expect(text(5, { expiryIntervalSeconds: 0 })).toBe(hex(`30 [ "a/b" [ 02 00000000 01 01 ] 'hi' ]`).toString('hex'))
    expect(text(5, { expiryIntervalSeconds: 0xffff_ffff })).toContain('02ffffffff')
  })

  it('has an empty topic where the alias stands for it (3.3.2.3.4)', () => {
    expect(text(5, { topicAlias: 0x0102, omitTopic: true })).toBe(
      hex(`30 [ "" [ 23 0102 01 01 ] 'hi' ]`).toString('hex'),
    )
  })

  it('can be given another packet id and expiry in place', () => {
    const options = { ...plain, qos: 1, packetId: 1, expiryIntervalSeconds: 1 } as const
    const { bytes, packetIdAt, expiryAt } = encodePublish(5, parts, options)
    bytes[packetIdAt] = 0xab
    bytes[packetIdAt + 1] = 0xcd
    expect(writeExpiryInterval(bytes, expiryAt, 0xfedcba98)).toBe(expiryAt + 4)
    expect(Buffer.from(bytes).toString('hex')).toBe(
      text(5, { qos: 1, packetId: 0xabcd, expiryIntervalSeconds: 0xfedcba98 }),
    )
  })

  it('says 0 where there is no packet id and no expiry', () => {
    expect(encodePublish(5, parts, plain)).toMatchObject({ packetIdAt: 0, expiryAt: 0 })
    expect(encodePublish(4, parts, { ...plain, expiryIntervalSeconds: 5 })).toMatchObject({ expiryAt: 0 })
  })

  it.each([0, 1, 118, 119, 120, 121, 122, 127, 128, 129, 16_374, 16_375, 16_376, 16_377, 16_378, 2_097_144, 2_097_145])(
    'is as long as publishSize says with a payload of %i bytes, and read back',
    (length) => {
      const payload = new Uint8Array(length).map((_, index) => index)
      const long = { ...parts, payload, forwardProperties: new Uint8Array(0) }
      for (const options of [plain, { ...plain, qos: 2, packetId: 7 } as const]) {
        const { bytes } = encodePublish(5, long, options)
        expect(bytes.length).toBe(publishSize(5, long, options))
        expect(publishSize(4, long, options)).toBe(encodePublish(4, long, options).bytes.length)
      }
      if (length > 500_000) return
      const { bytes } = encodePublish(5, long, plain)
      const read = inFrame('client', Buffer.from(bytes), (frame) =>
        Buffer.from(frame.buffer.subarray(frame.payloadStart, frame.end)),
      )
      expect(read.equals(payload)).toBe(true)
    },
  )

  it('longer than the wire can say is our fault, not a packet', () => {
    const huge = { ...parts, topic: new Uint8Array(65_536) }
    expect(() => encodePublish(4, huge, plain)).toThrow(RangeError)
    expect(() => publishSize(4, huge, plain)).toThrow(RangeError)
    expect(publishSize(4, { ...parts, topic: new Uint8Array(65_535) }, plain)).toBe(65_535 + 2 + 2 + 1 + 3)
  })
})
