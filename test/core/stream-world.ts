/** Streams in the core on a fake clock: declared, published to, and read by devices. */
import type { Stream } from '../../src/core/logs/stream.ts'
import {
  type DeclaredStream,
  defaultStreamDefinition,
  type StreamDefinition,
} from '../../src/core/logs/stream-definition.ts'
import type { Qos } from '../../src/mqtt/packet.ts'
import { type Device, type SeenPublish, World } from './world.ts'

export const declaredStream = (
  name: string,
  over: Partial<StreamDefinition> = {},
  namespace = 'default',
): DeclaredStream => {
  return { namespace, name, definition: { ...defaultStreamDefinition, filter: `${name}/#`, ...over } }
}

/** One stream, `meters`, that takes in `meters/#`. */
export function streamWorld(over: Partial<StreamDefinition> = {}, ...others: DeclaredStream[]): World {
  return new World({ streams: [declaredStream('meters', over), ...others] })
}

export function streamOf({ broker }: World, name = 'meters'): Stream {
  return broker.defaultNamespace.streams.get(name)!
}

/** Publishes `from` to `to` to `meters/<n modulo 3>`. */
export function fill(world: World, from: number, to: number, publisher = world.connected('filler')): Device {
  for (let n = from; n <= to; n++) publisher.publish(`meters/${n % 3}`, String(n), { qos: 1 })
  publisher.take()
  return publisher
}

/** Subscribes; what comes is for the test to take. */
export function begin(device: Device, filter: string, start?: string, qos: Qos = 1, name = 'stream-offset'): Device {
  return device.subscribe(filter, qos, {}, start === undefined ? {} : { userProperties: [[name, start]] })
}

export interface Begun {
  code: number
  reason: string
  publishes: SeenPublish[]
}

/** Subscribes; what comes with the SUBACK. */
export function read(device: Device, filter: string, start?: string, qos: Qos = 1, name = 'stream-offset'): Begun {
  const begun: Begun = { code: -1, reason: '', publishes: [] }
  for (const seen of begin(device, filter, start, qos, name).take()) {
    if (seen.type === 'publish') begun.publishes.push(seen)
    if (seen.type !== 'suback') continue
    begun.code = seen.reasonCodes[0]!
    begun.reason = seen.properties.reasonString ?? ''
  }
  return begun
}

export function acknowledge(device: Device, publishes: readonly SeenPublish[]): void {
  for (const { packetId } of publishes) device.acknowledge('puback', packetId)
}

export const offsets = (publishes: readonly SeenPublish[]): number[] =>
  publishes.map(({ properties }) => Number(properties.userProperties?.find(([name]) => name === 'stream-offset')?.[1]))
