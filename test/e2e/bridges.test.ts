/** Bridges between two gateways: both directions, prefixes, QoS, retained messages, what waits while the other one is away. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { freePort } from './mosquitto.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'mqtide-bridge-'))
  folders.push(path)
  return path
}

type Topic = NonNullable<NonNullable<GatewayOptions['bridges']>[string]>['topics'][number]
type BridgeOptions = Omit<NonNullable<GatewayOptions['bridges']>[string], 'url'>

const quick = { reconnectMs: 20, reconnectMaxMs: 200 }

function bridgeTo(port: number, topics: Topic[], more: Partial<BridgeOptions> = {}): GatewayOptions {
  return { bridges: { plant: { url: `mqtt://127.0.0.1:${port}`, topics, ...quick, ...more } } }
}

const portOf = ({ addresses }: Gateway): number => addresses.mqtt!.port
const connected = (gateway: Gateway) => gateway.bridges.map(({ state }) => state)

async function bridged(topics: Topic[], more: Partial<BridgeOptions> = {}) {
  const remote = await startGateway()
  const local = await startGateway(bridgeTo(portOf(remote), topics, more))
  await eventually(() => connected(local)).toEqual(['connected'])
  return { local, remote }
}

describe.each([4, 5] as const)('a bridge that speaks protocol level %i', (protocolVersion) => {
  test('takes messages out with their prefixes exchanged, at each QoS', async () => {
    const topics: Topic[] = [
      { filter: '#', direction: 'out', qos: 2, localPrefix: 'plant/', remotePrefix: 'site7/plant/' },
    ]
    const { local, remote } = await bridged(topics, { protocolVersion })
    const there = await connectClient(remote)
    await there.mqtt.subscribeAsync('site7/#', { qos: 2 })
    const here = await connectClient(local)
    for (const qos of [0, 1, 2] as const) await here.mqtt.publishAsync(`plant/line/${qos}`, `at ${qos}`, { qos })
    await there.until(3)
    expect(there.received.map(({ topic, qos, payload }) => [topic, qos, payload.toString()])).toEqual([
      ['site7/plant/line/0', 0, 'at 0'],
      ['site7/plant/line/1', 1, 'at 1'],
      ['site7/plant/line/2', 2, 'at 2'],
    ])
  })

  test('lets messages in, and what is retained stays so', async () => {
    const topics: Topic[] = [{ filter: 'orders/#', direction: 'in', qos: 2, localPrefix: 'cloud/' }]
    const { local, remote } = await bridged(topics, { protocolVersion })
    const here = await connectClient(local, { protocolVersion: 5 })
    await here.mqtt.subscribeAsync('cloud/#', { qos: 2, rap: true })
    const there = await connectClient(remote)
    await there.mqtt.publishAsync('orders/1', 'kept', { qos: 1, retain: true })
    await there.mqtt.publishAsync('orders/2', 'not', { qos: 2 })
    await here.until(2)
    expect(here.received.map(({ topic, retain, qos }) => [topic, retain, qos])).toEqual([
      ['cloud/orders/1', true, 1],
      ['cloud/orders/2', false, 2],
    ])
    const later = await connectClient(local)
    await later.mqtt.subscribeAsync('cloud/#')
    await later.until(1)
    expect(later.texts()).toEqual(['kept'])
  })

  test('brings nothing back that it took out, in both directions', async () => {
    const { local, remote } = await bridged([{ filter: 'both/#', direction: 'both', qos: 2 }], { protocolVersion })
    const here = await connectClient(local)
    const there = await connectClient(remote)
    await here.mqtt.subscribeAsync('both/#', { qos: 2 })
    await there.mqtt.subscribeAsync('both/#', { qos: 2 })
    for (let i = 0; i < 20; i++) {
      await here.mqtt.publishAsync(`both/${i}`, 'from here', { qos: 2 })
      await there.mqtt.publishAsync(`both/${i}`, 'from there', { qos: 2 })
    }
    await here.until(40)
    await there.until(40)
    await here.mqtt.publishAsync('both/end', 'end', { qos: 2 })
    await there.until(41)
    await here.until(41)
    expect(here.received).toHaveLength(41)
    expect(there.received).toHaveLength(41)
  })

  test('keeps what is published while the other broker is away, and nothing comes twice at QoS 2', async () => {
    const port = await freePort()
    const dataDir = folder()
    const away = () => startGateway({ mqttPort: port, inMemory: false, dataDir })
    const topics: Topic[] = [{ filter: 'plant/#', direction: 'out', qos: 2 }]
    const local = await startGateway(bridgeTo(port, topics, { protocolVersion }))
    const here = await connectClient(local)
    for (let i = 0; i < 50; i++) await here.mqtt.publishAsync('plant/early', `${i}`, { qos: 2 })
    expect(local.bridges[0]).toMatchObject({ waiting: 50, state: expect.stringMatching(/waiting|connecting/) })
    const first = await away()
    const there = await connectClient(first, { clientId: 'there', clean: false })
    await there.mqtt.subscribeAsync('plant/#', { qos: 2 })
    await eventually(() => local.bridges[0]!.waiting + local.bridges[0]!.inflight).toBe(0)
    await first.close()
    for (let i = 0; i < 50; i++) await here.mqtt.publishAsync('plant/late', `${i}`, { qos: 2 })
    const second = await away()
    const again = await connectClient(second, { clientId: 'there', clean: false })
    await eventually(() => again.received.filter(({ topic }) => topic === 'plant/late').length).toBe(50)
    expect(again.received.filter(({ topic }) => topic === 'plant/late').map(({ payload }) => `${payload}`)).toEqual(
      Array.from({ length: 50 }, (_, i) => `${i}`),
    )
  })
})

test('what a bridge has to get out is sent after a restart of the gateway itself', async () => {
  const port = await freePort()
  const dataDir = folder()
  const options = { ...bridgeTo(port, [{ filter: 'plant/#', direction: 'out', qos: 1 }]), inMemory: false, dataDir }
  const before = await startGateway(options)
  const here = await connectClient(before)
  for (let i = 0; i < 20; i++) await here.mqtt.publishAsync('plant/a', `${i}`, { qos: 1 })
  await before.close()
  const remote = await startGateway({ mqttPort: port })
  const there = await connectClient(remote)
  await there.mqtt.subscribeAsync('plant/#', { qos: 1 })
  await startGateway(options)
  await there.until(20)
  expect(there.texts()).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`))
})

test('retained messages that are there already go over once', async () => {
  const remote = await startGateway()
  const port = await freePort()
  const local = await startGateway({
    ...bridgeTo(portOf(remote), [{ filter: 'state/#', direction: 'out', qos: 1 }]),
    mqttPort: port,
  })
  await local.publish({ topic: 'state/a', payload: 'on', retain: true, qos: 1 })
  const there = await connectClient(remote)
  await there.mqtt.subscribeAsync('state/#', { qos: 1 })
  await there.until(1)
  expect(there.received[0]).toMatchObject({ topic: 'state/a', qos: 1 })
})

test('what a rule excepts stays where it is, and the rest goes on', async () => {
  const topics: Topic[] = [{ filter: 'plant/#', direction: 'out', qos: 2, except: ['plant/debug/#'] }]
  const { local, remote } = await bridged(topics)
  const there = await connectClient(remote)
  await there.mqtt.subscribeAsync('#', { qos: 2 })
  const here = await connectClient(local)
  for (const qos of [0, 1, 2] as const) await here.mqtt.publishAsync('plant/debug/x', 'no', { qos })
  for (const qos of [0, 1, 2] as const) await here.mqtt.publishAsync('plant/x', 'yes', { qos })
  await there.until(3)
  expect(there.texts()).toEqual(['yes', 'yes', 'yes'])
  await eventually(() => local.bridges[0]!.inflight).toBe(0)
  expect(local.bridges[0]!.skippedOut).toEqual({ excepted: 3 })
})

test('several connections keep the order of each topic and lose nothing', async () => {
  const topics: Topic[] = [{ filter: 'plant/#', direction: 'out', qos: 2 }]
  const { local, remote } = await bridged(topics, { connections: 4 })
  const there = await connectClient(remote)
  await there.mqtt.subscribeAsync('plant/#', { qos: 2 })
  const here = await connectClient(local)
  const sent: Promise<unknown>[] = []
  for (let i = 0; i < 400; i++) sent.push(here.mqtt.publishAsync(`plant/${i % 10}`, `${i}`, { qos: 2 }))
  await Promise.all(sent)
  await there.until(400)
  for (let line = 0; line < 10; line++) {
    const numbers = there.received.filter(({ topic }) => topic === `plant/${line}`).map((one) => Number(one.payload))
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, i) => i * 10 + line))
  }
})

test('a ring of three gateways passes each message once', async () => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const gateways: Gateway[] = []
  for (const [index, mqttPort] of ports.entries()) {
    const next = ports[(index + 1) % 3]!
    const options = bridgeTo(next, [{ filter: 'ring/#', direction: 'out', qos: 1 }])
    gateways.push(await startGateway({ ...options, mqttPort }))
  }
  await eventually(() => gateways.flatMap(connected)).toEqual(['connected', 'connected', 'connected'])
  const clients = await Promise.all(gateways.map((gateway) => connectClient(gateway)))
  for (const { mqtt } of clients) await mqtt.subscribeAsync('ring/#', { qos: 1 })
  await clients[0]!.mqtt.publishAsync('ring/a', 'round', { qos: 1 })
  await Promise.all(clients.map((client) => client.until(1)))
  await eventually(() => gateways[2]!.bridges[0]!.skippedOut['looped'] ?? 0).toBe(1)
  expect(clients.map(({ received }) => received.length)).toEqual([1, 1, 1])
})

test.each([4, 5] as const)('a bridge to the gateway itself is recognised and given up (level %i)', async (version) => {
  const port = await freePort()
  const topics: Topic[] = [{ filter: '#', direction: 'both', qos: 1 }]
  const local = await startGateway({ ...bridgeTo(port, topics, { protocolVersion: version }), mqttPort: port })
  await eventually(() => connected(local)).toEqual(['refused'])
  expect(local.bridges[0]!.lastFailure).toMatchObject({ reason: 'itself' })
})

test("nobody else gets a bridge's session", async () => {
  const { local } = await bridged([{ filter: 'a', direction: 'out' }])
  const thief = connectClient(local, { clientId: '$bridge/plant', protocolVersion: 5 })
  await expect(thief).rejects.toMatchObject({ code: 0x85 })
})
