/** Queues in the core on a fake clock: declared, with workers that answer as a test says. */
import { type DeclaredQueue, defaultQueueDefinition, type QueueDefinition } from '../../src/core/logs/definition.ts'
import type { Queue } from '../../src/core/logs/queue.ts'
import { encodeAck } from '../../src/mqtt/encoder.ts'
import { PacketType, type Properties, type Qos } from '../../src/mqtt/packet.ts'
import { encodePublish } from '../../src/mqtt/publish.ts'
import { UserPropertyBytes } from '../../src/mqtt/user-property.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { type Device, type SeenPublish, World } from './world.ts'

/** Times without chance. */
const steady = { firstMs: 1000, factor: 2, maxMs: 300_000, jitter: 0 }

export const declared = (name: string, over: Partial<QueueDefinition> = {}, namespace = 'default'): DeclaredQueue => {
  return { namespace, name, definition: { ...defaultQueueDefinition, filter: `${name}/#`, retry: steady, ...over } }
}

/** One queue, `jobs`, that captures `jobs/#`. */
export function queueWorld(over: Partial<QueueDefinition> = {}, ...others: DeclaredQueue[]): World {
  return new World({ queues: [declared('jobs', over), ...others] })
}

export function queueOf({ broker }: World, name = 'jobs'): Queue {
  return broker.defaultNamespace.queues.get(name)!
}

/** A connected worker of the queue `jobs`. */
export function worker(world: World, clientId: string, properties: Properties = {}, connect = {}): Device {
  const device = world.connected(clientId, connect)
  device.subscribe('$queue/jobs', 1, {}, properties)
  return device
}

export const payloads = (publishes: readonly SeenPublish[]): string[] => publishes.map(({ payload }) => payload)

export const property = ({ properties }: SeenPublish, name: string): string | undefined =>
  properties.userProperties?.find(([key]) => key === name)?.[1]

/** A PUBLISH with user properties. Returns the reason code of its PUBACK; -1: none came. */
export function publishWith(
  device: Device,
  topic: string,
  payload: string,
  properties: Record<string, string> = {},
  qos: Qos = 1,
): number {
  const user = new UserPropertyBytes(new Uint8Array(0))
  for (const [name, value] of Object.entries(properties)) user.add(name, value)
  const parts = { topic: encodeUtf8(topic), payload: encodeUtf8(payload), forwardProperties: user.bytes }
  const common = { qos, retain: false, dup: false, subscriptionIdentifiers: [], topicAlias: 0, omitTopic: false }
  const packetId = 60_000
  device.send(encodePublish(device.version, parts, { ...common, packetId, expiryIntervalSeconds: -1 }).bytes)
  for (const seen of device.take()) if (seen.type === 'puback' && seen.packetId === packetId) return seen.reasonCode
  return -1
}

/** A PUBACK with what 5.0 lets it say. */
export function answer(
  device: Device,
  { packetId }: SeenPublish,
  reasonCode: number,
  properties: Properties = {},
): void {
  device.send(encodeAck(device.version, PacketType.puback, packetId, reasonCode, properties))
}

/** How many messages are in which state. */
export function stateOf(queue: Queue): { ready: number; leased: number; waiting: number } {
  const { leased, waiting, count } = queue
  return { ready: count - leased - waiting, leased, waiting }
}
