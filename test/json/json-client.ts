/** A client of the JSON WebSocket that collects what it is sent. */
import { WebSocket } from 'ws'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'

export type JsonObject = Record<string, unknown>

export interface JsonClient {
  socket: WebSocket
  /** Everything received, in order. */
  received: JsonObject[]
  send(operation: JsonObject): void
  /** Sends, and resolves with the answer to it. */
  ask(operation: JsonObject): Promise<JsonObject>
  /** Resolves with the first that fits, once it is there. */
  until(fits: (one: JsonObject) => boolean): Promise<JsonObject>
  messages(): JsonObject[]
  /** Resolves with code and reason when the gateway has closed. */
  closed: Promise<{ code: number; reason: string }>
  close(): Promise<unknown>
}

let nextId = 1

export async function openJson(gateway: Gateway, headers: Record<string, string> = {}): Promise<JsonClient> {
  const { port } = gateway.addresses.http!
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, ['mqtide.v1.json'], { headers })
  const received: JsonObject[] = []
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  socket.on('message', (data) => received.push(JSON.parse(String(data)) as JsonObject))
  await new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => {})
  const send = (operation: JsonObject) => socket.send(JSON.stringify(operation))
  const until = async (fits: (one: JsonObject) => boolean) => {
    await eventually(() => received.some(fits)).toBe(true)
    return received.find(fits)!
  }
  return {
    ...{ socket, received, send, until, closed },
    ask(operation) {
      const id = nextId++
      send({ ...operation, id })
      return until((one) => one['id'] === id)
    },
    messages: () => received.filter(({ op }) => op === 'message'),
    close() {
      socket.close()
      return closed
    },
  }
}
