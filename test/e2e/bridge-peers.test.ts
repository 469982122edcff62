/** Bridges to brokers of others, which are ended, killed, stopped and started again; and Mosquitto's bridges to us. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type IPublishPacket, type MqttClient } from 'mqtt'
import { afterEach, describe, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'
import { startToBeKilled } from './killed-gateway.ts'
import { type RestartedBroker, restartedMosquitto, restartedNats } from './restarted-broker.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

type BridgeOptions = NonNullable<GatewayOptions['bridges']>[string]
const quick = { reconnectMs: 20, reconnectMaxMs: 200 }

async function started(broker: RestartedBroker): Promise<RestartedBroker> {
  closers.push(() => broker.remove())
  await broker.start()
  return broker
}

function bridgeTo({ url }: { url: string }, bridge: Omit<BridgeOptions, 'url'>): GatewayOptions {
  return { bridges: { cloud: { url, ...quick, ...bridge } } }
}

/** A client with a session that lasts, which comes back by itself; what it gets, in order. */
async function lasting(url: string, filter: string, protocolVersion: 4 | 5 = 4) {
  const received: IPublishPacket[] = []
  const properties = protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
  const mqtt = connect(url, { clientId: 'lasting', clean: false, reconnectPeriod: 50, protocolVersion, ...properties })
  closers.push(() => mqtt.endAsync(true))
  mqtt.on('error', () => {})
  mqtt.on('message', (_topic, _payload, packet) => void received.push(packet))
  await new Promise<void>((resolve) => mqtt.once('connect', () => resolve()))
  await mqtt.subscribeAsync(filter, { qos: 2 })
  return { mqtt, received, texts: () => received.map(({ payload }) => payload.toString()) }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`)
const state = (gateway: Gateway) => gateway.bridges[0]!.state

async function publishAll(mqtt: MqttClient, topic: string, texts: readonly string[], qos: 1 | 2 = 2): Promise<void> {
  for (const text of texts) await mqtt.publishAsync(topic, text, { qos })
}

describePeer('bridges and Mosquitto', ['mosquitto'], ({ mosquitto }) => {
  describe.each([4, 5] as const)('at protocol level %i', (protocolVersion) => {
    test('one that is restarted under load gets each QoS 2 message once, in order', async () => {
      const broker = await started(await restartedMosquitto(mosquitto))
      // What comes meanwhile waits there, so that nobody else's exchanges are cut.
      const early = await lasting(broker.url, 'plant/#')
      await early.mqtt.endAsync()
      const topics = [{ filter: 'plant/#', direction: 'out', qos: 2 }] as const
      const local = await startGateway(bridgeTo(broker, { protocolVersion, topics: [...topics] }))
      const here = await connectClient(local)
      const texts = numbers(300)
      const published = publishAll(here.mqtt, 'plant/a', texts)
      for (const count of [40, 120, 200]) {
        await eventually(() => local.bridges[0]!.sent).toBeGreaterThan(count)
        await broker.end('SIGTERM')
        await broker.start()
      }
      await published
      await eventually(() => local.bridges[0]!.waiting + local.bridges[0]!.inflight).toBe(0)
      const there = await lasting(broker.url, 'nothing')
      await there.mqtt.publishAsync('plant/end', 'end', { qos: 2 })
      await eventually(() => there.texts().at(-1)).toBe('end')
      expect(there.texts().slice(0, -1)).toEqual(texts)
    })

    test('what is published there while we are away, and while it is restarted, comes in once', async () => {
      const broker = await started(await restartedMosquitto(mosquitto))
      const folder = mkdtempSync(join(tmpdir(), 'mqtide-bridge-'))
      closers.push(() => rmSync(folder, { recursive: true, force: true }))
      const topics = [{ filter: 'orders/#', direction: 'in', qos: 2 }] as const
      const options = {
        ...bridgeTo(broker, { protocolVersion, topics: [...topics] }),
        inMemory: false,
        dataDir: folder,
      }
      const first = await startGateway(options)
      const here = await connectClient(first, { clientId: 'logger', clean: false })
      await here.mqtt.subscribeAsync('orders/#', { qos: 2 })
      await eventually(() => state(first)).toBe('connected')
      const there = await lasting(broker.url, 'nothing')
      await publishAll(there.mqtt, 'orders/a', numbers(20))
      await here.until(20)
      await here.mqtt.endAsync()
      await first.close()
      await publishAll(there.mqtt, 'orders/b', numbers(50))
      await broker.end('SIGTERM')
      await broker.start()
      const second = await startGateway(options)
      const again = await connectClient(second, { clientId: 'logger', clean: false })
      await again.until(50)
      expect(again.texts()).toEqual(numbers(50))
    })

    test('one that stops answering is given up, and gets everything when it is back', async () => {
      const broker = await started(await restartedMosquitto(mosquitto))
      const there = await lasting(broker.url, 'plant/#')
      const topics = [{ filter: 'plant/#', direction: 'out', qos: 2 }] as const
      const options = { protocolVersion, topics: [...topics], ackTimeoutMs: 1500, connectTimeoutMs: 1500 }
      const local = await startGateway(bridgeTo(broker, options))
      await eventually(() => state(local)).toBe('connected')
      broker.signal('SIGSTOP')
      const here = await connectClient(local)
      await publishAll(here.mqtt, 'plant/a', numbers(50))
      await eventually(() => local.bridges[0]!.failures['ack_timeout']).toBe(1)
      expect(local.bridges[0]!.waiting).toBe(50)
      broker.signal('SIGCONT')
      await eventually(() => there.received.length).toBe(50)
      await eventually(() => local.bridges[0]!.inflight).toBe(0)
      expect(there.texts()).toEqual(numbers(50))
    })
  })

  test('both directions on one topic do not go round, by the bridge bit', async () => {
    const broker = await started(await restartedMosquitto(mosquitto))
    const options = { protocolVersion: 4, topics: [{ filter: 'both/#', direction: 'both', qos: 2 }] } as const
    const local = await startGateway(bridgeTo(broker, { ...options, topics: [...options.topics] }))
    await eventually(() => state(local)).toBe('connected')
    const there = await lasting(broker.url, 'both/#')
    const here = await connectClient(local)
    await here.mqtt.subscribeAsync('both/#', { qos: 2 })
    for (const text of numbers(20)) {
      await here.mqtt.publishAsync('both/a', `here ${text}`, { qos: 2, retain: true })
      await there.mqtt.publishAsync('both/a', `there ${text}`, { qos: 2, retain: true })
    }
    await eventually(() => [there.received.length, here.received.length]).toEqual([40, 40])
    await here.mqtt.publishAsync('both/a', 'end', { qos: 2 })
    await eventually(() => there.texts().at(-1)).toBe('end')
    await eventually(() => here.texts().at(-1)).toBe('end')
    expect([there.received.length, here.received.length]).toEqual([41, 41])
  })

  test('a gateway that is killed again and again loses nothing and doubles nothing at QoS 2', async () => {
    const broker = await started(await restartedMosquitto(mosquitto))
    const there = await lasting(broker.url, 'plant/#')
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-bridge-'))
    closers.push(() => rmSync(folder, { recursive: true, force: true }))
    const config = join(folder, 'gateway.json')
    const topics = [{ filter: 'plant/#', direction: 'out', qos: 2 }]
    writeFileSync(config, JSON.stringify({ bridges: { cloud: { url: broker.url, topics, ...quick } } }))
    const gateway = await startToBeKilled('--config', config, '--log-level', 'error')
    closers.push(() => gateway.remove())
    const publisher = connect(gateway.mqtt, { clientId: 'publisher', clean: false, reconnectPeriod: 20 })
    closers.push(() => publisher.endAsync(true))
    publisher.on('error', () => {})
    const texts = numbers(400)
    const published = Promise.all(texts.map((text) => publisher.publishAsync('plant/a', text, { qos: 2 })))
    for (const count of [50, 200]) {
      await eventually(() => there.received.length).toBeGreaterThan(count)
      await gateway.kill()
      await gateway.start()
    }
    await published
    await eventually(() => there.received.length).toBeGreaterThanOrEqual(400)
    await there.mqtt.publishAsync('plant/end', 'end', { qos: 2 })
    await eventually(() => there.texts().at(-1)).toBe('end')
    expect(there.texts().slice(0, -1).sort()).toEqual([...texts].sort())
  }, 120_000)

  test("Mosquitto's own bridges come to us, one in 3.1.1 and one in 5.0, and nothing goes round", async () => {
    const local = await startGateway()
    const address = `address 127.0.0.1:${local.addresses.mqtt!.port}`
    for (const [name, version] of [
      ['one', 'mqttv311'],
      ['two', 'mqttv50'],
    ]) {
      const lines = [`connection ${name}`, address, `bridge_protocol_version ${version}`, 'restart_timeout 1']
      const topic = `topic # both 2 shared/ ${name}/`
      const broker = await started(await restartedMosquitto(mosquitto, [...lines, 'cleansession false', topic]))
      const there = await lasting(broker.url, 'shared/#')
      const here = await connectClient(local, { protocolVersion: 5 })
      await eventually(() => local.metrics()['mqtt_connections']).toBe(2)
      await here.mqtt.subscribeAsync(`${name}/#`, { qos: 2, rap: true })
      await publishAll(there.mqtt, 'shared/up', numbers(10))
      await here.until(10)
      await publishAll(here.mqtt, `${name}/down`, numbers(10))
      await eventually(() => there.received.length).toBe(20)
      await there.mqtt.publishAsync('shared/kept', 'kept', { qos: 1, retain: true })
      await eventually(() => here.texts().at(-1)).toBe('kept')
      expect(here.received.at(-1)).toMatchObject({ topic: `${name}/kept`, retain: true })
      expect([there.received.length, here.received.length]).toEqual([21, 21])
      await here.mqtt.endAsync()
      await broker.end('SIGTERM')
      await eventually(() => local.metrics()['mqtt_connections']).toBe(0)
    }
  })
})

describePeer('bridges and NATS', ['nats-server'], (programs) => {
  const topics = [
    { filter: 'up/#', direction: 'out', qos: 1 },
    { filter: 'down/#', direction: 'in', qos: 1 },
  ] as const

  test('a server that is killed and started again gets and sends everything at QoS 1', async () => {
    const broker = await started(await restartedNats(programs['nats-server']))
    const there = await lasting(broker.url, 'up/#')
    const local = await startGateway(bridgeTo(broker, { protocolVersion: 4, topics: [...topics] }))
    const here = await connectClient(local)
    await here.mqtt.subscribeAsync('down/#', { qos: 1 })
    await eventually(() => state(local)).toBe('connected')
    await publishAll(here.mqtt, 'up/a', numbers(50), 1)
    await eventually(() => new Set(there.texts()).size).toBe(50)
    await broker.end('SIGKILL')
    const late = numbers(100).slice(50)
    await publishAll(here.mqtt, 'up/a', late, 1)
    await broker.start()
    await eventually(() => new Set(there.texts()).size).toBe(100)
    await publishAll(there.mqtt, 'down/a', numbers(50), 1)
    await eventually(() => new Set(here.texts()).size).toBe(50)
    expect(new Set(there.texts())).toEqual(new Set(numbers(100)))
  })

  test('one that would send back what it gets is not bridged both ways, and that is said', async () => {
    const broker = await started(await restartedNats(programs['nats-server']))
    const both = [{ filter: 'both/#', direction: 'both', qos: 1 }] as const
    const local = await startGateway(bridgeTo(broker, { protocolVersion: 4, topics: [...both] }))
    await eventually(() => local.bridges[0]!.failures['would_loop'] ?? 0).toBeGreaterThan(0)
    expect(local.bridges[0]!.lastFailure?.text).toContain('does not know bridges')
  })
})
