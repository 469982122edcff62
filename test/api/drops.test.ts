/** A device that does not get its messages is found: who lost what, why and when. */
import { expect, it } from 'vitest'
import { connectClient } from '../e2e/gateway.ts'
import { allPages, type Page, startApi } from './api.ts'

it('what a full queue, an expiry and a packet limit cost is listed by client, reason and topic', async () => {
  const api = await startApi({ limits: { sessionQueueMessagesMax: 2 } })
  const away = await connectClient(api.gateway, { clientId: 'away', clean: false })
  await away.mqtt.subscribeAsync('plant/#', { qos: 1 })
  await away.mqtt.endAsync()
  for (let i = 0; i < 5; i++) await api.gateway.publish({ topic: `plant/1/${i}`, payload: 'x', qos: 1 })
  const small = await connectClient(api.gateway, {
    clientId: 'small',
    protocolVersion: 5,
    properties: { maximumPacketSize: 50 },
  })
  await small.mqtt.subscribeAsync('large')
  await api.gateway.publish({ topic: 'large', payload: 'x'.repeat(100) })
  const { items } = (await api.call<Page>('/drops?sort=-count')).body
  expect(items).toMatchObject([
    { namespace: 'default', clientId: 'away', reason: 'queue_full', topicPrefix: 'plant/1', count: 3 },
    { clientId: 'small', reason: 'too_large', topicPrefix: 'large', count: 1 },
  ])
  expect(Date.parse(items[0]!['lastAt'] as string)).toBeGreaterThanOrEqual(Date.parse(items[0]!['firstAt'] as string))
  expect(await allPages(api, '/drops?limit=1&filter=reason:too_large')).toHaveLength(1)
  expect(await allPages(api, '/drops?limit=1')).toHaveLength(2)
  expect(await allPages(api, '/drops?filter=topic:plant*+awa')).toHaveLength(1)
  expect((await api.call('/drops')).body['linesLost']).toBe(0)
})

it('what a rule keeps from a subscriber, and a publisher from publishing, is listed too', async () => {
  const grant = { mayPublish: () => false, maySubscribe: () => true, mayReceive: () => false }
  const authenticator = { authenticate: () => ({ reasonCode: 0, grant }) }
  const api = await startApi({ authenticator })
  const client = await connectClient(api.gateway, { clientId: 'kept-out' })
  await client.mqtt.subscribeAsync('secret/#')
  await api.gateway.publish({ topic: 'secret/1/x' })
  await client.mqtt.publishAsync('own/1/x', '', { qos: 1 }).catch(() => {})
  const items = await allPages(api, '/drops?sort=clientId')
  expect(items).toMatchObject([
    { clientId: '', reason: 'not_authorized', topicPrefix: 'own/1', count: 1 },
    { clientId: 'kept-out', reason: 'not_authorized', topicPrefix: 'secret/1', count: 1 },
  ])
})
