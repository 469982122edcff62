/** CONNECT and CONNACK. */
import type { ConnackPacket, ConnectPacket } from '../../../src/mqtt/packet.ts'
import { binary, type Seen } from '../packets.ts'
import { type Vector, v3, v4, v5, v34 } from './vector.ts'

function connect(packet: Partial<ConnectPacket>): Seen {
  const whole = { version: 4, cleanStart: true, keepAlive: 60, clientId: 'c', properties: {}, ...packet }
  return { type: 'connect', packet: whole }
}

function connack(packet: Partial<ConnackPacket>): Seen {
  return { type: 'connack', packet: { sessionPresent: false, reasonCode: 0, properties: {}, ...packet } }
}

export const connectVectors: readonly Vector[] = [
  {
    name: 'CONNECT of 3.1.1, the shortest',
    role: 'server',
    versions: v4,
    bytes: '10 0d 0004 4d515454 04 02 003c 0001 63',
    seen: connect({}),
  },
  {
    name: 'CONNECT of 3.1',
    role: 'server',
    versions: v3,
    bytes: '10 0f 0006 4d5149736470 03 02 003c 0001 63',
    seen: connect({ version: 3 }),
  },
  {
    name: 'CONNECT of 5.0 with an empty client id',
    role: 'server',
    versions: v5,
    bytes: '10 0d 0004 4d515454 05 02 0000 00 0000',
    seen: connect({ version: 5, keepAlive: 0, clientId: '' }),
  },
  {
    name: 'CONNECT of 3.1.1 with will, user name and password',
    role: 'server',
    versions: v4,
    bytes: `10 [ "MQTT" 04 f4 ffff "client" "will/topic" 0002 00ff "user" 0003 'p' 00 'w' ]`,
    seen: connect({
      cleanStart: false,
      keepAlive: 65535,
      clientId: 'client',
      username: 'user',
      password: binary("'p' 00 'w'"),
      will: {
        topic: 'will/topic',
        payload: binary('00ff'),
        qos: 2,
        retain: true,
        properties: {},
        forwardProperties: binary(''),
      },
    }),
  },
  {
    name: "CONNECT of 3.1.1 from one of Mosquitto's bridges",
    role: 'server',
    versions: v4,
    bytes: '10 [ "MQTT" 84 02 003c "c" ]',
    seen: connect({ bridge: true }),
    foreign: true,
  },
  {
    name: "CONNECT of 3.1 from one of Mosquitto's bridges",
    role: 'server',
    versions: v3,
    bytes: '10 [ "MQIsdp" 83 02 003c "c" ]',
    seen: connect({ version: 3, bridge: true }),
    foreign: true,
  },
  {
    name: 'CONNECT of 3.1 that ends before the user name and password its flags announce',
    role: 'server',
    versions: v3,
    bytes: '10 [ "MQIsdp" 03 c2 003c "c" ]',
    seen: connect({ version: 3 }),
    foreign: true,
  },
  {
    name: 'CONNECT of 3.1.1 whose Remaining Length takes a byte more than it needs',
    role: 'server',
    versions: v4,
    bytes: '10 8d00 "MQTT" 04 02 003c "c"',
    seen: connect({}),
    foreign: true,
  },
  {
    name: 'CONNECT of 5.0 with a password and no user name',
    role: 'server',
    versions: v5,
    bytes: `10 [ "MQTT" 05 42 003c [] "c" 0001 'p' ]`,
    seen: connect({ version: 5, password: binary("'p'") }),
  },
  {
    name: 'CONNECT of 5.0 with every property',
    role: 'server',
    versions: v5,
    bytes: `10 [ "MQTT" 05 02 003c [
      11 ffffffff  15 "SCRAM"  16 0002 00ff  17 00  19 01  21 000a  22 ffff
      26 "k" "1"  26 "k" "2"  27 00010000 ] "c" ]`,
    seen: connect({
      version: 5,
      properties: {
        sessionExpiryInterval: 0xffffffff,
        authenticationMethod: 'SCRAM',
        authenticationData: binary('00ff'),
        requestProblemInformation: 0,
        requestResponseInformation: 1,
        receiveMaximum: 10,
        topicAliasMaximum: 65535,
        userProperties: [
          ['k', '1'],
          ['k', '2'],
        ],
        maximumPacketSize: 65536,
      },
    }),
  },
  {
    name: 'CONNECT of 5.0 with every will property',
    role: 'server',
    versions: v5,
    bytes: `10 [ "MQTT" 05 0c 003c [] "c" [
      01 01  02 00000010  03 "text/plain"  08 "reply/to"  09 0001 00  18 00000005  26 "z" "1"  26 "a" "2" ]
      "w" 0000 ]`,
    seen: connect({
      version: 5,
      cleanStart: false,
      will: {
        topic: 'w',
        payload: binary(''),
        qos: 1,
        retain: false,
        properties: {
          payloadFormatIndicator: 1,
          messageExpiryInterval: 16,
          contentType: 'text/plain',
          responseTopic: 'reply/to',
          correlationData: binary('00'),
          willDelayInterval: 5,
          userProperties: [
            ['z', '1'],
            ['a', '2'],
          ],
        },
        forwardProperties: binary('01 01  03 "text/plain"  08 "reply/to"  09 0001 00  26 "z" "1"  26 "a" "2"'),
      },
    }),
  },
  {
    name: 'CONNACK, accepted',
    role: 'client',
    versions: v34,
    bytes: '20 02 00 00',
    seen: connack({}),
  },
  {
    name: 'CONNACK with Session Present',
    role: 'client',
    versions: v4,
    bytes: '20 02 01 00',
    seen: connack({ sessionPresent: true }),
  },
  {
    name: 'CONNACK that refuses',
    role: 'client',
    versions: v34,
    bytes: '20 02 00 05',
    seen: connack({ reasonCode: 5 }),
  },
  {
    name: 'CONNACK of 5.0 that refuses',
    role: 'client',
    versions: v5,
    bytes: '20 03 00 87 00',
    seen: connack({ reasonCode: 0x87 }),
  },
  {
    name: 'CONNACK of 5.0 with every property',
    role: 'client',
    versions: v5,
    bytes: `20 [ 01 00 [
      11 0000000a  12 "id"  13 001e  15 "SCRAM"  16 0001 ff  1a "info"  1c "other:1883"  1f "why"  21 0001  22 0000
      24 01  25 00  26 "k" "v"  27 00000001  28 01  29 00  2a 01 ] ]`,
    seen: connack({
      sessionPresent: true,
      properties: {
        sessionExpiryInterval: 10,
        assignedClientIdentifier: 'id',
        serverKeepAlive: 30,
        authenticationMethod: 'SCRAM',
        authenticationData: binary('ff'),
        responseInformation: 'info',
        serverReference: 'other:1883',
        reasonString: 'why',
        receiveMaximum: 1,
        topicAliasMaximum: 0,
        maximumQos: 1,
        retainAvailable: 0,
        userProperties: [['k', 'v']],
        maximumPacketSize: 1,
        wildcardSubscriptionAvailable: 1,
        subscriptionIdentifierAvailable: 0,
        sharedSubscriptionAvailable: 1,
      },
    }),
  },
]
