/** Delayed messages over the API: in due order, page by page, one of them, and taken back; with and without a store. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Api, allPages, expectProblem, startApi } from './api.ts'

interface Delayed {
  id: string
  dueAt: string
  topic: string
  payload: string
}

describe.each([false, true])('delayed messages, stored: %s', (stored) => {
  let api: Api
  let dataDir: string
  beforeEach(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'mqtide-api-delayed-'))
    api = await startApi({ inMemory: !stored, dataDir, namespaces: { plant: {} } })
  })
  afterEach(async () => {
    await api.gateway.close()
    rmSync(dataDir, { recursive: true })
  })

  const inYears = (years: number) => Math.floor(Date.now() / 1000) + years * 31_536_000

  it('are listed by due time over both clocks and page by page, of one namespace, and by filter', async () => {
    const { gateway } = api
    const sent: string[] = []
    for (let i = 0; i < 30; i++) {
      const seconds = 100_000 * (i + 1)
      const when = i % 3 === 0 ? Math.floor(Date.now() / 1000) + seconds : seconds
      await gateway.publish({ topic: `$delayed/${when}/t/${i % 2}`, payload: String(i) })
      sent.push(String(i))
    }
    await gateway.publish({ topic: '$delayed/50/t/0', payload: 'elsewhere', namespace: 'plant' })
    const all = await allPages<Delayed>(api, '/delayed?limit=7')
    expect(all.map(({ payload }) => payload)).toEqual(sent)
    expect(new Set(all.map(({ id }) => id)).size).toBe(30)
    const odd = await allPages<Delayed>(api, `/delayed?limit=4&filter=${encodeURIComponent('+/1')}`)
    expect(odd.map(({ payload }) => payload)).toEqual(sent.filter((one) => Number(one) % 2 === 1))
    const elsewhere = await allPages<Delayed>(api, '/delayed?namespace=plant&limit=100')
    expect(elsewhere).toMatchObject([{ payload: 'elsewhere', namespace: 'plant', topic: 't/0', publisher: '' }])
    expectProblem(await api.admin('/delayed?cursor=x'), 400)
    expectProblem(await api.admin('/delayed?filter=a%2F%23%2Fb'), 400)
  })

  it('are shown whole and cancelled once, wherever they stand, by who may', async () => {
    const { gateway } = api
    const payload = 'x'.repeat(5000)
    for (const when of [60, 36_000, inYears(1)]) await gateway.publish({ topic: `$delayed/${when}/t`, payload })
    for (let waiting = 3; waiting > 0; waiting--) {
      const { body } = await api.admin<{ items: Delayed[] }>('/delayed')
      expect(body.items).toHaveLength(waiting)
      expect(body.items[0]!.payload).toHaveLength(1024)
      const { id } = body.items[0]!
      expect((await api.admin<Delayed>(`/delayed/${id}`)).body.payload).toBe(payload)
      expectProblem(await api.admin(`/delayed/${id}?namespace=plant`), 404)
      expectProblem(await api.call(`/delayed/${id}`, { method: 'DELETE', token: api.tokens.viewer }), 403)
      const both = await Promise.all(
        [1, 2].map(() => api.call(`/delayed/${id}`, { method: 'DELETE', token: api.tokens.operator })),
      )
      expect(both.map(({ status }) => status).sort()).toEqual([204, 404])
      expect(gateway.metrics()['mqtt_delayed_messages']).toBe(waiting - 1)
    }
    expect(gateway.metrics()).toMatchObject({ mqtt_delayed_bytes: 0, mqtt_delayed_cancelled_total: 3 })
    for (const id of ['x', 's1-1', 's..-1', `s${'z'.repeat(30)}-1`])
      expectProblem(await api.admin(`/delayed/${id}`), 404)
  })
})

it('a message to a malformed address is refused by the API and by the library', async () => {
  const api = await startApi()
  const body = { topic: '$delayed/x/t', payload: '' }
  expectProblem(await api.admin('/publish', { method: 'POST', body }), 400)
  await expect(api.gateway.publish({ topic: '$delayed/5/$delayed/5/t' })).rejects.toThrow('is no address')
})
