/** Bytes that nobody meant: the decoder answers with packets and at most one ProtocolError, the same however they are cut. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Decoder } from '../../src/mqtt/decoder.ts'
import { ProtocolError } from '../../src/mqtt/protocol-error.ts'
import { decodeTopicName } from '../../src/mqtt/topic.ts'
import { anyCuts, cutAt, everyPairing, laterPacket, openingPacket } from './arbitraries.ts'
import { encodeSeen } from './encode-seen.ts'
import { gatheringSink, opening, type Role, type Seen, seenPublish, type Version } from './packets.ts'

interface Outcome {
  seen: Seen[]
  reasonCode: number | undefined
  held: number
}

/** Anything but a ProtocolError passes through and fails the test. */
function outcome(role: Role, version: Version, chunks: readonly Uint8Array[]): Outcome {
  const seen: Seen[] = []
  const sink = gatheringSink(seen)
  const decoder = new Decoder(
    { ...sink, onPublish: (frame) => seen.push(withoutTopic(frame)) },
    { role, version, packetBytesMax: 70_000 },
  )
  let reasonCode: number | undefined
  for (const chunk of chunks) {
    try {
      decoder.push(chunk)
    } catch (error) {
      if (!(error instanceof ProtocolError) || reasonCode !== undefined) throw error
      reasonCode = error.reasonCode
    }
  }
  return { seen, reasonCode, held: decoder.bufferedBytes }
}

/** The topic's UTF-8 is judged by whoever looks it up, so here it only has to be judged without an accident. */
function withoutTopic(frame: Parameters<typeof seenPublish>[0]): Seen {
  try {
    decodeTopicName(frame.buffer, frame.topicStart, frame.topicEnd)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
  return seenPublish({ ...frame, topicEnd: frame.topicStart })
}

const damage = fc.record({
  at: fc.nat(100_000),
  byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)),
  kind: fc.constantFrom('change', 'insert', 'remove', 'truncate') as fc.Arbitrary<
    'change' | 'insert' | 'remove' | 'truncate'
  >,
})

function damaged(bytes: Buffer, wounds: readonly { at: number; byte: number; kind: string }[]): Buffer {
  let result = bytes
  for (const { at, byte, kind } of wounds) {
    const offset = at % (result.length + 1)
    const before = result.subarray(0, offset)
    const after = result.subarray(offset + (kind === 'insert' ? 0 : 1))
    if (kind === 'truncate') result = before
    else result = Buffer.concat([before, kind === 'remove' ? Buffer.alloc(0) : Uint8Array.of(byte), after])
  }
  return result
}

describe.each(everyPairing)('to a $role of version $version', ({ role, version }) => {
  const alike = (bytes: Buffer, cuts: readonly number[]) => {
    const whole = outcome(role, version, [bytes])
    expect(outcome(role, version, cutAt(bytes, cuts))).toEqual(whole)
    return whole
  }

  it('random bytes are packets or a fault', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.uint8Array({ maxLength: 300 }), anyCuts, (begun, bytes, cuts) => {
        alike(Buffer.concat([begun ? opening(role, version) : Buffer.alloc(0), bytes]), cuts)
      }),
      { numRuns: 1500 },
    )
  })

  it('random bodies behind a right fixed header are packets or a fault', () => {
    const first = fc.constantFrom(
      ...[0x10, 0x20, 0x30, 0x32, 0x34, 0x3d, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xe0, 0xf0],
    )
    // Small numbers make lengths, property identifiers and codes that pass the first checks.
    const byte = fc.oneof({ weight: 3, arbitrary: fc.nat(0x2b) }, { weight: 1, arbitrary: fc.nat(255) })
    fc.assert(
      fc.property(first, fc.array(byte, { maxLength: 60 }), anyCuts, (header, body, cuts) => {
        alike(Buffer.concat([opening(role, version), Uint8Array.of(header, body.length, ...body)]), cuts)
      }),
      { numRuns: 3000 },
    )
  })

  it('damaged packets are packets or a fault', () => {
    const stream = fc.tuple(openingPacket(role, version), fc.array(laterPacket(role, version), { maxLength: 4 }))
    const wounds = fc.array(damage, { minLength: 1, maxLength: 3 })
    let faults = 0
    fc.assert(
      fc.property(stream, wounds, anyCuts, ([opens, later], hurt, cuts) => {
        const bytes = Buffer.concat([opens, ...later].map((packet) => encodeSeen(version, packet)))
        if (alike(damaged(bytes, hurt), cuts).reasonCode !== undefined) faults++
      }),
      { numRuns: 1000 },
    )
    // That most damage is noticed shows that the damage is of the kind that matters.
    expect(faults).toBeGreaterThan(100)
  })
})
