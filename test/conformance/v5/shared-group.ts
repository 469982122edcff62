/*
 * What the tests of shared subscriptions have in common.
 */

import type { RawClient } from '../client.ts'
import type { Wire } from '../harness.ts'
import { connected5, subscribed } from './expect.ts'
import { type Decoded, decode, property } from './packets.ts'

export const sixtySeconds = property.sessionExpiryInterval(60)

/** The group's filter; the share name is unique per test because the topic is. */
export function shared(wire: Wire, name = 'group'): string {
  return `$share/${name}/${wire.topic()}`
}

/** What has been sent to a client so far: all packets before the answer to its PINGREQ. */
export async function arrived(client: RawClient): Promise<Decoded[]> {
  client.send('c0 00')
  const packets: Decoded[] = []
  for (;;) {
    const packet = decode(await client.expectPacket())
    if (packet.type === 'pingresp') return packets
    packets.push(packet)
  }
}

export async function members(wire: Wire, count: number, options = 0): Promise<RawClient[]> {
  const clients = []
  for (let i = 0; i < count; i++) {
    const client = await connected5(wire, { clientId: wire.id(`m${i}`), properties: sixtySeconds })
    await subscribed(client, shared(wire), options)
    clients.push(client)
  }
  return clients
}
