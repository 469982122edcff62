/**
 * Which gateways a message has passed: a user property for each, added where it leaves by a bridge. A message that comes back to
 * a gateway that it has passed goes no further, however long the ring is. 3.1.1 has no properties: a ring is broken where 5.0 is spoken.
 */
import { encodeProperties } from '../mqtt/encoder.ts'
import { PacketType } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'

export const viaName = 'mqtide-via'

/** However the gateways are called: no message goes further than so many bridges. */
export const bridgesPassedMax = 16

/** The property, encoded. */
export function encodeVia(id: string): Uint8Array {
  return encodeProperties(PacketType.publish, { userProperties: [[viaName, id]] })
}

/** Whether one of `ids` stands in a PUBLISH's encoded properties, or it has passed too many. */
export function hasPassed(properties: Uint8Array, ids: readonly string[]): boolean {
  if (properties.length === 0) return false
  let passed = 0
  for (const [name, value] of publishProperties(properties).userProperties ?? []) {
    if (name !== viaName) continue
    if (ids.includes(value) || ++passed >= bridgesPassedMax) return true
  }
  return false
}

export function withVia(properties: Uint8Array, via: Uint8Array): Uint8Array {
  const both = new Uint8Array(properties.length + via.length)
  both.set(properties)
  both.set(via, properties.length)
  return both
}
