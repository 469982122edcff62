/**
 * Messages as they arrive, for pages that show them: one MQTT 5.0 connection over WebSocket to where the page came from, with one
 * subscription. MQTT.js, which the gateway serves beside the page, is loaded when the first such page is opened.
 *
 * Of a payload only its beginning is kept: a copy, since the received one is a view of a larger buffer.
 */

import type { Arrival } from './topic-tree.ts'
import { payloadBytesKept } from './topic-tree.ts'

export type FeedState = 'connecting' | 'connected' | 'offline' | 'refused'

export interface Feed {
  close(): void
}

export interface FeedWanted {
  filter: string
  username: string
  password: string
  onMessage(arrival: Arrival): void
  /** `reason`: why not, in the gateway's words. */
  onState(state: FeedState, reason: string): void
}

interface Packet {
  qos: 0 | 1 | 2
  retain: boolean
}

/** What is used of MQTT.js. */
interface MqttClient {
  options: { reconnectPeriod: number }
  on(event: 'connect' | 'close' | 'reconnect', listener: () => void): void
  on(event: 'error', listener: (error: { message: string; code?: number | string }) => void): void
  on(
    event: 'disconnect',
    listener: (packet: { reasonCode: number; properties?: { reasonString?: string } }) => void,
  ): void
  on(event: 'message', listener: (topic: string, payload: Uint8Array, packet: Packet) => void): void
  subscribe(filter: string, options: object, done: (error: Error | null) => void): void
  end(force: boolean): void
}

interface MqttLibrary {
  connect(url: string, options: object): MqttClient
}

const firstDelayMs = 1000
const delayMsMax = 15_000
/** Bad user name or password, not authorized, banned, bad authentication method; of 3.x 4 and 5. */
const refusals = [0x86, 0x87, 0x8a, 0x8c, 4, 5]

let loading: Promise<MqttLibrary> | undefined

function loadLibrary(): Promise<MqttLibrary> {
  loading ??= new Promise<MqttLibrary>((resolve, reject) => {
    const script = document.createElement('script')
    script.src = '/mqtt.min.js'
    script.onload = () => resolve((globalThis as unknown as { mqtt: MqttLibrary }).mqtt)
    script.onerror = () => {
      loading = undefined
      script.remove()
      reject(new Error('mqtt.min.js'))
    }
    document.head.append(script)
  })
  return loading
}

export function openFeed(wanted: FeedWanted): Feed {
  let client: MqttClient | undefined
  let closed = false
  wanted.onState('connecting', '')
  loadLibrary().then(
    (library) => {
      if (!closed) client = connected(library, wanted)
    },
    (error: Error) => wanted.onState('offline', error.message),
  )
  return {
    close() {
      closed = true
      client?.end(true)
    },
  }
}

function connected(library: MqttLibrary, { filter, username, password, onMessage, onState }: FeedWanted): MqttClient {
  const client = library.connect(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/mqtt`, {
    protocolVersion: 5,
    clientId: `dashboard-${Math.random().toString(36).slice(2, 10)}`,
    clean: true,
    keepalive: 60,
    reconnectPeriod: firstDelayMs,
    resubscribe: false,
    properties: { receiveMaximum: 1000 },
    ...(username === '' ? {} : { username, password }),
  })
  let refused = false
  client.on('connect', () => {
    client.options.reconnectPeriod = firstDelayMs
    client.subscribe(filter, { qos: 0, rap: true }, (error) => {
      if (error === null) return onState('connected', '')
      refused = true
      onState('refused', error.message)
    })
  })
  client.on('error', ({ message, code }) => {
    refused = refusals.includes(Number(code))
    if (!refused) return
    onState('refused', message)
    client.end(true)
  })
  client.on('disconnect', ({ reasonCode, properties }) => {
    onState('offline', properties?.reasonString ?? `0x${reasonCode.toString(16)}`)
  })
  client.on('close', () => {
    if (!refused) onState('offline', '')
    // A gateway that restarts shouldn't meet all pages at once, and each of them less and less often.
    client.options.reconnectPeriod = Math.min(client.options.reconnectPeriod * 2, delayMsMax)
  })
  client.on('reconnect', () => onState('connecting', ''))
  client.on('message', (topic, payload, { qos, retain }) => {
    onMessage({ topic, qos, retain, at: Date.now(), bytes: payload.slice(0, payloadBytesKept), size: payload.length })
  })
  return client
}
