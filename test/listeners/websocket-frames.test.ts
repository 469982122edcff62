/** Frames of RFC 6455 as bytes, in and out of `FrameReader`: what it hands on, and with which code it refuses. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameError, FrameReader } from '../../src/listeners/websocket-frames.ts'

type Event = ['payload', string] | ['ping', string] | ['close', number | undefined]

function reader() {
  const events: Event[] = []
  let calls = 0
  const frames = new FrameReader({
    onPayload(bytes) {
      calls++
      const last = events.at(-1)
      // Where the bytes are cut says nothing.
      if (last?.[0] === 'payload') last[1] += bytes.toString('hex')
      else events.push(['payload', bytes.toString('hex')])
    },
    onPing: (payload) => events.push(['ping', payload.toString()]),
    onClose: (code) => events.push(['close', code]),
  })
  return { frames, events, calls: () => calls }
}

const mask = [0x37, 0xfa, 0x21, 0x3d]
const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

interface Shape {
  final?: boolean
  opcode?: number
  /** Bytes for the length, where more are used than needed. */
  lengthBytes?: 0 | 2 | 8
}

function frame(payload: Uint8Array | string, shape: Shape = {}): Buffer {
  const bytes = Buffer.from(payload as string)
  const { length } = bytes
  const lengthBytes = shape.lengthBytes ?? (length < 126 ? 0 : length < 65_536 ? 2 : 8)
  const header = Buffer.alloc(2 + lengthBytes)
  header[0] = (shape.final === false ? 0 : 0x80) | (shape.opcode ?? opcode.binary)
  header[1] = 0x80 | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127)
  if (lengthBytes === 2) header.writeUInt16BE(length, 2)
  if (lengthBytes === 8) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, Buffer.from(mask), bytes.map((byte, index) => byte ^ mask[index % 4]!)])
}

const hex = (text: string) => Buffer.from(text).toString('hex')
const whole = (...frames: Buffer[]) => Buffer.concat(frames)

/** The code with which a stream is refused, and what was handed on before. */
function refused(bytes: Buffer | string): { code: number; events: Event[] } {
  const { frames, events } = reader()
  try {
    frames.push(typeof bytes === 'string' ? Buffer.from(bytes, 'hex') : bytes)
  } catch (error) {
    if (error instanceof FrameError) return { code: error.closeCode, events }
    throw error
  }
  throw new Error('the bytes were accepted')
}

describe('a stream of frames', () => {
  it('gives the payload of a frame without its mask (the example of section 5.7)', () => {
    const { frames, events } = reader()
    frames.push(Buffer.from('828537fa213d7f9f4d5158', 'hex'))
    expect(events).toEqual([['payload', hex('Hello')]])
  })

  it('gives the payloads of all frames in a chunk as one span', () => {
    const { frames, events, calls } = reader()
    frames.push(whole(...Array.from('twelve bytes', (byte) => frame(byte)), frame(''), frame('!')))
    expect(events).toEqual([['payload', hex('twelve bytes!')]])
    expect(calls()).toBe(1)
  })

  it('reads fragments of a message with control frames between them', () => {
    const { frames, events } = reader()
    const { continuation, ping, pong } = opcode
    frames.push(
      whole(
        frame('one', { final: false }),
        frame('are you there', { opcode: ping }),
        frame('two', { opcode: continuation, final: false }),
        frame('unasked', { opcode: pong }),
        frame('three', { opcode: continuation }),
        frame('next'),
      ),
    )
    expect(events).toEqual([
      ['ping', 'are you there'],
      ['payload', hex('onetwothreenext')],
    ])
  })

  it('takes a length in more bytes than it needs', () => {
    const { frames, events } = reader()
    frames.push(whole(frame('a', { lengthBytes: 2 }), frame('b', { lengthBytes: 8 })))
    expect(events).toEqual([['payload', hex('ab')]])
  })

  it('hands on a payload as it comes, however long its frame is going to be', () => {
    const { frames, events } = reader()
    frames.push(Buffer.from('82ff001fffffffffffff00000000414243', 'hex'))
    expect(events).toEqual([['payload', hex('ABC')]])
  })

  it('hands on what came before a close frame, and reads nothing after it', () => {
    const { frames, events } = reader()
    frames.push(whole(frame('last'), frame(Buffer.from('03e8', 'hex'), { opcode: opcode.close }), frame('after')))
    frames.push(frame('later'))
    expect(events).toEqual([
      ['payload', hex('last')],
      ['close', 1000],
    ])
  })

  it('gives the code of a close frame, and none where it has none', () => {
    for (const code of [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999]) {
      const { frames, events } = reader()
      frames.push(frame(Buffer.from([code >> 8, code & 0xff, 0x62, 0x79, 0x65]), { opcode: opcode.close }))
      expect(events).toEqual([['close', code]])
    }
    const { frames, events } = reader()
    frames.push(frame('', { opcode: opcode.close }))
    expect(events).toEqual([['close', undefined]])
  })

  it('is read the same wherever the chunks are cut, also after every byte', () => {
    const { continuation, ping, close } = opcode
    const stream = whole(
      frame('x'.repeat(7)),
      frame('y'.repeat(130), { final: false }),
      frame('now', { opcode: ping }),
      frame('z'.repeat(70_000), { opcode: continuation }),
      frame('', { opcode: ping }),
      frame('end'),
      frame(Buffer.from('03e9', 'hex'), { opcode: close }),
    )
    const at = (cuts: number[]) => {
      const { frames, events } = reader()
      let from = 0
      for (const cut of [...cuts, stream.length]) {
        frames.push(Buffer.from(stream.subarray(from, cut)))
        from = cut
      }
      // Pings may come before the payload that is in the same chunk.
      return {
        payload: events.flatMap(([kind, value]) => (kind === 'payload' ? [value] : [])).join(''),
        others: events.filter(([kind]) => kind !== 'payload'),
      }
    }
    const expected = {
      payload: hex(`${'x'.repeat(7)}${'y'.repeat(130)}${'z'.repeat(70_000)}end`),
      others: [
        ['ping', 'now'],
        ['ping', ''],
        ['close', 1001],
      ],
    }
    expect(at([])).toEqual(expected)
    expect(at(Array.from({ length: stream.length - 1 }, (_, index) => index + 1))).toEqual(expected)
    const positions = fc.array(fc.integer({ min: 1, max: stream.length - 1 }), { maxLength: 20 })
    fc.assert(
      fc.property(positions, (cuts) => {
        expect(at([...new Set(cuts)].sort((a, b) => a - b))).toEqual(expected)
      }),
      { numRuns: 200 },
    )
  })

  it('unmasks any payload with any mask', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ minLength: 4, maxLength: 4 }), (payload, key) => {
        const { frames, events } = reader()
        const bytes = frame(payload)
        const at = bytes.length - payload.length
        for (let i = 0; i < 4; i++) bytes[at - 4 + i] = key[i]!
        for (let i = 0; i < payload.length; i++) bytes[at + i] = payload[i]! ^ key[i % 4]!
        frames.push(bytes)
        expect(events).toEqual(payload.length === 0 ? [] : [['payload', Buffer.from(payload).toString('hex')]])
      }),
    )
  })
})

describe('what RFC 6455 forbids', () => {
  const { continuation, ping, close } = opcode
  const cases: [name: string, code: number, bytes: Buffer | string][] = [
    ['a text frame', 1003, frame('text', { opcode: opcode.text })],
    ['a text frame without payload', 1003, frame('', { opcode: opcode.text })],
    ['a frame without mask', 1002, '820548656c6c6f'],
    ['the first reserved bit', 1002, 'c28037fa213d'],
    ['the second reserved bit', 1002, 'a28037fa213d'],
    ['the third reserved bit', 1002, '928037fa213d'],
    ['an opcode for data to come', 1002, '838037fa213d'],
    ['an opcode for control to come', 1002, '8b8037fa213d'],
    ['a fragmented control frame', 1002, frame('half', { opcode: ping, final: false })],
    ['a control frame of 126 bytes', 1002, frame('x'.repeat(126), { opcode: ping })],
    ['a control frame with a length of eight bytes', 1002, frame('x', { opcode: ping, lengthBytes: 8 })],
    ['a length whose first bit is set', 1002, '82ff8000000000000000'],
    ['a length that no number holds', 1009, '82ff7fffffffffffffff'],
    ['a continuation of nothing', 1002, frame('on', { opcode: continuation })],
    ['a message within a message', 1002, whole(frame('one', { final: false }), frame('two'))],
    ['a close frame of one byte', 1002, frame('x', { opcode: close })],
    ['a close frame with a code that no frame has', 1002, frame(Buffer.from('03ed', 'hex'), { opcode: close })],
    ['a close frame with a code below all', 1002, frame(Buffer.from('03e7', 'hex'), { opcode: close })],
  ]
  it.each(cases)('%s is refused with %i', (_name, code, bytes) => {
    expect(refused(bytes).code).toBe(code)
  })

  it('is refused after what came before was handed on', () => {
    expect(refused(whole(frame('good'), frame('bad', { opcode: opcode.text })))).toEqual({
      code: 1003,
      events: [['payload', hex('good')]],
    })
  })

  it('is refused at the byte that shows it, before the rest of the frame has come', () => {
    expect(refused('8205').code).toBe(1002)
    expect(refused('c2').code).toBe(1002)
    expect(refused('81').code).toBe(1003)
  })

  it('ends the reading', () => {
    const { frames, events } = reader()
    expect(() => frames.push(frame('text', { opcode: opcode.text }))).toThrow(FrameError)
    frames.push(frame('more'))
    expect(events).toEqual([])
  })
})

describe('where texts are spoken', () => {
  const texts = (stream: Buffer, step = stream.length) => {
    const found: string[] = []
    let open = ''
    const frames = new FrameReader(
      {
        onPayload(bytes, ends) {
          open += bytes.toString()
          if (!ends) return
          found.push(open)
          open = ''
        },
        onPing: () => found.push('a ping'),
        onClose: () => found.push('a close'),
      },
      true,
    )
    for (let at = 0; at < stream.length; at += step) frames.push(Buffer.from(stream.subarray(at, at + step)))
    return found
  }
  const text = (payload: string, shape: Shape = {}) => frame(payload, { opcode: opcode.text, ...shape })

  it.each([1, 2, 3, 7, 1000])('each message is handed on by itself, in chunks of %i bytes', (step) => {
    const stream = whole(
      text('one'),
      text(''),
      text('in ', { final: false }),
      frame('', { opcode: opcode.ping }),
      text('two', { opcode: opcode.continuation }),
      text('x'.repeat(300)),
      frame('', { opcode: opcode.close }),
    )
    expect(texts(stream, step)).toEqual(['one', '', 'a ping', 'in two', 'x'.repeat(300), 'a close'])
  })

  it('a binary message is refused with 1003', () => {
    expect(() => texts(frame('x'))).toThrowError(FrameError)
  })
})
