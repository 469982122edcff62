/** Streams through the API: what they hold, read from anywhere, let go, and how far groups are. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GatewayOptions } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type Api, allPages, apiOf, expectProblem, type Page } from './api.ts'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-streams-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, maxRetries: 5 }))

const options: GatewayOptions = {
  streams: { meters: { filter: 'meters/#' }, doors: { filter: 'doors/#', startAt: 'earliest' } },
  namespaces: { plant: { streams: { meters: { filter: '#' } } } },
}
const start = async (more: GatewayOptions = {}): Promise<Api> => apiOf(await startGateway({ ...options, ...more }))

interface Stream {
  namespace: string
  name: string
}

interface Message {
  offset: number
  at: string
  message: { topic: string; payload: string }
}

const fill = async ({ gateway }: Api, from: number, to: number, topic = 'meters/7'): Promise<void> => {
  const payloads = Array.from({ length: to - from }, (_, i) => `${from + i}`)
  await Promise.all(payloads.map((payload) => gateway.publish({ topic, payload, qos: 1 })))
}
const read = async (api: Api, query: string): Promise<string[]> => {
  const found = await allPages<Message>(api, `/streams/meters/messages?limit=100&${query}`)
  return found.map(({ offset, message }) => `${offset}:${message.payload}`)
}
const places = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}:${from + i}`)
const trim = (api: Api, before: string) => api.admin('/streams/meters/trim', { method: 'POST', body: { before } })
const move = (api: Api, body: object) => api.admin('/streams/meters/cursors', { method: 'PUT', body })

const bothStores: [string, GatewayOptions][] = [
  ['in memory', { inMemory: true }],
  ['in the store', { inMemory: false }],
]

describe('GET /streams', () => {
  it('lists those that are declared, by namespace, sorted and filtered', async () => {
    const api = await start()
    await fill(api, 0, 3)
    const all = await allPages<Stream>(api, '/streams?limit=2')
    expect(all.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual([
      'default/doors',
      'default/meters',
      'plant/meters',
    ])
    expect(all[1]).toMatchObject({
      ...{ address: '$stream/meters', filter: 'meters/#', declared: true, messages: 3 },
      ...{ firstOffset: 0, nextOffset: 3, readers: 0, groups: 0, totals: { appended: 3, delivered: 0 } },
      ...{ oldestAt: expect.stringMatching(/Z$/), newestAt: expect.stringMatching(/Z$/) },
    })
    expect(all[0]).toMatchObject({ messages: 0, firstOffset: 0, nextOffset: 0, oldestAt: null, newestAt: null })
    const names = async (query: string) =>
      (await allPages<Stream>(api, `/streams?limit=9&${query}`)).map(({ namespace, name }) => `${namespace}/${name}`)
    expect((await names('sort=-messages'))[0]).toBe('default/meters')
    expect(await names('filter=namespace:plant')).toEqual(['plant/meters'])
    expect(await names('filter=filter:doors')).toEqual(['default/doors'])
  })

  it('shows one with its options, its readers and its groups', async () => {
    const api = await start()
    const reader = await connectClient(api.gateway, { clientId: 'reader', protocolVersion: 5 })
    await reader.mqtt.subscribeAsync(['$stream/meters/meters/7', '$share/g/$stream/meters'], { qos: 1 })
    const { body } = await api.call('/streams/meters')
    expect(body).toMatchObject({
      ...{ name: 'meters', readers: 2, groups: 1 },
      groupList: [{ group: 'g', filter: null, cursor: 0, lag: 0, members: 1 }],
      readerList: expect.arrayContaining([
        expect.objectContaining({ clientId: 'reader', connected: true, filter: 'meters/7', group: null, cursor: 0 }),
        expect.objectContaining({ clientId: 'reader', filter: null, group: 'g' }),
      ]),
      options: { filter: 'meters/#', startAt: 'latest', retention: { messagesMax: 0 } },
    })
    for (const path of ['/streams/other', '/streams/doors?namespace=plant', '/streams/doors?namespace=nowhere']) {
      expectProblem(await api.call(path), 404)
    }
  })
})

describe('the messages of a stream', () => {
  it.each(bothStores)('are read from anywhere, page by page, and nobody’s cursor moves: %s', async (_, store) => {
    const api = await start({ ...store, dataDir })
    await fill(api, 0, 600)
    expect(await read(api, '')).toEqual(places(0, 600))
    expect(await read(api, 'from=offset:590')).toEqual(places(590, 600))
    expect(await read(api, 'from=-1h')).toEqual(places(0, 600))
    expect(await read(api, 'from=last')).toEqual(places(599, 600))
    expect(await read(api, 'from=latest')).toEqual([])
    const first = await api.call<Page<Message>>('/streams/meters/messages?limit=7&from=offset:3')
    expect(first.body).toMatchObject({ nextCursor: 'offset:10', missed: 0 })
    expect(first.body.items[0]).toMatchObject({ offset: 3, message: { topic: 'meters/7', payload: '3' } })
  })

  it('are read by topic', async () => {
    const api = await start()
    await fill(api, 0, 2, 'meters/1')
    await fill(api, 2, 4, 'meters/2')
    expect(await read(api, 'filter=meters/2')).toEqual(['2:2', '3:3'])
    expect(await read(api, 'filter=meters/%2B')).toEqual(places(0, 4))
    expect(await read(api, 'filter=doors/%23')).toEqual([])
  })

  it('since a time are those that came since then', async () => {
    const api = await start()
    await fill(api, 0, 1)
    const [{ at }] = (await allPages<Message>(api, '/streams/meters/messages?limit=9')) as [Message]
    await new Promise((resolve) => setTimeout(resolve, 20))
    const between = new Date(Date.parse(at) + 10).toISOString()
    await fill(api, 1, 2)
    expect(await read(api, `from=${encodeURIComponent(between)}`)).toEqual(['1:1'])
    expect(await read(api, `from=${Date.parse(between) * 1000}`)).toEqual(['1:1'])
  })

  it.each([
    ['no place', '/streams/meters/messages?from=yesterday', 400],
    ['no place at all', '/streams/meters/messages?from=', 400],
    ['no cursor of ours', '/streams/meters/messages?cursor=nonsense', 400],
    ['no filter', '/streams/meters/messages?filter=a/%23/b', 400],
    ['no stream', '/streams/other/messages', 404],
  ])('with %s are not there', async (_what, path, status) => {
    expectProblem(await (await start()).call(path), status)
  })
})

describe('trim', () => {
  it.each(bothStores)('drops what is before a place, and offsets go on: %s', async (_, store) => {
    const api = await start({ ...store, dataDir })
    await fill(api, 0, 10)
    expect((await trim(api, 'offset:4')).body).toEqual({ trimmed: 4 })
    expect(await read(api, '')).toEqual(places(4, 10))
    expect((await trim(api, 'earliest')).body).toEqual({ trimmed: 0 })
    expect((await trim(api, 'latest')).body).toEqual({ trimmed: 6 })
    expect((await api.call('/streams/meters')).body).toMatchObject({ messages: 0, firstOffset: 10, nextOffset: 10 })
    await fill(api, 10, 11)
    expect(await read(api, '')).toEqual(['10:10'])
    expect((await api.call<{ missed: number }>('/streams/meters/messages?from=offset:3')).body.missed).toBe(7)
  })

  it('needs a token of role operator, a place and a stream', async () => {
    const api = await start()
    const call = { method: 'POST', body: { before: 'latest' } }
    expectProblem(await api.call('/streams/meters/trim', call), 401)
    expectProblem(await api.call('/streams/meters/trim', { ...call, token: api.tokens.viewer }), 403)
    expectProblem(await api.admin('/streams/other/trim', call), 404)
    for (const body of [{}, { before: 'now' }, { before: 'latest', more: 1 }]) {
      expectProblem(await api.admin('/streams/meters/trim', { method: 'POST', body }), 400)
    }
  })
})

describe('cursors', () => {
  it('of groups are made, moved and deleted, but for that of a group with members', async () => {
    const api = await start()
    await fill(api, 0, 5)
    expect((await move(api, { group: 'g', to: 'offset:3' })).body).toMatchObject({ group: 'g', cursor: 3, lag: 2 })
    const member = await connectClient(api.gateway, { protocolVersion: 4 })
    await member.mqtt.subscribeAsync('$share/g/$stream/meters', { qos: 1 })
    await member.until(2)
    expect(member.texts()).toEqual(['3', '4'])
    const cursor = async () => (await api.call<{ groupList: object[] }>('/streams/meters')).body.groupList
    await eventually(cursor).toMatchObject([{ group: 'g', cursor: 5, lag: 0, members: 1 }])
    expect((await move(api, { group: 'g', to: 'earliest' })).status).toBe(200)
    await member.until(7)
    expect(member.texts().slice(2)).toEqual(['0', '1', '2', '3', '4'])
    const remove = () => api.admin('/streams/meters/cursors?group=g', { method: 'DELETE' })
    expectProblem(await remove(), 409)
    await member.mqtt.unsubscribeAsync('$share/g/$stream/meters')
    expect((await remove()).status).toBe(204)
    expectProblem(await remove(), 404)
    expect(await cursor()).toEqual([])
  })

  it('with a filter are others than those without', async () => {
    const api = await start()
    await move(api, { group: 'g', to: 'latest' })
    const { body } = await move(api, { group: 'g', filter: 'meters/7', to: 'earliest' })
    expect(body).toMatchObject({ group: 'g', filter: 'meters/7', cursor: 0 })
    expect((await api.call('/streams/meters')).body).toMatchObject({ groups: 2 })
  })

  it.each([
    ['no group', {}, 400],
    ['no place', { group: 'g' }, 400],
    ['a place that is none', { group: 'g', to: 'there' }, 400],
    ['what is not known', { group: 'g', to: 'latest', clientId: 'c' }, 400],
    ['a group of several levels', { group: 'a/b', to: 'latest' }, 400],
    ['a wildcard as the group', { group: '+', to: 'latest' }, 400],
    ['a group that no packet can carry', { group: 'a\u0000', to: 'latest' }, 400],
    ['half a character as the group', { group: '\ud800', to: 'latest' }, 400],
    ['a group that is too long', { group: 'g'.repeat(201), to: 'latest' }, 400],
  ])('are not moved with %s', async (_what, body, status) => {
    expectProblem(await move(await start(), body), status)
  })
})

describe('a token of one namespace', () => {
  it('sees and shortens the streams of it only', async () => {
    const api = await start()
    const token = api.gateway.addApiToken('plant', 'operator', { namespace: 'plant' })
    const call = <Body = unknown>(path: string, body?: object) =>
      api.call<Body>(path, { token, ...(body !== undefined && { method: 'POST', body }) })
    expect((await call<Page<Stream>>('/streams')).body.items.map(({ namespace }) => namespace)).toEqual(['plant'])
    expect((await call('/streams/meters')).body).toMatchObject({ namespace: 'plant', filter: '#' })
    expect((await call('/streams/doors')).status).toBe(404)
    expect((await call('/streams/meters/trim?namespace=default', { before: 'latest' })).status).toBe(403)
    expect((await call('/streams/meters/trim', { before: 'latest' })).body).toEqual({ trimmed: 0 })
  })
})

describe('metrics and $SYS', () => {
  it('say of each stream what it holds, and how far behind its slowest group is', async () => {
    const api = await start()
    await fill(api, 0, 4)
    await move(api, { group: 'slow', to: 'offset:1' })
    await move(api, { group: 'fast', to: 'latest' })
    const labels = 'namespace="default",stream="meters"'
    expect(api.gateway.metrics()).toMatchObject({
      [`mqtt_stream_messages{${labels}}`]: 4,
      [`mqtt_stream_next_offset{${labels}}`]: 4,
      [`mqtt_stream_groups{${labels}}`]: 2,
      [`mqtt_stream_lag{${labels}}`]: 3,
      [`mqtt_stream_appended_total{${labels}}`]: 4,
    })
    expect(api.gateway.metrics()).not.toHaveProperty('mqtt_stream_lag{namespace="default",stream="doors"}')
    const text = await (await fetch(api.url.replace('/api/v1', '/metrics'))).text()
    expect(text).toContain(`mqtt_stream_messages{${labels}} 4`)
    expect(text).toContain(`mqtt_stream_appended_total{${labels}} 4`)
  })

  it('are below $SYS/broker/streams in the namespace of the stream', async () => {
    const api = await start()
    const sys = async (topic: string) =>
      (await api.admin(`/retained/${encodeURIComponent(`$SYS/broker/streams/${topic}`)}`)).body['payload']
    expect(await sys('meters/messages')).toBe('0')
    expect(await sys('meters/next_offset')).toBe('0')
    const plant = await api.admin(
      `/retained/${encodeURIComponent('$SYS/broker/streams/meters/readers')}?namespace=plant`,
    )
    expect(plant.body['payload']).toBe('0')
  })
})
