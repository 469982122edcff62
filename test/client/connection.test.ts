/** Connecting, losing the connection and finding it again, on a fake clock and a WebSocket that the test plays. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Connection, type ConnectOptions, connect, type State } from '../../src/client/index.ts'
import { socketUrl } from '../../src/client/wire.ts'
import { FakeGateway } from './fake-gateway.ts'

let gateway: FakeGateway
let states: State[]

beforeEach(() => {
  vi.useFakeTimers()
  gateway = new FakeGateway()
  states = []
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** What the client does before it has a WebSocket takes some turns of the microtask queue. */
const settled = () => vi.advanceTimersByTimeAsync(0)

async function open(options: ConnectOptions = {}): Promise<Connection> {
  const connection = connect('http://gateway.test', { WebSocket: gateway.WebSocket, ...options })
  connection.on('state', (state) => states.push(state))
  await settled()
  return connection
}

async function opened(options: ConnectOptions = {}) {
  const connection = await open(options)
  return { connection, socket: gateway.accept() }
}

describe('connecting', () => {
  test('says who it is with the subprotocol, and is connected when the gateway says so', async () => {
    const connection = await open({ clientId: 'page', token: 'secret', sessionExpirySeconds: 60 })
    expect(gateway.last).toMatchObject({ url: 'ws://gateway.test/ws', protocols: ['mqtide.v1.json'] })
    gateway.last.open()
    expect(gateway.last.said).toEqual([
      {
        op: 'connect',
        id: 1,
        clientId: 'page',
        clean: false,
        sessionExpirySeconds: 60,
        keepAliveSeconds: 120,
        inflightMessagesMax: 100,
        token: 'secret',
      },
    ])
    expect(connection.state).toBe('connecting')
    gateway.last.say({ op: 'connected', sessionPresent: false })
    await connection.connected()
    expect(states).toEqual(['connected'])
  })

  test('makes up a client id of its own, which it keeps', async () => {
    const { connection, socket } = await opened()
    const other = await open()
    expect(socket.said[0]!['clientId']).toBe(connection.clientId)
    expect(other.clientId).not.toBe(connection.clientId)
    expect(connection.clientId).toMatch(/^web-[0-9a-f]{24}$/)
  })

  test.each([
    ['http://host:8083', 'ws://host:8083/ws'],
    ['https://host/', 'wss://host/ws'],
    ['host:8083', 'ws://host:8083/ws'],
    ['wss://host/behind/ws', 'wss://host/behind/ws'],
  ])('takes %s for %s', (given, url) => {
    expect(socketUrl(given)).toBe(url)
  })

  test('without a URL a page means where it came from', () => {
    expect(() => socketUrl(undefined)).toThrow('needs the URL of the gateway')
    vi.stubGlobal('location', { href: 'https://host/some/page.html?x#y' })
    expect(socketUrl(undefined)).toBe('wss://host/ws')
  })

  test('asks for a token before each attempt, and waits where none can be had', async () => {
    const token = vi.fn(async () => `token ${token.mock.calls.length}`)
    const connection = await open({ token })
    gateway.last.drop()
    await vi.advanceTimersByTimeAsync(1000)
    gateway.last.open()
    expect(gateway.last.said[0]!['token']).toBe('token 2')
    token.mockRejectedValueOnce(new Error('the login has ended'))
    gateway.last.drop()
    await vi.advanceTimersByTimeAsync(2000)
    expect(gateway.sockets).toHaveLength(2)
    expect(connection).toMatchObject({ state: 'waiting', error: { message: expect.stringContaining('has ended') } })
    await vi.advanceTimersByTimeAsync(4000)
    expect(gateway.sockets).toHaveLength(3)
  })

  test('ends for good where the gateway refuses what it would say again', async () => {
    const connection = await open({ username: 'a', password: 'wrong' })
    const errors = vi.fn()
    connection.on('error', errors)
    const waiting = connection.publish('a', '1')
    waiting.catch(() => {})
    gateway.last.open()
    gateway.last.say({ op: 'error', id: 1, reason: 0x86, message: 'bad user name or password' })
    expect(connection).toMatchObject({ state: 'closed', error: { code: 'refused', reason: 0x86 } })
    expect(errors).toHaveBeenCalledOnce()
    await expect(waiting).rejects.toThrow('bad user name or password')
    await expect(connection.connected()).rejects.toThrow('bad user name or password')
    await expect(connection.publish('a', '1')).rejects.toThrow('bad user name or password')
    await vi.advanceTimersByTimeAsync(100_000)
    expect(gateway.sockets).toHaveLength(1)
  })

  test('goes on after a refused token where it can fetch another', async () => {
    const connection = await open({ token: () => 'expired' })
    gateway.last.open()
    gateway.last.say({ op: 'error', id: 1, reason: 0x87, message: 'not authorized' })
    expect(connection.state).toBe('waiting')
    await vi.advanceTimersByTimeAsync(1000)
    gateway.accept()
    expect(states).toEqual(['waiting', 'connecting', 'connected'])
  })

  test('gives an attempt up that is not answered, and what speaks something else', async () => {
    const connection = await open({ connectTimeoutMs: 5000 })
    await vi.advanceTimersByTimeAsync(5000)
    expect(connection.error?.message).toContain('did not answer in time')
    await vi.advanceTimersByTimeAsync(1000)
    gateway.last.open()
    gateway.last.say('hello')
    expect(connection.error?.message).toContain('does not speak mqtide.v1.json')
  })

  test('says what may be wrong where the WebSocket never opens', async () => {
    const connection = await open()
    gateway.last.drop()
    expect(connection.error?.message).toMatch(/ws:\/\/gateway.test\/ws: .*allowedOrigins/)
  })

  test('ends for good where no WebSocket can be made', async () => {
    class Forbidden {
      constructor() {
        throw new Error('an insecure WebSocket from a secure page')
      }
    }
    const connection = await open({ WebSocket: Forbidden as never })
    expect(connection).toMatchObject({ state: 'closed', error: { message: expect.stringContaining('secure page') } })
  })
})

describe('losing the connection', () => {
  test('waits twice as long each time, with half of it by chance, up to the limit', async () => {
    const chance = vi.spyOn(Math, 'random')
    const waits: (number | undefined)[] = []
    const connection = await open({ backOff: { firstMs: 1000, mostMs: 8000 } })
    connection.on('state', (_state, { retryInMs }) => retryInMs !== undefined && waits.push(retryInMs))
    for (const random of [0, 1, 0, 1, 1, 0]) {
      chance.mockReturnValueOnce(random)
      gateway.last.drop()
      await vi.advanceTimersByTimeAsync(8000)
    }
    chance.mockRestore()
    expect(waits).toEqual([500, 2000, 2000, 8000, 8000, 4000])
  })

  test('begins anew with the shortest wait only after a connection that stood', async () => {
    const waits: (number | undefined)[] = []
    vi.spyOn(Math, 'random').mockReturnValue(1)
    const connection = await open()
    connection.on('state', (_state, { retryInMs }) => retryInMs !== undefined && waits.push(retryInMs))
    for (const stoodMs of [0, 0, 10_000, 0]) {
      gateway.accept()
      await vi.advanceTimersByTimeAsync(stoodMs)
      gateway.last.drop()
      await vi.advanceTimersByTimeAsync(waits.at(-1)!)
    }
    vi.restoreAllMocks()
    expect(waits).toEqual([1000, 2000, 1000, 2000])
  })

  test('sends what was not acknowledged first and in order, then what came meanwhile', async () => {
    const { connection, socket } = await opened()
    const published = ['1', '2', '3'].map((payload) => connection.publish('a', payload))
    socket.say({ op: 'published', id: socket.ofKind('publish')[0]!['id'] as number, reason: 0 })
    await published[0]
    socket.drop()
    published.push(connection.publish('a', '4'))
    await vi.advanceTimersByTimeAsync(1000)
    const next = gateway.accept({ sessionPresent: true })
    expect(next.ofKind('publish').map(({ payload }) => payload)).toEqual(['2', '3', '4'])
    for (const { id } of next.ofKind('publish')) next.say({ op: 'published', id: id as number, reason: 0 })
    await Promise.all(published)
    expect(connection.outboxSize).toBe(0)
  })

  test('tells a session that stands only what it lacks; QoS 0 again, for its retained messages', async () => {
    const { connection, socket } = await opened()
    const kept = connection.subscribe('kept', () => {}, { qos: 1 })
    connection.subscribe('live', () => {})
    const left = connection.subscribe('left', () => {}, { qos: 1 })
    for (const { id } of socket.ofKind('subscribe')) socket.say({ op: 'subscribed', id: id as number, granted: [1] })
    expect(await kept.ready).toBe(1)
    socket.drop()
    left.close()
    connection.subscribe('new', () => {}, { qos: 1 })
    await vi.advanceTimersByTimeAsync(1000)
    const next = gateway.accept({ sessionPresent: true })
    expect(next.ofKind('unsubscribe').map(({ filters }) => filters)).toEqual([['left']])
    expect(next.ofKind('subscribe').map(({ filters }) => filters)).toEqual([
      [
        { filter: 'live', qos: 0 },
        { filter: 'new', qos: 1 },
      ],
    ])
    next.drop()
    await vi.advanceTimersByTimeAsync(2000)
    const forgotten = gateway.accept({ sessionPresent: false })
    expect(forgotten.ofKind('unsubscribe')).toEqual([])
    const [{ filters } = {}] = forgotten.ofKind('subscribe') as { filters?: { filter: string }[] }[]
    expect(filters?.map(({ filter }) => filter)).toEqual(['kept', 'live', 'new'])
  })

  test('acknowledges over the WebSocket that a message came by, or not at all', async () => {
    const { connection, socket } = await opened()
    let handled = () => {}
    connection.subscribe('a', () => new Promise<void>((resolve) => (handled = resolve)), { qos: 1 })
    socket.message('a', '1', { qos: 1, packet: 7 })
    socket.drop()
    await vi.advanceTimersByTimeAsync(1000)
    const next = gateway.accept({ sessionPresent: true })
    handled()
    await settled()
    expect([...socket.ofKind('ack'), ...next.ofKind('ack')]).toEqual([])
  })

  test('gives up a message that ends the connection because it is too long', async () => {
    const { connection, socket } = await opened()
    const [short, long] = [connection.publish('a', 'x'), connection.publish('a', 'x'.repeat(100))]
    long.catch(() => {})
    socket.drop(4149, 'packet too large')
    await expect(long).rejects.toMatchObject({ code: 'refused', reason: 0x95 })
    await vi.advanceTimersByTimeAsync(1000)
    const next = gateway.accept({ sessionPresent: true })
    expect(next.ofKind('publish').map(({ payload }) => payload)).toEqual(['x'])
    next.say({ op: 'published', id: next.lastId('publish'), reason: 0 })
    await short
  })

  test('ends for good when another program took its session over', async () => {
    const { connection, socket } = await opened()
    socket.drop(4142, 'session taken over')
    expect(connection).toMatchObject({ state: 'closed', error: { reason: 0x8e } })
  })
})

describe('asking whether the gateway is there', () => {
  test('an answer of any kind will do', async () => {
    const { connection, socket } = await opened({ pingMs: 30_000, answerMs: 10_000 })
    await vi.advanceTimersByTimeAsync(30_000)
    expect(socket.ofKind('ping')).toHaveLength(1)
    socket.say({ op: 'pong' })
    await vi.advanceTimersByTimeAsync(30_000)
    socket.message('a', '1')
    await vi.advanceTimersByTimeAsync(20_000)
    expect(connection.state).toBe('connected')
  })

  test('without one the connection is given up', async () => {
    const { connection } = await opened({ pingMs: 30_000, answerMs: 10_000 })
    await vi.advanceTimersByTimeAsync(40_000)
    expect(connection).toMatchObject({ state: 'waiting', error: { message: expect.stringContaining('a ping') } })
  })

  test('a timer that comes late, after a sleep, asks once more', async () => {
    const { connection, socket } = await opened({ pingMs: 30_000, answerMs: 10_000 })
    await vi.advanceTimersByTimeAsync(30_000)
    // The clock goes on while the machine sleeps, timers do not.
    vi.setSystemTime(Date.now() + 3_600_000)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(connection.state).toBe('connected')
    expect(socket.ofKind('ping')).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(connection.state).toBe('waiting')
  })

  test.each(['online', 'offline', 'pageshow', 'resume', 'visibilitychange'])(
    'it asks at once, and tries at once while it waits, on %s',
    async (event) => {
      const page = Object.assign(new EventTarget(), { visibilityState: 'visible' })
      vi.stubGlobal('document', page)
      vi.stubGlobal('addEventListener', page.addEventListener.bind(page))
      vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page))
      const { connection, socket } = await opened()
      page.dispatchEvent(new Event(event))
      page.dispatchEvent(new Event(event))
      expect(socket.ofKind('ping')).toHaveLength(1)
      socket.drop()
      page.dispatchEvent(new Event(event))
      await settled()
      expect(connection.state).toBe('connecting')
      expect(gateway.sockets).toHaveLength(2)
      await connection.close()
      page.dispatchEvent(new Event(event))
      await vi.advanceTimersByTimeAsync(60_000)
      expect(gateway.sockets).toHaveLength(2)
    },
  )
})

describe('close()', () => {
  test('unsubscribes, says goodbye, ends loops and rejects what has not left', async () => {
    const { connection, socket } = await opened()
    const subscription = connection.subscribe('a/#', { qos: 1 })
    const ended = (async () => {
      for await (const _message of subscription);
      return 'ended'
    })()
    const waiting = connection.publish('a', '1')
    waiting.catch(() => {})
    const closing = connection.close({ flushMs: 500 })
    await vi.advanceTimersByTimeAsync(500)
    await closing
    expect(socket.said.slice(-2)).toMatchObject([{ op: 'unsubscribe', filters: ['a/#'] }, { op: 'disconnect' }])
    expect(socket.isClosed).toBe(true)
    expect(await ended).toBe('ended')
    await expect(waiting).rejects.toMatchObject({ code: 'closed' })
    await expect(subscription.ready).rejects.toMatchObject({ code: 'closed' })
    expect(states).toEqual(['connected', 'closed'])
    await vi.advanceTimersByTimeAsync(100_000)
    expect(gateway.sockets).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('waits for the acknowledgement of what is under way', async () => {
    const { connection, socket } = await opened()
    const published = connection.publish('a', '1')
    const closing = connection.close()
    socket.say({ op: 'published', id: socket.lastId('publish'), reason: 0 })
    await Promise.all([published, closing])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('stops an attempt to connect, also while a token is fetched', async () => {
    let give = (_token: string) => {}
    const connection = await open({ token: () => new Promise<string>((resolve) => (give = resolve)) })
    await connection.close()
    give('late')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(gateway.sockets).toEqual([])
  })
})
