import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import { decode, decodeFirst, faultOf, gatheringSink, hex, opened, opening, packet, type Seen } from './packets.ts'

describe('the decoder', () => {
  it('hands over a CONNECT and then a PUBLISH', () => {
    const seen: Seen[] = []
    const decoder = new Decoder(gatheringSink(seen), { role: 'server', packetBytesMax: 1000 })
    expect(decoder.version).toBe(0)
    decoder.push(opening('server', 5))
    expect(decoder.version).toBe(5)
    decoder.push(hex("32 0d 0003 'a/b' 0007 00 'hello'"))
    expect(seen.map(({ type }) => type)).toEqual(['connect', 'publish'])
    expect(seen[1]).toMatchObject({ topic: 'a/b', qos: 1, packetId: 7, payload: '68656c6c6f' })
  })

  it('hands over packets split at every byte', () => {
    const bytes = Buffer.concat([opening('server', 4), hex("30 07 0003 'a/b' 'hi'"), hex('c0 00'), hex('40 02 00 09')])
    const whole = decodeFirst(bytes)
    expect(whole).toHaveLength(4)
    for (let at = 1; at < bytes.length; at++) {
      const seen: Seen[] = []
      const decoder = new Decoder(gatheringSink(seen), { role: 'server', packetBytesMax: 1000 })
      decoder.push(bytes.subarray(0, at))
      decoder.push(bytes.subarray(at))
      expect(seen).toEqual(whole)
      expect(decoder.bufferedBytes).toBe(0)
    }
  })

  it('keeps what follows a pause until it is resumed', () => {
    const seen: Seen[] = []
    const decoder = new Decoder(
      gatheringSink(seen, () => decoder.pause()),
      { role: 'server', packetBytesMax: 1000 },
    )
    decoder.push(Buffer.concat([opening('server', 4), hex('c0 00 c0 00 c0')]))
    decoder.push(hex('00'))
    expect(seen).toHaveLength(1)
    expect(decoder.bufferedBytes).toBe(6)
    for (const count of [2, 3, 4]) {
      decoder.resume()
      expect(seen).toHaveLength(count)
    }
    expect(decoder.bufferedBytes).toBe(0)
  })

  it('leaves an empty topic of 3.x to whoever looks the topic up [MQTT-4.7.3-1]', () => {
    expect(decode('server', 4, hex('30 02 0000'))).toMatchObject([{ type: 'publish', topic: '', payload: '' }])
  })

  it('refuses a packet id of 0 [MQTT-2.2.1-3]', () => {
    expect(faultOf(() => decode('server', 5, hex("32 07 0001 'a' 0000 00 00"))).reasonCode).toBe(0x82)
  })

  it('is dead after a fault', () => {
    const { decoder, seen } = opened('server', 4)
    expect(faultOf(() => decoder.push(packet(0xc0, hex('00')))).reasonCode).toBe(0x81)
    decoder.push(hex('c0 00'))
    expect(seen).toEqual([])
  })
})
