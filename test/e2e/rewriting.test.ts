/** Rewriting as clients, programs and operators meet it: over sockets, over HTTP, and at a reload. */
import { expect, test } from 'vitest'
import { ConfigError } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'

const rewrite = [{ from: 'temp/{site}/{sensor}', to: 'sites/{site}/{sensor}' }]

test('old devices and old subscribers meet at the new topic, whatever they speak', async () => {
  const gateway = await startGateway({ rewrite })
  const old = await connectClient(gateway, { protocolVersion: 4 })
  const recent = await connectClient(gateway, { protocolVersion: 5 })
  await old.mqtt.subscribeAsync('temp/+/door', { qos: 1 })
  await recent.mqtt.subscribeAsync('sites/#', { qos: 2 })
  await old.mqtt.publishAsync('temp/7/door', 'a', { qos: 2 })
  const properties = { topicAlias: 1 }
  await recent.mqtt.publishAsync('temp/7/door', 'b', { qos: 1, properties })
  await recent.mqtt.publishAsync('', 'c', { qos: 1, properties })
  expect(await gateway.publish({ topic: 'temp/8/door', payload: 'd' })).toBe(true)
  await gateway.publishAll([{ topic: 'temp/9/door', payload: 'e' }])
  const token = gateway.addApiToken('test', 'operator')
  const { status } = await fetch(`http://127.0.0.1:${gateway.addresses.http!.port}/api/v1/publish`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ topic: 'temp/10/door', payload: 'f' }),
  })
  expect(status).toBe(200)
  for (const client of [old, recent]) {
    await client.until(6)
    const seen = client.received.map(({ topic, payload }) => `${topic} ${payload.toString()}`)
    const expected = ['7/door a', '7/door b', '7/door c', '8/door d', '9/door e', '10/door f']
    expect(seen).toEqual(expected.map((one) => `sites/${one}`))
  }
  expect(gateway.metrics()).toMatchObject({ mqtt_topics_rewritten_total: 6, mqtt_filters_rewritten_total: 1 })
})

test('a reload takes other rules for the next message, and none at all that lead in a circle', async () => {
  const options = { mqttPort: 0, httpPort: 0, inMemory: true, logLevel: 'silent' } as const
  const gateway = await startGateway({ rewrite })
  const client = await connectClient(gateway)
  await client.mqtt.subscribeAsync('#', { qos: 1 })
  const seen = () => client.received.map(({ topic }) => topic)
  await client.mqtt.publishAsync('temp/7/door', 'a', { qos: 1 })
  await gateway.reload({ ...options, rewrite: [{ from: 'temp/{rest#}', to: 'new/{rest#}' }] })
  await client.mqtt.publishAsync('temp/7/door', 'b', { qos: 1 })
  const circle = [
    { from: 'temp/{x#}', to: 'new/{x#}' },
    { from: 'new/{x#}', to: 'temp/{x#}' },
  ]
  await expect(gateway.reload({ ...options, rewrite: circle })).rejects.toThrow(ConfigError)
  await client.mqtt.publishAsync('temp/7/door', 'c', { qos: 1 })
  await gateway.reload(options)
  await client.mqtt.publishAsync('temp/7/door', 'd', { qos: 1 })
  await eventually(seen).toEqual(['sites/7/door', 'new/7/door', 'new/7/door', 'temp/7/door'])
})
