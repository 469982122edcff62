/** Every named vector: decoded, encoded, cut at every byte, in a row. */
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import { encodeSeen } from './encode-seen.ts'
import { gatheringSink, hex, opening, type Role, type Seen, type Version } from './packets.ts'
import { connectVectors } from './vectors/connect.ts'
import { acknowledgementVectors, publishVectors } from './vectors/publish.ts'
import { otherVectors, subscriptionVectors } from './vectors/subscribe.ts'
import { allVersions, type Vector } from './vectors/vector.ts'

const vectors = [
  ...connectVectors,
  ...publishVectors,
  ...acknowledgementVectors,
  ...subscriptionVectors,
  ...otherVectors,
]

function opensConnection({ seen: { type } }: Vector): boolean {
  return type === 'connect' || type === 'connack'
}

/** What a decoder hands over for the chunks, without the packet that opens the connection. */
function decodeChunks(role: Role, version: Version, vector: Vector | undefined, chunks: readonly Uint8Array[]): Seen[] {
  const seen: Seen[] = []
  const decoder = new Decoder(gatheringSink(seen), { role, version, packetBytesMax: 100_000 })
  const opens = vector !== undefined && opensConnection(vector)
  if (!opens) decoder.push(opening(role, version))
  for (const chunk of chunks) decoder.push(chunk)
  expect(decoder.bufferedBytes).toBe(0)
  return opens ? seen : seen.slice(1)
}

describe.each(vectors)('$name, received by a $role', (vector) => {
  const { role, versions, seen, foreign } = vector
  const bytes = hex(vector.bytes)

  it.each(versions)('decodes from its bytes in version %i', (version) => {
    expect(decodeChunks(role, version, vector, [bytes])).toEqual([seen])
  })

  it.each(versions)('decodes alike when cut at any byte, or into single bytes, in version %i', (version) => {
    for (let at = 1; at < bytes.length; at++) {
      expect(decodeChunks(role, version, vector, [bytes.subarray(0, at), bytes.subarray(at)])).toEqual([seen])
    }
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte))
    expect(decodeChunks(role, version, vector, single)).toEqual([seen])
  })

  it('decodes alike from a plain Uint8Array', () => {
    expect(decodeChunks(role, versions[0]!, vector, [new Uint8Array(bytes)])).toEqual([seen])
  })

  if (!foreign) {
    it.each(versions)('is what the encoder writes in version %i', (version) => {
      expect(encodeSeen(version, seen).toString('hex')).toBe(bytes.toString('hex'))
    })
  }
})

describe.each(allVersions)('all packets of version %i in one stream', (version) => {
  it.each(['server', 'client'] as const)('reach a %s in order, however the chunks fall', (role) => {
    const all = vectors.filter((vector) => {
      return vector.role === role && vector.versions.includes(version) && !opensConnection(vector)
    })
    const stream = Buffer.concat(all.map(({ bytes }) => hex(bytes)))
    const expected = all.map(({ seen }) => seen)
    expect(all.length).toBeGreaterThan(8)
    for (const size of [stream.length, 1, 2, 3, 5, 7, 11, 64]) {
      const chunks: Buffer[] = []
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size))
      expect(decodeChunks(role, version, undefined, chunks)).toEqual(expected)
    }
  })
})
