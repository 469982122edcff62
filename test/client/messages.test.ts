/** Publishing, subscribing and asking over a connection that stands, against a gateway that the test plays. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Connection, connect, type Message, type MqtideError } from '../../src/client/index.ts'
import { FakeGateway, type FakeSocket } from './fake-gateway.ts'

let connection: Connection
let socket: FakeSocket
let errors: MqtideError[]

beforeEach(async () => {
  vi.useFakeTimers()
  const gateway = new FakeGateway()
  const outbox = { messagesMax: 3, bytesMax: 1000, messageBytesMax: 500 }
  connection = connect('http://gateway.test', { WebSocket: gateway.WebSocket, outbox })
  errors = []
  connection.on('error', (error) => errors.push(error))
  await vi.advanceTimersByTimeAsync(0)
  socket = gateway.accept()
})
afterEach(async () => {
  await connection.close({ flushMs: 0 })
  vi.useRealTimers()
})

const settled = () => vi.advanceTimersByTimeAsync(0)

describe('publish', () => {
  test('sends text as text, bytes as base64, other values as their JSON text', () => {
    for (const payload of ['text', new Uint8Array([0, 255]), { a: [1] }, undefined]) {
      void connection.publish('a', payload, { qos: 0 })
    }
    expect(socket.ofKind('publish').map(({ payload, encoding }) => [payload, encoding])).toEqual([
      ['text', 'utf8'],
      ['AP8=', 'base64'],
      ['{"a":[1]}', 'utf8'],
      ['', 'utf8'],
    ])
  })

  test('carries RETAIN and properties', () => {
    void connection.publish('a', '1', { qos: 0, retain: true, properties: { contentType: 'text/plain' } })
    expect(socket.said.at(-1)).toEqual({
      op: 'publish',
      topic: 'a',
      qos: 0,
      payload: '1',
      encoding: 'utf8',
      retain: true,
      properties: { contentType: 'text/plain' },
    })
  })

  test('resolves at QoS 1 with the acknowledgement, and rejects with the refusal', async () => {
    const [good, bad] = [connection.publish('good', '1'), connection.publish('bad', '1')]
    bad.catch(() => {})
    const [first, second] = socket.ofKind('publish').map(({ id }) => id as number)
    socket.say({ op: 'published', id: first!, reason: 0 })
    socket.say({ op: 'error', id: second!, reason: 0x87, message: 'not authorized' })
    await good
    await expect(bad).rejects.toMatchObject({ code: 'refused', reason: 0x87 })
    expect(connection.outboxSize).toBe(0)
  })

  test('refuses what the outbox has no room for, and takes more when it has', async () => {
    const under = ['1', '2', '3'].map((payload) => connection.publish('a', payload))
    await expect(connection.publish('a', '4')).rejects.toMatchObject({ code: 'outbox-full' })
    socket.say({ op: 'published', id: socket.ofKind('publish')[0]!['id'] as number, reason: 0 })
    await under[0]
    for (const publishing of under) publishing.catch(() => {})
    const long = connection.publish('a', 'x'.repeat(400))
    long.catch(() => {})
    await settled()
    expect(socket.ofKind('publish')).toHaveLength(4)
    socket.bufferedAmount = 1000
    socket.say({ op: 'published', id: socket.lastId('publish'), reason: 0 })
    await expect(connection.publish('a', 'x', { qos: 0 })).rejects.toMatchObject({ code: 'outbox-full' })
  })

  test('refuses one message that is longer than the gateway takes, counted in UTF-8', async () => {
    await expect(connection.publish('a', 'x'.repeat(500))).rejects.toMatchObject({ code: 'refused', reason: 0x95 })
    await expect(connection.publish('a', 'é'.repeat(240))).rejects.toMatchObject({ reason: 0x95 })
    void connection.publish('a', 'x'.repeat(240), { qos: 0 })
    expect(socket.ofKind('publish')).toHaveLength(1)
  })
})

describe('subscribe', () => {
  test('gives a message to each callback whose filter matches, once, and acknowledges it', async () => {
    const got: string[] = []
    for (const filter of ['a/+', 'a/b', 'a/b', 'b', '$share/g/a/#']) {
      connection.subscribe(filter, ({ text }) => got.push(`${filter} ${text}`), { qos: 1 })
    }
    socket.message('a/b', '1', { qos: 1, packet: 9 })
    expect(got.toSorted()).toEqual(['$share/g/a/# 1', 'a/+ 1', 'a/b 1', 'a/b 1'])
    expect(socket.ofKind('ack')).toEqual([{ op: 'ack', packet: 9 }])
  })

  test('tells the gateway of a filter with the highest QoS, and unsubscribes with the last of it', () => {
    const [first, second] = [connection.subscribe('a', () => {}), connection.subscribe('a', () => {}, { qos: 1 })]
    connection.subscribe('a', () => {}).close()
    expect(socket.ofKind('subscribe').map(({ filters }) => filters)).toEqual([
      [{ filter: 'a', qos: 0 }],
      [{ filter: 'a', qos: 1 }],
      [{ filter: 'a', qos: 1 }],
    ])
    first.close()
    first.close()
    expect(socket.ofKind('unsubscribe')).toEqual([])
    second.close()
    expect(socket.ofKind('unsubscribe')).toMatchObject([{ filters: ['a'] }])
  })

  test('acknowledges when the promise of a callback is settled', async () => {
    let finish = () => {}
    connection.subscribe('a', () => new Promise<void>((resolve) => (finish = resolve)), { qos: 1 })
    socket.message('a', '1', { qos: 1, packet: 1 })
    await settled()
    expect(socket.ofKind('ack')).toEqual([])
    finish()
    await settled()
    expect(socket.ofKind('ack')).toHaveLength(1)
  })

  test('a callback that fails is an error event, and the message is acknowledged all the same', async () => {
    connection.subscribe('a', () => {
      throw new Error('in the callback')
    })
    connection.subscribe('a', async () => {
      throw new Error('in its promise')
    })
    socket.message('a', '1', { qos: 1, packet: 1 })
    await settled()
    expect(errors.map(({ code, message }) => [code, message])).toEqual([
      ['callback', expect.stringContaining('in the callback')],
      ['callback', expect.stringContaining('in its promise')],
    ])
    expect(socket.ofKind('ack')).toHaveLength(1)
  })

  test('a refused filter rejects ready, ends its loop and is an error event; the others stand', async () => {
    const [good, bad] = [connection.subscribe('good'), connection.subscribe('bad')]
    socket.say({ op: 'error', id: socket.lastId('subscribe'), reason: 0x87, message: 'not authorized' })
    await expect(bad.ready).rejects.toMatchObject({ code: 'refused', reason: 0x87 })
    await expect(bad[Symbol.asyncIterator]().next()).rejects.toThrow('subscribing to bad: not authorized')
    expect(errors).toHaveLength(1)
    socket.say({ op: 'subscribed', id: socket.ofKind('subscribe')[0]!['id'] as number, granted: [0] })
    expect(await good.ready).toBe(0)
    expect(socket.ofKind('unsubscribe')).toEqual([])
  })

  test('a loop acknowledges a message when it asks for the next, and unsubscribes when it is left', async () => {
    const got: string[] = []
    let goOn = () => {}
    const loop = (async () => {
      for await (const { text } of connection.subscribe('a', { qos: 1 })) {
        if (got.push(text) === 2) break
        await new Promise<void>((resolve) => (goOn = resolve))
      }
    })()
    for (const packet of [1, 2, 3]) socket.message('a', String(packet), { qos: 1, packet })
    await settled()
    expect(got).toEqual(['1'])
    expect(socket.ofKind('ack')).toEqual([])
    goOn()
    await loop
    await settled()
    expect(got).toEqual(['1', '2'])
    // The third is nobody's any more: without its acknowledgement it would stay under way.
    expect(socket.ofKind('ack').map(({ packet }) => packet)).toEqual([1, 2, 3])
    expect(socket.ofKind('unsubscribe')).toHaveLength(1)
  })

  test('of QoS 0 the newest wait for a slow loop, and it is told how many were dropped', async () => {
    const subscription = connection.subscribe('a', { waitingMax: 2 })
    for (const text of ['1', '2', '3', '4']) socket.message('a', text)
    expect(subscription.dropped).toBe(2)
    const loop = subscription[Symbol.asyncIterator]()
    expect((await loop.next()).value?.text).toBe('3')
    expect((await loop.next()).value?.text).toBe('4')
  })
})

describe('a message', () => {
  test('gives its payload as text, as bytes and as JSON, however it came', () => {
    const got: Message[] = []
    connection.subscribe('a', (message) => got.push(message))
    const head = { op: 'message', topic: 'a', qos: 0, retain: true } as const
    socket.say({ ...head, payload: '{"t":"ü"}', encoding: 'utf8' })
    socket.say({ ...head, payload: { t: 'ü' }, encoding: 'json' })
    socket.say({ ...head, payload: btoa('{"t":"\xc3\xbc"}'), encoding: 'base64' })
    expect(got.map((message) => [message.text, message.json(), message.bytes.length, message.retain])).toEqual(
      Array(3).fill(['{"t":"ü"}', { t: 'ü' }, 10, true]),
    )
  })
})

describe('request', () => {
  test('resolves with the answer that has its correlation data, to a topic of its own', async () => {
    const [first, second] = [connection.request('do', 'a'), connection.request('do', 'b')]
    const [asked] = socket.ofKind('subscribe') as unknown as { filters: { filter: string; qos: number }[] }[]
    expect(socket.ofKind('subscribe')).toHaveLength(1)
    const topic = asked!.filters[0]!.filter
    expect(topic).toContain(connection.clientId)
    const sent = socket.ofKind('publish') as unknown as { properties: { responseTopic: string } }[]
    expect(sent.map(({ properties }) => properties.responseTopic)).toEqual([topic, topic])
    for (const { properties } of sent.toReversed()) {
      socket.say({ op: 'message', topic, payload: 'done', encoding: 'utf8', qos: 0, retain: false, properties })
    }
    expect((await first).properties.correlationData).toBe('MQ==')
    expect((await second).properties.correlationData).toBe('Mg==')
  })

  test('rejects when no answer comes in time, or the request is refused', async () => {
    const late = connection.request('do', 'a', { timeoutMs: 500, qos: 0 })
    late.catch(() => {})
    await vi.advanceTimersByTimeAsync(500)
    await expect(late).rejects.toMatchObject({ code: 'timeout' })
    const refused = connection.request('do', 'a')
    refused.catch(() => {})
    socket.say({ op: 'error', id: socket.lastId('publish'), reason: 0x87, message: 'not authorized' })
    await expect(refused).rejects.toMatchObject({ code: 'refused' })
    expect(vi.getTimerCount()).toBe(1)
  })

  test('is answered with respond()', async () => {
    connection.subscribe('do', (message) => connection.respond(message, 'done', { qos: 0 }))
    const properties = { responseTopic: 'replies/x', correlationData: 'MQ==' }
    socket.say({ op: 'message', topic: 'do', payload: '', encoding: 'utf8', qos: 0, retain: false, properties })
    await settled()
    expect(socket.said.at(-1)).toMatchObject({
      topic: 'replies/x',
      payload: 'done',
      properties: { correlationData: 'MQ==' },
    })
    socket.message('do', 'without')
    await settled()
    expect(errors[0]?.message).toContain('asks for no answer')
  })
})
