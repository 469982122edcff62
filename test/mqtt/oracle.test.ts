/** Encoder and decoder against `mqtt-packet`: the same bytes mean the same to both, but for the differences listed here. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ConnectPacket, Properties } from '../../src/mqtt/packet.ts'
import { everyPairing, laterPacket, openingPacket } from './arbitraries.ts'
import { encodeSeen } from './encode-seen.ts'
import { comparable, peerDecodes, peerEncodes } from './oracle.ts'
import { decode, decodeFirst, faultOf, hex, type Role, type Seen, type SeenPacket, type Version } from './packets.ts'

function weDecode(role: Role, version: Version, bytes: Buffer, opens: boolean): Seen[] {
  return opens ? decodeFirst(bytes, role, version) : decode(role, version, bytes)
}

/** What `mqtt-packet` can't write, or can't tell from something else, though MQTT can. */
function bothCan({ type, packet }: SeenPacket): boolean {
  if (type === 'connect') {
    const { version, cleanStart, clientId, username, password } = packet as ConnectPacket
    if (clientId === '' && (version === 3 || !cleanStart)) return false
    if (username === undefined && password !== undefined) return false
  }
  return !(type === 'auth' && (packet as { reasonCode: number }).reasonCode === 0)
}

/** User properties under names that differ and that an object keeps in their order [MQTT-3.3.2-18]. */
function withPlainNames(seen: Seen): Seen {
  const rename = ({ userProperties, ...others }: Properties): Properties => ({
    ...others,
    ...(userProperties && { userProperties: userProperties.map(([, value], index) => [`name-${index}`, value]) }),
  })
  if ('topic' in seen) return seen
  if (seen.properties) return { ...seen, properties: rename(seen.properties) }
  const packet = seen.packet as { properties?: Properties; will?: { properties: Properties } } | undefined
  if (!packet?.properties) return seen
  const { will, ...others } = packet
  return {
    ...seen,
    packet: { ...others, properties: rename(packet.properties), ...(will && withoutUserProperties(will)) },
  }
}

function withoutUserProperties(will: { properties: Properties }) {
  const { userProperties: _dropped, ...properties } = will.properties
  return { will: { ...will, properties } }
}

/** Its will's encoded properties depend on the writer's order, which is compared where it matters, in vectors. */
function withoutForwarded(seen: unknown): unknown {
  return JSON.parse(JSON.stringify(seen, (key, value) => (key === 'forwardProperties' ? undefined : value)))
}

function hasUserProperties(seen: Seen): boolean {
  const compared = comparable(seen)
  return 'topic' in compared && compared.properties.userProperties !== undefined
}

describe.each(everyPairing)('packets to a $role of version $version', ({ role, version }) => {
  const packets = fc
    .oneof({ weight: 1, arbitrary: openingPacket(role, version) }, { weight: 4, arbitrary: laterPacket(role, version) })
    .filter((seen) => 'topic' in seen || bothCan(seen))
    .filter((seen) => !hasUserProperties(seen))
    .map(withPlainNames)
  const opens = (seen: Seen) => seen.type === 'connect' || seen.type === 'connack'

  it('that we write are read alike', () => {
    fc.assert(
      fc.property(packets, (seen) => {
        const theirs = peerDecodes(version, encodeSeen(version, seen))
        expect(withoutForwarded(theirs)).toEqual(withoutForwarded([comparable(seen)]))
      }),
      { numRuns: 600 },
    )
  })

  it('that it writes are read alike by us', () => {
    fc.assert(
      fc.property(packets, (seen) => {
        const ours = weDecode(role, version, peerEncodes(version, seen), opens(seen))
        expect(withoutForwarded(ours.map(comparable))).toEqual(withoutForwarded([comparable(seen)]))
      }),
      { numRuns: 600 },
    )
  })
})

interface Difference {
  /** What decides it: the statement or the section. */
  name: string
  role: Role
  version: Version
  bytes: string
  /** The reason code that we refuse it with; undefined where we take it and `mqtt-packet` doesn't. */
  reasonCode?: number
}

const connect5 = '"MQTT" 05 02 003c'
const weRefuse: readonly Difference[] = [
  refused(0x81, 'U+0000 in a client id [MQTT-1.5.4-2]', 4, '10 [ "MQTT" 04 02 003c 0001 00 ]'),
  refused(0x81, 'a surrogate in a client id [MQTT-1.5.4-1]', 4, '10 [ "MQTT" 04 02 003c 0003 eda080 ]'),
  refused(0x81, 'an overlong slash in a filter [MQTT-1.5.4-1]', 4, '82 [ 0001 0002 c0af 00 ]'),
  refused(0x81, 'a padded Property Length [MQTT-1.5.5-1]', 5, '30 [ "a" 8000 ]'),
  refused(0x81, 'a padded Remaining Length in 5.0 [MQTT-1.5.5-1]', 5, '30 8400 "a" 00'),
  refused(0x82, 'packet id 0 [MQTT-2.2.1-3]', 4, '32 [ "a" 0000 ]'),
  refused(0x81, 'a will QoS of 3 [MQTT-3.1.2-12]', 4, '10 [ "MQTT" 04 1e 003c "c" "w" "" ]'),
  refused(0x81, 'bytes behind a CONNECT [MQTT-3.1.4-1]', 4, '10 [ "MQTT" 04 02 003c "c" 00 ]'),
  refused(0x81, 'a password without a user name (3.1.1: [MQTT-3.1.2-22])', 4, '10 [ "MQTT" 04 42 003c "c" "p" ]'),
  refused(0x84, 'MQTT with level 3 [MQTT-3.1.2-2]', 3, '10 [ "MQTT" 03 02 003c "c" ]'),
  refused(0x84, 'a bridge of 5.0, level 0x85 [MQTT-3.1.2-2]', 5, '10 [ "MQTT" 85 02 003c [] "c" ]'),
  refused(0x90, 'an empty will topic [MQTT-4.7.3-1]', 4, '10 [ "MQTT" 04 06 003c "c" "" "" ]'),
  refused(0x90, 'a wildcard in a will topic [MQTT-4.7.0-1]', 4, '10 [ "MQTT" 04 06 003c "c" "#" "" ]'),
  refused(0x82, 'a property twice (2.2.2.2)', 5, `10 [ ${connect5} [ 11 00000001 11 00000001 ] "c" ]`),
  refused(0x81, "a property of another packet's (2.2.2.2)", 5, `10 [ ${connect5} [ 23 0001 ] "c" ]`),
  refused(0x81, 'a property that ends behind all properties (2.2.2.2)', 5, `30 [ "a" [ 02 0000 ] 'xyz' ]`),
  refused(0x82, 'Receive Maximum 0 (3.1.2.11.3)', 5, `10 [ ${connect5} [ 21 0000 ] "c" ]`),
  refused(0x82, 'Maximum Packet Size 0 (3.1.2.11.4)', 5, `10 [ ${connect5} [ 27 00000000 ] "c" ]`),
  refused(0x82, 'Request Problem Information 2 (3.1.2.11.7)', 5, `10 [ ${connect5} [ 17 02 ] "c" ]`),
  refused(0x82, 'authentication data without a method (3.1.2.11.10)', 5, `10 [ ${connect5} [ 16 0000 ] "c" ]`),
  refused(0x81, 'QoS 0 with DUP [MQTT-3.3.1-2]', 4, '38 [ "a" ]'),
  refused(0x94, 'Topic Alias 0 [MQTT-3.3.2-8]', 5, '30 [ "a" [ 23 0000 ] ]'),
  refused(0x82, 'neither topic nor alias (3.3.2.1)', 5, '30 [ "" [] ]'),
  refused(0x90, 'a wildcard in a response topic [MQTT-3.3.2-14]', 5, '30 [ "a" [ 08 "#" ] ]'),
  refused(0x82, "a subscription identifier in a client's PUBLISH [MQTT-3.3.4-6]", 5, '30 [ "a" [ 0b 01 ] ]'),
  refused(0x81, 'a PUBACK of 3.1.1 with a reason code (2.1.4)', 4, '40 03 0001 00'),
  refused(0x81, 'bytes behind a PUBACK (2.1.4)', 5, '40 05 0001 00 00 00'),
  refused(0x82, 'SUBSCRIBE without a filter [MQTT-3.8.3-2]', 4, '82 02 0001'),
  refused(0x82, 'an empty filter [MQTT-4.7.3-1]', 4, '82 [ 0001 "" 00 ]'),
  refused(0x82, 'No Local on a shared subscription [MQTT-3.8.3-4]', 5, '82 [ 0001 [] "$share/g/a" 04 ]'),
  refused(0x82, 'subscription identifier 0 (3.8.2.1.2)', 5, '82 [ 0001 [ 0b 00 ] "a" 00 ]'),
  refused(0x82, 'UNSUBSCRIBE without a filter [MQTT-3.10.3-2]', 4, 'a2 02 0001'),
  refused(0x81, 'a PINGREQ with a body (3.12)', 4, 'c0 01 00'),
  refused(0x81, 'a DISCONNECT of 3.1.1 with a body (3.14)', 4, 'e0 01 00'),
  refused(0x82, "a server's code in a client's DISCONNECT [MQTT-3.14.2-1]", 5, 'e0 02 8b 00'),
  refused(0x82, 'AUTH without a method (3.15.2.2.2)', 5, 'f0 02 18 00'),
]

const itRefuses: readonly Difference[] = [
  { name: 'SUBSCRIBE of 3.1 with DUP (3.1: 3.8)', role: 'server', version: 3, bytes: '8a [ 0001 "a" 00 ]' },
  { name: 'PUBREL of 3.1 with DUP (3.1: 3.6)', role: 'server', version: 3, bytes: '6a 02 0001' },
  {
    name: 'CONNECT of 3.1 that ends before its user name (3.1: 3.1)',
    role: 'server',
    version: 3,
    bytes: '10 [ "MQIsdp" 03 82 003c "c" ]',
  },
  { name: 'AUTH in its shortest form (3.15.2.1)', role: 'client', version: 5, bytes: 'f0 00' },
]

describe('the known differences', () => {
  it.each(weRefuse)('mqtt-packet takes, we refuse: $name', ({ role, version, bytes, reasonCode }) => {
    expect(peerDecodes(version, hex(bytes))).toHaveLength(1)
    const fault = faultOf(() => weDecode(role, version, hex(bytes), bytes.startsWith('10')))
    expect(fault.reasonCode).toBe(reasonCode)
  })

  it.each(itRefuses)('mqtt-packet refuses, we take: $name', ({ role, version, bytes }) => {
    expect(peerDecodes(version, hex(bytes))).toBeUndefined()
    expect(weDecode(role, version, hex(bytes), bytes.startsWith('10'))).toHaveLength(1)
  })

  it('mqtt-packet groups user properties by name, we keep their order [MQTT-3.3.2-18]', () => {
    const bytes = hex('e0 [ 00 [ 26 "b" "1" 26 "a" "2" 26 "b" "3" ] ]')
    const [theirs] = peerDecodes(5, bytes) as [SeenPacket]
    expect((theirs.packet as { properties: Properties }).properties.userProperties).toEqual([
      ['b', ['1', '3']],
      ['a', '2'],
    ])
    const [ours] = decode('server', 5, bytes) as [SeenPacket]
    expect((ours.packet as { properties: Properties }).properties.userProperties).toEqual([
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
    ])
  })
})

function refused(reasonCode: number, name: string, version: Version, bytes: string): Difference {
  return { name, role: 'server', version, bytes, reasonCode }
}
