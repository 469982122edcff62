/** SUBSCRIBE to AUTH. */
import type { Properties, SubscribePacket } from '../../../src/mqtt/packet.ts'
import { binary, type Seen } from '../packets.ts'
import { allVersions, type Vector, v3, v5, v34 } from './vector.ts'

function subscribe(packet: Partial<SubscribePacket>): Seen {
  return { type: 'subscribe', packet: { packetId: 10, subscriptions: [], properties: {}, ...packet } }
}

const plainSubscription = { noLocal: false, retainAsPublished: false, retainHandling: 0 } as const

export const subscriptionVectors: readonly Vector[] = [
  {
    name: 'SUBSCRIBE',
    role: 'server',
    versions: v34,
    bytes: '82 0e 000a 0003 612f62 01 0003 632f64 02',
    seen: subscribe({
      subscriptions: [
        { ...plainSubscription, topicFilter: 'a/b', qos: 1 },
        { ...plainSubscription, topicFilter: 'c/d', qos: 2 },
      ],
    }),
  },
  {
    name: 'SUBSCRIBE of 3.1 that is repeated with DUP',
    role: 'server',
    versions: v3,
    bytes: '8a 06 000a 0001 23 00',
    seen: subscribe({ subscriptions: [{ ...plainSubscription, topicFilter: '#', qos: 0 }] }),
    foreign: true,
  },
  {
    name: 'SUBSCRIBE of 5.0 with every option and property',
    role: 'server',
    versions: v5,
    bytes: '82 [ 000a [ 0b ffffff7f  26 "k" "v" ] "a/+" 2e  "$share/g/#" 19  "x" 00 ]',
    seen: subscribe({
      subscriptions: [
        { topicFilter: 'a/+', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
        { topicFilter: '$share/g/#', qos: 1, noLocal: false, retainAsPublished: true, retainHandling: 1 },
        { ...plainSubscription, topicFilter: 'x', qos: 0 },
      ],
      properties: { subscriptionIdentifiers: [268_435_455], userProperties: [['k', 'v']] },
    }),
  },
  {
    name: 'SUBACK',
    role: 'client',
    versions: v34,
    bytes: '90 06 000a 00 01 02 80',
    seen: { type: 'suback', packet: { packetId: 10, reasonCodes: [0, 1, 2, 0x80], properties: {} } },
  },
  {
    name: 'SUBACK of 5.0 with every property',
    role: 'client',
    versions: v5,
    bytes: '90 [ 000a [ 1f "why" 26 "k" "v" ] 02 8f ]',
    seen: {
      type: 'suback',
      packet: {
        packetId: 10,
        reasonCodes: [2, 0x8f],
        properties: { reasonString: 'why', userProperties: [['k', 'v']] },
      },
    },
  },
  {
    name: 'UNSUBSCRIBE',
    role: 'server',
    versions: v34,
    bytes: 'a2 0a 000a 0003 612f62 0001 23',
    seen: { type: 'unsubscribe', packet: { packetId: 10, topicFilters: ['a/b', '#'], properties: {} } },
  },
  {
    name: 'UNSUBSCRIBE of 5.0 with every property',
    role: 'server',
    versions: v5,
    bytes: 'a2 [ 000a [ 26 "k" "v" ] "a/b" ]',
    seen: {
      type: 'unsubscribe',
      packet: { packetId: 10, topicFilters: ['a/b'], properties: { userProperties: [['k', 'v']] } },
    },
  },
  {
    name: 'UNSUBACK',
    role: 'client',
    versions: v34,
    bytes: 'b0 02 000a',
    seen: { type: 'unsuback', packet: { packetId: 10, reasonCodes: [], properties: {} } },
  },
  {
    name: 'UNSUBACK of 5.0 with every property',
    role: 'client',
    versions: v5,
    bytes: 'b0 [ 000a [ 1f "why" 26 "k" "v" ] 00 11 ]',
    seen: {
      type: 'unsuback',
      packet: {
        packetId: 10,
        reasonCodes: [0, 0x11],
        properties: { reasonString: 'why', userProperties: [['k', 'v']] },
      },
    },
  },
]

export const otherVectors: readonly Vector[] = [
  { name: 'PINGREQ', role: 'server', versions: allVersions, bytes: 'c0 00', seen: { type: 'pingreq' } },
  { name: 'PINGRESP', role: 'client', versions: allVersions, bytes: 'd0 00', seen: { type: 'pingresp' } },
  { name: 'DISCONNECT', role: 'server', versions: allVersions, bytes: 'e0 00', seen: reason('disconnect', 0) },
  { name: 'DISCONNECT from a server', role: 'client', versions: v5, bytes: 'e0 00', seen: reason('disconnect', 0) },
  {
    name: 'DISCONNECT with a reason code alone',
    role: 'server',
    versions: v5,
    bytes: 'e0 01 04',
    seen: reason('disconnect', 4),
    foreign: true,
  },
  {
    name: 'DISCONNECT with a reason code and no properties',
    role: 'client',
    versions: v5,
    bytes: 'e0 02 8e 00',
    seen: reason('disconnect', 0x8e),
  },
  {
    name: 'DISCONNECT from a client with every property',
    role: 'server',
    versions: v5,
    bytes: 'e0 [ 04 [ 11 00000000  1f "why"  26 "k" "v" ] ]',
    seen: reason('disconnect', 4, {
      sessionExpiryInterval: 0,
      reasonString: 'why',
      userProperties: [['k', 'v']],
    }),
  },
  {
    name: 'DISCONNECT from a server with every property',
    role: 'client',
    versions: v5,
    bytes: 'e0 [ 9d [ 1c "other:1883"  1f "why"  26 "k" "v" ] ]',
    seen: reason('disconnect', 0x9d, {
      serverReference: 'other:1883',
      reasonString: 'why',
      userProperties: [['k', 'v']],
    }),
  },
  {
    name: 'AUTH with every property',
    role: 'server',
    versions: v5,
    bytes: 'f0 [ 18 [ 15 "SCRAM"  16 0003 00ff80  1f "why"  26 "k" "v" ] ]',
    seen: reason('auth', 0x18, {
      authenticationMethod: 'SCRAM',
      authenticationData: binary('00ff80'),
      reasonString: 'why',
      userProperties: [['k', 'v']],
    }),
  },
  {
    name: 'AUTH from a server in its shortest form',
    role: 'client',
    versions: v5,
    bytes: 'f0 00',
    seen: reason('auth', 0),
  },
]

function reason(type: 'disconnect' | 'auth', reasonCode: number, properties: Properties = {}): Seen {
  return { type, packet: { reasonCode, properties } }
}
