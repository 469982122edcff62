/** What others may not do to a bridge, or by one: stop it, hold it up, learn its secrets, or be taken for another. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { encodeConnect } from '../../src/mqtt/encoder.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { freePort } from './mosquitto.ts'

type BridgeOptions = NonNullable<GatewayOptions['bridges']>[string]

const quick = { reconnectMs: 20, reconnectMaxMs: 200 }
const out: BridgeOptions['topics'] = [{ filter: 'plant/#', direction: 'out', qos: 1 }]
const portOf = ({ addresses }: Gateway): number => addresses.mqtt!.port
const urlOf = (gateway: Gateway): string => `mqtt://127.0.0.1:${portOf(gateway)}`
/** Says CONNECT as 3.1.1 bridges do, with the bridge bit; resolves when it is answered or closed. */
async function connectAsBridge(gateway: Gateway, clientId: string): Promise<void> {
  const bytes = encodeConnect({ version: 4, cleanStart: true, keepAlive: 0, clientId, properties: {} })
  // Behind the fixed header of two bytes and the protocol name of six.
  bytes[8]! |= 0x80
  const socket = connect(portOf(gateway), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(bytes)
  await Promise.race([once(socket, 'data'), once(socket, 'close')])
  socket.destroy()
}

test('bridges of one name in two namespaces, and those whose names end in a number, are different clients there', async () => {
  const remote = await startGateway()
  const cloud: BridgeOptions = { url: urlOf(remote), topics: out, ...quick }
  const local = await startGateway({
    bridges: { cloud: { ...cloud, connections: 2 }, 'cloud-2': cloud },
    namespaces: { tenant: { bridges: { cloud } } },
  })
  await eventually(() => local.bridges.map(({ state }) => state)).toEqual(['connected', 'connected', 'connected'])
  await local.publish({ topic: 'plant/a', qos: 1 })
  await eventually(() => local.bridges.map(({ waiting, inflight }) => waiting + inflight)).toEqual([0, 0, 0])
  expect(new Set(local.bridges.map(({ clientId }) => clientId)).size).toBe(3)
  expect(local.bridges.map(({ failures }) => failures)).toEqual([{}, {}, {}])
})

describe('a stranger who takes the name of a bridge', () => {
  test('does not stop it while it is connected', async () => {
    const remote = await startGateway()
    const bridge: BridgeOptions = { url: urlOf(remote), topics: out, protocolVersion: 4, clientId: 'site7', ...quick }
    const local = await startGateway({ bridges: { cloud: bridge } })
    await eventually(() => local.bridges[0]!.state).toBe('connected')
    await connectAsBridge(local, 'site7')
    expect(local.bridges[0]).toMatchObject({ state: 'connected', failures: {} })
  })

  test('does not stop it while it tries', async () => {
    const port = await freePort()
    const url = `mqtt://127.0.0.1:${port}`
    const bridge: BridgeOptions = { url, topics: out, protocolVersion: 4, clientId: 'site7', ...quick }
    const local = await startGateway({ bridges: { cloud: bridge } })
    for (let i = 0; i < 20; i++) await connectAsBridge(local, 'site7')
    await startGateway({ mqttPort: port })
    await eventually(() => local.bridges[0]!.state).toBe('connected')
  })
})

describe('a message that comes in and that a client could not publish here', () => {
  async function bridgedIn(limits: Partial<GatewayOptions>, client: { protocolVersion?: 4 | 5 } = {}) {
    const remote = await startGateway()
    const topics: BridgeOptions['topics'] = [{ filter: 'orders/#', direction: 'in', qos: 2 }]
    const local = await startGateway({
      bridges: { cloud: { url: urlOf(remote), topics, ...quick, ...client } },
      ...limits,
    })
    await eventually(() => local.bridges[0]!.state).toBe('connected')
    const here = await connectClient(local)
    await here.mqtt.subscribeAsync('orders/#', { qos: 2 })
    const there = await connectClient(remote, { protocolVersion: 5 })
    return { local, here, there }
  }

  test.each([1, 2] as const)(
    'for its size is skipped and counted, and does not hold up the next (QoS %i)',
    async (qos) => {
      const { local, here, there } = await bridgedIn({ limits: { packetBytesMax: 2000 } })
      await there.mqtt.publishAsync('orders/large', Buffer.alloc(5000), { qos })
      await there.mqtt.publishAsync('orders/small', 'x', { qos })
      await here.until(1)
      expect(here.received[0]!.topic).toBe('orders/small')
      expect(local.bridges[0]).toMatchObject({ skippedIn: { too_large: 1 }, failures: {} })
    },
  )

  test('for its many properties is skipped too', async () => {
    const { local, here, there } = await bridgedIn({ limits: { propertiesPerPacketMax: 30 } })
    const userProperties = { name: Array.from({ length: 40 }, () => 'value') }
    await there.mqtt.publishAsync('orders/many', 'x', { qos: 1, properties: { userProperties } })
    await there.mqtt.publishAsync('orders/few', 'x', { qos: 1 })
    await here.until(1)
    expect(here.received[0]!.topic).toBe('orders/few')
    expect(local.bridges[0]).toMatchObject({ skippedIn: { too_many_properties: 1 }, failures: {} })
  })
})

test.each(['levels', 'properties'] as const)(
  'a message that goes out and has too many %s for a gateway like this does not hold up the next',
  async (kind) => {
    const remote = await startGateway()
    const topics: BridgeOptions['topics'] = [{ filter: 'plant/#', direction: 'out', qos: 1, remotePrefix: 'site7/' }]
    const local = await startGateway({ bridges: { cloud: { url: urlOf(remote), topics, ...quick } } })
    await eventually(() => local.bridges[0]!.state).toBe('connected')
    const there = await connectClient(remote)
    await there.mqtt.subscribeAsync('site7/#', { qos: 1 })
    const here = await connectClient(local, { protocolVersion: 5 })
    const userProperties = { a: Array.from({ length: 1000 }, () => 'b') }
    if (kind === 'levels') await here.mqtt.publishAsync(`plant${'/a'.repeat(199)}`, 'x', { qos: 1 })
    else await here.mqtt.publishAsync('plant/many', 'x', { qos: 1, properties: { userProperties } })
    await here.mqtt.publishAsync('plant/next', 'x', { qos: 1 })
    await there.until(1)
    expect(there.received[0]!.topic).toBe('site7/plant/next')
    const reason = kind === 'levels' ? 'topic_too_long' : 'too_many_properties'
    expect(local.bridges[0]).toMatchObject({ skippedOut: { [reason]: 1 }, failures: {} })
  },
)
