/** Any legal packet, written and read again, in any chunks, comes out as it went in. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import { anyCuts, cutAt, everyPairing, laterPacket, openingPacket } from './arbitraries.ts'
import { encodeSeen } from './encode-seen.ts'
import { gatheringSink, type Seen } from './packets.ts'

describe.each(everyPairing)('packets to a $role of version $version', ({ role, version }) => {
  const stream = fc.tuple(openingPacket(role, version), fc.array(laterPacket(role, version), { maxLength: 8 }))

  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(stream, anyCuts, ([first, later], cuts) => {
        const sent = [first, ...later]
        const bytes = Buffer.concat(sent.map((packet) => encodeSeen(version, packet)))
        const seen: Seen[] = []
        const decoder = new Decoder(gatheringSink(seen), { role, version, packetBytesMax: 100_000 })
        for (const chunk of cutAt(bytes, cuts)) decoder.push(chunk)
        expect(seen).toEqual(sent)
        expect(decoder.bufferedBytes).toBe(0)
        expect(decoder.version).toBe(version)
      }),
      { numRuns: 400 },
    )
  })

  it('come out as they went in when the sink pauses at each', () => {
    fc.assert(
      fc.property(stream, anyCuts, ([first, later], cuts) => {
        const sent = [first, ...later]
        const bytes = Buffer.concat(sent.map((packet) => encodeSeen(version, packet)))
        const seen: Seen[] = []
        const decoder = new Decoder(
          gatheringSink(seen, () => decoder.pause()),
          { role, version, packetBytesMax: 100_000 },
        )
        for (const chunk of cutAt(bytes, cuts)) decoder.push(chunk)
        expect(seen.length).toBe(1)
        for (let packets = 1; packets < sent.length; packets++) decoder.resume()
        expect(seen).toEqual(sent)
        decoder.resume()
        expect(decoder.bufferedBytes).toBe(0)
      }),
      { numRuns: 100 },
    )
  })
})
