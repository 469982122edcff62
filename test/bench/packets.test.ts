import { type Packet, parser } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import {
  encodeConnect,
  encodePublish,
  encodeSubscribe,
  encodeVariableInteger,
  hasStamp,
  readUint32,
  stampField,
} from '../../bench/generator/packets.ts'
import { SequenceCheck } from '../../bench/generator/sequence.ts'
import { Tape } from '../../bench/generator/tape.ts'
import { crowdFilter, publisherTopics } from '../../bench/generator/topics.ts'

/** What mqtt-packet reads from these bytes. */
function decode(bytes: Buffer, protocolVersion = 4): Packet[] {
  const packets: Packet[] = []
  const decoder = parser({ protocolVersion })
  decoder.on('packet', (packet: Packet) => packets.push(packet))
  decoder.on('error', (error) => {
    throw error
  })
  decoder.parse(bytes)
  return packets
}

describe('packets read back by another codec', () => {
  test('CONNECT of 3.1.1, clean and with credentials', () => {
    const bytes = encodeConnect({ version: 4, clientId: 'a', durable: false, username: 'u', password: 'p' })
    const password = Buffer.from('p')
    expect(decode(bytes)).toMatchObject([{ cmd: 'connect', clientId: 'a', clean: true, username: 'u', password }])
  })

  test('CONNECT of 5.0, durable', () => {
    const bytes = encodeConnect({ version: 5, clientId: 'a', durable: true })
    const properties = { sessionExpiryInterval: 3600, receiveMaximum: 65_535, topicAliasMaximum: 64 }
    expect(decode(bytes)).toMatchObject([{ protocolVersion: 5, clean: false, keepalive: 0, properties }])
  })

  test('SUBSCRIBE with several filters', () => {
    const bytes = encodeSubscribe(4, 7, ['a/+', 'b/#'], 1)
    const subscriptions = [
      { topic: 'a/+', qos: 1 },
      { topic: 'b/#', qos: 1 },
    ]
    expect(decode(bytes)).toMatchObject([{ cmd: 'subscribe', messageId: 7, subscriptions }])
  })

  test('PUBLISH of 5.0 with properties and an alias', () => {
    const fields = {
      version: 5,
      topic: 't',
      qos: 1,
      retain: true,
      payload: Buffer.from('x'),
      properties: true,
    } as const
    const bytes = encodePublish({ ...fields, topicAlias: 3 }).bytes
    const properties = { topicAlias: 3, contentType: 'application/json', messageExpiryInterval: 3600 }
    expect(decode(bytes, 5)).toMatchObject([{ cmd: 'publish', topic: 't', qos: 1, retain: true, properties }])
  })

  test.each([
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [16_383, 'ff7f'],
    [16_384, '808001'],
    [268_435_455, 'ffffff7f'],
  ])('the variable byte integer %i', (value, hex) => {
    expect(encodeVariableInteger(value).toString('hex')).toBe(hex)
  })
})

describe('a tape', () => {
  const common = {
    version: 4,
    qos: 1,
    retain: false,
    properties: false,
    topicAliases: false,
    payloadBytes: 64,
  } as const

  test('holds whole packets back to back, its topics in turn', () => {
    const tape = new Tape({ ...common, topics: ['a', 'bb', 'ccc'], publisher: 9 })
    for (let i = 0; i < 6; i++) tape.stamp(i, i, 0)
    const packets = decode(tape.bytes.subarray(0, tape.starts[6]))
    expect(packets.map((packet) => (packet.cmd === 'publish' ? packet.topic : ''))).toEqual([
      'a',
      'bb',
      'ccc',
      'a',
      'bb',
      'ccc',
    ])
    expect(packets.map((packet) => packet.messageId)).toEqual([1, 2, 3, 4, 5, 6])
    expect(tape.starts[tape.packets]).toBe(tape.bytes.length)
  })

  test('stamps publisher, sequence and due time where a subscriber reads them', () => {
    const tape = new Tape({ ...common, topics: ['a'], publisher: 70_000 })
    tape.stamp(1, 4_000_000_000, 123_456)
    const [, packet] = decode(tape.bytes.subarray(0, tape.starts[2]))
    const payload = (packet as { payload: Buffer }).payload
    expect(hasStamp(payload, 0)).toBe(true)
    expect(readUint32(payload, stampField.publisher)).toBe(70_000)
    expect(readUint32(payload, stampField.sequence)).toBe(4_000_000_000)
    expect(readUint32(payload, stampField.due)).toBe(123_456)
  })

  test('packet ids go round from 65,535 to 1', () => {
    const tape = new Tape({ ...common, topics: ['a'], publisher: 0 })
    tape.stamp(0, 65_534, 0)
    tape.stamp(1, 65_535, 0)
    expect(decode(tape.bytes.subarray(0, tape.starts[2])).map((packet) => packet.messageId)).toEqual([65_535, 1])
  })

  test('with aliases names each topic only on the first lap', () => {
    const aliased = { ...common, version: 5, topicAliases: true } as const
    const tape = new Tape({ ...aliased, topics: ['a', 'b'], publisher: 0 })
    for (let i = 0; i < 4; i++) tape.stamp(i, i, 0)
    const topics = decode(tape.bytes.subarray(0, tape.starts[4]), 5).map(
      (packet) => (packet as { topic: string }).topic,
    )
    expect(topics).toEqual(['a', 'b', '', ''])
  })
})

describe('the sequence check', () => {
  test('finds nothing wrong with messages in order', () => {
    const check = new SequenceCheck(5, 2)
    for (let n = 0; n < 10; n++) expect([check.receive(5, n), check.receive(6, n)]).toEqual([true, true])
    expect([check.lost(5, 10), check.lost(6, 10), check.duplicated, check.reordered]).toEqual([0, 0, 0, 0])
  })

  test('tells late from double from lost', () => {
    const check = new SequenceCheck(0, 1)
    expect([0, 3, 1, 1, 3, 4].map((n) => check.receive(0, n))).toEqual([true, true, true, false, false, true])
    expect([check.duplicated, check.reordered, check.lost(0, 7)]).toEqual([2, 1, 3])
  })

  test('takes no message of a publisher it does not watch', () => {
    expect(new SequenceCheck(3, 1).receive(2, 0)).toBe(false)
  })
})

test('the crowd of subscriptions is 10 % wildcards and matches no measured topic', () => {
  const filters = Array.from({ length: 3000 }, (_, n) => crowdFilter(n))
  expect(new Set(filters).size).toBe(3000)
  expect(filters.filter((filter) => /[+#]/.test(filter))).toHaveLength(300)
  const topics = publisherTopics('pair', 0, 1000)
  const expressions = filters.map((filter) => new RegExp(`^${filter.replaceAll('+', '[^/]*').replace('#', '.*')}$`))
  expect(topics.filter((topic) => expressions.some((expression) => expression.test(topic)))).toEqual([])
})
