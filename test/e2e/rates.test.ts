/** Publishers that are faster than they may, over real sockets: they are slowed down, nobody else is, and nothing is lost. */
import { once } from 'node:events'
import { generate } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { connectClient, startGateway, transports } from './gateway.ts'
import { connectPacket } from './raw-client.ts'

const plain = { qos: 0, dup: false, retain: false } as const
const versions = [4, 5] as const
const cases = transports.flatMap((transport) => versions.map((protocolVersion) => ({ transport, protocolVersion })))

describe('a rate of publishing', () => {
  it.each(cases)('holds up who is faster, loses nothing (MQTT $protocolVersion, $transport.name)', async (each) => {
    const { transport, protocolVersion } = each
    const gateway = await startGateway({ limits: { publishesPerSecondMax: 400, publishesBurstMax: 10 } })
    const subscriber = await connectClient(gateway, { protocolVersion })
    await subscriber.mqtt.subscribeAsync('#', { qos: 0 })
    const publisher = await connectClient(gateway, { protocolVersion, keepalive: 60 }, transport)
    for (let i = 0; i < 210; i++) publisher.mqtt.publish('t', String(i), { qos: 0 })
    await subscriber.until(210)
    expect(subscriber.texts()).toEqual(Array.from({ length: 210 }, (_, i) => String(i)))
    expect(gateway.metrics()['mqtt_rate_answers_total{answer="paused"}']).toBeGreaterThan(0)
  })

  it('of one listener leaves the others alone, and changes with the configuration', async () => {
    const listeners = [
      { name: 'slow', kind: 'tcp' as const, port: 0, limits: { publishesPerSecondMax: 1 } },
      { name: 'fast', kind: 'tcp' as const, port: 0 },
    ]
    const gateway = await startGateway({ mqttPort: undefined, httpPort: undefined, listeners })
    const at = (name: string) => {
      const { port } = gateway.listeners.find((one) => one.name === name)!
      return { name, url: () => `mqtt://127.0.0.1:${port}` }
    }
    const options = { protocolVersion: 4 as const }
    const [slow, fast] = [
      await connectClient(gateway, options, at('slow')),
      await connectClient(gateway, options, at('fast')),
    ]
    for (let i = 0; i < 20; i++) await fast.mqtt.publishAsync('t', 'x', { qos: 1 })
    expect(gateway.metrics()['mqtt_rate_limited_total{limit="client_publishes"}']).toBeUndefined()
    await slow.mqtt.publishAsync('t', 'x', { qos: 1 })
    await slow.mqtt.publishAsync('t', 'x', { qos: 1 })
    const waiting = Promise.all([1, 2, 3].map(() => slow.mqtt.publishAsync('t', 'x', { qos: 1 })))
    gateway.reloadLimits({ ...gateway.config, listeners: [{ ...gateway.config.listeners![0]!, limits: {} }] })
    await waiting
    expect(gateway.metrics()['mqtt_rate_limited_total{limit="client_publishes"}']).toBeGreaterThan(0)
  })

  it('loses nothing of a client that closes its WebSocket right behind its messages', async () => {
    const gateway = await startGateway({ limits: { publishesPerSecondMax: 400, publishesBurstMax: 10 } })
    const subscriber = await connectClient(gateway)
    await subscriber.mqtt.subscribeAsync('#', { qos: 0 })
    const publisher = new WebSocket(`ws://127.0.0.1:${gateway.addresses.http!.port}/mqtt`, 'mqtt')
    await once(publisher, 'open')
    publisher.send(generate(connectPacket('p')))
    for (let i = 0; i < 100; i++) publisher.send(generate({ cmd: 'publish', topic: 't', payload: String(i), ...plain }))
    publisher.close(1000)
    const closed = once(publisher, 'close')
    await subscriber.until(100)
    expect(subscriber.texts()).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
    expect((await closed)[0]).toBe(1000)
  })
})
