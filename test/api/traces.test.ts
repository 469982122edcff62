/** Packets as they pass: what is shown of them and what never, whose they are, and how much of it there may be. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { tracedPacketsPerSecondMax } from '../../src/trace/trace.ts'
import { tracesMax } from '../../src/trace/tracer.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, transports } from '../e2e/gateway.ts'
import { openJson } from '../json/json-client.ts'
import { expectProblem, startApi } from './api.ts'
import { readLines } from './lines.ts'

interface Line {
  event: string
  clientId: string
  packet?: string
  leftOut: number
  [field: string]: unknown
}

const short = ({ event, packet }: Line) => `${event} ${packet ?? ''}`.trim()

describe('a live trace', () => {
  it('shows the messages of a client of server-sent events as it gets them', async () => {
    const api = await startApi()
    const lines = await readLines<Line>(api, '/trace?filter=a&count=2')
    const controller = new AbortController()
    onTestFinished(() => controller.abort())
    const stream = await fetch(`${api.url}/stream?topic=a`, { signal: controller.signal })
    expect(stream.status).toBe(200)
    for (const payload of ['1', '2']) await api.gateway.publish({ topic: 'a', payload })
    for (const payload of ['1', '2']) {
      expect(await lines.next()).toMatchObject({ event: 'sent', packet: 'JSON', topic: 'a', payload })
    }
  })

  it.each(transports)(
    'shows the packets of one client from CONNECT on, decoded, and no credential, over $name',
    async (transport) => {
      const api = await startApi({ authenticator: { authenticate: () => ({ reasonCode: 0 }) } })
      const lines = await readLines<Line>(api, '/trace?clientId=pump-7&count=12')
      await connectClient(api.gateway, { clientId: 'other' }, transport)
      const secret = { username: 'alice', password: 'wonderland', protocolVersion: 5 } as const
      const client = await connectClient(api.gateway, { clientId: 'pump-7', ...secret }, transport)
      await client.mqtt.subscribeAsync('plant/#', { qos: 1 })
      await client.mqtt.publishAsync('plant/1', 'é'.repeat(100), { qos: 2, properties: { contentType: 'text/plain' } })
      await client.until(1)
      await client.mqtt.endAsync()
      const seen: Line[] = []
      for (let line = await lines.next(); line !== undefined; line = await lines.next()) seen.push(line)
      expect(seen.slice(0, 4).map(short)).toEqual([
        'received CONNECT',
        'sent CONNACK',
        'received SUBSCRIBE',
        'sent SUBACK',
      ])
      expect(seen.map(short)).toEqual(
        expect.arrayContaining(['received PUBLISH', 'sent PUBREC', 'received PUBREL', 'sent PUBCOMP', 'sent PUBLISH']),
      )
      expect(seen[0]).toMatchObject({ protocolVersion: 5, username: 'alice', passwordBytes: 10, clientId: 'pump-7' })
      expect(seen[2]).toMatchObject({ subscriptions: [{ topicFilter: 'plant/#', qos: 1 }] })
      expect(seen.find((line) => short(line) === 'received PUBLISH')).toMatchObject({
        topic: 'plant/1',
        qos: 2,
        payloadBytes: 200,
        payload: 'é'.repeat(32),
        properties: { contentType: 'text/plain' },
      })
      expect(seen.every(({ clientId, leftOut }) => clientId === 'pump-7' && leftOut === 0)).toBe(true)
      expect(JSON.stringify(seen)).not.toContain('wonderland')
    },
  )

  it('shows what is said with a client that speaks JSON', async () => {
    const api = await startApi()
    const lines = await readLines<Line>(api, '/trace?clientId=panel&count=7')
    const panel = await openJson(api.gateway)
    await panel.ask({ op: 'connect', clientId: 'panel', password: 'wonderland' })
    await panel.ask({ op: 'subscribe', filters: [{ filter: 'plant/#' }] })
    await api.gateway.publish({ topic: 'plant/1', payload: 'x'.repeat(100) })
    await panel.ask({ op: 'publish', topic: 'elsewhere', payload: 'y' })
    const seen: Line[] = []
    for (let line = await lines.next(); line !== undefined; line = await lines.next()) seen.push(line)
    expect(seen.map((line) => (line.packet === 'JSON' ? `${line.event} ${String(line['op'])}` : short(line)))).toEqual([
      'received CONNECT',
      'sent connected',
      'received SUBSCRIBE',
      'sent subscribed',
      'sent message',
      'received PUBLISH',
      'sent published',
    ])
    expect(seen[4]).toMatchObject({ topic: 'plant/1', payloadCharacters: 100, payload: 'x'.repeat(64) })
    expect(JSON.stringify(seen)).not.toContain('wonderland')
    await panel.close()
  })

  it('begins with a client that is connected already, of whom topic aliases are known', async () => {
    const api = await startApi()
    const options = { protocolVersion: 5, properties: { topicAliasMaximum: 5 } } as const
    const client = await connectClient(api.gateway, { clientId: 'pump-7', ...options })
    await client.mqtt.subscribeAsync('plant/#')
    const alias = { properties: { topicAlias: 1 } }
    await client.mqtt.publishAsync('plant/1', '1', alias)
    await client.until(1)
    const lines = await readLines<Line>(api, '/trace?clientId=pump-7&filter=plant/1&count=2')
    client.mqtt.publish('', '2', alias)
    expect(await lines.next()).toMatchObject({ event: 'received', topic: 'plant/1', topicAlias: 1, payload: '2' })
    expect(await lines.next()).toMatchObject({ event: 'sent', topic: 'plant/1', payload: '2' })
  })

  it('shows what an address sends that is no MQTT, and why it was closed', async () => {
    const api = await startApi()
    const lines = await readLines<Line>(api, '/trace?address=127.0.0.1')
    const { host, port } = api.gateway.addresses.mqtt!
    const socket = connectSocket(port!, host!)
    socket.on('error', () => {})
    socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    expect(await lines.next()).toMatchObject({ event: 'fault', reason: 'protocol_error' })
    expect(await lines.next()).toMatchObject({ event: 'closed' })
    socket.destroy()
    await lines.close()
  })

  it('shows messages of a topic from whoever they come and to whoever they go, and no payload where none is wanted', async () => {
    const api = await startApi()
    const subscriber = await connectClient(api.gateway, { clientId: 's' })
    await subscriber.mqtt.subscribeAsync('#')
    const publisher = await connectClient(api.gateway, { clientId: 'p' })
    const lines = await readLines<Line>(api, '/trace?filter=plant/%2B&payloadBytes=0&count=2')
    await publisher.mqtt.publishAsync('elsewhere', 'x')
    await publisher.mqtt.publishAsync('plant/1', 'hello')
    const seen = [await lines.next(), await lines.next()]
    expect(seen).toMatchObject([
      { event: 'received', clientId: 'p', topic: 'plant/1', payloadBytes: 5 },
      { event: 'sent', clientId: 's', topic: 'plant/1', payloadBytes: 5 },
    ])
    for (const line of seen) expect(line).not.toHaveProperty('payload')
  })

  it('shows user names that may be tokens as their length only, and authentication data never', async () => {
    const api = await startApi({
      authenticationMethods: { M: { begin: () => ({ next: () => ({ type: 'success', principal: 'x' }) }) } },
    })
    const lines = await readLines<Line>(api, '/trace?clientId=a&count=2')
    const properties = { authenticationMethod: 'M', authenticationData: Buffer.from('deep secret') }
    await connectClient(api.gateway, { clientId: 'a', username: 't'.repeat(200), protocolVersion: 5, properties })
    const connect = await lines.next()
    expect(connect).toMatchObject({ usernameCharacters: 200, properties: { authenticationDataBytes: 11 } })
    expect(JSON.stringify(connect)).not.toMatch(/ttt|secret|ZGVlcCBz/)
    await lines.close()
  })

  it(`gives ${tracedPacketsPerSecondMax} packets a second, counts the others and says how many they were`, async () => {
    const api = await startApi()
    const client = await connectClient(api.gateway, { clientId: 'a' })
    const lines = await readLines<Line>(api, '/trace?clientId=a')
    const messages = 3 * tracedPacketsPerSecondMax
    for (let i = 0; i < messages; i++) client.mqtt.publish('t', 'x')
    await client.mqtt.publishAsync('t', 'last', { qos: 1 })
    const leftOut = async () => (await api.admin<{ metrics: Record<string, number> }>('/metrics')).body.metrics
    expect((await leftOut())['mqtt_traced_packets_left_out_total']).toBeGreaterThan(0)
    let told = 0
    // Its next second brings lines again.
    const pinging = setInterval(() => client.mqtt.publish('t', 'again'), 100)
    while (told === 0) told = (await lines.next())!.leftOut
    clearInterval(pinging)
    expect(told).toBeGreaterThan(0)
    await lines.close()
  })

  it('needs a token of role operator and says whose packets; the ninth at once is told to come again', async () => {
    const api = await startApi()
    expectProblem(await api.call('/trace?clientId=a'), 401)
    expectProblem(await api.call('/trace?clientId=a', { token: api.tokens.viewer }), 403)
    expectProblem(await api.admin('/trace'), 400)
    expectProblem(await api.admin('/trace?filter=%23a'), 400)
    const open = []
    for (let i = 0; i < tracesMax; i++) open.push(await readLines<Line>(api, '/trace?clientId=a'))
    expectProblem(await api.admin('/trace?clientId=a'), 503)
    await open.pop()!.close()
    await eventually(async () => (await api.admin('/trace?clientId=a&seconds=1')).status).toBe(200)
    for (const one of open) await one.close()
  })

  it('is about its own namespace for a token of one namespace', async () => {
    const api = await startApi({
      namespaces: { lab: { users: ['carol'] } },
      ...{ authenticator: { authenticate: () => ({ reasonCode: 0 }) } },
    })
    const token = api.gateway.addApiToken('lab', 'operator', { namespace: 'lab' })
    const own = { ...api, tokens: { ...api.tokens, operator: token } }
    const lines = await readLines<Line>(own, '/trace?filter=%23&count=1')
    const other = await connectClient(api.gateway, { clientId: 'a', username: 'alice', password: 'x' })
    const carol = await connectClient(api.gateway, { clientId: 'a', username: 'carol', password: 'x' })
    await other.mqtt.publishAsync('t', 'not yours', { qos: 1 })
    await carol.mqtt.publishAsync('t', 'yours', { qos: 1 })
    expect(await lines.next()).toMatchObject({ namespace: 'lab', payload: 'yours' })
    expectProblem(await api.call('/trace?clientId=a&namespace=default', { token }), 403)
    expectProblem(await api.call('/traces', { token }), 403)
  })
})

describe('a trace into a file', () => {
  let dataDir: string
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'mqtide-trace-'))
  })
  afterEach(() => rmSync(dataDir, { recursive: true }))

  const begin = { clientId: 'a', name: 'night' }

  it('is of mode 600, has a packet on each line, and is whole when it was ended', async () => {
    const api = await startApi({ inMemory: false, dataDir })
    const { body } = await api.admin<{ file: string }>('/traces', { method: 'POST', body: begin })
    expect(body).toMatchObject({ name: 'night', file: join(dataDir, 'traces', 'night.jsonl'), ended: null })
    expectProblem(await api.admin('/traces', { method: 'POST', body: begin }), 409)
    const client = await connectClient(api.gateway, { clientId: 'a' })
    await client.mqtt.publishAsync('t', 'x', { qos: 1 })
    expect((await api.admin('/traces/night', { method: 'DELETE' })).status).toBe(204)
    expectProblem(await api.admin('/traces/night', { method: 'DELETE' }), 404)
    const lines = readFileSync(body.file, 'utf8').trim().split('\n')
    expect(lines.map((line) => short(JSON.parse(line)))).toEqual([
      'received CONNECT',
      'sent CONNACK',
      'received PUBLISH',
      'sent PUBACK',
    ])
    expect(statSync(body.file).mode & 0o777).toBe(0o600)
    const { body: list } = await api.admin('/traces')
    expect(list).toMatchObject({ items: [{ name: 'night', ended: 'asked', lines: 4, leftOut: 0 }] })
  })

  it('keeps the latest within its bytes, in two files', async () => {
    const api = await startApi({ inMemory: false, dataDir })
    const bytesMax = 65_536
    await api.admin('/traces', { method: 'POST', body: { ...begin, filter: '#', bytesMax, payloadBytes: 1024 } })
    const client = await connectClient(api.gateway, { clientId: 'a' })
    for (let i = 0; i < 300; i++) await client.mqtt.publishAsync('t', `${i} ${'x'.repeat(1000)}`, { qos: 1 })
    await api.admin('/traces/night', { method: 'DELETE' })
    const paths = ['night.jsonl.1', 'night.jsonl'].map((name) => join(dataDir, 'traces', name))
    const sizes = paths.map((path) => statSync(path).size)
    expect(sizes[0]! + sizes[1]!).toBeLessThanOrEqual(bytesMax)
    const text = paths.map((path) => readFileSync(path, 'utf8')).join('')
    const seen = text
      .trim()
      .split('\n')
      .map((line) => Number.parseInt(JSON.parse(line).payload, 10))
    expect(seen.at(-1)).toBe(299)
    expect(seen).toEqual(seen.map((_, i) => seen[0]! + i))
  })

  it('ends with its time, and with the gateway', async () => {
    const api = await startApi({ inMemory: false, dataDir })
    await api.admin('/traces', { method: 'POST', body: { ...begin, seconds: 1 } })
    await api.admin('/traces', { method: 'POST', body: { ...begin, name: 'long' } })
    const ended = async () => (await api.admin<{ items: { ended: string }[] }>('/traces')).body.items[0]!.ended
    await eventually(ended).toBe('time')
    await connectClient(api.gateway, { clientId: 'a' })
    await api.gateway.close()
    expect(readFileSync(join(dataDir, 'traces', 'long.jsonl'), 'utf8')).toContain('CONNACK')
  })

  it('ends, and does not begin, where the disk is nearly full', async () => {
    const api = await startApi({ inMemory: false, dataDir })
    await api.admin('/traces', { method: 'POST', body: begin })
    api.gateway.broker.storeFull = true
    await connectClient(api.gateway, { clientId: 'a' })
    const ended = async () => (await api.admin<{ items: { ended: string }[] }>('/traces')).body.items[0]!.ended
    await eventually(ended).toBe('disk_full')
    expectProblem(await api.admin('/traces', { method: 'POST', body: { ...begin, name: 'b' } }), 503)
    expect(existsSync(join(dataDir, 'traces', 'b.jsonl'))).toBe(false)
  })

  it('is not written by a gateway in memory', async () => {
    const api = await startApi()
    expectProblem(await api.admin('/traces', { method: 'POST', body: begin }), 501)
    expect((await api.admin('/traces')).body).toEqual({ items: [] })
  })
})
