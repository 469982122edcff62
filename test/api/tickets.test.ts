/** Tickets over real sockets: what they open, whose rights they have, and how they are refused. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { changeTokens, tokensPath } from '../../src/auth/api-tokens.ts'
import { connect } from '../../src/client/index.ts'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { type Api, nobody, startApi } from './api.ts'

const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

/** Lets in `alice` with the password `pass`, to what begins with `open/`. */
const alice = {
  authenticator: {
    authenticate: ({ username, password }: { username?: string | undefined; password?: Uint8Array | undefined }) => ({
      reasonCode: username === 'alice' && Buffer.from(password ?? '').toString() === 'pass' ? 0 : 0x86,
      grant: {
        maySubscribe: (filter: string) => filter.startsWith('open/'),
        mayReceive: () => true,
        mayPublish: () => true,
      },
    }),
  },
} as GatewayOptions

async function ticketOf(api: Api, headers: Record<string, string>): Promise<string> {
  const { status, body } = await api.call<{ ticket: string; expiresInSeconds: number }>('/tickets', {
    method: 'POST',
    headers,
  })
  expect(status).toBe(201)
  expect(body.expiresInSeconds).toBe(30)
  return body.ticket
}

interface Stream {
  status: number
  text(): string
  over: Promise<void>
  leave(): void
}

async function stream(api: Api, query: string, headers: Record<string, string> = {}): Promise<Stream> {
  const controller = new AbortController()
  onTestFinished(() => controller.abort())
  const response = await fetch(`${api.url}/stream?${query}`, { headers, signal: controller.signal })
  let text = ''
  const read = async () => {
    for await (const chunk of response.body!) text += Buffer.from(chunk).toString()
  }
  const over = read().catch(() => {})
  return { status: response.status, text: () => text, over, leave: () => controller.abort() }
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const refusals = (gateway: Gateway, reason: string) =>
  gateway.metrics()[`mqtide_tickets_refused_total{reason="${reason}"}`] ?? 0

test('opens a stream without a header, and opens it again by the same URL', async () => {
  const api = await startApi(nobody)
  const query = `topic=a&ticket=${await ticketOf(api, bearer(api.tokens.viewer))}`
  expect((await stream(api, 'topic=a&ticket=')).status).toBe(401)
  const first = await stream(api, query)
  expect(first.status).toBe(200)
  first.leave()
  await eventually(() => api.gateway.metrics()['mqtt_connections']).toBe(0)
  const second = await stream(api, query)
  await api.gateway.publish({ topic: 'a', payload: 'hello' })
  await eventually(() => second.text()).toContain('hello')
  const third = await stream(api, query)
  expect(third.status).toBe(200)
  await second.over
  expect(second.text()).toContain('event: end\ndata: {"reason":142')
})

test('opens nothing else: another URL, another origin, a second WebSocket', async () => {
  const api = await startApi(nobody)
  const ticket = await ticketOf(api, bearer(api.tokens.admin))
  expect((await stream(api, `topic=a&ticket=${ticket}`)).status).toBe(200)
  expect((await stream(api, `topic=b&ticket=${ticket}`)).status).toBe(401)
  const { port } = api.gateway.addresses.http!
  expect((await stream(api, `topic=a&ticket=${ticket}`, { origin: `http://localhost:${port}` })).status).toBe(401)
  expect(await open(api, ticket)).toBe(401)
  expect(refusals(api.gateway, 'other_place')).toBe(3)
  expect((await api.call(`/clients?ticket=${ticket}`)).status).toBe(401)
})

test('is no use beside an Authorization header, nor spent by a request that is not valid', async () => {
  const api = await startApi(nobody)
  const ticket = await ticketOf(api, bearer(api.tokens.viewer))
  expect((await stream(api, `topic=a&ticket=${ticket}`, bearer(api.tokens.viewer))).status).toBe(400)
  expect((await stream(api, `topic=a/%23/b&ticket=${ticket}`)).status).toBe(400)
  expect((await stream(api, `topic=a&ticket=${ticket}`)).status).toBe(200)
})

test('dies with the token behind it, also where it has opened a stream already', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-tickets-'))
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }))
  const api = await startApi({ ...alice, inMemory: false, dataDir })
  const token = api.gateway.addApiToken('panel', 'viewer')
  const query = `topic=a&ticket=${await ticketOf(api, bearer(token))}`
  const first = await stream(api, query)
  expect(first.status).toBe(200)
  first.leave()
  changeTokens(tokensPath(dataDir), (tokens) => tokens.filter(({ name }) => name !== 'panel'))
  expect((await stream(api, query)).status).toBe(401)
  expect((await api.call('/tickets', { method: 'POST', headers: bearer(token) })).status).toBe(401)
})

test('is given for the name and the password of a client, with its rights and no others', async () => {
  const api = await startApi(alice)
  expect((await api.call('/tickets', { method: 'POST', headers: basic('alice:wrong') })).status).toBe(401)
  expect((await api.call('/tickets', { method: 'POST' })).status).toBe(401)
  const query = async (topic: string) => `topic=${topic}&ticket=${await ticketOf(api, basic('alice:pass'))}`
  expect((await stream(api, await query('secret'))).status).toBe(403)
  expect((await stream(api, await query('open/1'))).status).toBe(200)
  const client = await openJson(api, await ticketOf(api, basic('alice:pass')))
  expect(await client.ask({ op: 'subscribe', filters: [{ filter: 'secret' }] })).toMatchObject({
    op: 'error',
    reason: 135,
  })
  expect(await client.ask({ op: 'subscribe', filters: [{ filter: 'open/a' }] })).toMatchObject({ op: 'subscribed' })
})

test('of role viewer looks on over a WebSocket too: it takes nothing and publishes nothing', async () => {
  const api = await startApi({ ...nobody, queues: { jobs: { filter: 'jobs/#', allowQos0: true } } })
  const client = await openJson(api, await ticketOf(api, bearer(api.tokens.viewer)))
  const connect = { op: 'connect', clientId: 'pump', sessionExpirySeconds: 300, clean: false }
  const connected = await client.ask(connect)
  expect(connected).toMatchObject({ op: 'connected', sessionExpirySeconds: 0, sessionPresent: false })
  expect(connected['clientId']).not.toBe('pump')
  for (const filter of ['$queue/jobs', '$share/g/jobs/#', '$share/g/$queue/jobs']) {
    expect(await client.ask({ op: 'subscribe', filters: [{ filter, qos: 1 }] })).toMatchObject({ op: 'error' })
  }
  expect(await client.ask({ op: 'publish', topic: 'a', qos: 1 })).toMatchObject({ op: 'error', reason: 135 })
  expect(await client.ask({ op: 'subscribe', filters: [{ filter: 'a' }] })).toMatchObject({ op: 'subscribed' })
})

test('of role operator does what the token does, in the place of its own', async () => {
  const api = await startApi({ ...nobody, namespaces: { lab: {} } })
  const token = api.gateway.addApiToken('lab', 'operator', { namespace: 'lab' })
  const inLab = await openJson(api, await ticketOf(api, bearer(token)))
  const outside = await openJson(api, await ticketOf(api, bearer(api.tokens.operator)))
  for (const client of [inLab, outside]) await client.ask({ op: 'subscribe', filters: [{ filter: 'a', qos: 1 }] })
  await inLab.ask({ op: 'publish', topic: 'a', payload: 'lab', qos: 1 })
  await eventually(() => inLab.received.some(({ op }) => op === 'message')).toBe(true)
  await outside.ask({ op: 'ping' })
  expect(outside.received.some(({ op }) => op === 'message')).toBe(false)
  expect(await open(api, await ticketOf(api, bearer(token)), '&namespace=default')).toBe(403)
})

test('says alone who connects: credentials beside it are refused', async () => {
  const api = await startApi(nobody)
  const client = await openJson(api, await ticketOf(api, bearer(api.tokens.operator)))
  client.socket.send(JSON.stringify({ op: 'connect', username: 'alice', password: 'pass' }))
  const [code] = (await once(client.socket, 'close')) as [number]
  expect(code).toBe(4130)
})

test('that is guessed is refused, counted, and slows its address down', async () => {
  const api = await startApi(nobody)
  const statuses: number[] = []
  while (!statuses.includes(429)) statuses.push(await open(api, `mqtide_ticket_${statuses.length}`))
  expect(statuses[0]).toBe(401)
  expect(refusals(api.gateway, 'unknown')).toBe(statuses.length)
})

test('is fetched anew by mqtide/client before each attempt', async () => {
  const api = await startApi(nobody)
  const fetched: string[] = []
  const connection = connect(`ws://127.0.0.1:${api.gateway.addresses.http!.port}`, {
    backOff: { firstMs: 1 },
    async ticket() {
      fetched.push(await ticketOf(api, bearer(api.tokens.operator)))
      return fetched.at(-1)
    },
  })
  onTestFinished(() => connection.close({ flushMs: 0 }))
  await connection.connected()
  await api.admin(`/clients/${connection.clientId}`, { method: 'DELETE' })
  await eventually(() => fetched.length).toBe(2)
  await connection.connected()
  await connection.publish('a', 'x')
})

/** The status with which the handshake is answered. */
function open(api: Api, ticket: string, more = ''): Promise<number> {
  const socket = webSocket(api, ticket, more)
  return new Promise((resolve) => {
    socket.on('unexpected-response', (_request, response) => {
      response.resume()
      resolve(response.statusCode!)
    })
    socket.on('open', () => resolve(101))
  })
}

function webSocket(api: Api, ticket: string, more = ''): WebSocket {
  const { port } = api.gateway.addresses.http!
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?ticket=${ticket}${more}`, ['mqtide.v1.json'])
  socket.on('error', () => {})
  onTestFinished(() => socket.terminate())
  return socket
}

async function openJson(api: Api, ticket: string) {
  const socket = webSocket(api, ticket)
  const received: Record<string, unknown>[] = []
  socket.on('message', (data) => received.push(JSON.parse(String(data)) as Record<string, unknown>))
  await once(socket, 'open')
  let lastId = 0
  const ask = async (operation: object) => {
    const id = ++lastId
    socket.send(JSON.stringify({ ...operation, id }))
    await eventually(() => received.some((one) => one['id'] === id)).toBe(true)
    return received.find((one) => one['id'] === id)!
  }
  return { socket, received, ask }
}
