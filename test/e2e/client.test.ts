/** `mqtide/client` in Node against real gateways: beside MQTT, under rules, and over a gateway that is killed. */
import { connectAsync } from 'mqtt'
import { afterEach, describe, expect, test } from 'vitest'
import { type Connection, type ConnectOptions, connect } from '../../src/client/index.ts'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { startToBeKilled } from './killed-gateway.ts'

const open: Connection[] = []
afterEach(() => Promise.all(open.splice(0).map((connection) => connection.close({ flushMs: 0 }))))

function client(to: Gateway | string, options: ConnectOptions = {}): Connection {
  const url = typeof to === 'string' ? to : `http://127.0.0.1:${to.addresses.http!.port}`
  const connection = connect(url, { backOff: { firstMs: 50, mostMs: 200 }, ...options })
  open.push(connection)
  return connection
}

describe('the client', () => {
  test('gets what MQTT clients publish, and they what it publishes', async () => {
    const gateway = await startGateway()
    const device = await connectClient(gateway, { protocolVersion: 5 })
    await device.mqtt.subscribeAsync('to/device', { qos: 1 })
    const connection = client(gateway)
    const got: [string, string, number, boolean][] = []
    await device.mqtt.publishAsync('from/kept', 'before', { qos: 1, retain: true })
    const { ready } = connection.subscribe(
      'from/#',
      ({ topic, text, qos, retain }) => got.push([topic, text, qos, retain]),
      {
        qos: 1,
      },
    )
    expect(await ready).toBe(1)
    await device.mqtt.publishAsync('from/device', 'grüße', { qos: 1 })
    await device.mqtt.publishAsync('from/bytes', Buffer.from([0xff, 0]), { qos: 0 })
    await eventually(() => got).toEqual([
      ['from/kept', 'before', 1, true],
      ['from/device', 'grüße', 1, false],
      ['from/bytes', '\ufffd\0', 0, false],
    ])
    await connection.publish('to/device', { on: true })
    await connection.publish('to/device', new Uint8Array([0xff, 0]), { properties: { contentType: 'bytes' } })
    await device.until(2)
    expect(device.received.map(({ payload, qos }) => [payload.toString('latin1'), qos])).toEqual([
      ['{"on":true}', 1],
      ['\xff\0', 1],
    ])
    expect(device.received[1]?.properties?.contentType).toBe('bytes')
  })

  test('asks an MQTT 5.0 device and answers one', async () => {
    const gateway = await startGateway()
    const device = await connectClient(gateway, { protocolVersion: 5 })
    await device.mqtt.subscribeAsync('do', { qos: 1 })
    device.mqtt.on('message', (_topic, payload, { properties }) => {
      const { responseTopic, correlationData } = properties ?? {}
      if (responseTopic === undefined || correlationData === undefined) return
      device.mqtt.publish(responseTopic, `did ${payload}`, { qos: 1, properties: { correlationData } })
    })
    const [asking, answering] = [client(gateway), client(gateway)]
    const answers = await Promise.all(['a', 'b'].map((what) => asking.request('do', what)))
    expect(answers.map(({ text }) => text)).toEqual(['did a', 'did b'])
    await answering.subscribe('sum', (message) => answering.respond(message, message.json<number[]>().length)).ready
    expect((await asking.request('sum', [1, 2, 3])).json()).toBe(3)
  })

  test('is told what rules refuse, and lives on', async () => {
    const rules = [{ allow: 'all', topic: 'own/#' }] as const
    const gateway = await startGateway({ authorization: { rules: [...rules] } })
    const connection = client(gateway)
    await expect(connection.publish('other', '1')).rejects.toMatchObject({ code: 'refused', reason: 0x87 })
    await expect(connection.subscribe('other').ready).rejects.toMatchObject({ code: 'refused', reason: 0x87 })
    await expect(connection.subscribe('bad/#/filter').ready).rejects.toMatchObject({ code: 'refused' })
    await expect(connection.publish('own/a', 'x'.repeat(300_000))).rejects.toMatchObject({ reason: 0x95 })
    await connection.publish('own/a', '1')
    expect(connection.state).toBe('connected')
  })

  test('gives a message up that is longer than this gateway takes, and goes on with the rest', async () => {
    const gateway = await startGateway({ limits: { jsonMessageBytesMax: 10_000 } })
    const connection = client(gateway)
    const [long, short] = [connection.publish('a', 'x'.repeat(20_000)), connection.publish('a', '1')]
    await expect(long).rejects.toMatchObject({ code: 'refused', reason: 0x95 })
    await short
  })

  test('ends for good with a wrong token, and goes on where a function has the next', async () => {
    const authentication = { jwt: { secret: 'a-shared-secret-of-thirty-two-bytes!' } }
    const gateway = await startGateway({ authentication, authorization: { rules: [{ allow: 'all', topic: '#' }] } })
    const wrong = client(gateway, { token: 'wrong' })
    await expect(wrong.connected()).rejects.toMatchObject({ code: 'refused' })
    expect(wrong.state).toBe('closed')
    const { SignJWT } = await import('jose')
    const tokens = ['wrong', await signed(new SignJWT({}).setSubject('tina'), authentication.jwt.secret)]
    const right = client(gateway, { token: async () => tokens.shift() })
    await right.connected()
    await right.publish('a', '1')
  })

  test('ends when another program takes its session over', async () => {
    const gateway = await startGateway()
    const first = client(gateway, { clientId: 'same' })
    await first.connected()
    const second = client(gateway, { clientId: 'same' })
    await second.connected()
    await eventually(() => first.state).toBe('closed')
    expect(first.error).toMatchObject({ code: 'refused', reason: 0x8e })
    expect(second.state).toBe('connected')
  })

  test('leaves no subscription behind when it is closed', async () => {
    const gateway = await startGateway()
    const connection = client(gateway)
    const subscription = connection.subscribe('a/#', { qos: 1 })
    await subscription.ready
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
    await connection.close()
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(0)
  })
})

test('over a gateway that is killed nothing is lost at QoS 1 that was published in either direction', async () => {
  const gateway = await startToBeKilled()
  try {
    const reader = client(gateway.http)
    const [got, states] = [new Set<string>(), [] as (boolean | undefined)[]]
    reader.on('state', (state, { resumed }) => state === 'connected' && states.push(resumed))
    await reader.subscribe('count/#', ({ text }) => got.add(text), { qos: 1 }).ready
    const device = await connectAsync(gateway.mqtt, { reconnectPeriod: 50 })
    const writer = client(gateway.http)
    await writer.connected()
    const published: Promise<unknown>[] = []
    const publish = (round: number) => {
      for (let index = 0; index < 100; index++) {
        published.push(writer.publish('count/page', `page ${round} ${index}`))
        published.push(device.publishAsync('count/device', `device ${round} ${index}`, { qos: 1 }))
      }
    }
    for (let round = 0; round < 3; round++) {
      publish(round)
      await eventually(() => got.size).toBeGreaterThan(round * 200 + 20)
      await gateway.kill()
      await gateway.start()
    }
    await Promise.all(published)
    await eventually(() => got.size).toBe(600)
    await eventually(() => states).toEqual([false, true, true, true])
    await device.endAsync(true)
  } finally {
    await Promise.all(open.splice(0).map((connection) => connection.close({ flushMs: 0 })))
    await gateway.remove()
  }
}, 120_000)

function signed(token: import('jose').SignJWT, secret: string): Promise<string> {
  return token.setProtectedHeader({ alg: 'HS256' }).setExpirationTime('5m').sign(new TextEncoder().encode(secret))
}
