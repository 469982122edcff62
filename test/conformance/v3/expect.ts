/*
 * What the 3.1.1 chapters expect again and again: a connection that is closed for its bytes, and a subscriber in place.
 */

import { type Bytes, type ConnectFields, suback, subscribe } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import type { Wire } from '../harness.ts'

/** Each of these, sent as the first bytes of a connection, closes it without a reply. */
export async function closesUnanswered(wire: Wire, ...firstBytes: Bytes[]): Promise<void> {
  for (const bytes of firstBytes) {
    const client = await wire.open()
    client.send(bytes)
    await client.expectClosed()
  }
}

/** Each of these, sent on an accepted connection of its own, closes that connection without a reply. */
export async function closesConnection(wire: Wire, ...packets: Bytes[]): Promise<void> {
  for (const packet of packets) {
    const client = await wire.connected()
    client.send(packet)
    await client.expectClosed()
  }
}

/** A connected client whose subscription was granted as requested. */
export async function subscribed(
  wire: Wire,
  filter: string | Uint8Array,
  qos: number,
  fields: ConnectFields = {},
): Promise<RawClient> {
  const client = await wire.connected(fields)
  await subscribeOn(client, filter, qos)
  return client
}

/** Subscribes on a connection that expects nothing else, and takes the SUBACK. */
export async function subscribeOn(client: RawClient, filter: string | Uint8Array, qos: number): Promise<void> {
  client.send(subscribe(0x7ffe, [[filter, qos]]))
  await client.expectPacket(suback(0x7ffe, qos))
}

/** Packet Identifier of a PUBLISH with QoS 1 or 2. Throws if there is none. */
export function packetIdOf(publishPacket: Uint8Array): number {
  if ((publishPacket[0]! & 0xf0) !== 0x30 || (publishPacket[0]! & 0x06) === 0) throw new Error('no PUBLISH with an id')
  let at = 1
  while (publishPacket[at]! >= 0x80) at++
  const topicLength = publishPacket[at + 1]! * 256 + publishPacket[at + 2]!
  const idAt = at + 3 + topicLength
  return publishPacket[idAt]! * 256 + publishPacket[idAt + 1]!
}

/** The next packet, which must be a PUBLISH equal to `expected` but for its Packet Identifier; returns the identifier. */
export async function expectDelivery(client: RawClient, expected: (id: number) => Bytes): Promise<number> {
  const arrived = await client.expectPacket()
  if ((arrived[0]! & 0xf6) === 0x30) throw new Error('expected a PUBLISH with a Packet Identifier, received QoS 0')
  const id = packetIdOf(arrived)
  client.unread(arrived)
  await client.expectPacket(expected(id))
  return id
}
