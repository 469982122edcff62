/** Publishing and asking by HTTP: one message, a list with a result for each, and a request that waits for its answer. */
import { describe, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient } from '../e2e/gateway.ts'
import { nobody, startApi } from './api.ts'

const version5 = { protocolVersion: 5 } as const

describe('POST /publish', () => {
  test('takes payloads as text, JSON and base64', async () => {
    const { gateway, call } = await startApi()
    const device = await connectClient(gateway)
    await device.mqtt.subscribeAsync('#')
    const bodies = [
      { topic: 'a', payload: 'text', encoding: 'utf8' },
      { topic: 'a', payload: 'text too', encoding: 'text' },
      { topic: 'a', payload: { t: 21 } },
      { topic: 'a', payload: 'quoted', encoding: 'json' },
      { topic: 'a', payload: 'AQI=', encoding: 'base64' },
      { topic: 'a', payload: 'AQI=', payloadEncoding: 'base64' },
      { topic: 'a' },
    ]
    for (const body of bodies) {
      const answer = await call('/publish', { method: 'POST', body })
      expect(answer).toMatchObject({ status: 200, body: { outcome: 'delivered' } })
    }
    await device.until(bodies.length)
    expect(device.texts()).toEqual([
      ...['text', 'text too', '{"t":21}', '"quoted"', '\u0001\u0002', '\u0001\u0002', ''],
    ])
  })

  test('a list has a result for each, whatever is wrong with others', async () => {
    const { gateway, call } = await startApi()
    const device = await connectClient(gateway)
    await device.mqtt.subscribeAsync('a', { qos: 1 })
    const body = [
      { topic: 'a', payload: 'first', qos: 1 },
      { topic: 'a/+', payload: 'x' },
      { topic: 'b', payload: 'x', retain: true },
      { topic: 'a', payload: 'no base64', encoding: 'base64' },
      { topic: 'a', payload: 'x', namespace: 'unknown' },
      'no message',
      { topic: 'a', payload: 'last' },
    ]
    const { status, body: results } = await call('/publish', { method: 'POST', body })
    expect(status).toBe(200)
    expect(results).toMatchObject([
      { outcome: 'delivered' },
      { status: 400, detail: expect.stringContaining('topic') },
      { outcome: 'no-subscribers' },
      { status: 400, detail: expect.stringContaining('base64') },
      { status: 404 },
      { status: 400 },
      { outcome: 'delivered' },
    ])
    await device.until(2)
    expect(device.texts()).toEqual(['first', 'last'])
  })

  test.each([{ body: [] }, { body: Array(1001).fill({ topic: 'a' }) }, { body: 7 }])(
    'no list that is empty or too long: %#',
    async ({ body }) => {
      const { call } = await startApi()
      expect((await call('/publish', { method: 'POST', body })).status).toBe(400)
    },
  )
})

describe('POST /request', () => {
  test('brings the answer of a device, by response topic and correlation data', async () => {
    const { gateway, call } = await startApi()
    const device = await connectClient(gateway, version5)
    await device.mqtt.subscribeAsync('pump/do', { qos: 1 })
    device.mqtt.on('message', (_topic, payload, { properties }) => {
      const { responseTopic, correlationData } = properties!
      const other = { correlationData: Buffer.from('somebody else’s') }
      device.mqtt.publish(responseTopic!, 'not yours', { properties: other })
      device.mqtt.publish(responseTopic!, `did ${payload}`, {
        properties: { correlationData: correlationData!, contentType: 'text/plain' },
      })
    })
    const body = { topic: 'pump/do', payload: 'start', qos: 1, properties: { correlationData: 'AAE=' } }
    const { status, body: answer } = await call('/request', { method: 'POST', body })
    expect({ status, answer }).toEqual({
      status: 200,
      answer: {
        topic: expect.stringMatching(/^mqtide\/response\/[0-9a-f]{32}$/),
        ...{ payload: 'did start', encoding: 'utf8' },
        properties: { contentType: 'text/plain', correlationData: 'AAE=' },
      },
    })
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
  })

  test('is answered 504 where nobody is subscribed, and where no answer comes in time', async () => {
    const { gateway, call } = await startApi()
    const alone = await call('/request', { method: 'POST', body: { topic: 'pump/do' } })
    expect(alone).toMatchObject({ status: 504, body: { detail: 'nobody is subscribed to the topic of the request' } })
    const device = await connectClient(gateway)
    await device.mqtt.subscribeAsync('pump/do')
    const late = await call('/request', { method: 'POST', body: { topic: 'pump/do', timeoutMs: 20 } })
    expect(late).toMatchObject({ status: 504, body: { detail: 'no answer came within 20 ms' } })
  })

  test('needs a token of role operator where clients are asked who they are', async () => {
    const { call, tokens } = await startApi(nobody)
    const body = { topic: 'pump/do' }
    expect((await call('/request', { method: 'POST', body })).status).toBe(401)
    expect((await call('/request', { method: 'POST', body, token: tokens.viewer })).status).toBe(403)
    expect((await call('/request', { method: 'POST', body, token: tokens.operator })).status).toBe(504)
  })
})
