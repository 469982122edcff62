/** Bridges through the API and the commands: looked at, made, changed, connected anew and removed, over restarts. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { runCommand } from '../e2e/program.ts'
import { type Api, apiOf, expectProblem } from './api.ts'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-bridges-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, maxRetries: 5 }))

const urlOf = ({ addresses }: Gateway): string => `mqtt://127.0.0.1:${addresses.mqtt!.port}`
const topics = [{ filter: 'plant/#', direction: 'out' }] as const
const nowhere = { url: 'mqtt://127.0.0.1:1', topics: [...topics] }
const post = (api: Api, body: object) => api.admin('/bridges', { method: 'POST', body })

interface Bridge {
  name: string
  state: string
  source: string
  waiting: number
  sent: number
  lastFailure: { reason: string; text: string; at: string } | null
  topics?: object[]
}

const shown = async (api: Api, name: string) => (await api.call<Bridge>(`/bridges/${name}`)).body

test('a bridge is made, works, is changed and removed, and no other is touched', async () => {
  const remote = await startGateway()
  const other: GatewayOptions['bridges'] = {
    given: { url: urlOf(remote), topics: [{ filter: 'other/#', direction: 'out' }] },
  }
  const api = apiOf(await startGateway({ bridges: other }))
  await eventually(async () => (await shown(api, 'given')).state).toBe('connected')
  const before = (await api.call('/bridges/given')).body
  const made = await post(api, { name: 'made', url: urlOf(remote), topics })
  expect(made).toMatchObject({ status: 200, body: { name: 'made', source: 'api', topics: [{ filter: 'plant/#' }] } })
  await eventually(async () => (await shown(api, 'made')).state).toBe('connected')
  const there = await connectClient(remote)
  await there.mqtt.subscribeAsync('#', { qos: 1 })
  await api.gateway.publish({ topic: 'plant/a', payload: 'one', qos: 1 })
  await there.until(1)
  await post(api, { name: 'made', url: urlOf(remote), topics: [{ ...topics[0], remotePrefix: 'site/' }] })
  await eventually(async () => (await shown(api, 'made')).state).toBe('connected')
  await api.gateway.publish({ topic: 'plant/a', payload: 'two', qos: 1 })
  await there.until(2)
  expect(there.received.map(({ topic }) => topic)).toEqual(['plant/a', 'site/plant/a'])
  expect((await api.admin('/bridges/made', { method: 'DELETE' })).status).toBe(204)
  const { body } = await api.call<{ items: Bridge[] }>('/bridges')
  expect(body.items.map(({ name, source }) => [name, source])).toEqual([['given', 'configuration']])
  expect((await api.call('/bridges/given')).body).toMatchObject({ connectedAt: before['connectedAt'] })
  expect((await api.call('/sessions/%24bridge%2Fmade')).status).toBe(404)
})

test('one that was made lasts over a restart, with what waits for it, in a file that only its owner may read', async () => {
  const options = { inMemory: false, dataDir }
  const first = await startGateway(options)
  await post(apiOf(first), { name: 'made', ...nowhere, username: 'me', password: 'secret' })
  await first.publish({ topic: 'plant/a', payload: 'kept', qos: 1 })
  await first.close()
  const file = join(dataDir, 'bridges.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readFileSync(file, 'utf8')).toContain('secret')
  const second = await startGateway(options)
  expect(second.bridges).toMatchObject([{ name: 'made', waiting: 1 }])
})

test('the configuration has its own bridges, and a namespace token sees those of its own', async () => {
  const bridges = { given: nowhere }
  const api = apiOf(await startGateway({ bridges, namespaces: { lab: { bridges: { inner: nowhere } } } }))
  expectProblem(await post(api, { name: 'given', ...nowhere }), 409)
  expectProblem(await api.admin('/bridges/given', { method: 'DELETE' }), 409)
  const token = api.gateway.addApiToken('lab', 'viewer', { namespace: 'lab' })
  const { body } = await api.call<{ items: Bridge[] }>('/bridges', { token })
  expect(body.items.map(({ name }) => name)).toEqual(['inner'])
})

test('what is wrong with one that is made is named by its path, and files here can not be named', async () => {
  const api = apiOf(await startGateway())
  const wrong = await post(api, { name: 'made', url: 'http://x', topics: [] })
  expectProblem(wrong, 400)
  expect(wrong.body['errors']).toMatchObject([{ path: 'body.url' }, { path: 'body.topics' }])
  expectProblem(await post(api, { name: 'made', ...nowhere, username: 'a', passwordFile: '/etc/passwd' }), 400)
  expectProblem(await post(api, { name: 'made', namespace: 'nowhere', ...nowhere }), 404)
  expect(api.gateway.bridges).toEqual([])
})

test('why one is not connected stands in the list, in metrics and in $SYS', async () => {
  const bridges = { given: { ...nowhere, reconnectMs: 20, reconnectMaxMs: 50 } }
  const api = apiOf(await startGateway({ bridges }))
  await eventually(async () => (await shown(api, 'given')).lastFailure?.reason).toBe('connection')
  expect((await shown(api, 'given')).lastFailure!.text).toContain('ECONNREFUSED')
  await api.gateway.publish({ topic: 'plant/a', payload: 'x', qos: 1 })
  const { metrics } = (await api.call<{ metrics: Record<string, number> }>('/metrics')).body
  expect(metrics).toMatchObject({
    'mqtide_bridge_connected{namespace="default",bridge="given"}': 0,
    'mqtide_bridge_waiting_messages{namespace="default",bridge="given"}': 1,
  })
  expect(metrics['mqtide_bridge_failures_total{namespace="default",bridge="given",reason="connection"}']).toBeTruthy()
  const text = await (await fetch(api.url.replace('/api/v1', '/metrics'))).text()
  expect(text).toMatch(/mqtide_bridge_failures_total\{namespace="default",bridge="given",reason="connection"\} [1-9]/)
  const client = await connectClient(api.gateway)
  await client.mqtt.subscribeAsync('$SYS/broker/connection/#')
  await client.until(1)
  expect(client.received[0]).toMatchObject({ topic: '$SYS/broker/connection/given/state', retain: true })
  expect(client.texts()).toEqual(['0'])
})

test('the commands list, show, add, restart and remove them', async () => {
  const remote = await startGateway()
  const api = apiOf(await startGateway())
  const tokenFile = join(dataDir, 'token')
  writeFileSync(tokenFile, api.tokens.admin)
  const gateway = ['--url', api.url.replace('/api/v1', ''), '--token-file', tokenFile]
  const file = join(dataDir, 'bridge.yaml')
  writeFileSync(file, `url: ${urlOf(remote)}\ntopics:\n  - filter: plant/#\n    direction: out\n`)
  const bridges = (...words: string[]) => runCommand(['bridges', ...words, ...gateway])
  expect(await bridges('add', 'cloud', file)).toMatchObject({ exitCode: 0, stderr: '' })
  await eventually(async () => (await shown(api, 'cloud')).state).toBe('connected')
  const list = (await bridges('list')).stdout.toString()
  expect(list).toMatch(/NAMESPACE +NAME +STATE/i)
  expect(list).toMatch(/default +cloud +connected +mqtt:\/\/127\.0\.0\.1/)
  const show = (await bridges('show', 'cloud')).stdout.toString()
  expect(show).toContain('plant/#')
  expect(show).toMatch(/state +connected/)
  expect((await bridges('restart', 'cloud')).exitCode).toBe(0)
  await eventually(async () => (await shown(api, 'cloud')).state).toBe('connected')
  expect((await bridges('remove', 'cloud')).exitCode).toBe(0)
  expect((await bridges('show', 'cloud')).exitCode).not.toBe(0)
})

test('the session in which messages wait for a bridge is not ended apart from it', async () => {
  const api = apiOf(await startGateway({ bridges: { given: nowhere } }))
  await api.gateway.publish({ topic: 'plant/a', payload: 'one', qos: 1 })
  await eventually(async () => (await shown(api, 'given')).waiting).toBe(1)
  const end = await api.admin(`/sessions/${encodeURIComponent('$bridge/given')}`, { method: 'DELETE' })
  expectProblem(end, 409)
  expect(await shown(api, 'given')).toMatchObject({ waiting: 1 })
})

test.each(['', '[]', '{}', 'null', '{"bridges":[null]}', '{"bridges":[{"name":"a"}]}'])(
  'a bridges.json that says %j ends the start, which says where',
  async (text) => {
    const file = join(dataDir, 'bridges.json')
    writeFileSync(file, text)
    await expect(startGateway({ inMemory: false, dataDir })).rejects.toThrow(`${file}: not what the API wrote there`)
  },
)
