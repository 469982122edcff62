/** Lengths, limits and what is held back: the decoder between chunks. */
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import type { ConnectPacket, PacketSink, PublishFrame, SubscribePacket } from '../../src/mqtt/packet.ts'
import { decodeFirst, faultOf, gatheringSink, hex, only, opened, opening, packet, type Seen } from './packets.ts'

/** A PUBLISH to "t" at QoS 0, of 3.1.1, with this Remaining Length. */
function publishOf(remaining: number): Buffer {
  const body = Buffer.alloc(remaining, 0x78)
  body.set(hex('"t"'))
  return packet(0x30, body)
}

/** Sizes as a sink sees them, so that payloads of 256 MiB need no hex. */
function sizingDecoder(packetBytesMax: number): { decoder: Decoder; sizes: number[] } {
  const sizes: number[] = []
  const sink: PacketSink = {
    ...gatheringSink([]),
    onPublish: ({ start, end, payloadStart, buffer }: PublishFrame) => {
      expect(buffer[end - 1]).toBe(buffer[payloadStart])
      sizes.push(end - start)
    },
  }
  const decoder = new Decoder(sink, { role: 'server', packetBytesMax })
  decoder.push(opening('server', 4))
  return { decoder, sizes }
}

describe('the Remaining Length (2.1.4)', () => {
  it.each([
    [127, 1],
    [128, 2],
    [16_383, 2],
    [16_384, 3],
    [2_097_151, 3],
    [2_097_152, 4],
  ])('of %i bytes is read from %i', (remaining, lengthBytes) => {
    const bytes = publishOf(remaining)
    expect(bytes.length).toBe(1 + lengthBytes + remaining)
    for (const cut of [bytes.length, 1, 1 + lengthBytes, 2 + lengthBytes, bytes.length - 1]) {
      const { decoder, sizes } = sizingDecoder(4_000_000)
      decoder.push(bytes.subarray(0, cut))
      decoder.push(bytes.subarray(cut))
      expect(sizes).toEqual([bytes.length])
      expect(decoder.bufferedBytes).toBe(0)
    }
  })

  it('of 268,435,455 bytes, the greatest, is read', () => {
    const bytes = publishOf(268_435_455)
    const { decoder, sizes } = sizingDecoder(bytes.length)
    decoder.push(bytes)
    expect(sizes).toEqual([268_435_460])
  })
})

describe('a packet over packetBytesMax', () => {
  const refused = (first: string, bytes: string) => {
    const { decoder } = opened('server', 5, { packetBytesMax: 1000 })
    decoder.push(hex(first))
    expect(faultOf(() => decoder.push(hex(bytes))).reasonCode).toBe(0x95)
    expect(decoder.bufferedBytes).toBe(0)
  }

  it('is refused at its fixed header, before any of its body is there (3.2.2.3.6)', () => {
    refused('', '30 e607')
    refused('30', 'e607')
    refused('30 e6', '07')
    refused('', '30 ffffff7f')
  })

  it('is counted with its fixed header: a packet of exactly the limit passes', () => {
    const { decoder, sizes } = sizingDecoder(1000)
    decoder.push(publishOf(997))
    expect(sizes).toEqual([1000])
    const fault = faultOf(() => decoder.push(publishOf(998)))
    expect(fault.reasonCode).toBe(0x95)
    expect(fault.message).toContain('PUBLISH declares 1001 bytes, 1000 are accepted')
  })

  it('is judged by the limit of the moment', () => {
    const { decoder, sizes } = sizingDecoder(1000)
    decoder.packetBytesMax = 2000
    decoder.push(publishOf(1500))
    decoder.packetBytesMax = 100
    expect(faultOf(() => decoder.push(publishOf(99))).reasonCode).toBe(0x95)
    expect(sizes).toEqual([1503])
  })

  it('is refused to a client alike', () => {
    const { decoder } = opened('client', 5, { packetBytesMax: 100 })
    expect(faultOf(() => decoder.push(hex('30 7f'))).reasonCode).toBe(0x95)
  })
})

describe('CONNECT, which anyone may send', () => {
  const decoderOf = (limits: { packetBytesMax: number; connectPacketBytesMax?: number }) =>
    new Decoder(gatheringSink([]), { role: 'server', ...limits })

  it('has a limit of its own of 400,000 bytes', () => {
    const decoder = decoderOf({ packetBytesMax: 16_777_216 })
    decoder.push(hex('10 fcb418'))
    expect(decoder.bufferedBytes).toBe(4)
    const fault = faultOf(() => decoderOf({ packetBytesMax: 16_777_216 }).push(hex('10 fdb418')))
    expect(fault.reasonCode).toBe(0x95)
    expect(fault.message).toContain('CONNECT declares 400001 bytes, 400000 are accepted')
  })

  it('has the one that is configured, or packetBytesMax where that is smaller', () => {
    const small = decoderOf({ packetBytesMax: 1000, connectPacketBytesMax: 100 })
    expect(faultOf(() => small.push(hex('10 63'))).message).toContain('100 are accepted')
    const all = decoderOf({ packetBytesMax: 50 })
    expect(faultOf(() => all.push(hex('10 31'))).message).toContain('50 are accepted')
  })

  it('carries strings of 65,535 bytes in every field', () => {
    const long = 'x'.repeat(65_535)
    const bytes = hex(`10 [ "MQTT" 04 c6 003c "${long}" "${long}" "${long}" "${long}" "${long}" ]`)
    const connect = only<ConnectPacket>(decodeFirst(bytes))
    expect(connect.clientId).toBe(long)
    expect(connect.will?.topic).toBe(long)
    expect(connect.will?.payload).toHaveLength(65_535)
    expect(connect.username).toBe(long)
    expect(connect.password).toHaveLength(65_535)
  })
})

describe('thousands of filters', () => {
  it('fit one SUBSCRIBE', () => {
    const filters = Array.from({ length: 5000 }, (_, index) => `filter/${index}/+`)
    const bytes = hex(`82 [ 0001 ${filters.map((filter) => `"${filter}" 01`).join(' ')} ]`)
    const { decoder, seen } = opened('server', 4)
    for (let at = 0; at < bytes.length; at += 1460) decoder.push(bytes.subarray(at, at + 1460))
    const { subscriptions } = only<SubscribePacket>(seen)
    expect(subscriptions.map(({ topicFilter }) => topicFilter)).toEqual(filters)
  })
})

describe('what is held back', () => {
  it('of a declared 16 MiB costs what has arrived, not what was declared', () => {
    const before = process.memoryUsage().arrayBuffers
    const halves = Array.from({ length: 50 }, () => {
      const { decoder } = opened('server', 4)
      decoder.push(hex('30 80808008 0001 74'))
      decoder.push(Buffer.alloc(1000))
      expect(decoder.bufferedBytes).toBe(1008)
      return decoder
    })
    const grown = process.memoryUsage().arrayBuffers - before
    // Four times what has arrived at most, for each of the fifty; they'd be 800 MiB as declared.
    expect(grown).toBeLessThan(1_000_000)
    for (const decoder of halves) decoder.close()
  })

  it('beyond 64 KiB lies in memory that is lent, and goes back after its packet was handed over', () => {
    const lent = new Set<Uint8Array>()
    const spare: Uint8Array[] = []
    const memory = {
      take(bytes: number): Uint8Array {
        const taken = spare.pop() ?? new Uint8Array(bytes + 1000).fill(0xee)
        lent.add(taken)
        return taken
      },
      giveBack(given: Uint8Array): void {
        expect(lent.delete(given)).toBe(true)
        spare.push(given)
      },
    }
    const seen: [size: number, lent: number][] = []
    const sink: PacketSink = {
      ...gatheringSink([]),
      onPublish: ({ start, end, payloadStart, buffer }: PublishFrame) => {
        expect(buffer.subarray(payloadStart, end).every((byte) => byte === 0x78)).toBe(true)
        seen.push([end - start, lent.size])
      },
    }
    const decoder = new Decoder(sink, { role: 'server', packetBytesMax: 1_000_000, memory })
    decoder.push(opening('server', 4))
    const bytes = Buffer.concat([publishOf(300_000), publishOf(70_000), publishOf(60_000)])
    for (let at = 0; at < bytes.length; at += 9_999) decoder.push(bytes.subarray(at, at + 9_999))
    expect(seen.map(([size]) => size)).toEqual([300_004, 70_004, 60_004])
    expect(seen.map(([, lent]) => lent)).toEqual([1, 1, 0])
    expect(lent.size).toBe(0)
    decoder.push(publishOf(300_000).subarray(0, 200_000))
    expect(lent.size).toBe(1)
    decoder.close()
    expect(lent.size).toBe(0)
  })

  it('is copied: the chunk may be written over once push returns', () => {
    const { decoder, seen } = opened('server', 4)
    const chunk = hex(`c0 00 30 05 "a" 'hi'`)
    decoder.push(chunk.subarray(0, 6))
    chunk.fill(0xff, 0, 6)
    decoder.push(chunk.subarray(6))
    expect(seen[1]).toMatchObject({ topic: 'a', payload: '6869' })
  })

  it('is copied when paused too', () => {
    const { decoder, seen } = opened('server', 4)
    decoder.pause()
    const chunk = hex(`30 05 "a" 'hi'`)
    decoder.push(chunk)
    chunk.fill(0)
    expect(seen).toEqual([])
    decoder.resume()
    expect(seen[0]).toMatchObject({ topic: 'a', payload: '6869' })
  })
})

describe('pausing and closing', () => {
  const stream = Buffer.concat([opening('server', 4), ...[1, 2, 3, 4, 5].map((id) => hex(`40 02 000${id}`))])

  it.each([1, 2, 3, 4, 5, 7, 64])('hand over every packet once and in order in chunks of %i', (size) => {
    const seen: Seen[] = []
    const decoder = new Decoder(
      gatheringSink(seen, () => decoder.pause()),
      { role: 'server', packetBytesMax: 1000 },
    )
    for (let at = 0; at < stream.length; at += size) {
      decoder.push(stream.subarray(at, at + size))
      if (at % 3 === 0) decoder.resume()
    }
    const held = decoder.bufferedBytes
    for (let packets = 0; packets < 6; packets++) decoder.resume()
    expect(seen.slice(1).map(({ packetId }: { packetId?: number }) => packetId)).toEqual([1, 2, 3, 4, 5])
    if (size >= 5) expect(held).toBeGreaterThan(0)
    expect(decoder.bufferedBytes).toBe(0)
  })

  it('resumed within the sink goes on at once', () => {
    const seen: Seen[] = []
    const decoder = new Decoder(
      gatheringSink(seen, () => {
        decoder.pause()
        decoder.resume()
      }),
      { role: 'server', packetBytesMax: 1000 },
    )
    decoder.push(stream)
    expect(seen).toHaveLength(6)
  })

  it('closed within the sink hands over no more, whatever comes', () => {
    const seen: Seen[] = []
    const decoder = new Decoder(
      gatheringSink(seen, () => seen.length === 2 && decoder.close()),
      { role: 'server', packetBytesMax: 1000 },
    )
    decoder.push(stream.subarray(0, -1))
    decoder.push(stream.subarray(-1))
    decoder.push(hex('00 ff ff'))
    decoder.resume()
    expect(seen).toHaveLength(2)
    expect(decoder.bufferedBytes).toBe(0)
  })

  it('closed while paused forgets what was kept', () => {
    const { decoder, seen } = opened('server', 4)
    decoder.pause()
    decoder.push(hex('c0 00'))
    decoder.close()
    expect(decoder.bufferedBytes).toBe(0)
    decoder.resume()
    expect(seen).toEqual([])
  })

  it('what the sink throws passes through, and nothing follows it', () => {
    const seen: Seen[] = []
    const thrown = new Error('from the sink')
    const decoder = new Decoder(
      gatheringSink(seen, () => {
        if (seen.length === 3) throw thrown
      }),
      { role: 'server', packetBytesMax: 1000 },
    )
    expect(() => decoder.push(stream)).toThrow(thrown)
    decoder.push(hex('c0 00'))
    expect(seen).toHaveLength(3)
  })

  it('a fault in what was kept is thrown by resume', () => {
    const { decoder, seen } = opened('server', 4)
    decoder.pause()
    decoder.push(hex('c0 00 c1'))
    expect(faultOf(() => decoder.resume()).reasonCode).toBe(0x81)
    expect(seen).toEqual([{ type: 'pingreq' }])
  })
})

describe('the frame of a PUBLISH', () => {
  it('is one object, filled anew, that lets go of the chunk afterwards', () => {
    const frames: PublishFrame[] = []
    const sink: PacketSink = { ...gatheringSink([]), onPublish: (frame) => frames.push(frame) }
    const decoder = new Decoder(sink, { role: 'server', packetBytesMax: 1000 })
    decoder.push(opening('server', 5))
    decoder.push(hex(`32 [ "a" 0007 [ 02 00000001 23 0001 ] ] 30 [ "b" [] 'x' ]`))
    expect(frames).toHaveLength(2)
    expect(frames[0]).toBe(frames[1])
    expect(frames[0]).toMatchObject({ topicAlias: 0, messageExpiryInterval: -1, messageExpiryAt: -1, packetId: 0 })
    expect(frames[0]!.buffer.length).toBe(0)
  })
})
