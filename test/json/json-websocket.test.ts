/** The JSON WebSocket with real sockets: every operation, what answers it, and what a client does wrong. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { openJson } from './json-client.ts'

describe('the stable names', () => {
  test('a page that only subscribes and publishes needs no connect', async () => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    page.send({ op: 'subscribe', id: 1, filters: [{ filter: 'a/#', qos: 1 }] })
    await eventually(() => page.received).toEqual([{ op: 'subscribed', id: 1, granted: [1] }])
    page.send({ op: 'publish', id: 2, topic: 'a/b', payload: 'hello', qos: 1 })
    const published = await page.until(({ op }) => op === 'published')
    expect(published).toEqual({ op: 'published', id: 2, reason: 0 })
    const message = await page.until(({ op }) => op === 'message')
    expect(message).toEqual({
      ...{ op: 'message', topic: 'a/b', payload: 'hello', encoding: 'utf8', qos: 1, retain: false },
      packet: expect.any(Number),
      at: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    expect(gateway.metrics()['mqtt_inflight']).toBe(1)
    page.send({ op: 'ack', packet: message['packet'] })
    await eventually(() => gateway.metrics()['mqtt_inflight']).toBe(0)
  })

  test('messages go to and fro between MQTT and JSON', async () => {
    const gateway = await startGateway()
    const device = await connectClient(gateway, { protocolVersion: 5 })
    await device.mqtt.subscribeAsync('down/#', { qos: 1 })
    const page = await openJson(gateway)
    await page.ask({ op: 'subscribe', filters: [{ filter: 'up/#' }, { filter: '$share/g/up/#', qos: 1 }] })
    await device.mqtt.publishAsync('up/ü', Buffer.from([0xff, 0]), { qos: 1 })
    await eventually(() => page.messages().length).toBe(2)
    expect(page.messages()).toContainEqual({
      ...{
        op: 'message',
        topic: 'up/ü',
        payload: '/wA=',
        encoding: 'base64',
        qos: 0,
        retain: false,
        at: expect.any(String),
      },
    })
    const properties = {
      contentType: 'text/plain',
      correlationData: 'AAE=',
      responseTopic: 'answer',
      userProperties: [['a', 'b']],
    }
    await page.ask({ op: 'publish', topic: 'down/1', payload: { on: true }, qos: 1, properties })
    await device.until(1)
    expect(device.texts()).toEqual(['{"on":true}'])
    expect(device.received[0]!.properties).toMatchObject({ contentType: 'text/plain', responseTopic: 'answer' })
    await device.mqtt.publishAsync('up/2', 'x', { properties: { userProperties: { k: 'v' }, contentType: 'c' } })
    const answered = await page.until(({ topic }) => topic === 'up/2')
    expect(answered['properties']).toEqual({ userProperties: [['k', 'v']], contentType: 'c' })
  })
})

describe('operations', () => {
  test('connect answers with what holds, and payloads come in the form that was asked for', async () => {
    const gateway = await startGateway()
    const forms = { utf8: '{"t":21}', json: { t: 21 }, base64: 'eyJ0IjoyMX0=' }
    for (const [form, payload] of Object.entries(forms)) {
      const page = await openJson(gateway)
      const connected = await page.ask({ op: 'connect', clientId: `page-${form}`, keepAliveSeconds: 30, payload: form })
      expect(connected).toEqual({
        ...{ op: 'connected', id: connected['id'], clientId: `page-${form}`, sessionPresent: false },
        ...{ sessionExpirySeconds: 0, keepAliveSeconds: 30, messageBytesMax: 262_144 },
      })
      await page.ask({ op: 'subscribe', filters: [{ filter: `f/${form}` }] })
      await page.ask({ op: 'publish', topic: `f/${form}`, payload: { t: 21 } })
      const message = await page.until(({ op }) => op === 'message')
      expect(message).toMatchObject({ payload, encoding: form })
    }
    const page = await openJson(gateway)
    await page.ask({ op: 'connect', payload: 'json' })
    await page.ask({ op: 'subscribe', filters: [{ filter: 'f' }] })
    await page.ask({ op: 'publish', topic: 'f', payload: 'no JSON' })
    expect(await page.until(({ op }) => op === 'message')).toMatchObject({ payload: 'no JSON', encoding: 'utf8' })
  })

  test('retained messages follow the answer to subscribe, and unsubscribe ends what comes', async () => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    await page.ask({ op: 'publish', topic: 'r/1', payload: 'AQI=', encoding: 'base64', retain: true, qos: 1 })
    await page.ask({ op: 'subscribe', filters: [{ filter: 'r/#' }] })
    expect(await page.until(({ op }) => op === 'message')).toMatchObject({ payload: '\u0001\u0002', retain: true })
    const ended = await page.ask({ op: 'unsubscribe', filters: ['r/#', 'never'] })
    expect(ended).toEqual({ op: 'unsubscribed', id: ended['id'], reasons: [0, 17] })
    const published = await page.ask({ op: 'publish', topic: 'r/1', payload: 'x' })
    expect(published).toEqual({ op: 'published', id: published['id'], reason: 0, outcome: 'no-subscribers' })
    expect(await page.ask({ op: 'ping' })).toMatchObject({ op: 'pong' })
    page.send({ op: 'disconnect' })
    expect(await page.closed).toEqual({ code: 1000, reason: '' })
  })

  test('what was missed at QoS 1 arrives when the page is back', async () => {
    const gateway = await startGateway()
    const connect = { op: 'connect', clientId: 'page', sessionExpirySeconds: 60 }
    const page = await openJson(gateway)
    await page.ask(connect)
    await page.ask({ op: 'subscribe', filters: [{ filter: 'a', qos: 1 }] })
    await page.ask({ op: 'publish', topic: 'a', payload: 'seen, not acknowledged', qos: 1 })
    await eventually(() => page.messages().length).toBe(1)
    page.socket.terminate()
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
    await gateway.publish({ topic: 'a', payload: 'missed', qos: 1 })
    const back = await openJson(gateway)
    expect(await back.ask(connect)).toMatchObject({ op: 'connected', sessionPresent: true })
    await eventually(() => back.messages().length).toBe(2)
    expect(back.messages()).toMatchObject([
      { payload: 'seen, not acknowledged', dup: true, qos: 1 },
      { payload: 'missed', qos: 1 },
    ])
    for (const { packet } of back.messages()) back.send({ op: 'ack', packet })
    await eventually(() => gateway.metrics()['mqtt_inflight']).toBe(0)
  })

  test('a stored session outlives the gateway, and goes from MQTT at QoS 2 to JSON', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-json-'))
    const first = await startGateway({ inMemory: false, dataDir })
    const options = { clientId: 'page', clean: false, protocolVersion: 5, properties: { sessionExpiryInterval: 600 } }
    const device = await connectClient(first, options as never)
    await device.mqtt.subscribeAsync('a', { qos: 2 })
    await device.mqtt.endAsync(true)
    await first.publish({ topic: 'a', payload: 'once', qos: 2 })
    await first.close()
    const gateway = await startGateway({ inMemory: false, dataDir })
    const page = await openJson(gateway)
    await page.ask({ op: 'connect', clientId: 'page', sessionExpirySeconds: 600 })
    const { packet } = await page.until(({ op }) => op === 'message')
    page.send({ op: 'ack', packet })
    await eventually(() => gateway.metrics()['mqtt_inflight']).toBe(0)
    expect(page.messages()).toHaveLength(1)
    expect(gateway.metrics()['mqtt_queued_messages']).toBe(0)
  })

  test('a will is published when the page goes without a word', async () => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    await page.ask({ op: 'subscribe', filters: [{ filter: 'will' }] })
    const other = await openJson(gateway)
    await other.ask({ op: 'connect', will: { topic: 'will', payload: { gone: true } } })
    other.socket.terminate()
    expect(await page.until(({ op }) => op === 'message')).toMatchObject({ topic: 'will', payload: '{"gone":true}' })
  })

  test('a fan-out makes one text for all, with each client its own packet identifier', async () => {
    const gateway = await startGateway()
    const pages = await Promise.all(Array.from({ length: 20 }, () => openJson(gateway)))
    for (const [index, page] of pages.entries()) {
      await page.ask({ op: 'subscribe', filters: [{ filter: 'a', qos: 1 }] })
      for (let i = 0; i < index; i++) await gateway.publish({ topic: `none/${i}` })
    }
    for (let i = 0; i < 12; i++) await gateway.publish({ topic: 'a', payload: String(i), qos: 1 })
    for (const page of pages) {
      await eventually(() => page.messages().length).toBe(12)
      const packets = page.messages().map(({ packet }) => packet)
      expect(packets).toEqual(Array.from({ length: 12 }, (_, i) => i + 1))
    }
  })
})

describe('what a client does wrong', () => {
  test.each([
    [{ op: 'dance', id: 7 }, 7, 130],
    [{ id: 7 }, 7, 130],
    [{ op: 'subscribe', id: 'x', filters: [{ filter: 'a', qos: 2 }] }, 'x', 130],
    [{ op: 'subscribe', id: 1, filters: 'a' }, 1, 130],
    [{ op: 'subscribe', id: 1, filters: [{ filter: 'a/#/b' }] }, 1, 143],
    [{ op: 'subscribe', id: 1, filters: [{ filter: '\ud800' }] }, 1, 143],
    [{ op: 'unsubscribe', id: 1, filters: [] }, 1, 130],
    [{ op: 'publish', id: 1, topic: 'a/+' }, 1, 144],
    [{ op: 'publish', id: 1, topic: Array(300).fill('a').join('/'), qos: 1 }, 1, 144],
    [{ op: 'publish', id: 1, topic: 'a', payload: 'no base64', encoding: 'base64' }, 1, 153],
    [{ op: 'publish', id: 1, topic: 'a', payload: 7, encoding: 'utf8' }, 1, 153],
    [{ op: 'publish', id: 1, topic: 'a', colour: 'red' }, 1, 130],
    [{ op: 'publish', id: 1, topic: '$SYS/broker', payload: 'x' }, 1, 135],
    [{ op: 'publish', id: 1, topic: '$SYS/broker', payload: 'x', qos: 1 }, 1, 135],
    [{ op: 'ack', packet: 0 }, null, 130],
  ])('%j is answered by an error, and the connection goes on', async (operation, id, reason) => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    page.send(operation)
    const error = await page.until(({ op }) => op === 'error')
    expect(error).toMatchObject({ op: 'error', id, reason, message: expect.any(String) })
    expect(await page.ask({ op: 'ping' })).toMatchObject({ op: 'pong' })
    expect(page.received).toHaveLength(2)
  })

  test('a subscription that is refused says why in the words of the core, where it has any', async () => {
    const page = await openJson(await startGateway())
    const answer = await page.ask({ op: 'subscribe', filters: [{ filter: '$queue/jobs', qos: 1 }] })
    expect(answer).toMatchObject({
      op: 'error',
      reason: 0x8f,
      message: expect.stringMatching(/^there is no queue jobs/),
    })
  })

  test('a stream is read from a place, and its messages carry their offset', async () => {
    const gateway = await startGateway({ streams: { meters: { filter: 'meters/#' } } })
    for (const payload of ['0', '1', '2']) await gateway.publish({ topic: 'meters/1', payload, qos: 1 })
    const page = await openJson(gateway)
    const filters = [{ filter: '$stream/meters', qos: 1 }]
    expect(await page.ask({ op: 'subscribe', filters, from: 'offset:1' })).toMatchObject({ granted: [1] })
    await eventually(() => page.messages().length).toBe(2)
    expect(page.messages()).toMatchObject([
      { offset: 1, topic: 'meters/1', payload: '1', packet: expect.any(Number) },
      { offset: 2, payload: '2' },
    ])
    const refused = await page.ask({ op: 'subscribe', filters: [{ filter: '$stream/meters/a' }], from: 'nowhere' })
    expect(refused).toMatchObject({ op: 'error', reason: 0x83, message: expect.stringContaining('earliest') })
    expect(await page.ask({ op: 'subscribe', filters, from: 7 })).toMatchObject({ op: 'error', reason: 0x82 })
  })

  test('some filters granted and some not are told apart', async () => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    const answer = await page.ask({ op: 'subscribe', filters: [{ filter: 'a', qos: 1 }, { filter: 'a#' }] })
    expect(answer).toMatchObject({ op: 'subscribed', granted: [1, 143] })
  })

  test.each([
    ['no JSON', 'no JSON', 4129],
    ['half a character', Buffer.from([0x22, 0xc3]), 4129],
    ['a list', '[]', 4129],
    ['nothing', '', 4129],
    ['brackets without end', '['.repeat(10_000), 4129],
    ['an object that nests deep', `{"op":"publish","payload":${'{"a":'.repeat(40)}1${'}'.repeat(41)}`, 4129],
    ['more than the limit', JSON.stringify({ op: 'publish', topic: 'a', payload: 'x'.repeat(262_144) }), 4149],
    ['connect with what it has not', '{"op":"connect","id":1,"user":"me"}', 4130],
    ['connect, twice', '{"op":"connect"}{"op":"connect"}', 4130],
  ])('%s ends the connection with a close code and a reason', async (_, text, code) => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    const texts = typeof text === 'string' ? text.split(/(?<=\})(?=\{)/) : [text]
    for (const one of texts) page.socket.send(one, { binary: false })
    if (text === '') page.socket.send('', { binary: false })
    const closed = await page.closed
    expect(closed).toEqual({ code, reason: expect.stringMatching(/./) })
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
  })

  test('binary where text is due closes with 1003, and MQTT on this path is refused by its subprotocol', async () => {
    const gateway = await startGateway()
    const page = await openJson(gateway)
    page.socket.send(Buffer.from('{"op":"ping"}'))
    expect((await page.closed).code).toBe(1003)
    const { port } = gateway.addresses.http!
    for (const [path, protocol] of [
      ['/ws', 'mqtt'],
      ['/mqtt', 'mqtide.v1.json'],
    ]) {
      const other = new WebSocket(`ws://127.0.0.1:${port}${path}`, [protocol!])
      const error = await new Promise<Error>((resolve) => other.once('error', resolve))
      expect(error.message).toContain('400')
    }
  })

  test('a page that stops reading costs only itself', async () => {
    const gateway = await startGateway({ limits: { outputBufferBytesMax: 64 * 1024 } })
    const slow = await openJson(gateway)
    const page = await openJson(gateway)
    for (const one of [slow, page]) await one.ask({ op: 'subscribe', filters: [{ filter: 'a' }] })
    slow.socket.pause()
    const dropped = () => gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0
    let sent = 0
    while (dropped() === 0) {
      sent++
      await gateway.publish({ topic: 'a', payload: 'x'.repeat(50_000) })
      await eventually(() => page.messages().length).toBe(sent)
    }
    expect(slow.socket.readyState).toBe(slow.socket.OPEN)
  })
})
