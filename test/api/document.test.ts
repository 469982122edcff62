/** The OpenAPI document against the live server: each call it names, each status, and the shape of each answer. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type Answer, type Api, apiOf, nobody, startApi, watchAnswers } from './api.ts'

type Schema = Record<string, unknown>

interface Operation {
  operationId: string
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>
  'x-role': string
}

interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

/** Needs more lists at once than a test can hold open, or never ends; `lists.test.ts` and `stream.test.ts` have it. */
const metElsewhere = ({ operationId }: Operation, status: string) =>
  (status === '503' && operationId !== 'publish') || (status === '200' && operationId === 'streamMessages')

/** The schema with what it refers to in its place. */
function resolved(schema: unknown, { components }: Document): unknown {
  if (Array.isArray(schema)) return schema.map((item) => resolved(item, { components } as Document))
  if (typeof schema !== 'object' || schema === null) return schema
  const { $ref } = schema as { $ref?: string }
  if ($ref !== undefined) return resolved(components.schemas[$ref.split('/').at(-1)!], { components } as Document)
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, resolved(value, { components } as Document)]),
  )
}

function operationsOf({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
}

/** Remembers which status of which call was met, and checks its body. */
class Coverage {
  readonly #document: Document
  readonly #met = new Set<string>()

  constructor(document: Document) {
    this.#document = document
    watchAnswers((method, path, answer) => this.#see(method, path.split('?')[0]!, answer))
  }

  #see(method: string, path: string, { status, body, headers }: Answer): void {
    const found = operationsOf(this.#document).find((one) => {
      const pattern = one.path.replace(/\{\w+\}/g, '[^/]+')
      return one.method === method && new RegExp(`^${pattern}$`).test(path)
    })
    if (found === undefined) return
    const answer = found.operation.responses[String(status)]
    const call = `${found.operation.operationId} ${status}`
    expect(answer, `${call} is not in the document`).toBeDefined()
    this.#met.add(call)
    const [type, content] = Object.entries(answer!.content ?? {})[0] ?? []
    if (content === undefined) return
    expect(headers.get('content-type')).toContain(type)
    const schema = z.fromJSONSchema(resolved(content.schema, this.#document) as Parameters<typeof z.fromJSONSchema>[0])
    const { error } = schema.safeParse(body)
    expect(error, `${call}: ${JSON.stringify(body).slice(0, 500)}`).toBeUndefined()
  }

  get missing(): string[] {
    return operationsOf(this.#document).flatMap(({ operation }) =>
      Object.keys(operation.responses)
        .filter((status) => !metElsewhere(operation, status))
        .map((status) => `${operation.operationId} ${status}`)
        .filter((call) => !this.#met.has(call)),
    )
  }
}

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-api-'))
})
afterEach(() => rmSync(dataDir, { recursive: true }))

async function documentOf({ call }: Api): Promise<Document> {
  return (await call<Document>('/openapi.json')).body
}

/** Paths with their parameters filled in. */
const filled = (path: string) => path.replace(/\{\w+\}/g, 'nothing')

async function callDelayed({ call, admin, gateway }: Api): Promise<void> {
  await gateway.publish({ topic: '$delayed/3600/a', payload: 'x' })
  const { body } = await call<{ items: { id: string }[] }>('/delayed')
  const path = `/delayed/${body.items[0]!.id}`
  await call('/delayed?limit=0')
  await call('/delayed/nothing')
  await call(path)
  for (const one of [path, '/delayed/nothing', path]) {
    await call(`${one}?namespace=a&namespace=b`)
    await admin(`${one}?namespace=a&namespace=b`, { method: 'DELETE' })
    await admin(one, { method: 'DELETE' })
  }
}

async function callEverything(api: Api): Promise<void> {
  const { call, admin } = api
  await connectClient(api.gateway, { clientId: 'device' })
  await api.gateway.publish({ topic: 'a', payload: 'x', retain: true })
  await api.gateway.publish({ topic: 'b', payload: 'x', retain: true })
  const paths = [
    '/clients',
    '/clients/device',
    '/retained',
    '/retained/a',
    '/listeners',
    '/limits',
    '/metrics',
    '/log-level',
    '/metrics/history',
    '/identity',
    '/configuration',
  ]
  const session = ['/sessions/device', '/sessions/device/subscriptions', '/sessions/device/queue']
  for (const path of [...paths, '/sessions', ...session, '/subscriptions', '/topics', '/drops', '/routes?topic=a'])
    await call(path)
  for (const path of session) {
    await call(`${path}?limit=0&namespace=a&namespace=b`)
    await call(path.replace('device', 'nobody'))
  }
  for (const path of ['/sessions', '/subscriptions', '/topics', '/drops', '/routes'])
    await call(`${path}?cursor=x&topic=%23`)
  await call('/metrics/history?step=1h')
  await callDelayed(api)
  await call('/routes?topic=a&namespace=nowhere')
  for (const path of [
    '/clients?limit=0',
    '/clients/device?namespace=a&namespace=b',
    '/retained?filter=%23a',
    '/retained/%23',
  ]) {
    await call(path)
  }
  for (const path of ['/clients/nobody', '/retained/nothing']) await call(path)
  for (const path of [
    '/retained/nothing',
    '/retained/%23',
    '/retained?filter=%23a',
    '/retained/a',
    '/retained?filter=b',
  ]) {
    await admin(path, { method: 'DELETE' })
  }
  await admin('/clients/device?namespace=a&namespace=b', { method: 'DELETE' })
  await admin('/clients/nobody', { method: 'DELETE' })
  await admin('/clients/device', { method: 'DELETE' })
  await connectClient(api.gateway, { clientId: 'device' })
  for (const path of ['device', 'device', 'device?namespace=a&namespace=b'])
    await admin(`/sessions/${path}`, { method: 'DELETE' })
}

const large = { topic: 'x'.repeat(1024 * 1024) }

/** A body that is right, and what each call with one may meet besides. */
async function callWithBody({ admin }: Api, path: string, method: string, body: object): Promise<void> {
  await admin(path, { method, body: large })
  await admin(path, { method, body, headers: { 'content-type': 'text/plain' } })
  await admin(path, { method, body: {} })
  await admin(path, { method, body })
}

async function setEverything(api: Api): Promise<void> {
  await callWithBody(api, '/log-level', 'PUT', { level: 'silent' })
  await callWithBody(api, '/explain', 'POST', { publish: 'a' })
  await callWithBody(api, '/explain/publish', 'POST', { topic: 'a', waitMs: 0 })
  await api.admin('/explain/publish', { method: 'POST', body: { topic: 'a', namespace: 'nowhere' } })
  for (const query of ['seconds=1', 'filter=%23a', 'namespace=nowhere']) await api.admin(`/explain/messages?${query}`)
  for (const query of ['clientId=a&seconds=1', 'seconds=1']) await api.admin(`/trace?${query}`)
  await callWithBody(api, '/traces', 'POST', { name: 'a', clientId: 'a' })
  await api.admin('/traces')
  await api.admin('/traces/nothing', { method: 'DELETE' })
  await api.admin('/traces/%20', { method: 'DELETE' })
  await api.admin('/reload', { method: 'POST' })
  await api.admin('/backup', { method: 'POST', body: { name: 'x' } })
}

/** What needs a data folder and a configuration to read. */
async function setEverythingStored(dataDir: string): Promise<void> {
  const outcomes = [{ faults: ['wrong'] }, { faults: [] }]
  const reload = async () => ({ needRestart: [], warnings: [], ...outcomes.shift()! })
  const api = apiOf(await startGateway({ inMemory: false, dataDir }, { reload }))
  for (const _ of [1, 2]) await api.admin('/reload', { method: 'POST' })
  for (const _ of [1, 2]) await api.admin('/traces', { method: 'POST', body: { name: 'a', clientId: 'a' } })
  await api.admin('/traces/a', { method: 'DELETE' })
  await callWithBody(api, '/backup', 'POST', { name: 'first.db' })
  await api.admin('/backup', { method: 'POST', body: { name: 'first.db' } })
}

async function queueEverything(api: Api): Promise<void> {
  const { admin, call, gateway } = api
  await gateway.queue('jobs').add({ payload: 'x' })
  for (const path of ['/queues', '/queues/jobs', '/queues/jobs/messages']) {
    for (const query of ['', '?limit=0&namespace=a&namespace=b']) await call(path + query)
  }
  for (const path of ['/queues/none', '/queues/none/messages']) await call(path)
  await callWithBody(api, '/queues/jobs/receive', 'POST', { max: 1 })
  await callWithBody(api, '/queues/jobs/settle', 'POST', [{ delivery: 'x' }])
  await callWithBody(api, '/queues/jobs/redrive', 'POST', { max: 1 })
  for (const path of ['receive', 'redrive']) {
    await admin(`/queues/none/${path}`, { method: 'POST', body: {} })
    await admin(`/queues/jobs/${path}`, { method: 'POST', body: { max: 0 } })
  }
  await admin('/queues/none/settle', { method: 'POST', body: [{ delivery: 'x' }] })
  for (const path of ['jobs', 'none', 'jobs?filter=%23a']) {
    const [name, query = ''] = path.split('?')
    await admin(`/queues/${name}/messages?${query}`, { method: 'DELETE' })
  }
}

async function streamEverything(api: Api): Promise<void> {
  const { admin, call, gateway } = api
  await gateway.publish({ topic: 'meters/1', payload: 'x', qos: 1 })
  for (const path of ['/streams', '/streams/meters', '/streams/meters/messages']) {
    for (const query of ['', '?limit=0&namespace=a&namespace=b']) await call(path + query)
  }
  for (const path of ['/streams/none', '/streams/none/messages']) await call(path)
  await callWithBody(api, '/streams/meters/trim', 'POST', { before: 'earliest' })
  await callWithBody(api, '/streams/meters/cursors', 'PUT', { group: 'g', to: 'earliest' })
  await admin('/streams/none/trim', { method: 'POST', body: { before: 'earliest' } })
  await admin('/streams/none/cursors', { method: 'PUT', body: { group: 'g', to: 'latest' } })
  for (const body of [{}, { before: 'there' }]) await admin('/streams/meters/trim', { method: 'POST', body })
  await admin('/streams/meters/cursors', { method: 'PUT', body: {} })
  const member = await connectClient(gateway)
  await member.mqtt.subscribeAsync('$share/g/$stream/meters', { qos: 1 })
  await admin('/streams/meters/cursors?group=g', { method: 'DELETE' })
  for (let i = 0; i < 10; i++) {
    const filters = Array.from({ length: 100 }, (_, n) => `$share/${i}-${n}/$stream/meters`)
    await member.mqtt.subscribeAsync(filters, { qos: 1 }).catch(() => {})
  }
  await admin('/streams/meters/cursors', { method: 'PUT', body: { group: 'one more', to: 'latest' } })
  await member.mqtt.endAsync()
  for (const query of ['group=g', 'group=g', '']) await admin(`/streams/meters/cursors?${query}`, { method: 'DELETE' })
}

async function bridgeEverything(api: Api): Promise<void> {
  const { admin, call } = api
  const topics = [{ filter: 'a', direction: 'out' }]
  await callWithBody(api, '/bridges', 'POST', { name: 'made', url: 'mqtt://127.0.0.1:1', topics })
  await admin('/bridges', { method: 'POST', body: { name: 'given', url: 'mqtt://127.0.0.1:1', topics } })
  await admin('/bridges', { method: 'POST', body: { name: 'made', namespace: 'nowhere' } })
  await admin(`/sessions/${encodeURIComponent('$bridge/given')}`, { method: 'DELETE' })
  for (const path of ['/bridges', '/bridges/made', '/bridges/none']) {
    for (const query of ['', '?limit=0&namespace=a&namespace=b']) await call(path + query)
  }
  for (const name of ['none', 'made', 'made?namespace=a&namespace=b']) {
    const [path, query = ''] = name.split('?')
    await admin(`/bridges/${path}/restart?${query}`, { method: 'POST' })
  }
  for (const path of ['given', 'none', 'made?namespace=a&namespace=b', 'made'])
    await admin(`/bridges/${path}`, { method: 'DELETE' })
}

async function publishEverything({ call, gateway }: Api): Promise<void> {
  const publish = (body: unknown, headers = {}) => call('/publish', { method: 'POST', body, headers })
  const client = await connectClient(gateway, { clean: false, clientId: 'away' })
  await client.mqtt.subscribeAsync('full', { qos: 1 })
  await client.mqtt.endAsync()
  await publish({ topic: 'full', qos: 1 })
  await publish({ topic: 'full', qos: 1 })
  await publish({ messages: [{ topic: 'a' }], atomic: true })
  await publish({ settle: [{ queue: 'jobs', delivery: 'none' }], atomic: true })
  await publish({ topic: '#' })
  await publish({ topic: 'a', namespace: 'nowhere' })
  await publish({ topic: 'a', payload: 'x'.repeat(1024 * 1024) })
  await publish('x', { 'content-type': 'text/plain' })
}

async function askEverything(api: Api): Promise<void> {
  await callWithBody(api, '/request', 'POST', { topic: 'nobody/there' })
  const ask = (body: object) => api.call('/request', { method: 'POST', body })
  await ask({ topic: 'full', qos: 1 })
  await ask({ topic: 'a', namespace: 'nowhere' })
  const device = await connectClient(api.gateway, { protocolVersion: 5 })
  await device.mqtt.subscribeAsync('asked')
  device.mqtt.on('message', (_topic, _payload, { properties }) => device.mqtt.publish(properties!.responseTopic!, 'x'))
  await ask({ topic: 'asked' })
  await api.call('/stream?topic=a&namespace=nowhere')
}

/** Tickets and logins, for whom there are none too. */
async function comeByPage(): Promise<void> {
  const api = await startApi()
  const login = (method: string, headers = {}) => api.call('/login', { method, headers })
  const authorization = `Bearer ${api.tokens.viewer}`
  const { headers } = await login('POST', { authorization })
  const cookie = headers.getSetCookie()[0]!.split(';')[0]!
  await login('POST', { authorization, origin: 'http://localhost:1' })
  await login('DELETE', { cookie })
  await login('DELETE')
  const refusing = await startApi({ authenticator: { authenticate: () => ({ reasonCode: 0x87 }) } })
  await refusing.call('/tickets', { method: 'POST' })
}

/** What any call may be answered, whoever makes it. */
async function callWithoutRights(document: Document): Promise<void> {
  const api = await startApi(nobody)
  await api.call('/explain', { method: 'POST', token: api.tokens.viewer, body: { publish: 'a' } })
  const each = operationsOf(document).map(({ path, method, operation }) => ({ path: filled(path), method, operation }))
  for (const { path, method } of each) await api.call(path, { method })
  for (const { path, method, operation } of each) {
    if (operation['x-role'] !== 'viewer') await api.call(path, { method, token: api.tokens.viewer })
  }
  const token = api.gateway.addApiToken('lab', 'viewer', { namespace: 'lab' })
  for (const { path, method } of each) {
    await api.call(`${path}?namespace=other&topic=a`, { method, token, ...(method === 'POST' && { body: {} }) })
  }
  // The first ones are waited for by nobody: they are answered late.
  const wrong = Array.from({ length: 10 }, () => api.call('/nothing', { token: 'wrong' }))
  await Promise.race(wrong.slice(9))
  for (const { path, method } of each) await api.call(path, { method, token: 'wrong' })
  await Promise.all(wrong)
  const open = await startApi()
  const wrongly = (path: string, method: string) =>
    Array.from({ length: 10 }, () => open.call(path, { method, token: 'wrong' }))
  // The first few are 401, and most of what follows 429.
  await open.call('/tickets', { method: 'POST', token: 'wrong' })
  await Promise.all([...wrongly('/stream?topic=a', 'GET'), ...wrongly('/tickets', 'POST')])
  await comeByPage()
}

it('answers each call as its document says: every status, every shape', async () => {
  const api = await startApi({
    limits: { sessionQueueMessagesMax: 1 },
    sessionQueueFull: 'reject',
    queues: { jobs: {} },
    streams: { meters: { filter: 'meters/#' } },
    bridges: { given: { url: 'mqtt://127.0.0.1:1', topics: [{ filter: 'a', direction: 'out' }] } },
  })
  const document = await documentOf(api)
  expect(document.openapi).toBe('3.1.0')
  const coverage = new Coverage(document)
  await callEverything(api)
  await publishEverything(api)
  await askEverything(api)
  await queueEverything(api)
  await streamEverything(api)
  await bridgeEverything(api)
  await setEverything(api)
  await setEverythingStored(dataDir)
  await callWithoutRights(document)
  expect(coverage.missing).toEqual([])
}, 60_000)

it('shows the same document as a page', async () => {
  const api = await startApi()
  const { status, body, headers } = await api.call<string>('')
  expect(status).toBe(200)
  expect(headers.get('content-type')).toContain('text/html')
  for (const { path } of operationsOf(await documentOf(api))) expect(body).toContain(`/api/v1${path}`)
})

it('says of a path that is not there that it is not, and of one that is which methods it has', async () => {
  const { call } = await startApi()
  expect(await call('/nothing')).toMatchObject({ status: 404, body: { status: 404 } })
  const wrongMethod = await call('/clients', { method: 'PATCH' })
  expect(wrongMethod).toMatchObject({ status: 405, body: { status: 405 } })
  expect(wrongMethod.headers.get('allow')).toBe('GET, HEAD')
  expect((await call('/retained', { method: 'PUT' })).headers.get('allow')).toBe('GET, DELETE, HEAD')
  expect((await call('/clients', { method: 'HEAD' })).status).toBe(200)
})
