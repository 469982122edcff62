/** PUBLISH and its acknowledgements. */
import { hex, type SeenPublish } from '../packets.ts'
import { allVersions, type Vector, v5, v34 } from './vector.ts'

function publish(fields: Partial<SeenPublish>): SeenPublish {
  return {
    type: 'publish',
    topic: 'a/b',
    qos: 0,
    retain: false,
    dup: false,
    packetId: 0,
    properties: '',
    payload: '',
    topicAlias: 0,
    messageExpiryInterval: -1,
    subscriptionIdentifiers: [],
    ...fields,
  }
}

export const publishVectors: readonly Vector[] = (['server', 'client'] as const).flatMap((role): Vector[] => [
  {
    name: 'PUBLISH at QoS 0',
    role,
    versions: v34,
    bytes: '30 07 0003 612f62 6869',
    seen: publish({ payload: '6869' }),
  },
  {
    name: 'PUBLISH without a payload',
    role,
    versions: v34,
    bytes: '31 05 0003 612f62',
    seen: publish({ retain: true }),
  },
  {
    name: 'PUBLISH at QoS 1 with RETAIN and DUP',
    role,
    versions: v34,
    bytes: '3b 08 0003 612f62 ffff 00',
    seen: publish({ qos: 1, retain: true, dup: true, packetId: 65535, payload: '00' }),
  },
  {
    name: 'PUBLISH at QoS 2',
    role,
    versions: v34,
    bytes: '34 08 0003 612f62 0001 ff',
    seen: publish({ qos: 2, packetId: 1, payload: 'ff' }),
  },
  {
    name: 'PUBLISH of 5.0 without properties',
    role,
    versions: v5,
    bytes: '34 09 0003 612f62 0102 00 ff',
    seen: publish({ qos: 2, packetId: 0x0102, payload: 'ff' }),
  },
  {
    name: 'PUBLISH of 5.0 with an alias alone for its topic',
    role,
    versions: v5,
    bytes: '30 [ 0000 [ 23 ffff ] 01 ]',
    seen: publish({ topic: '', topicAlias: 65535, properties: '23ffff', payload: '01' }),
  },
  {
    name: 'PUBLISH of 5.0 with what belongs to one hop before what is forwarded',
    role,
    versions: v5,
    bytes: `32 [ "a/b" 0007 [ 02 00000000  23 0001  01 01  03 "t"  08 "r"  09 0000  26 "z" ""  26 "a" "" ] 'x' ]`,
    seen: publish({
      qos: 1,
      packetId: 7,
      topicAlias: 1,
      messageExpiryInterval: 0,
      properties: hex('02 00000000  23 0001  01 01  03 "t"  08 "r"  09 0000  26 "z" ""  26 "a" ""').toString('hex'),
      payload: '78',
    }),
  },
  {
    name: 'PUBLISH of 5.0 with its properties in another order',
    role,
    versions: v5,
    bytes: `30 [ "a/b" [ 26 "z" "1"  23 0001  09 0001 ff  02 ffffffff  26 "a" "2"  01 00 ] ]`,
    seen: publish({
      topicAlias: 1,
      messageExpiryInterval: 0xffffffff,
      properties: hex('26 "z" "1"  23 0001  09 0001 ff  02 ffffffff  26 "a" "2"  01 00').toString('hex'),
    }),
    foreign: true,
  },
  {
    name: 'PUBLISH of 5.0 with 200 bytes of properties',
    role,
    versions: v5,
    bytes: `30 [ "a/b" [ 03 "${'x'.repeat(197)}" ] 'y' ]`,
    seen: publish({ properties: hex(`03 "${'x'.repeat(197)}"`).toString('hex'), payload: '79' }),
  },
])

const acknowledgements = [
  ['PUBACK', 'puback', '40', '10'],
  ['PUBREC', 'pubrec', '50', '97'],
  ['PUBREL', 'pubrel', '62', '92'],
  ['PUBCOMP', 'pubcomp', '70', '92'],
] as const

export const acknowledgementVectors: readonly Vector[] = (['server', 'client'] as const).flatMap((role) =>
  acknowledgements.flatMap(([name, type, first, code]): Vector[] => {
    const seen = (reasonCode: number, properties = {}) => ({ type, packetId: 0x1234, reasonCode, properties })
    const reasonCode = Number.parseInt(code, 16)
    return [
      { name, role, versions: allVersions, bytes: `${first} 02 1234`, seen: seen(0) },
      {
        name: `${name} with a reason code`,
        role,
        versions: v5,
        bytes: `${first} 03 1234 ${code}`,
        seen: seen(reasonCode),
      },
      {
        name: `${name} with a reason code and no properties`,
        role,
        versions: v5,
        bytes: `${first} 04 1234 ${code} 00`,
        seen: seen(reasonCode),
        foreign: true,
      },
      {
        name: `${name} with every property`,
        role,
        versions: v5,
        bytes: `${first} [ 1234 00 [ 1f "why" 26 "k" "v" ] ]`,
        seen: seen(0, { reasonString: 'why', userProperties: [['k', 'v']] }),
      },
    ]
  }),
)
