/** Storms of connections, over real sockets: served in order at the rate that is set, and those who can't be are told so. */
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/engine/clock.ts'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { connectClient, startGateway, transports } from './gateway.ts'
import { connectPacket, connectRaw } from './raw-client.ts'

/** By client id: when its CONNECT was accepted. The answers to several may be read in any order. */
async function connectTimes(gateway: Gateway): Promise<Map<string, string>> {
  const { port } = gateway.addresses.http!
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/clients?limit=100`)
  const { items } = (await response.json()) as { items: { clientId: string; connectedAt: string }[] }
  return new Map(items.map(({ clientId, connectedAt }) => [clientId, connectedAt]))
}

describe('a storm of connections', () => {
  it('is served in order, while the traffic of others goes on', async () => {
    const gateway = await startGateway({ limits: { connectsPerSecondMax: 200 } })
    const [subscriber, publisher] = [await connectClient(gateway), await connectClient(gateway)]
    await subscriber.mqtt.subscribeAsync('t')
    const served: Promise<unknown>[] = []
    for (let index = 0; index < 80; index++) {
      const client = await connectRaw(gateway, 'TCP')
      client.sendPacket(connectPacket(`storm-${index}`))
      served.push(client.until(() => client.packets.length > 0))
    }
    for (let i = 0; i < 50; i++) publisher.mqtt.publish('t', String(i))
    await subscriber.until(50)
    await Promise.all(served)
    const times = await connectTimes(gateway)
    const inOrder = Array.from({ length: 80 }, (_, index) => times.get(`storm-${index}`)!)
    expect(inOrder).toEqual(inOrder.toSorted())
    expect(gateway.metrics()).toMatchObject({ 'mqtt_connects_total{result="success"}': 82 })
    expect(gateway.metrics()['mqtt_rate_limited_total{limit="connects"}']).toBeGreaterThan(0)
  })

  it.each(transports)('lets nobody wait whose turn would come too late, and tells him ($name)', async (transport) => {
    const limits = { connectsPerSecondMax: 1, connectWaitMsMax: 0 }
    // Time stands still, so that nobody's turn comes.
    const clock = { ...systemClock, now: () => 1_700_000_000_000 }
    await using gateway = await createGateway(
      { mqttPort: 0, httpPort: 0, inMemory: true, logLevel: 'silent', limits },
      { clock },
    )
    await gateway.listen()
    const first = await connectClient(gateway, { protocolVersion: 5 })
    for (const [protocolVersion, code] of [
      [5, 0x9f],
      [4, 3],
    ] as const) {
      await expect(connectClient(gateway, { protocolVersion }, transport)).rejects.toMatchObject({ code })
    }
    await first.mqtt.endAsync()
  })

  it('may hold connections that are gone when their turn comes', async () => {
    const gateway = await startGateway({ limits: { connectsPerSecondMax: 20 } })
    await Promise.all(Array.from({ length: 4 }, () => connectClient(gateway)))
    const gone = await connectRaw(gateway, 'TCP')
    gone.sendPacket(connectPacket('gone'))
    gone.destroy()
    await connectClient(gateway)
    expect(gateway.metrics()).toMatchObject({ mqtt_internal_errors_total: 0 })
  })
})

describe('clients of one address', () => {
  /** What a client behind a trusted proxy gets for its CONNECT: the CONNACK's last two bytes, or nothing. */
  const answerTo = (port: number, address: string, clientId: string) =>
    new Promise<{ code: number | undefined; leave(): Promise<void> }>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      const closed = new Promise<void>((done) => socket.on('close', () => done()))
      const leave = async () => {
        socket.end()
        await closed
      }
      socket.on('error', () => {})
      void closed.then(() => resolve({ code: undefined, leave }))
      socket.on('data', (bytes) => resolve({ code: bytes[3], leave }))
      const id = Buffer.from(clientId)
      const body = Buffer.concat([Buffer.from([0, 4, 77, 81, 84, 84, 4, 2, 0, 0, 0, id.length]), id])
      socket.write(`PROXY TCP4 ${address} 198.51.100.1 4711 1883\r\n`)
      socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body]))
    })

  it('beyond the limit are told that there is no room, until one has left', async () => {
    const listeners: GatewayOptions['listeners'] = [
      {
        ...{ name: 'proxied', kind: 'tcp', port: 0, proxyProtocol: true, trustedProxies: ['127.0.0.1'] },
        limits: { connectionsPerAddressMax: 2 },
      },
    ]
    const gateway = await startGateway({ mqttPort: undefined, httpPort: undefined, listeners })
    const { port } = gateway.addresses.mqtt!
    const first = await answerTo(port, '192.0.2.1', 'a')
    await answerTo(port, '192.0.2.1', 'b')
    expect((await answerTo(port, '192.0.2.1', 'c')).code).toBe(3)
    expect((await answerTo(port, '192.0.2.2', 'd')).code).toBe(0)
    expect((await answerTo(port, '192.0.2.1', 'b')).code).toBe(0)
    expect(gateway.metrics()['mqtt_rate_limited_total{limit="connections_per_address"}']).toBe(1)
    await first.leave()
    expect((await answerTo(port, '192.0.2.1', 'e')).code).toBe(0)
  })
})
