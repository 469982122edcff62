/*
 * How a conformance test is registered and what it runs against.
 *
 * A test is written once and registered for TCP and for WebSocket, under a name that begins with the ids of the
 * statements it checks. `manifest.test.ts` reads the calls of `conformance` from the sources, so version, ids and title
 * are written there as literals.
 *
 * Each test file has one gateway of its own, in this process, on free ports; `withGateway` gives a group of tests
 * another one with other options. Tests of a file share a gateway, so every client id and topic is made unique with
 * `wire.id` and `wire.topic`. With MQTIDE_CONFORMANCE_TARGET=host:port[,websocketPort] the tests run against a broker
 * that is running already; groups that need options are then skipped. With MQTIDE_CONFORMANCE_STORE=sqlite each gateway
 * keeps its state in a database of its own, below the system's folder for temporary files.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, test } from 'vitest'
import type { Gateway, GatewayOptions as Options } from '../../src/gateway.ts'
import { type ConnectFields, connack, connect, toHex } from './bytes.ts'
import { type Endpoint, openTcp, openWebSocket, type RawClient, type WebSocketFields } from './client.ts'

export type Version = '3.1' | '3.1.1' | '5.0'
export type Transport = 'TCP' | 'WebSocket'

/** Options for `createGateway`, beside the ports, the store and the log level, which the harness sets. */
export type GatewayOptions = Record<string, unknown>

/** What a test gets: clients on one transport, and names nobody else uses. */
export interface Wire {
  readonly transport: Transport
  /** The gateway in this process; throws when the tests run against a broker started elsewhere. */
  readonly gateway: Gateway
  readonly mqtt: Endpoint
  readonly http: Endpoint
  /** A connection on which nothing has been sent. */
  open(fields?: WebSocketFields): Promise<RawClient>
  /** A connection whose CONNECT was accepted, with a session that was not there before unless `sessionPresent`. */
  connected(fields?: ConnectFields, sessionPresent?: boolean): Promise<RawClient>
  /** A client identifier of at most 23 letters and digits, the same for the same name within one test. */
  id(name?: string): string
  /** A topic name of two levels, the same for the same name within one test. */
  topic(name?: string): string
}

export interface ConformanceOptions {
  /** Default both. */
  transports?: Transport[]
  timeoutMs?: number
}

const onSqlite = process.env['MQTIDE_CONFORMANCE_STORE'] === 'sqlite'

/** A gateway that starts when the first test needs it. */
class Broker {
  readonly #options: GatewayOptions
  #gateway: Promise<Gateway> | undefined
  #dataDir: string | undefined

  constructor(options: GatewayOptions) {
    this.#options = options
  }

  started(): Promise<Gateway> {
    this.#gateway ??= this.#start()
    return this.#gateway
  }

  async #start(): Promise<Gateway> {
    // Loaded on demand, so that a run against another broker does not need it.
    const { createGateway } = await import('../../src/gateway.ts')
    if (onSqlite) this.#dataDir = mkdtempSync(join(tmpdir(), 'mqtide-conformance-'))
    const store: Options = this.#dataDir === undefined ? { inMemory: true } : { dataDir: this.#dataDir }
    const options = { mqttPort: 0, httpPort: 0, logLevel: 'silent' as const, ...store, ...(this.#options as Options) }
    const gateway = await createGateway(options)
    await gateway.listen()
    return gateway
  }

  async close(): Promise<void> {
    await (await this.#gateway)?.close()
    if (this.#dataDir !== undefined) rmSync(this.#dataDir, { recursive: true })
  }
}

interface Target {
  mqtt: Endpoint
  http: Endpoint | undefined
}

function targetFromEnvironment(): Target | undefined {
  const value = process.env['MQTIDE_CONFORMANCE_TARGET']
  if (value === undefined) return undefined
  const match = /^(.+):(\d+)(?:,(\d+))?$/.exec(value)
  if (match === null) throw new Error('MQTIDE_CONFORMANCE_TARGET is host:port or host:port,websocketPort')
  const host = match[1]!
  const http = match[3] === undefined ? undefined : { host, port: Number(match[3]) }
  return { mqtt: { host, port: Number(match[2]) }, http }
}

const target = targetFromEnvironment()
const runKey = Math.random().toString(36).slice(2, 8).padEnd(6, '0')
let testCount = 0
let current = new Broker({})
afterAll(() => fileBroker.close())
const fileBroker = current

/**
 * Gives the tests registered inside `register` a gateway of their own with these options.
 * Against a broker started elsewhere the group is skipped, because its options cannot be chosen.
 */
export function withGateway(options: GatewayOptions, register: () => void): void {
  const title = `with ${JSON.stringify(options)}`
  const suite = target === undefined ? describe : describe.skip
  suite(title, () => {
    const outer = current
    const broker = new Broker(options)
    current = broker
    register()
    current = outer
    afterAll(() => broker.close())
  })
}

/**
 * Registers a test once per transport under the name `[id, id] title (transport)`.
 * Ids may be empty for behaviour that has no numbered statement. Title and ids are literals, one title once per file.
 */
export function conformance(
  version: Version,
  ids: readonly string[],
  title: string,
  run: (wire: Wire) => Promise<void>,
  options: ConformanceOptions = {},
): void {
  const broker = current
  const prefix = ids.length === 0 ? `MQTT ${version}:` : `[${ids.join(', ')}]`
  for (const transport of options.transports ?? (['TCP', 'WebSocket'] as const)) {
    const unreachable = transport === 'WebSocket' && target !== undefined && target.http === undefined
    const register = unreachable ? test.skip : test
    const body = (): Promise<void> => runOnWire(broker, transport, run)
    register(
      `${prefix} ${title} (${transport})`,
      options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs },
      body,
    )
  }
}

async function runOnWire(broker: Broker, transport: Transport, run: (wire: Wire) => Promise<void>): Promise<void> {
  const gateway = target === undefined ? await broker.started() : undefined
  const wire = new OpenWire(transport, gateway)
  try {
    await run(wire)
  } finally {
    wire.closeAll()
  }
}

class OpenWire implements Wire {
  readonly transport: Transport
  readonly #gateway: Gateway | undefined
  readonly #clients: RawClient[] = []
  readonly #key: string

  constructor(transport: Transport, gateway: Gateway | undefined) {
    this.transport = transport
    this.#gateway = gateway
    this.#key = `${runKey}${(testCount++).toString(36)}`
  }

  get gateway(): Gateway {
    if (this.#gateway === undefined) throw new Error('this test needs the gateway in its own process')
    return this.#gateway
  }

  get mqtt(): Endpoint {
    return target?.mqtt ?? listening(this.gateway.addresses.mqtt)
  }

  get http(): Endpoint {
    return target === undefined ? listening(this.gateway.addresses.http) : listening(target.http)
  }

  async open(fields: WebSocketFields = {}): Promise<RawClient> {
    const client = await (this.transport === 'TCP' ? openTcp(this.mqtt) : openWebSocket(this.http, fields))
    this.#clients.push(client)
    return client
  }

  async connected(fields: ConnectFields = {}, sessionPresent = false): Promise<RawClient> {
    const client = await this.open()
    client.send(connect({ clientId: this.id(`anon${this.#clients.length}`), ...fields }))
    if (fields.level === 5) {
      client.connack = await client.expectPacket()
      acceptedByServer5(client.connack, sessionPresent)
    } else {
      // 3.1 has no Session Present flag: the byte is reserved.
      client.connack = await client.expectPacket(connack(0, sessionPresent && fields.level !== 3))
    }
    return client
  }

  id(name = 'a'): string {
    return `c${this.#key}${name}`
  }

  topic(name = 'a'): string {
    return `t${this.#key}/${name}`
  }

  closeAll(): void {
    for (const client of this.#clients) client.destroy()
  }
}

function listening(endpoint: Endpoint | undefined): Endpoint {
  if (endpoint === undefined) throw new Error('the gateway does not listen on this transport')
  return endpoint
}

function acceptedByServer5(packet: Uint8Array, sessionPresent: boolean): void {
  const flagsAt = packet.findIndex((byte, i) => i > 0 && byte < 0x80) + 1
  const accepted = packet[0] === 0x20 && packet[flagsAt] === (sessionPresent ? 1 : 0) && packet[flagsAt + 1] === 0
  if (!accepted)
    throw new Error(`expected an accepting CONNACK, session present ${sessionPresent}\nreceived ${toHex(packet)}`)
}
