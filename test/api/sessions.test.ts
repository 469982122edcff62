/** Sessions through the API: those of clients that are away too, what waits for them, and how they end. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type Api, allPages, apiOf, expectProblem, startApi } from './api.ts'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-sessions-'))
})
afterEach(() => rmSync(dataDir, { recursive: true }))

async function subscribeAndLeave(api: Api, clientId: string, filter: string): Promise<void> {
  const client = await connectClient(api.gateway, { clientId, clean: false })
  await client.mqtt.subscribeAsync(filter, { qos: 1 })
  await client.mqtt.endAsync()
  await eventually(async () => (await api.call(`/sessions/${clientId}`)).body['connected']).toBe(false)
}

interface Queued {
  position: number
  state: string
  message: { topic: string; payload: string }
}

const queueOf = (api: Api, limit: number) => allPages<Queued>(api, `/sessions/away/queue?limit=${limit}`)

describe('the queue of a session', () => {
  it.each([
    ['in memory', true],
    ['in the store', false],
  ])('that is %s is shown in order, page by page, and stays as it is', async (_, inMemory) => {
    const api = apiOf(await startGateway({ inMemory, dataDir }))
    await subscribeAndLeave(api, 'away', 'a/#')
    for (let i = 0; i < 25; i++) await api.gateway.publish({ topic: `a/${i}`, payload: `${i}`, qos: 1 })
    for (const limit of [7, 25, 1000]) {
      const entries = await queueOf(api, limit)
      expect(entries.map(({ message }) => message.payload)).toEqual(Array.from({ length: 25 }, (_, i) => `${i}`))
      expect(new Set(entries.map(({ state }) => state))).toEqual(new Set(['waiting']))
    }
    expect((await api.call('/sessions/away')).body).toMatchObject({ queuedMessages: 25, stored: !inMemory })
    const client = await connectClient(api.gateway, { clientId: 'away', clean: false })
    await client.until(25)
    expect(client.texts()).toEqual(Array.from({ length: 25 }, (_, i) => `${i}`))
    await eventually(() => queueOf(api, 10)).toEqual([])
  })

  it('shows what is in flight too', async () => {
    const api = await startApi()
    const client = await connectClient(api.gateway, { clientId: 'away' })
    // It never acknowledges.
    client.mqtt.handleMessage = () => {}
    await client.mqtt.subscribeAsync('a', { qos: 1 })
    await api.gateway.publish({ topic: 'a', payload: 'x', qos: 1 })
    await client.until(1)
    expect(await queueOf(api, 10)).toMatchObject([{ state: 'sent', qos: 1 }])
  })

  it.each(['x', '-1', '1e3'])('has no page at cursor %j', async (cursor) => {
    const api = await startApi()
    await subscribeAndLeave(api, 'away', 'a')
    expectProblem(await api.call(`/sessions/away/queue?cursor=${cursor}`), 400)
  })
})

describe('a session', () => {
  it('is listed while its client is away, with when it ends, and found by what it is', async () => {
    const api = await startApi()
    await subscribeAndLeave(api, 'away', 'a')
    await connectClient(api.gateway, {
      clientId: 'here',
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 60 },
    })
    const ids = async (query: string) =>
      (await allPages<{ clientId: string }>(api, `/sessions?${query}`)).map((one) => one.clientId)
    expect(await ids('limit=1')).toEqual(['away', 'here'])
    expect(await ids('limit=1&sort=-expiresAt')).toEqual(['here', 'away'])
    expect(await ids('filter=connected:true')).toEqual(['here'])
    expect((await api.call('/sessions/here')).body).toMatchObject({ expiresAt: null, sessionExpirySeconds: 60 })
    await api.admin('/clients/here', { method: 'DELETE' })
    await eventually(async () => (await api.call('/sessions/here')).body['expiresAt']).toMatch(/^\d{4}-/)
  })

  it('ends when it is deleted, with its queue, for good', async () => {
    const first = await startGateway({ inMemory: false, dataDir })
    const api = apiOf(first)
    await subscribeAndLeave(api, 'away', 'a')
    await api.gateway.publish({ topic: 'a', payload: 'x', qos: 1 })
    expect((await api.admin('/sessions/away', { method: 'DELETE' })).status).toBe(204)
    expectProblem(await api.call('/sessions/away'), 404)
    await first.close()
    const again = await startGateway({ inMemory: false, dataDir })
    const client = await connectClient(again, { clientId: 'away', clean: false })
    expect(client.connack.sessionPresent).toBe(false)
  })

  it('of a connected client ends with its connection, and its will is published', async () => {
    const api = await startApi()
    const watcher = await connectClient(api.gateway)
    await watcher.mqtt.subscribeAsync('will')
    const will = { topic: 'will', payload: Buffer.from('gone'), qos: 0, retain: false } as const
    await connectClient(api.gateway, { clientId: 'device', clean: false, will })
    expect((await api.admin('/sessions/device', { method: 'DELETE' })).status).toBe(204)
    await watcher.until(1)
    expectProblem(await api.call('/clients/device'), 404)
    expectProblem(await api.call('/sessions/device'), 404)
  })

  it('shows its subscriptions, and so does the list of all', async () => {
    const api = await startApi()
    const client = await connectClient(api.gateway, { clientId: 'one', protocolVersion: 5 })
    await client.mqtt.subscribeAsync('b/+', { qos: 2, nl: true, properties: { subscriptionIdentifier: 7 } })
    await client.mqtt.subscribeAsync('$share/g/a')
    await subscribeAndLeave(api, 'two', 'b/+')
    const own = await allPages(api, '/sessions/one/subscriptions?limit=1')
    expect(own).toMatchObject([
      { filter: '$share/g/a', group: 'g', qos: 0 },
      { filter: 'b/+', group: '', qos: 2, noLocal: true, identifiers: [7] },
    ])
    const all = await allPages<{ clientId: string }>(api, '/subscriptions?limit=1&filter=b/')
    expect(all.map(({ clientId }) => clientId)).toEqual(['one', 'two'])
    expect(await allPages(api, '/subscriptions?filter=group:g')).toMatchObject([{ clientId: 'one' }])
    const { body } = await api.call('/routes?topic=b/1')
    expect(body).toMatchObject({ recipientCount: 2, groupCount: 0 })
    expect(body['recipients']).toContainEqual({ name: 'two', filter: 'b/+', qos: 1, online: false })
    expect((await api.call('/routes?topic=a')).body).toMatchObject({ groups: [{ name: 'g', members: ['one'] }] })
  })

  it('is named by topics that were published to', async () => {
    const api = await startApi()
    const client = await connectClient(api.gateway)
    await client.mqtt.subscribeAsync('plant/#')
    for (const topic of ['plant/1', 'plant/2', 'other']) await client.mqtt.publishAsync(topic, '', { qos: 1 })
    expect(await allPages(api, '/topics?limit=1&filter=plant')).toEqual([
      { namespace: 'default', topic: 'plant/1', recipients: 1, groups: 0 },
      { namespace: 'default', topic: 'plant/2', recipients: 1, groups: 0 },
    ])
  })
})
