/** A gateway in this process on free ports, and MQTT.js clients for it. */
import { connect, type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from 'mqtt'
import { afterEach } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions, type GatewayWorld } from '../../src/gateway.ts'

export interface Transport {
  name: string
  url(gateway: Gateway): string
}

export const transports: readonly Transport[] = [
  { name: 'TCP', url: ({ addresses }) => `mqtt://127.0.0.1:${addresses.mqtt!.port}` },
  { name: 'WebSocket at /', url: ({ addresses }) => `ws://127.0.0.1:${addresses.http!.port}` },
  { name: 'WebSocket at /mqtt', url: ({ addresses }) => `ws://127.0.0.1:${addresses.http!.port}/mqtt` },
]
export const tcp = transports[0]!

export const versions = [
  { name: '3.1', options: { protocolId: 'MQIsdp', protocolVersion: 3 } },
  { name: '3.1.1', options: { protocolId: 'MQTT', protocolVersion: 4 } },
  { name: '5.0', options: { protocolId: 'MQTT', protocolVersion: 5 } },
] as const satisfies readonly { name: string; options: IClientOptions }[]

const closers: (() => Promise<unknown>)[] = []
let nextClient = 0

afterEach(async () => {
  // Clients first, so that none of them sees the gateway go.
  for (const close of closers.splice(0).reverse()) await close()
})

export async function startGateway(options: GatewayOptions = {}, world: GatewayWorld = {}): Promise<Gateway> {
  const own = { mqttPort: 0, httpPort: 0, inMemory: true, logLevel: 'silent' } as const
  const gateway = await createGateway({ ...own, ...options }, world)
  closers.push(() => gateway.close())
  await gateway.listen()
  return gateway
}

export interface Client {
  mqtt: MqttClient
  connack: IConnackPacket
  /** Every PUBLISH received, in order, also those that came together with CONNACK. */
  received: IPublishPacket[]
  /** Resolves when at least so many messages were received. */
  until(count: number): Promise<void>
  texts(): string[]
}

/** A connected client that collects what it receives and never reconnects. */
export async function connectClient(
  gateway: Gateway,
  options: IClientOptions = {},
  transport: Transport = tcp,
): Promise<Client> {
  const mqtt = connect(transport.url(gateway), { clientId: `c${nextClient++}`, reconnectPeriod: 0, ...options })
  closers.push(() => mqtt.endAsync(true))
  const received: IPublishPacket[] = []
  const waiting = new Set<() => void>()
  mqtt.on('message', (_topic, _payload, packet) => {
    received.push(packet)
    for (const look of waiting) look()
  })
  const connack = await new Promise<IConnackPacket>((resolve, reject) => {
    mqtt.once('connect', resolve)
    mqtt.once('error', reject)
    mqtt.once('close', () => reject(new Error('closed before CONNACK')))
  })
  // What a test does to a connection may end in an error event, which without listener would end the process.
  mqtt.on('error', () => {})
  const until = (count: number) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (received.length < count) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
    })
  return { mqtt, connack, received, until, texts: () => received.map((packet) => packet.payload.toString()) }
}

/** Ends the network connection without DISCONNECT and waits until the client has noticed. */
export async function cut({ mqtt }: Client): Promise<void> {
  const closed = new Promise<void>((resolve) => mqtt.once('close', () => resolve()))
  mqtt.stream.destroy()
  await closed
}
