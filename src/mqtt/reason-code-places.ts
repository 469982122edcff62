/** Which reason codes which packet may carry, and from whom: the tables of sections 3.2.2.2 to 3.15.2.1. */
import { PacketType } from './packet.ts'
import { packetName } from './properties.ts'
import { type ProtocolError, protocolFault } from './protocol-error.ts'

export type Sender = 'client' | 'server'

const puback = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const pubrel = [0x00, 0x92]
const disconnectByBoth = [0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
// 0x8C is missing from table 3-10, but table 2-6 gives it to DISCONNECT too.
const disconnectByServer = [
  ...[0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b],
  ...[0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2],
]
const connack = [
  ...[0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89],
  ...[0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f],
]
const suback = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]
const unsuback = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]

interface Place {
  client: ReadonlySet<number>
  server: ReadonlySet<number>
  /** The statement that binds the sender to the table. */
  statement: string
}

function place(statement: string, client: readonly number[], server: readonly number[] = client): Place {
  return { client: new Set(client), server: new Set(server), statement }
}

const places = new Map<number, Place>([
  [PacketType.connack, place('[MQTT-3.2.2-8]', [], connack)],
  [PacketType.puback, place('[MQTT-3.4.2-1]', puback)],
  [PacketType.pubrec, place('[MQTT-3.5.2-1]', puback)],
  [PacketType.pubrel, place('[MQTT-3.6.2-1]', pubrel)],
  [PacketType.pubcomp, place('[MQTT-3.7.2-1]', pubrel)],
  [PacketType.suback, place('[MQTT-3.9.3-2]', [], suback)],
  [PacketType.unsuback, place('[MQTT-3.11.3-2]', [], unsuback)],
  [
    PacketType.disconnect,
    place('[MQTT-3.14.2-1]', [...disconnectByBoth, 0x04], [...disconnectByBoth, ...disconnectByServer]),
  ],
  [PacketType.auth, place('[MQTT-3.15.2-1]', [0x18, 0x19], [0x00, 0x18])],
])

/** Whether `sender` may put the code into a 5.0 packet of this type. */
export function mayCarry(type: PacketType, sender: Sender, reasonCode: number): boolean {
  return places.get(type)?.[sender].has(reasonCode) ?? false
}

/** @throws ProtocolError protocolError where `mayCarry` says no: it parses, and says what the protocol forbids (1.2) */
export function refuseStrayReasonCode(type: PacketType, sender: Sender, reasonCode: number): void {
  if (!mayCarry(type, sender, reasonCode)) throw strayReasonCode(type, sender, reasonCode)
}

function strayReasonCode(type: PacketType, sender: Sender, reasonCode: number): ProtocolError {
  const code = `0x${reasonCode.toString(16).padStart(2, '0')}`
  return protocolFault(`${packetName(type)} from a ${sender} with reason code ${code} ${places.get(type)?.statement}`)
}
