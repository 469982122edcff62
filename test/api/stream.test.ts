/** Server-sent events over real sockets: what comes, who may have it, and how it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { apiOf } from './api.ts'

interface Event {
  /** Of a stream. */
  id?: string
  event: string
  data: Record<string, unknown>
}

interface Stream {
  status: number
  headers: Headers
  text(): string
  events(): Event[]
  /** Resolves when the gateway has ended it. */
  over: Promise<void>
  leave(): void
}

async function open(gateway: Gateway, query: string, headers: Record<string, string> = {}): Promise<Stream> {
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const { port } = gateway.addresses.http!
  const url = `http://127.0.0.1:${port}/api/v1/stream?${query}`
  const response = await fetch(url, { headers, signal: controller.signal })
  let text = ''
  const read = async () => {
    const decoder = new TextDecoder()
    for await (const chunk of response.body!) text += decoder.decode(chunk, { stream: true })
  }
  const over = read().catch(() => {})
  const events = () =>
    text.split('\n\n').flatMap((block) => {
      const [, id, event, data] = /^(?:id: (.*)\n)?event: (.*)\ndata: (.*)$/.exec(block) ?? []
      if (event === undefined) return []
      return [{ ...(id !== undefined && { id }), event, data: JSON.parse(data!) as Record<string, unknown> }]
    })
  const { status } = response
  return { status, headers: response.headers, text: () => text, events, over, leave: () => controller.abort() }
}

const dataOf = (stream: Stream) => stream.events().map(({ data }) => data)

describe('a stream of events', () => {
  test('brings retained messages first, then live ones, with the fields that are promised', async () => {
    const gateway = await startGateway()
    await gateway.publish({ topic: 'a/1', payload: 'kept', retain: true, qos: 1 })
    const stream = await open(gateway, 'topic=a/%23&topic=b/%2B')
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    await eventually(() => stream.events().length).toBe(1)
    await gateway.publish({ topic: 'b/2', payload: new Uint8Array([0xff]) })
    await gateway.publish({ topic: 'c', payload: 'not asked for' })
    await gateway.publish({ topic: 'a', payload: 'live\nin two lines' })
    await eventually(() => stream.events().length).toBe(3)
    const at = expect.stringMatching(/^\d{4}-.*Z$/)
    expect(stream.events()).toEqual([
      { event: 'message', data: { topic: 'a/1', payload: 'kept', encoding: 'utf8', qos: 0, retain: true, at } },
      { event: 'message', data: { topic: 'b/2', payload: '/w==', encoding: 'base64', qos: 0, retain: false, at } },
      {
        event: 'message',
        data: { topic: 'a', payload: 'live\nin two lines', encoding: 'utf8', qos: 0, retain: false, at },
      },
    ])
  })

  test('brings JSON as values, also where it has several lines', async () => {
    const gateway = await startGateway()
    const stream = await open(gateway, 'topic=a&payload=json')
    await gateway.publish({ topic: 'a', payload: '{"t":\r\n 21}' })
    await eventually(() => dataOf(stream)).toMatchObject([{ payload: { t: 21 }, encoding: 'json' }])
  })

  test('counts as a client while it lasts, and no longer', async () => {
    const gateway = await startGateway()
    const stream = await open(gateway, 'topic=a')
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
    expect(gateway.metrics()['mqtt_connections']).toBe(1)
    stream.leave()
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
    expect(gateway.metrics()['mqtt_subscriptions']).toBe(0)
  })

  test('ends with a word when the gateway closes', async () => {
    const gateway = await startGateway()
    const stream = await open(gateway, 'topic=a')
    await gateway.close()
    await stream.over
    expect(stream.events()).toEqual([{ event: 'end', data: { reason: 0x8b, message: 'server shutting down' } }])
  })

  test('lasts though many others do, which the room for HTTP sockets does not limit', async () => {
    const gateway = await startGateway({ limits: { httpSocketsMax: 3 } })
    const streams: Stream[] = []
    for (let i = 0; i < 10; i++) streams.push(await open(gateway, 'topic=a'))
    await gateway.publish({ topic: 'a', payload: 'x' })
    for (const stream of streams) await eventually(() => stream.events().length).toBe(1)
  })

  test('beyond the room for clients the next one is answered 503', async () => {
    const gateway = await startGateway({ limits: { connectionsMax: 1 } })
    await open(gateway, 'topic=a')
    const second = await open(gateway, 'topic=a')
    expect(second.status).toBe(503)
    await eventually(() => second.text()).toContain('there is no room for another client')
  })

  test('a reader that stops reading costs only itself', async () => {
    const gateway = await startGateway({ limits: { outputBufferBytesMax: 64 * 1024 } })
    const { port } = gateway.addresses.http!
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.write('GET /api/v1/stream?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'readable')
    socket.pause()
    const other = await open(gateway, 'topic=a')
    const dropped = () => gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0
    let sent = 0
    while (dropped() === 0) {
      sent++
      await gateway.publish({ topic: 'a', payload: 'x'.repeat(50_000) })
      await eventually(() => other.events().length).toBe(sent)
    }
    expect(gateway.metrics()['mqtt_connections']).toBe(2)
  })
})

describe('events of a stream that is kept', () => {
  const streams = { meters: { filter: 'meters/#' } }
  const fill = async (gateway: Gateway, from: number, to: number) => {
    for (let i = from; i < to; i++) await gateway.publish({ topic: `meters/${i % 2}`, payload: `${i}`, qos: 1 })
  }
  const ids = (stream: Stream) => stream.events().map(({ id }) => id)

  test('have their offset as id, and begin where it is asked for', async () => {
    const gateway = await startGateway({ streams })
    await fill(gateway, 0, 4)
    const stream = await open(gateway, 'topic=$stream/meters&from=offset:1')
    await fill(gateway, 4, 5)
    await eventually(() => ids(stream)).toEqual(['1', '2', '3', '4'])
    expect(dataOf(stream)[0]).toMatchObject({ offset: 1, topic: 'meters/1', payload: '1', qos: 0, retain: false })
    const one = await open(gateway, 'topic=$stream/meters/meters/0&from=earliest')
    await eventually(() => ids(one)).toEqual(['0', '2', '4'])
  })

  test('go on behind the last one, as a browser that comes back asks for it', async () => {
    const gateway = await startGateway({ streams })
    await fill(gateway, 0, 4)
    const query = 'topic=$stream/meters&from=earliest'
    const stream = await open(gateway, query, { 'last-event-id': '2' })
    await eventually(() => ids(stream)).toEqual(['3'])
    const again = await open(gateway, query, { 'last-event-id': '' })
    await eventually(() => ids(again)).toEqual(['0', '1', '2', '3'])
  })

  test('have no id of a publisher’s making', async () => {
    const gateway = await startGateway({ streams })
    const stream = await open(gateway, 'topic=a')
    await gateway.publish({ topic: 'a', payload: '{"op":"message","offset":7}' })
    await eventually(() => stream.events().length).toBe(1)
    expect(ids(stream)).toEqual([undefined])
  })

  test('come whole to a reader that is slow for a while', async () => {
    const gateway = await startGateway({ streams, limits: { outputBufferBytesMax: 64 * 1024 } })
    const payload = 'x'.repeat(50_000)
    for (let i = 0; i < 100; i++) await gateway.publish({ topic: 'meters/1', payload, qos: 1 })
    const { port } = gateway.addresses.http!
    const socket = connect(port, '127.0.0.1')
    onTestFinished(() => void socket.destroy())
    socket.write('GET /api/v1/stream?topic=$stream/meters&from=earliest HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'readable')
    await fill(gateway, 0, 1)
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString('latin1')))
    await eventually(() => text.match(/^id: /gm)?.length).toBe(101)
    expect(gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0).toBe(0)
  })

  test.each([
    ['beside a topic', 'topic=$stream/meters&topic=a', {}],
    ['beside another stream', 'topic=$stream/meters&topic=$stream/meters/meters/1', {}],
    ['of a group', 'topic=$share/g/$stream/meters', {}],
    ['that is not there', 'topic=$stream/other', {}],
    ['from no place', 'topic=$stream/meters&from=yesterday', {}],
    ['from a place of topics', 'topic=a&from=earliest', {}],
    ['after an event that it has not', 'topic=$stream/meters', { 'last-event-id': 'x7' }],
  ])('are answered 400 %s', async (_what, query, headers) => {
    const gateway = await startGateway({ streams })
    expect((await open(gateway, query, headers)).status).toBe(400)
  })
})

describe('who may have a stream', () => {
  test('a token of the API with any role; without one only a program of this machine while nobody is asked who he is', async () => {
    const gateway = await startGateway()
    const { tokens } = apiOf(gateway)
    for (const token of Object.values(tokens)) {
      expect((await open(gateway, 'topic=a', { authorization: `Bearer ${token}` })).status).toBe(200)
    }
    expect((await open(gateway, 'topic=a', { authorization: 'Bearer wrong' })).status).toBe(401)
    expect((await open(gateway, 'topic=a', { 'x-forwarded-for': '10.0.0.1' })).status).toBe(401)
    expect((await open(gateway, 'topic=a', { origin: 'http://elsewhere.example' })).status).toBe(403)
  })

  test('role viewer looks on, and takes nothing out of a queue or from a share group', async () => {
    const gateway = await startGateway({ queues: { jobs: { filter: 'jobs/#', allowQos0: true } } })
    const { tokens } = apiOf(gateway)
    const status = async (topic: string, token: string) =>
      (await open(gateway, `topic=a&topic=${topic}`, { authorization: `Bearer ${token}` })).status
    for (const topic of ['$queue/jobs', '$share/g/jobs/%23', '$share/g/$queue/jobs']) {
      expect(await status(topic, tokens.viewer)).toBe(403)
    }
    for (const topic of ['$queue/jobs', '$share/g/jobs/%23']) expect(await status(topic, tokens.operator)).toBe(200)
  })

  test('a user by name and password, with the same rules as over MQTT', async () => {
    const authenticator = {
      authenticate: ({ username, password }: { username?: string | undefined; password?: Uint8Array | undefined }) => ({
        reasonCode: username === 'alice' && Buffer.from(password ?? '').toString() === 'pass:word' ? 0 : 0x86,
        grant: {
          maySubscribe: (filter: string) => filter.startsWith('open/'),
          mayReceive: () => true,
          mayPublish: () => true,
        },
      }),
    }
    const gateway = await startGateway({ authenticator } as never)
    const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
    expect((await open(gateway, 'topic=open/1')).status).toBe(401)
    expect((await open(gateway, 'topic=open/1', basic('alice:wrong'))).status).toBe(401)
    expect((await open(gateway, 'topic=secret', basic('alice:pass:word'))).status).toBe(403)
    expect((await open(gateway, 'topic=open/1&topic=secret', basic('alice:pass:word'))).status).toBe(403)
    const stream = await open(gateway, 'topic=open/1', basic('alice:pass:word'))
    expect(stream.status).toBe(200)
    const token = gateway.addApiToken('v', 'viewer')
    expect((await open(gateway, 'topic=secret', { authorization: `Bearer ${token}` })).status).toBe(200)
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(2)
  })

  test.each(['', 'topic=', 'topic=a/%23/b', 'topic=a&payload=xml', 'topic=a&colour=red&topic=%23x'])(
    'what can not be asked for is answered 400: %s',
    async (query) => {
      const gateway = await startGateway()
      expect((await open(gateway, query)).status).toBe(400)
    },
  )

  test('what is refused is told why, as far as the core says it', async () => {
    const gateway = await startGateway()
    const stream = await open(gateway, 'topic=$queue/jobs')
    expect(stream.status).toBe(400)
    await eventually(() => stream.text()).toContain('there is no queue jobs')
  })

  test('what another client publishes comes, also to a share group of streams once', async () => {
    const gateway = await startGateway()
    const first = await open(gateway, 'topic=$share/g/a')
    const second = await open(gateway, 'topic=$share/g/a')
    const device = await connectClient(gateway)
    for (let i = 0; i < 4; i++) await device.mqtt.publishAsync('a', String(i), { qos: 1 })
    await eventually(() => first.events().length + second.events().length).toBe(4)
    expect(first.events().length).toBe(2)
  })
})

describePeer('a shell', ['curl'], (programs) => {
  test('curl -N shows messages as they come', async () => {
    const gateway = await startGateway()
    const { port } = gateway.addresses.http!
    const curl = spawn(programs.curl!, ['-sN', `http://127.0.0.1:${port}/api/v1/stream?topic=a/%23`])
    onTestFinished(() => void curl.kill())
    let output = ''
    curl.stdout.on('data', (chunk) => (output += String(chunk)))
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
    await gateway.publish({ topic: 'a/b', payload: 'hello' })
    await eventually(() => output).toContain('data: {"topic":"a/b","payload":"hello"')
  })
})
