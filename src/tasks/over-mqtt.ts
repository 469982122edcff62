/**
 * Tasks over MQTT 5.0, by MQTT.js.
 *
 * One connection serves all: a queue's jobs are told by the subscription identifier. They come with `settle: explicit`, so that PUBACK, which
 * MQTT.js sends in order and at once, says only that a job has arrived; its verdict is published when the handler has ended, in any order.
 *
 * The session outlives a lost connection by a minute, and with it the leases for the queue's `reconnectGraceMs`. A gateway that was
 * restarted knows the session but not what its SUBSCRIBE asked for, and would take a PUBACK for the verdict. So each connection subscribes
 * anew, under another identifier, and what comes under an earlier one is given back (PUBACK 0x97), unless it is under way here.
 */
import { randomUUID } from 'node:crypto'
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt'
import type { Delivery, Incoming, Intake, IntakeOptions, Outgoing, TaskBroker } from './broker.ts'

export interface MqttSettings {
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`. */
  url: string
  /** Absent: made up. Two programs must not share one. */
  clientId?: string
  username?: string
  password?: string
  /** Whatever else MQTT.js takes, for instance certificates: its `IClientOptions`, whose types a program without a page's could not read. */
  mqtt?: object
}

const sessionExpirySeconds = 60
const reconnectMs = 1000
const giveBack = 0x97
const noMatchingSubscribers = 0x10
const implementationSpecificError = 0x83
/** Subscription identifiers, which end at 268,435,455, number both connection and intake. */
const intakesMax = 1024
const connectionsMax = 262_143
/** CONNACK refusals that may be over soon: unavailable, busy, shutting down, quota, rate. */
const passing = [0x88, 0x89, 0x8b, 0x97, 0x9f]

export async function overMqtt({ url, clientId, username, password, mqtt = {} }: MqttSettings): Promise<TaskBroker> {
  const { connect } = await import('mqtt')
  const others: IClientOptions = mqtt
  const id = clientId ?? `tasks-${randomUUID()}`
  // It is a level of the topics at which answers come.
  if (/[+#/]/.test(id)) throw new RangeError(`expected a client id without +, # and /, got ${id}`)
  const over = new OverMqtt(id)
  const credentials = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
  const client = connect(url, {
    reconnectPeriod: reconnectMs,
    ...others,
    ...credentials,
    clientId: id,
    protocolVersion: 5,
    clean: false,
    resubscribe: false,
    reconnectOnConnackError: true,
    properties: { ...others.properties, sessionExpiryInterval: sessionExpirySeconds },
    customHandleAcks: (topic, payload, packet: IPublishPacket, done) => done(over.arrived(topic, payload, packet)),
  })
  await over.begin(client)
  return over
}

class OverMqtt implements TaskBroker {
  readonly answerPrefix: string
  #client!: MqttClient
  /** By number: the remainder of the subscription identifier. */
  readonly #intakes = new Map<number, MqttIntake>()
  /** PUBLISH packets that the gateway said reached nobody, by identifier. */
  readonly #unheard = new Set<number>()
  /** That a queue said to know already. */
  readonly #known = new Set<number>()
  #takeAnswer: ((message: Incoming) => void) | undefined
  #onFault: (error: Error) => void = () => {}
  #onState: (state: 'connected' | 'disconnected') => void = () => {}
  #isConnected = false
  /** Of the connection, since there was one. */
  #fault = ''
  #lastNumber = 0
  #connections = 0

  constructor(clientId: string) {
    this.answerPrefix = `replies/${clientId}`
  }

  /** Resolves when it is connected; rejects where the gateway says no for good. */
  async begin(client: MqttClient): Promise<void> {
    this.#client = client
    client.on('packetreceive', (packet) => {
      if (packet.cmd !== 'puback') return
      if (packet.reasonCode === noMatchingSubscribers) this.#unheard.add(packet.messageId!)
      if (packet.properties?.reasonString === 'duplicate') this.#known.add(packet.messageId!)
    })
    const { promise: connected, resolve, reject } = Promise.withResolvers<void>()
    client.on('connect', () => {
      resolve()
      this.#onConnected()
    })
    client.on('close', () => this.#onClosed())
    client.on('error', (error) => {
      const code = (error as { code?: unknown }).code
      if (typeof code === 'number' && !passing.includes(code)) reject(error)
      this.#onConnectionFault(error)
    })
    await connected.catch(async (cause: unknown) => {
      await client.endAsync(true)
      throw cause
    })
  }

  /** Returns the reason code of the PUBACK. */
  arrived(topic: string, payload: Uint8Array, packet: IPublishPacket): number {
    if (topic.startsWith(`${this.answerPrefix}/`)) {
      this.#takeAnswer?.(incoming(payload, packet))
      return 0
    }
    const identifiers = [packet.properties?.subscriptionIdentifier ?? []].flat()
    for (const identifier of identifiers) {
      const intake = this.#intakes.get(identifier % intakesMax)
      if (intake !== undefined) return intake.take(identifier, payload, packet) ? 0 : giveBack
    }
    return giveBack
  }

  async add(queue: string, job: Outgoing): Promise<boolean> {
    return !this.#known.delete(await this.#publish(`$queue/${queue}`, job))
  }

  async publish(topic: string, message: Outgoing): Promise<boolean> {
    return !this.#unheard.delete(await this.#publish(topic, message))
  }

  /** Returns the packet identifier under which it was answered. */
  async #publish(topic: string, { payload, userProperties = [], ...properties }: Outgoing): Promise<number> {
    const { correlationData, ...others } = properties
    const packet = await this.#client.publishAsync(topic, payload as string | Buffer, {
      qos: 1,
      properties: {
        ...others,
        ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData) }),
        // An empty list would be left out together with its packet, without a word.
        ...(userProperties.length === 0 ? {} : { userProperties: grouped(userProperties) }),
      },
    })
    return packet?.messageId ?? 0
  }

  async onAnswer(take: (message: Incoming) => void): Promise<void> {
    this.#takeAnswer = take
    await this.#client.subscribeAsync(`${this.answerPrefix}/#`, { qos: 1 })
  }

  async consume(queue: string, options: IntakeOptions): Promise<Intake> {
    const number = ++this.#lastNumber
    if (number >= intakesMax) throw new RangeError(`more than ${intakesMax - 1} tasks in one program`)
    const intake = new MqttIntake(queue, options, {
      client: this.#client,
      say: (verb, details) => this.#judge(queue, verb, details),
      onClose: () => this.#intakes.delete(number),
    })
    this.#intakes.set(number, intake)
    // Without a connection the next one subscribes.
    if (this.#client.connected) this.#subscribe(number, intake)
    await intake.ready
    return intake
  }

  onFault(take: (error: Error) => void): void {
    this.#onFault = take
  }

  onState(take: (state: 'connected' | 'disconnected') => void): void {
    this.#onState = take
  }

  async close(): Promise<void> {
    // What has not left by now never will: without a connection the end would wait for ever.
    await this.#client.endAsync(!this.#client.connected, { properties: { sessionExpiryInterval: 0 } })
  }

  #onConnected(): void {
    this.#connections = (this.#connections + 1) % connectionsMax
    for (const [number, intake] of this.#intakes) this.#subscribe(number, intake)
    if (this.#takeAnswer !== undefined) {
      this.#client.subscribeAsync(`${this.answerPrefix}/#`, { qos: 1 }).catch((error: Error) => this.#onFault(error))
    }
    this.#fault = ''
    this.#isConnected = true
    this.#onState('connected')
  }

  /** At once: what the next connection brings first comes before MQTT.js says that it is there. */
  #onClosed(): void {
    for (const intake of this.#intakes.values()) intake.forgetIdentifier()
    if (!this.#isConnected) return
    this.#isConnected = false
    this.#onState('disconnected')
  }

  /** Each attempt to connect may have the same one. */
  #onConnectionFault(error: Error): void {
    if (error.message === this.#fault) return
    this.#fault = error.message
    this.#onFault(error)
  }

  #subscribe(number: number, intake: MqttIntake): void {
    intake.subscribe(this.#connections * intakesMax + number).catch((error: Error) => this.#onFault(error))
  }

  /** False where the gateway knows of nothing that is meant. */
  async #judge(queue: string, verb: string, details: object): Promise<boolean> {
    try {
      await this.publish(`$queue/${queue}/${verb}`, { payload: JSON.stringify(details) })
      return true
    } catch (cause) {
      if ((cause as { code?: unknown }).code === implementationSpecificError) return false
      throw cause
    }
  }
}

interface IntakeParts {
  client: MqttClient
  say(verb: string, details: object): Promise<boolean>
  onClose(): void
}

class MqttIntake implements Intake {
  /** Of the SUBSCRIBE of this connection. */
  #identifier = 0
  readonly #queue: string
  readonly #options: IntakeOptions
  readonly #parts: IntakeParts
  readonly #ready = Promise.withResolvers<void>()
  #wasReady = false
  /** Deliveries without a verdict. */
  readonly #unsettled = new Set<string>()
  #isEnding = false

  constructor(queue: string, options: IntakeOptions, parts: IntakeParts) {
    this.#queue = queue
    this.#options = options
    this.#parts = parts
  }

  /** Resolves with the first SUBACK; rejects where that says no. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  async subscribe(identifier: number): Promise<void> {
    this.#identifier = identifier
    const { client, onClose } = this.#parts
    // One that ends takes no more as long as it has one.
    const prefetch = String(this.#isEnding ? 1 : this.#options.concurrency)
    try {
      await client.subscribeAsync(`$queue/${this.#queue}`, {
        qos: 1,
        properties: { subscriptionIdentifier: identifier, userProperties: { prefetch, settle: 'explicit' } },
      })
      this.#wasReady = true
      this.#ready.resolve()
    } catch (cause) {
      const { packet } = cause as { packet?: { properties?: { reasonString?: string } } }
      // The connection was lost before the answer came: the next one subscribes.
      if (packet === undefined) return
      const why = packet.properties?.reasonString ?? (cause as Error).message
      const error = new Error(`the queue ${this.#queue} is refused: ${why}`, { cause })
      if (this.#wasReady) throw error
      onClose()
      this.#ready.reject(error)
    }
  }

  /** What comes under it from now on was not asked for as we need it. */
  forgetIdentifier(): void {
    this.#identifier = 0
  }

  /** False: it goes back. */
  take(identifier: number, payload: Uint8Array, packet: IPublishPacket): boolean {
    const delivery = this.#delivery(payload, packet)
    if (this.#unsettled.has(delivery.id)) return true
    if (identifier !== this.#identifier || this.#isEnding) return false
    this.#unsettled.add(delivery.id)
    this.#options.onJob(delivery)
    return true
  }

  async takeNoMore(): Promise<void> {
    this.#isEnding = true
    if (this.#parts.client.connected) await this.subscribe(this.#identifier).catch(() => {})
  }

  async close(): Promise<void> {
    this.#isEnding = true
    const { client, onClose } = this.#parts
    if (client.connected) await client.unsubscribeAsync(`$queue/${this.#queue}`).catch(() => {})
    onClose()
  }

  #delivery(payload: Uint8Array, packet: IPublishPacket): Delivery & { id: string } {
    const job = incoming(payload, packet)
    const id = job.property('queue-delivery') ?? ''
    const settle = async (verb: string, details: object = {}): Promise<boolean> => {
      try {
        return await this.#parts.say(verb, { delivery: id, ...details })
      } finally {
        this.#unsettled.delete(id)
      }
    }
    return {
      ...job,
      id,
      attempt: Number(job.property('queue-attempt') ?? 1),
      ack: () => settle('$ack'),
      nack: (details) => settle('$nack', details),
      reject: (reason) => settle('$reject', { reason }),
      // There is no verb for it: it goes back when the subscription ends.
      release: async () => true,
      extend: async () => {
        const isOurs = await this.#parts.say('$extend', { delivery: id })
        if (!isOurs) this.#unsettled.delete(id)
        return isOurs
      },
    }
  }
}

function incoming(payload: Uint8Array, { properties = {} }: IPublishPacket): Incoming {
  const { responseTopic, correlationData, userProperties = {} } = properties
  const property = (name: string) => [userProperties[name] ?? []].flat().at(-1)
  return { payload, responseTopic, correlationData, property }
}

/** As MQTT.js has them. */
function grouped(properties: readonly (readonly [name: string, value: string])[]): Record<string, string[]> {
  const all: Record<string, string[]> = {}
  for (const [name, value] of properties) (all[name] ??= []).push(value)
  return all
}
