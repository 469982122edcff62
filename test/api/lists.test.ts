/** Lists: filtered, sorted, page by page, while what is listed comes and goes. */
import { describe, expect, it } from 'vitest'
import { type Order, Pages } from '../../src/api/listing.ts'
import { connectClient } from '../e2e/gateway.ts'
import { type Api, allPages, expectProblem, type Page, startApi } from './api.ts'

interface Row {
  name: string
  size: number
}

const byName: Order<Row> = { value: (row) => row.name, identity: (row) => row.name, descending: false }
const bySize: Order<Row> = { value: (row) => row.size, identity: (row) => row.name, descending: true }
const all = () => true

describe('a page', () => {
  it('goes on behind the last row of the one before, whatever came and went meanwhile', async () => {
    const pages = new Pages(() => 0)
    const rows = ['c', 'a', 'e', 'b', 'd'].map((name) => ({ name, size: 1 }))
    const first = await pages.page(rows, { limit: 2, cursor: undefined, order: byName, matches: all })
    expect(first.rows.map(({ name }) => name)).toEqual(['a', 'b'])
    const later = [{ name: 'a2', size: 1 }, ...rows.filter(({ name }) => name !== 'b' && name !== 'c')]
    const second = await pages.page(later, { limit: 2, cursor: first.nextCursor!, order: byName, matches: all })
    expect(second.rows.map(({ name }) => name)).toEqual(['d', 'e'])
    expect(second.nextCursor).toBeNull()
  })

  it('tells rows of the same value apart by their identity', async () => {
    const pages = new Pages(() => 0)
    const rows = Array.from({ length: 50 }, (_, i) => ({ name: `n${i}`, size: i % 3 }))
    const seen: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await pages.page(rows, { limit: 7, cursor, order: bySize, matches: all })
      seen.push(...page.rows.map(({ name }) => name))
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    expect(new Set(seen).size).toBe(50)
    expect(seen).toHaveLength(50)
    const sizes = seen.map((name) => Number(name.slice(1)) % 3)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
  })

  it('is read in slices: after each the event loop does something else', async () => {
    let time = 0
    // A row takes a tenth of a millisecond.
    const pages = new Pages(() => time)
    let longestSliceMs = 0
    let sliceBegan = 0
    function* rows(): Iterable<Row> {
      for (let i = 0; i < 10_000; i++) {
        time += 0.1
        longestSliceMs = Math.max(longestSliceMs, time - sliceBegan)
        yield { name: String(i), size: i }
      }
    }
    let isOver = false
    const tick = (): void => {
      sliceBegan = time
      if (!isOver) setImmediate(tick)
    }
    setImmediate(tick)
    const { rows: found } = await pages.page(rows(), { limit: 3, cursor: undefined, order: bySize, matches: all })
    isOver = true
    expect(found.map(({ size }) => size)).toEqual([9999, 9998, 9997])
    expect(longestSliceMs).toBeLessThan(25)
  })

  it('has each row once, also one that is met again since it came back meanwhile', async () => {
    const pages = new Pages(() => 0)
    const rows = new Map(['a', 'b', 'c'].map((name) => [name, { name, size: 1 }]))
    function* metAgain(): Iterable<Row> {
      for (const row of rows.values()) {
        yield row
        if (row.size > 1) continue
        rows.delete(row.name)
        rows.set(row.name, { name: row.name, size: 2 })
      }
    }
    const wanted = { limit: 10, cursor: undefined, order: bySize, matches: all }
    const { rows: found, nextCursor } = await pages.page(metAgain(), wanted)
    expect(found.map(({ name }) => name)).toEqual(['c', 'b', 'a'])
    expect(nextCursor).toBeNull()
  })

  it('is refused while too many lists are read, and not any more once they are', async () => {
    let time = 0
    const pages = new Pages(() => (time += 100))
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `n${i}`, size: i }))
    const wanted = { limit: 3, cursor: undefined, order: byName, matches: all }
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => pages.page(rows, wanted)))
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(2)
    expect(results[9]).toMatchObject({ reason: { status: 503, headers: { 'retry-after': '1' } } })
    expect((await pages.page(rows, wanted)).rows).toHaveLength(3)
  })
})

async function withClients(): Promise<Api> {
  const api = await startApi()
  for (const clientId of ['pump-1', 'pump-2', 'valve/1', 'urn:dev:1']) {
    await connectClient(api.gateway, {
      clientId,
      username: clientId.startsWith('pump') ? 'alice' : 'bob',
      password: 'x',
    })
  }
  return api
}

interface Client {
  clientId: string
  connectedAt: string
}

const idsOf = (items: Client[]) => items.map(({ clientId }) => clientId)

describe('the list of clients', () => {
  it.each([
    ['', ['pump-1', 'pump-2', 'urn:dev:1', 'valve/1']],
    ['filter=pump', ['pump-1', 'pump-2']],
    ['filter=*-2', ['pump-2']],
    ['filter=username:bob', ['urn:dev:1', 'valve/1']],
    ['filter=username:bob+valve', ['valve/1']],
    ['filter=urn:dev:1', ['urn:dev:1']],
    ['filter=listener:nowhere', []],
    ['sort=-clientId', ['valve/1', 'urn:dev:1', 'pump-2', 'pump-1']],
    ['sort=username', ['pump-1', 'pump-2', 'urn:dev:1', 'valve/1']],
    ['sort=-queuedMessages', ['valve/1', 'urn:dev:1', 'pump-2', 'pump-1']],
    ['sort=connectedAt', ['pump-1', 'pump-2', 'urn:dev:1', 'valve/1']],
  ])('%j gives %j, whatever the size of a page', async (query, ids) => {
    const api = await withClients()
    const { body } = await api.call<Page<Client>>(`/clients?${query}`)
    const sorted = query === 'sort=connectedAt' ? idsOf(body.items).toSorted() : idsOf(body.items)
    expect(sorted).toEqual(ids)
    expect(body.nextCursor).toBeNull()
    expect(idsOf(await allPages<Client>(api, `/clients?limit=1&${query}`))).toEqual(idsOf(body.items))
  })

  it('ends where its last page does: a page beyond it is empty', async () => {
    const api = await withClients()
    const { body } = await api.call<Page<Client>>('/clients?limit=3')
    for (const { clientId } of await allPages<Client>(api, '/clients?')) {
      await api.admin(`/clients/${encodeURIComponent(clientId)}`, { method: 'DELETE' })
    }
    const beyond = await api.call<Page<Client>>(`/clients?cursor=${body.nextCursor}`)
    expect(beyond).toMatchObject({ status: 200, body: { items: [], nextCursor: null } })
  })

  it.each(['limit=0', 'limit=1001', 'limit=x', 'sort=secret', 'cursor=%25', 'cursor=W10', `filter=${'x'.repeat(501)}`])(
    '%.20s is a faulty request',
    async (query) => {
      const api = await startApi()
      expectProblem(await api.call(`/clients?${query}`), 400)
    },
  )

  it.each(['a/b', '100%', 'ü ?&#', 'a%2Fb', '+', '日本'])('a client is found by its id %j', async (clientId) => {
    const api = await startApi()
    await connectClient(api.gateway, { clientId })
    const path = `/clients/${encodeURIComponent(clientId)}`
    expect((await api.call(path)).body).toMatchObject({ clientId, namespace: 'default', listener: 'tcp-0' })
    expect((await api.admin(path, { method: 'DELETE' })).status).toBe(204)
  })
})

describe('retained messages', () => {
  it('are listed by filter and by topic, page by page, and deleted by filter', async () => {
    const api = await startApi()
    const topics = ['plant/1', 'plant/2', 'plant/1/x', 'other']
    for (const topic of topics) await api.gateway.publish({ topic, payload: topic, retain: true })
    const listed = await allPages<{ topic: string; payload: string }>(api, '/retained?filter=plant/%23&limit=2')
    expect(listed.map(({ topic, payload }) => [topic, payload])).toEqual([
      ['plant/1', 'plant/1'],
      ['plant/1/x', 'plant/1/x'],
      ['plant/2', 'plant/2'],
    ])
    const deleted = await api.admin(`/retained?filter=${encodeURIComponent('plant/+')}`, { method: 'DELETE' })
    expect(deleted.body).toEqual({ deleted: 2 })
    expect(await allPages(api, '/retained?filter=%23')).toMatchObject([{ topic: 'other' }, { topic: 'plant/1/x' }])
    expect((await api.admin('/retained/plant%2F1%2Fx', { method: 'DELETE' })).status).toBe(204)
    expectProblem(await api.admin('/retained/plant%2F1%2Fx', { method: 'DELETE' }), 404)
  })

  it('are listed shortened, not in the middle of a character, and shown whole', async () => {
    const api = await startApi()
    const payload = 'ü'.repeat(600)
    await api.gateway.publish({ topic: 'a', payload: `x${payload}`, retain: true })
    const { items } = (await api.call<Page>('/retained?filter=a')).body
    expect(items[0]).toMatchObject({ payload: `x${'ü'.repeat(511)}`, payloadBytes: 1201, payloadCut: true })
    expect((await api.call('/retained/a')).body).toMatchObject({ payload: `x${payload}`, payloadCut: false })
  })

  it.each(['a/#/b', '$share/g/a', ''])('%j is no filter to list or delete by', async (filter) => {
    const api = await startApi()
    expectProblem(await api.call(`/retained?filter=${encodeURIComponent(filter)}`), 400)
    expectProblem(await api.admin(`/retained?filter=${encodeURIComponent(filter)}`, { method: 'DELETE' }), 400)
  })

  it('of the gateway itself, below $SYS, are not deleted: some of them it says but once', async () => {
    const api = await startApi()
    for (const path of ['?filter=%24SYS/%23', '/%24SYS%2Fbroker%2Fversion']) {
      expectProblem(await api.admin(`/retained${path}`, { method: 'DELETE' }), 400)
    }
    expect((await api.call('/retained/%24SYS%2Fbroker%2Fversion')).status).toBe(200)
  })

  it('that another namespace exports are not made or deleted where they go', async () => {
    const plant = { exports: [{ filter: '#', to: 'default', prefix: 'plant/' }] }
    const api = await startApi({ namespaces: { plant } })
    const topic = 'plant/a'
    await api.gateway.publish({ topic: 'a', payload: 'x', retain: true, namespace: 'plant' })
    expectProblem(await api.call('/publish', { method: 'POST', body: { topic, payload: 'forged' } }), 400)
    await expect(api.gateway.publish({ topic, payload: 'forged' })).rejects.toThrow('another namespace exports')
    expectProblem(await api.admin('/retained/plant%2Fa', { method: 'DELETE' }), 404)
    expect((await api.admin('/retained?filter=%23', { method: 'DELETE' })).body).toEqual({ deleted: 0 })
    expect((await api.call('/retained/plant%2Fa')).body).toMatchObject({ payload: 'x' })
  })

  it('are not deleted without a filter', async () => {
    const api = await startApi()
    expectProblem(await api.admin('/retained', { method: 'DELETE' }), 400)
  })
})
