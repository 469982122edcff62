/** Programs with tasks, in the gateway's process and over MQTT, that end with their test. */
import { afterEach } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { createTasks, type MqttSettings, type Tasks } from '../../src/tasks/index.ts'
import type { AnyTasks, TaskMap } from '../../src/tasks/task-map.ts'
import { startGateway } from '../e2e/gateway.ts'

const open: { stop(options: { timeoutMs: number }): Promise<void> }[] = []
// Before the gateways, which another file's hook closes: hooks run in the order opposite to their definition.
afterEach(() => Promise.all(open.splice(0).map((tasks) => tasks.stop({ timeoutMs: 0 }))))

export const mqttOf = ({ addresses }: Gateway) => `mqtt://127.0.0.1:${addresses.mqtt!.port}`

export interface Way {
  name: string
  start<Map extends TaskMap<Map> = AnyTasks>(gateway: Gateway): Promise<Tasks<Map>>
}

export async function overMqtt<Map extends TaskMap<Map> = AnyTasks>(
  gateway: Gateway,
  settings: Partial<MqttSettings> = {},
): Promise<Tasks<Map>> {
  const tasks = await createTasks<Map>({ url: mqttOf(gateway), ...settings })
  open.push(tasks)
  return tasks
}

export async function inProcess<Map extends TaskMap<Map> = AnyTasks>(gateway: Gateway): Promise<Tasks<Map>> {
  const tasks = await createTasks<Map>({ gateway })
  open.push(tasks)
  return tasks
}

export const ways: readonly Way[] = [
  { name: 'over MQTT', start: (gateway) => overMqtt(gateway) },
  { name: 'in process', start: (gateway) => inProcess(gateway) },
]

export const queues: GatewayOptions['queues'] = { resize: { retry: { firstMs: 10 } }, other: {} }

export const startWithQueues = (options: GatewayOptions = {}): Promise<Gateway> => startGateway({ queues, ...options })

/** A promise that a test settles from outside. */
export const gate = () => Promise.withResolvers<void>()
