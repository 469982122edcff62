/** `POST /publish` with `atomic`: messages and verdicts all or none, with the item named that kept the others from being taken. */
import { describe, expect, it } from 'vitest'
import type { GatewayOptions } from '../../src/gateway.ts'
import { connectClient } from '../e2e/gateway.ts'
import { type Api, expectProblem, startApi } from './api.ts'

const options: GatewayOptions = {
  queues: { orders: { filter: 'orders/#' }, results: { messagesMax: 2 } },
  namespaces: { plant: { queues: { jobs: { filter: '#' } } } },
}

const post = (api: Api, body: unknown, token = api.tokens.operator) =>
  api.call('/publish', { method: 'POST', body, token })

async function lease(api: Api, path = '/queues/orders'): Promise<string> {
  const answer = await api.admin<{ messages: { delivery: string }[] }>(`${path}/receive`, { method: 'POST', body: {} })
  return answer.body.messages[0]!.delivery
}

const readyIn = async (api: Api, path: string) => (await api.admin<{ ready: number }>(path)).body.ready

describe('POST /publish with atomic', () => {
  it('settles a job and publishes its results together', async () => {
    const api = await startApi(options)
    const reader = await connectClient(api.gateway)
    await reader.mqtt.subscribeAsync('done', { qos: 1 })
    await api.gateway.publish({ topic: 'orders/1', payload: 'x', qos: 1 })
    const delivery = await lease(api)
    const messages = [
      { topic: 'done', payload: { order: 1 }, qos: 1 },
      { topic: '$queue/results', payload: 'AQI=', encoding: 'base64', qos: 1 },
    ]
    const body = { messages, settle: [{ queue: 'orders', delivery }], atomic: true }
    expect(await post(api, body)).toMatchObject({
      status: 200,
      body: { results: [{ outcome: 'delivered' }, { outcome: 'delivered' }] },
    })
    await reader.until(1)
    expect(reader.texts()).toEqual(['{"order":1}'])
    expect([await readyIn(api, '/queues/orders'), await readyIn(api, '/queues/results')]).toEqual([0, 1])
    // Once more, as somebody would who got no answer.
    const again = await post(api, body)
    expectProblem(again, 409)
    expect(again.body).toMatchObject({ errors: [{ path: 'body.settle.0' }] })
    expect(await readyIn(api, '/queues/results')).toBe(1)
    expect(api.gateway.metrics()).toMatchObject({
      mqtt_bundles_total: 1,
      'mqtt_bundles_refused_total{reason="not_held"}': 1,
    })
  })

  it('takes nothing where one thing is wrong, and says which', async () => {
    const api = await startApi(options)
    await api.gateway.publish({ topic: 'orders/1', payload: 'x', qos: 1 })
    const delivery = await lease(api)
    const good = { topic: 'kept', payload: 'x', qos: 1, retain: true }
    const settle = [{ queue: 'orders', delivery }]
    const full = { topic: '$queue/results', qos: 1 }
    const wrong: [object, number, string][] = [
      [{ messages: [good, full, full, full], settle }, 503, 'body.messages.3'],
      [{ messages: [good, { topic: '$queue/none' }], settle }, 400, 'body.messages.1'],
      [{ messages: [good, { topic: 'a/+' }], settle }, 400, 'body.messages.1.topic'],
      [{ messages: [good, { topic: 'a', payload: 'x', encoding: 'base64' }], settle }, 400, 'body.messages.1'],
      [{ messages: [good, { topic: 'a', namespace: 'none' }], settle }, 404, 'body.messages.1'],
      [{ messages: [good], settle: [{ queue: 'none', delivery }] }, 404, 'body.settle.0'],
      [{ messages: [good], settle: [...settle, { queue: 'orders', delivery: 'x' }] }, 409, 'body.settle.1'],
      [{ messages: [good], settle: [{ queue: 'orders', delivery, verdict: 'extend' }] }, 400, 'body.settle.0.verdict'],
    ]
    for (const [body, status, path] of wrong) {
      const answer = await post(api, { ...body, atomic: true })
      expectProblem(answer, status)
      expect(answer.body).toMatchObject({ errors: [{ path }] })
    }
    expect(await readyIn(api, '/queues/results')).toBe(0)
    expect((await api.admin('/retained/kept')).status).toBe(404)
    expect((await post(api, { messages: [good, full, full], settle, atomic: true })).status).toBe(200)
  })

  it.each([
    { messages: [{ topic: 'a' }] },
    { messages: [{ topic: 'a' }], atomic: false },
    { atomic: true },
    { messages: Array(1001).fill({ topic: 'a' }), atomic: true },
    { messages: [{ topic: 'a' }], atomic: true, more: 1 },
  ])('is one of these bodies or is refused: %#', async (body) => {
    const api = await startApi()
    expectProblem(await post(api, body), 400)
  })

  it('is bound to the namespace of a token', async () => {
    const api = await startApi(options)
    const token = api.gateway.addApiToken('tenant', 'operator', { namespace: 'plant' })
    expect((await post(api, { messages: [{ topic: 'a', qos: 1 }], atomic: true }, token)).status).toBe(200)
    expect(await readyIn(api, '/queues/jobs?namespace=plant')).toBe(1)
    const delivery = await lease(api, '/queues/jobs')
      .then(() => 'none')
      .catch(() => 'none')
    const other = { messages: [{ topic: 'a', namespace: 'default' }], atomic: true }
    expectProblem(await post(api, other, token), 403)
    const settle = [{ queue: 'orders', namespace: 'default', delivery }]
    expectProblem(await post(api, { settle, atomic: true }, token), 403)
  })
})
