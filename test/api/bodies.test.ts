/** What is sent to the API: bounded in bytes and depth, JSON, and of the shape that the document says. */

import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { bodyBytesMax, bodyDepthMax } from '../../src/api/body.ts'
import { depthOf } from '../../src/json/depth.ts'
import { connectClient } from '../e2e/gateway.ts'
import { type Api, expectProblem, startApi } from './api.ts'

const post = (api: Api, body: unknown, headers: Record<string, string> = {}) =>
  api.call('/publish', { method: 'POST', body, headers })

describe('a body', () => {
  it(`of more than ${bodyBytesMax} bytes is refused, also one that does not say how long it is`, async () => {
    const api = await startApi()
    const large = { topic: 'a', payload: 'x'.repeat(bodyBytesMax) }
    expectProblem(await post(api, large), 413)
    const body = new Blob([JSON.stringify(large)]).stream()
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${api.url}/publish`, { method: 'POST', body, headers, duplex: 'half' } as RequestInit)
    expect(answer.status).toBe(413)
    expect((await post(api, { topic: 'a', payload: 'x'.repeat(bodyBytesMax - 100) })).status).toBe(200)
  })

  it('that waits for "100 Continue" is asked for, and one that is too large is not', async () => {
    const api = await startApi()
    const { port } = new URL(api.url)
    const head = (length: number) =>
      `POST /api/v1/publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
    const talk = async (length: number, body: string) => {
      const socket = connect(Number(port), '127.0.0.1')
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk.toString()
        if (text === 'HTTP/1.1 100 Continue\r\n\r\n') socket.write(body)
      })
      socket.write(head(length))
      await once(socket, 'close')
      return text
    }
    expect(await talk(13, '{"topic":"a"}')).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /)
    expect(await talk(bodyBytesMax + 1, '')).toMatch(/^HTTP\/1.1 413 /)
  })

  it(`deeper than ${bodyDepthMax} levels is refused`, async () => {
    const api = await startApi()
    const nested = (levels: number) => `{"topic":"a","payload":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`
    const tooDeep = await post(api, nested(bodyDepthMax + 1))
    expectProblem(tooDeep, 400)
    expect(tooDeep.body['detail']).toContain('deeper')
    expect((await post(api, nested(bodyDepthMax))).status).toBe(200)
    expect((await post(api, '['.repeat(500_000))).body['detail']).toContain('deeper')
  })

  it('is measured by its brackets outside texts', () => {
    expect(depthOf('{"a":"[[[[\\"[["}')).toBe(1)
    expect(depthOf('[[],[[]]]')).toBe(3)
    expect(depthOf('1')).toBe(0)
  })

  it('is JSON, in UTF-8, and says so', async () => {
    const api = await startApi()
    expectProblem(await post(api, '{"topic":'), 400)
    expectProblem(await post(api, '{}', { 'content-type': 'text/plain' }), 415)
    const bytes = Uint8Array.of(0x22, 0xff, 0x22)
    const headers = { 'content-type': 'application/json' }
    expect((await fetch(`${api.url}/publish`, { method: 'POST', body: bytes, headers })).status).toBe(400)
  })

  it.each([
    [{}, 'body.topic'],
    [{ topic: 'a/#' }, 'body.topic'],
    [{ topic: '$SYS/broker/uptime' }, 'body.topic'],
    [{ topic: 'a', qos: 3 }, 'body.qos'],
    [{ topic: 'a', retained: true }, 'body'],
    [{ topic: 'a', payload: '%%', payloadEncoding: 'base64' }, 'body.payload'],
    [{ topic: 'a', properties: { responseTopic: '+' } }, 'body.properties.responseTopic'],
    [[], 'body'],
  ])('%j names what is wrong with it: %s', async (body, path) => {
    const api = await startApi()
    const answer = await post(api, body)
    expectProblem(answer, 400)
    expect(answer.body).toMatchObject({ errors: [{ path }] })
  })
})

describe('a published message', () => {
  it('reaches subscribers with its QoS, payload and properties, and is retained if it says so', async () => {
    const api = await startApi()
    const client = await connectClient(api.gateway, { protocolVersion: 5 })
    await client.mqtt.subscribeAsync('plant/#', { qos: 1 })
    const properties = {
      contentType: 'text/plain',
      responseTopic: 'r',
      correlationData: 'AQI=',
      userProperties: [['k', 'v']],
    }
    const body = { topic: 'plant/1', payload: 'AP8=', payloadEncoding: 'base64', qos: 1, retain: true, properties }
    expect((await post(api, body)).body).toEqual({ outcome: 'delivered' })
    await client.until(1)
    expect(client.received[0]).toMatchObject({
      qos: 1,
      payload: Buffer.from([0, 255]),
      properties: {
        contentType: 'text/plain',
        responseTopic: 'r',
        correlationData: Buffer.from([1, 2]),
        userProperties: { k: 'v' },
      },
    })
    const { body: retained } = await api.call('/retained/plant%2F1')
    expect(retained).toMatchObject({
      topic: 'plant/1',
      payload: 'AP8=',
      payloadEncoding: 'base64',
      payloadBytes: 2,
      qos: 1,
    })
    expect((await post(api, { topic: 'nobody/here' })).body).toEqual({ outcome: 'no-subscribers' })
  })

  it.each([
    ['U+0000', { userProperties: [['a\0', 'b']] }],
    ['half of a surrogate pair', { userProperties: [['a', '\ud800']] }],
    ['more bytes than a string of MQTT has', { contentType: 'ü'.repeat(40_000) }],
  ])('with %s in a property is a faulty request', async (_, properties) => {
    const answer = await post(await startApi(), { topic: 'a', properties })
    expectProblem(answer, 400)
    expect(answer.body['detail']).toContain('body.properties.')
  })

  it('larger than the gateway takes is refused, and so is one with too many levels or for a full queue', async () => {
    const limits = { packetBytesMax: 1000, sessionQueueMessagesMax: 1, topicLevelsMax: 5 }
    const api = await startApi({ limits, sessionQueueFull: 'reject' })
    expectProblem(await post(api, { topic: 'a', payload: 'x'.repeat(1000) }), 413)
    expectProblem(await post(api, { topic: 'a/b/c/d/e/f' }), 400)
    const client = await connectClient(api.gateway, { clean: false, clientId: 'away' })
    await client.mqtt.subscribeAsync('a', { qos: 1 })
    await client.mqtt.endAsync()
    expect((await post(api, { topic: 'a', qos: 1 })).status).toBe(200)
    expectProblem(await post(api, { topic: 'a', qos: 1 }), 503)
  })
})
