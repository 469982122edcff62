/** What became of messages, asked over HTTP: live, and of one that is published for it. */
import { expect, it } from 'vitest'
import { followersMax } from '../../src/core/explain/explainer.ts'
import type { Explanation } from '../../src/core/ports/explanation.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient } from '../e2e/gateway.ts'
import { expectProblem, startApi } from './api.ts'
import { readLines } from './lines.ts'

it('tells live what becomes of each message, and ends after so many', async () => {
  const api = await startApi()
  const subscriber = await connectClient(api.gateway, { clientId: 'pump-7' })
  await subscriber.mqtt.subscribeAsync('plant/#', { qos: 1 })
  const publisher = await connectClient(api.gateway, { clientId: 'sensor', username: 'alice', password: 'x' })
  const lines = await readLines<Explanation>(api, '/explain/messages?filter=plant/%23&from=sensor&count=2')
  expect(lines.response.headers.get('content-type')).toBe('application/x-ndjson')
  await publisher.mqtt.publishAsync('elsewhere', 'x', { qos: 1 })
  await publisher.mqtt.publishAsync('plant/1', 'hello', { qos: 1 })
  expect(await lines.next()).toMatchObject({
    topic: 'plant/1',
    publisher: { clientId: 'sensor', username: 'alice' },
    outcome: 'delivered',
    recipients: [{ name: 'pump-7', filter: 'plant/#', state: 'acknowledged' }],
  })
  await publisher.mqtt.publishAsync('plant/2', 'hello', { qos: 0 })
  expect(await lines.next()).toMatchObject({ topic: 'plant/2', recipients: [{ state: 'sent', qos: 0 }] })
  expect(await lines.next()).toBeUndefined()
})

it('publishes a message and says what became of it, also for one that gets nothing', async () => {
  const api = await startApi()
  const subscriber = await connectClient(api.gateway, { clientId: 'pump-7' })
  await subscriber.mqtt.subscribeAsync('plant/1', { qos: 2 })
  const explain = (body: object) => api.admin('/explain/publish', { method: 'POST', body })
  expect((await explain({ topic: 'plant/1', payload: 'hello', qos: 2 })).body).toMatchObject({
    publisher: null,
    payloadBytes: 5,
    recipients: [{ name: 'pump-7', state: 'acknowledged' }],
  })
  expect((await explain({ topic: 'plant/2', to: 'pump-7' })).body).toMatchObject({
    outcome: 'no-subscribers',
    recipients: [{ name: 'pump-7', state: 'not_sent', because: 'not_subscribed' }],
  })
})

it('needs a token of role operator, always', async () => {
  const { call, tokens } = await startApi()
  for (const [path, method, body] of [
    ['/explain/messages', 'GET', undefined],
    ['/explain/publish', 'POST', { topic: 'a' }],
  ] as const) {
    expectProblem(await call(path, { method, body }), 401)
    expectProblem(await call(path, { method, body, token: tokens.viewer }), 403)
  }
})

it(`serves ${followersMax} at once, the next one is told to come again, and a place is free when one goes`, async () => {
  const api = await startApi()
  const lines = []
  for (let i = 0; i < followersMax; i++) lines.push(await readLines<Explanation>(api, '/explain/messages'))
  const refused = await api.admin('/explain/messages')
  expectProblem(refused, 503)
  expect(refused.headers.get('retry-after')).toBe('10')
  await lines.pop()!.close()
  await eventually(async () => (await api.admin('/explain/messages?seconds=1')).status).toBe(200)
  for (const one of lines) await one.close()
})

it('ends with the gateway', async () => {
  const api = await startApi()
  const lines = await readLines<Explanation>(api, '/explain/messages')
  await api.gateway.close()
  await expect(lines.next()).rejects.toThrow()
})

it('is about its own namespace for a token of one namespace', async () => {
  const api = await startApi({ namespaces: { lab: {} } })
  const token = api.gateway.addApiToken('lab', 'operator', { namespace: 'lab' })
  const explain = (body: object) => api.call('/explain/publish', { method: 'POST', body, token })
  expect((await explain({ topic: 'a', waitMs: 0 })).body).toMatchObject({ namespace: 'lab' })
  expectProblem(await explain({ topic: 'a', namespace: 'default' }), 403)
  expectProblem(await api.call('/explain/messages?namespace=default', { token }), 403)
})
