/**
 * `npm run measure-aedes`: the two observations on aedes that README.md reports, to be repeated by anyone, and the same on
 * MQTide.
 *
 * 1. Does PUBACK wait for the store? From some moment on, what the broker asks of its store never finishes; then a QoS 1
 *    message is published that must be retained and queued for an offline session.
 * 2. Does one subscriber that stopped reading slow others? 20 healthy subscribers and a paused one share a topic; what
 *    the healthy ones got is counted once nothing arrived for 5 seconds, and again after the broker's drain timeout.
 *
 * Everything is counted in this one process, over sockets on 127.0.0.1. It takes a bit more than a minute.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { arch, cpus, platform } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Aedes } from 'aedes'
import mqtt from 'mqtt'
import { generate } from 'mqtt-packet'
import { createGateway } from '../src/gateway.ts'
import { createMemoryStore, MemoryStore } from '../src/store/memory.ts'
import type { Durability, Store } from '../src/store/store.ts'

const healthyCount = 20
const messageCount = 2000
const payloadBytes = 16 * 1024
const quietMs = 5000

interface Broker {
  port: number
  aedes?: Aedes
}

async function startAedes(): Promise<Broker> {
  const aedes = await Aedes.createBroker()
  const server = createServer((socket) => void aedes.handle(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, aedes }
}

async function startMqtide(store: Store): Promise<Broker> {
  const gateway = await createGateway({ mqttPort: 0, httpPort: false, logLevel: 'silent' }, { store })
  await gateway.listen()
  return { port: gateway.addresses.mqtt!.port }
}

/** A message that has to be retained and queued for an offline session, once `freeze` has stopped the store for good. */
async function observePuback(broker: Broker, freeze: () => readonly string[]): Promise<string> {
  const url = `mqtt://127.0.0.1:${broker.port}`
  const sleeper = await mqtt.connectAsync(url, { clientId: 'sleeper', clean: false })
  await sleeper.subscribeAsync('measured', { qos: 1 })
  await sleeper.endAsync()
  const publisher = await mqtt.connectAsync(url, { clientId: 'publisher' })
  const begun = freeze()
  const acknowledged = publisher
    .publishAsync('measured', 'value', { qos: 1, retain: true })
    .then(() => `PUBACK arrived; begun and not finished: ${begun.join(', ') || 'nothing'}`)
  const waited = sleep(2000).then(
    () => `no PUBACK within 2 s; begun and not finished: ${begun.join(', ') || 'nothing'}`,
  )
  const result = await Promise.race([acknowledged, waited])
  publisher.end(true)
  return result
}

function freezeAedes({ aedes }: Broker): readonly string[] {
  const begun: string[] = []
  const store = (aedes as unknown as { persistence: Record<string, unknown> }).persistence
  for (const operation of ['storeRetained', 'outgoingEnqueue', 'outgoingEnqueueCombi']) {
    store[operation] = () => {
      begun.push(operation)
      return new Promise(() => {})
    }
  }
  return begun
}

/** Durable as the one on disk, as far as the gateway can tell, until it is frozen. */
class FreezingStore extends MemoryStore {
  begun: string[] = []
  frozen = false

  constructor() {
    super({ durable: true })
  }

  override commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    if (!this.frozen) return super.commit(batch, durability)
    this.begun.push('commit')
    return new Promise(() => {})
  }
}

async function pausedSubscriber(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.write(
    generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: 'paused', clean: true, keepalive: 0 }),
  )
  await once(socket, 'data')
  socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'measured', qos: 0 }] }))
  await once(socket, 'data')
  socket.pause()
  socket.on('error', () => {})
  return socket
}

/** How many deliveries the healthy subscribers got, of all they should, each time nothing more arrived. */
async function observePause(broker: Broker, drainTimeoutMs: number): Promise<string> {
  const url = `mqtt://127.0.0.1:${broker.port}`
  let received = 0
  let last = performance.now()
  const clients = await Promise.all(
    Array.from({ length: healthyCount }, () => mqtt.connectAsync(url, { keepalive: 0 })),
  )
  for (const client of clients) {
    client.on('message', () => {
      received++
      last = performance.now()
    })
    await client.subscribeAsync('measured')
  }
  const paused = await pausedSubscriber(broker.port)
  const publisher = await mqtt.connectAsync(url, { keepalive: 0 })
  const payload = Buffer.alloc(payloadBytes, 'x')
  const due = messageCount * healthyCount
  for (let sent = 0; sent < messageCount; sent++) {
    publisher.publish('measured', payload)
    if (sent % 20 === 0) await sleep(5)
  }
  const quiet = async () => {
    last = performance.now()
    while (received < due && performance.now() - last < quietMs) await sleep(50)
    return received
  }
  const first = await quiet()
  let text = `${first} of ${due} deliveries arrived while the paused one stayed connected`
  if (first < due && drainTimeoutMs > 0) {
    await sleep(drainTimeoutMs)
    text += `; ${await quiet()} once the drain timeout of ${drainTimeoutMs / 1000} s had passed`
  }
  paused.destroy()
  for (const client of [...clients, publisher]) client.end(true)
  return text
}

const packages = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  devDependencies: { aedes: string }
}
const aedesVersion = packages.devDependencies.aedes
console.log(`Node ${process.versions.node}, ${platform()} ${arch()}, ${cpus().length} x ${cpus()[0]?.model}`)
const puback = 'PUBACK while the store never finishes'
const pause = `${healthyCount} healthy subscribers and a paused one`
const frozenAedes = await startAedes()
console.log(`aedes ${aedesVersion}, ${puback}: ${await observePuback(frozenAedes, () => freezeAedes(frozenAedes))}`)
const store = new FreezingStore()
const freezeStore = () => {
  store.frozen = true
  return store.begun
}
console.log(`MQTide, ${puback}: ${await observePuback(await startMqtide(store), freezeStore)}`)
console.log(`aedes ${aedesVersion}, ${pause}: ${await observePause(await startAedes(), 60_000)}`)
console.log(`MQTide, ${pause}: ${await observePause(await startMqtide(createMemoryStore()), 0)}`)
process.exit(0)
