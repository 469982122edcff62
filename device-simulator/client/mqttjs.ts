/**
 * MQTT.js as the device's client: the library that users' devices and back ends run, with its own stores, timers and
 * redelivery. Its automatic reconnecting stays on, because only that path keeps its QoS 2 state; the moment of dialling is
 * ours all the same, since the stream that it gets dials only when the device says so.
 */
import { type IClientOptions, type IClientPublishOptions, MqttClient } from 'mqtt'
import type { IPublishPacket, QoS } from 'mqtt-packet'
import { envelopeProperty } from '../payload/envelope.ts'
import type { Random } from '../random.ts'
import type {
  Client,
  ClientEvents,
  IncomingMessage,
  OutgoingMessage,
  SessionOptions,
  SubscriptionRequest,
  WillSpec,
} from './client.ts'
import { Link, type LinkShape } from './link.ts'
import type { StreamTarget } from './stream.ts'

/** Beyond what a timer can wait: the device watches over the CONNACK itself. */
const neverMs = 0x7fffffff
const endTimeoutMs = 1000
const disconnectPacket = Uint8Array.of(0xe0, 0)

const versions = { '3.1': 3, '3.1.1': 4, '5.0': 5 } as const

export class MqttJsClient implements Client {
  readonly #mqtt: MqttClient
  readonly #random: Random
  #link: Link
  #shape: LinkShape | undefined
  #target: StreamTarget | undefined
  #ended = false
  readonly #isV5: boolean

  constructor(session: SessionOptions, events: ClientEvents, random: Random) {
    this.#random = random
    this.#isV5 = session.protocol === '5.0'
    this.#link = new Link(random, undefined)
    this.#mqtt = new MqttClient(() => this.#newLink(), optionsOf(session))
    this.#mqtt.on('connect', (packet) => {
      events.onOnline(packet.sessionPresent, packet.properties?.receiveMaximum ?? 65_535)
    })
    this.#mqtt.on('close', () => {
      if (!this.#ended) events.onClosed()
    })
    this.#mqtt.on('error', (error) => {
      const { code, message } = error as { code?: number | string; message: string }
      if (message.startsWith('Connection refused') && typeof code === 'number') events.onRefused(code)
      else events.onError(message)
    })
    this.#mqtt.on('message', (_topic, _payload, packet) => events.onMessage(incoming(packet)))
    this.#mqtt.handleMessage = (packet, done) => {
      const waitMs = events.workMs(packet.topic)
      if (waitMs > 0) setTimeout(done, waitMs)
      else done()
    }
  }

  connect(target: StreamTarget): void {
    this.#target = target
    this.#open()
  }

  publish(message: OutgoingMessage, onAcknowledged: (reasonCode: number) => void): void {
    const { topic, payload, qos, retain, envelope, responseTopic, correlationData } = message
    const options: IClientPublishOptions = { qos, retain }
    if (envelope !== undefined || responseTopic !== undefined || correlationData !== undefined) {
      options.properties = {
        ...(envelope === undefined ? {} : { userProperties: { [envelopeProperty]: envelope } }),
        ...(responseTopic === undefined ? {} : { responseTopic }),
        ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
      }
    }
    this.#mqtt.publish(topic, payload as Buffer, options, (error) => {
      if (qos === 0) return
      const code = (error as { code?: unknown } | null | undefined)?.code
      if (!error) onAcknowledged(0)
      else if (typeof code === 'number') onAcknowledged(code)
    })
  }

  subscribe(requests: readonly SubscriptionRequest[], onGranted: (codes: readonly number[]) => void): void {
    const map = Object.fromEntries(
      requests.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => [
        filter,
        { qos: qos as QoS, nl: noLocal, rap: retainAsPublished, rh: retainHandling },
      ]),
    )
    const userProperties = requests.find((request) => request.userProperties !== undefined)?.userProperties
    const properties = userProperties === undefined ? {} : { properties: { userProperties: { ...userProperties } } }
    this.#mqtt.subscribe(map, { qos: 0, ...properties }, (_error, granted) => {
      const codes = new Map(granted?.map(({ topic, qos }) => [topic, qos as number]))
      onGranted(requests.map(({ filter }) => codes.get(filter) ?? 0x80))
    })
  }

  disconnect(): void {
    const link = this.#link
    link.write(disconnectPacket)
    link.end()
  }

  sever(): void {
    this.#link.sever()
  }

  abandon(onOutcome: (closedByBroker: boolean) => void): void {
    this.#link.abandon(onOutcome)
  }

  setShape(shape: LinkShape | undefined): void {
    this.#shape = shape
    this.#link.setShape(shape)
  }

  hold(up: boolean, down: boolean): void {
    this.#link.hold(up, down)
  }

  release(): void {
    this.#link.release()
  }

  tick(): void {}

  flush(): void {}

  end(): void {
    this.#ended = true
    const { connected, outgoing } = this.#mqtt
    if (!connected || Object.keys(outgoing).length > 0) {
      this.#mqtt.end(true)
      return
    }
    // With 5.0 the broker need not keep the session of a device that will never come back.
    this.#mqtt.end(false, this.#isV5 ? { properties: { sessionExpiryInterval: 0 } } : {})
    setTimeout(() => this.#mqtt.end(true), endTimeoutMs).unref()
  }

  #newLink(): Link {
    this.#link = new Link(this.#random, this.#shape)
    this.#open()
    return this.#link
  }

  #open(): void {
    if (this.#target === undefined || this.#link.destroyed) return
    const target = this.#target
    this.#target = undefined
    this.#link.open(target, () => {})
  }
}

function optionsOf(session: SessionOptions): IClientOptions {
  const { protocol, clean, username, password, will, receiveMaximum } = session
  const isV5 = protocol === '5.0'
  const options: IClientOptions = {
    clientId: session.clientId,
    protocolVersion: versions[protocol],
    protocolId: protocol === '3.1' ? 'MQIsdp' : 'MQTT',
    clean,
    keepalive: session.keepAliveSeconds,
    reconnectPeriod: 1,
    connectTimeout: neverMs,
    reconnectOnConnackError: true,
    resubscribe: false,
    queueQoSZero: false,
    timerVariant: 'native',
  }
  if (username !== undefined) options.username = username
  if (password !== undefined) options.password = password
  if (will !== undefined) options.will = willOf(will, isV5)
  if (isV5) {
    options.properties = {
      sessionExpiryInterval: clean ? 0 : session.sessionExpirySeconds,
      ...(receiveMaximum === undefined ? {} : { receiveMaximum }),
    }
  }
  return options
}

function willOf(
  { topic, payload, qos, retain, delaySeconds }: WillSpec,
  isV5: boolean,
): NonNullable<IClientOptions['will']> {
  const will = { topic, payload: Buffer.from(payload), qos: qos as QoS, retain }
  return isV5 && delaySeconds > 0 ? { ...will, properties: { willDelayInterval: delaySeconds } } : will
}

function incoming(packet: IPublishPacket): IncomingMessage {
  const { properties } = packet
  const envelope = properties?.userProperties?.[envelopeProperty]
  return {
    topic: packet.topic,
    payload: packet.payload as Buffer,
    qos: packet.qos,
    retain: packet.retain,
    envelope: typeof envelope === 'string' ? envelope : undefined,
    responseTopic: properties?.responseTopic,
    correlationData: properties?.correlationData,
    delivery: deliveryOf(properties?.userProperties ?? {}),
  }
}

/** The gateway's properties stand behind the publisher's. */
function deliveryOf(properties: Readonly<Record<string, string | string[]>>): IncomingMessage['delivery'] {
  const last = (name: string): string | undefined => [properties[name] ?? []].flat().at(-1)
  const id = last('queue-delivery')
  return id === undefined ? undefined : { id, attempt: Number(last('queue-attempt') ?? 1) }
}
