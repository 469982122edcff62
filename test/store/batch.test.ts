import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BatchRecords, BatchWriter, batchFormat } from '../../src/store/batch.ts'
import { readBatch } from '../../src/store/batch-reader.ts'
import { message } from '../contract/example-records.ts'
import { type BatchCall, batchCalls, recordingSink, replay } from './records.ts'

describe('a batch', () => {
  it('hands every record back as it was written, in the same order', () => {
    const writer = new BatchWriter()
    fc.assert(
      fc.property(fc.array(batchCalls, { maxLength: 60 }), (calls) => {
        replay(calls, writer)
        expect(writer.records).toBe(calls.length)
        const byteLength = writer.byteLength
        const packed = writer.take()
        expect(packed.byteLength).toBe(byteLength)
        expect([writer.records, writer.byteLength]).toEqual([0, 0])
        const read: BatchCall[] = []
        readBatch(packed, recordingSink(read))
        expect(read).toEqual(calls)
      }),
      { numRuns: 200 },
    )
  })

  it('outgrows its scratch, and repeats long, short and non-ASCII texts by their index', () => {
    const writer = new BatchWriter()
    const topics = ['a/b', 'ä/ß', 'x'.repeat(65_535), 'y/'.repeat(30), '', '漢字/\u{1f600}']
    const payload = new Uint8Array(300_000).fill(7)
    const calls: BatchCall[] = topics
      .flatMap((topic) => [topic, topic])
      .map((topic, index) => [
        'messagePut',
        {
          id: index + 1,
          topic,
          payload,
          properties: payload.subarray(0, 3),
          qos: 1,
          expiresAt: 5e12,
          publisher: topic,
          publishedAt: 1,
        },
        2,
      ])
    replay(calls, writer)
    const packed = writer.take()
    const texts = topics.reduce((sum, topic) => sum + Buffer.byteLength(topic), 0)
    expect(packed.byteLength).toBeLessThan(topics.length * 2 * (300_000 + 100) + texts)
    const read: BatchCall[] = []
    readBatch(packed, recordingSink(read))
    expect(read).toEqual(calls)
  })

  it('indexes no more texts than its table holds, and still reads them all', () => {
    const writer = new BatchWriter()
    for (let i = 0; i < 66_000; i++) writer.retainedDelete(`t/${i}`, 1e15)
    for (let i = 65_500; i < 66_000; i++) writer.retainedDelete(`t/${i}`, 1e15)
    const read: BatchCall[] = []
    readBatch(writer.take(), recordingSink(read))
    expect(read).toHaveLength(66_500)
    expect(read[65_999]).toEqual(['retainedDelete', 't/65999', 1e15, ''])
    expect(read[66_499]).toEqual(['retainedDelete', 't/65999', 1e15, ''])
    expect(read[66_100]).toEqual(['retainedDelete', 't/65600', 1e15, ''])
  })

  it('refuses bytes that are no batch, and a batch that was cut short', () => {
    const sink = recordingSink([])
    expect(() => readBatch(new Uint8Array([batchFormat, 200]).buffer, sink)).toThrow('record kind 200')
    const writer = new BatchWriter()
    writer.willDelete(1)
    writer.retainedPut('a/b/c', 9, 9)
    const packed = writer.take()
    for (let length = 1; length < packed.byteLength; length++) {
      if (length === 1 || length === 10) continue // Nothing but the format, exactly the first record.
      expect(() => readBatch(packed.slice(0, length), sink), `${length} bytes`).toThrow()
    }
  })

  it('of a format that is not known is refused before its first record', () => {
    const writer = new BatchWriter()
    writer.willDelete(1)
    const packed = new Uint8Array(writer.take())
    packed[0] = batchFormat + 1
    const calls: BatchCall[] = []
    expect(() => readBatch(packed.buffer, recordingSink(calls))).toThrow(`format ${batchFormat + 1}`)
    expect(calls).toEqual([])
  })

  it('with a message whose flags are not known is refused', () => {
    const writer = new BatchWriter()
    writer.messagePut(message(1), 1)
    const packed = new Uint8Array(writer.take())
    // Format, kind, id, references, QoS.
    packed[1 + 1 + 8 + 4 + 1] = 1
    expect(() => readBatch(packed.buffer, recordingSink([]))).toThrow('flags 1')
  })

  it('stops at the record that the sink refuses', () => {
    const writer = new BatchWriter()
    writer.dequeue(1, 1)
    writer.dequeue(1, 2)
    writer.dequeue(1, 3)
    const seen: number[] = []
    const sink: BatchRecords = Object.assign(recordingSink([]), {
      dequeue(_session: number, position: number) {
        seen.push(position)
        if (position === 2) throw new Error('full')
      },
    })
    expect(() => readBatch(writer.take(), sink)).toThrow('full')
    expect(seen).toEqual([1, 2])
  })
})
