/** What is refused after the connection has begun. */
import type { Version } from '../packets.ts'
import { type Fault, fault, malformed, protocolError, topicAliasInvalid, topicNameInvalid } from './fault.ts'

const all: readonly Version[] = [3, 4, 5]
const v34: readonly Version[] = [3, 4]
const v45: readonly Version[] = [4, 5]
const v4: readonly Version[] = [4]
const v5: readonly Version[] = [5]

export const headerFaults: readonly Fault[] = [
  fault('a second CONNECT [MQTT-3.1.0-2]', 'server', all, protocolError, '10', 'a second CONNECT'),
  fault('a second CONNACK [MQTT-3.2.0-2]', 'client', all, protocolError, '20', 'a second CONNACK'),
  fault('packet type 0 (2.1.2)', 'server', all, malformed, '00', 'packet type 0 is reserved'),
  fault('AUTH in 3.x, where type 15 is reserved (2.1.2)', 'server', v34, malformed, 'f0', 'type 15 is reserved'),
  fault('AUTH from a server of 3.x', 'client', v34, malformed, 'f0', 'type 15 is reserved'),
  fault('CONNACK from a client (2.1.2)', 'server', all, protocolError, '20', 'CONNACK'),
  fault('SUBACK from a client (2.1.2)', 'server', all, protocolError, '90', 'SUBACK'),
  fault('UNSUBACK from a client (2.1.2)', 'server', all, protocolError, 'b0', 'UNSUBACK'),
  fault('PINGRESP from a client (2.1.2)', 'server', all, protocolError, 'd0', 'PINGRESP'),
  fault('CONNECT from a server (2.1.2)', 'client', all, protocolError, '10', 'CONNECT'),
  fault('SUBSCRIBE from a server (2.1.2)', 'client', all, protocolError, '82', 'SUBSCRIBE'),
  fault('UNSUBSCRIBE from a server (2.1.2)', 'client', all, protocolError, 'a2', 'UNSUBSCRIBE'),
  fault('PINGREQ from a server (2.1.2)', 'client', all, protocolError, 'c0', 'PINGREQ'),
  fault('DISCONNECT from a server of 3.x (2.1.2)', 'client', v34, protocolError, 'e0', 'DISCONNECT'),
  ...[0x36, 0x37, 0x3e, 0x3f].map(qos3),
  ...[0x38, 0x39].map((first) =>
    fault(
      `QoS 0 with DUP [MQTT-3.3.1-2] in ${first.toString(16)}`,
      'server',
      all,
      malformed,
      first.toString(16),
      'DUP',
    ),
  ),
  ...reservedFlags([0x40, 0x50, 0x70, 0xc0, 0xe0], 0, 'server', all),
  ...reservedFlags([0x60, 0x80, 0xa0], 2, 'server', v45),
  ...reservedFlags([0xf0], 0, 'server', v5),
  ...reservedFlags([0x90, 0xb0, 0xd0], 0, 'client', all),
  fault('a padded Remaining Length in 5.0 [MQTT-1.5.5-1]', 'server', v5, malformed, 'c0 8000', 'more bytes'),
  fault('a Remaining Length of five bytes (2.1.4)', 'server', all, malformed, '30 ffffffff', 'longer than four bytes'),
]

function qos3(first: number): Fault {
  const byte = first.toString(16)
  return fault(`QoS 3 [MQTT-3.3.1-4] in ${byte}`, 'server', all, malformed, byte, 'QoS 3')
}

/** Each value but the right one of the four flag bits [MQTT-2.1.3-1]. */
function reservedFlags(
  types: readonly number[],
  right: number,
  role: 'server' | 'client',
  versions: readonly Version[],
): Fault[] {
  return types.flatMap((type) =>
    Array.from({ length: 16 }, (_, flags) => flags)
      .filter((flags) => flags !== right)
      .map((flags) => {
        const byte = (type | flags).toString(16)
        return fault(`reserved flags [MQTT-2.1.3-1] in ${byte}`, role, versions, malformed, byte, 'reserved flags')
      }),
  )
}

export const publishFaults: readonly Fault[] = [
  fault('PUBLISH without a body', 'server', all, malformed, '30 00', 'Topic Name'),
  fault('PUBLISH with half a topic length', 'server', all, malformed, '30 01 00', 'Topic Name'),
  fault('PUBLISH with a topic longer than itself', 'server', all, malformed, "30 03 0002 'a'", 'Topic Name'),
  fault(
    'PUBLISH at QoS 1 that ends in its packet id',
    'server',
    all,
    malformed,
    "32 04 0001 'a' 00",
    'Packet Identifier',
  ),
  fault('PUBLISH with packet id 0 [MQTT-2.2.1-3]', 'server', v34, protocolError, '32 [ "a" 0000 ]', 'identifier 0'),
  fault(
    'PUBLISH of 5.0 with packet id 0 [MQTT-2.2.1-3]',
    'server',
    v5,
    protocolError,
    '34 [ "a" 0000 [] ]',
    'identifier 0',
  ),
  fault('PUBLISH with packet id 0 [MQTT-2.2.1-4]', 'client', v5, protocolError, '34 [ "a" 0000 [] ]', 'identifier 0'),
  fault('PUBLISH without a Property Length', 'server', v5, malformed, '30 [ "a" ]', 'Property Length'),
  fault(
    'PUBLISH with a padded Property Length [MQTT-1.5.5-1]',
    'server',
    v5,
    malformed,
    '30 [ "a" 8000 ]',
    'more bytes',
  ),
  fault('PUBLISH with a Property Length of five bytes', 'server', v5, malformed, '30 [ "a" 8080808001 ]', 'four bytes'),
  fault('PUBLISH with properties longer than itself', 'server', v5, malformed, '30 [ "a" 03 01 01 ]', 'properties'),
  fault('PUBLISH with neither topic nor alias (3.3.2.1)', 'server', v5, protocolError, '30 [ "" [] ]', 'neither'),
  fault('PUBLISH with alias 0 [MQTT-3.3.2-8]', 'server', v5, topicAliasInvalid, '30 [ "a" [ 23 0000 ] ]', 'Alias 0'),
  fault(
    'PUBLISH with two aliases (3.3.2.3.4)',
    'server',
    v5,
    protocolError,
    '30 [ "a" [ 23 0001 23 0001 ] ]',
    'than once',
  ),
  fault('PUBLISH with a payload format of 2', 'server', v5, protocolError, '30 [ "a" [ 01 02 ] ]', 'must not be 2'),
  fault(
    'PUBLISH from a client with a subscription identifier [MQTT-3.3.4-6]',
    'server',
    v5,
    protocolError,
    '30 [ "a" [ 0b 01 ] ]',
    'Subscription Identifier',
  ),
  fault('a subscription identifier of 0 (3.3.2.3.8)', 'client', v5, protocolError, '30 [ "a" [ 0b 00 ] ]', 'not be 0'),
  fault('a padded subscription identifier', 'client', v5, malformed, '30 [ "a" [ 0b 8100 ] ]', 'more bytes'),
  fault(
    'a response topic with + [MQTT-3.3.2-14]',
    'server',
    v5,
    topicNameInvalid,
    '30 [ "a" [ 08 "b/+" ] ]',
    'wildcard',
  ),
  fault('an empty response topic [MQTT-4.7.3-1]', 'server', v5, topicNameInvalid, '30 [ "a" [ 08 "" ] ]', 'is empty'),
  fault('a response topic and no value', 'server', v5, malformed, '30 [ "a" [ 08 ] ]', 'inside its Response Topic'),
  fault(
    'a user property without a value',
    'server',
    v5,
    malformed,
    '30 [ "a" [ 26 "k" ] ]',
    'inside its User Property',
  ),
  fault('a property that does not exist (2.2.2.2)', 'server', v5, malformed, '30 [ "a" [ 7f 00 ] ]', '0x7f'),
  fault('property 0 (2.2.2.2)', 'server', v5, malformed, '30 [ "a" [ 00 ] ]', '0x0'),
  fault('a property identifier of two bytes (2.2.2.2)', 'server', v5, malformed, '30 [ "a" [ 8001 00 ] ]', '0x80'),
  fault('a padded property identifier [MQTT-1.5.5-1]', 'server', v5, malformed, '30 [ "a" [ 8100 01 ] ]', 'more bytes'),
  fault('a property of another packet (2.2.2.2)', 'server', v5, malformed, '30 [ "a" [ 1f "why" ] ]', 'Reason String'),
]

export const acknowledgementFaults: readonly Fault[] = (
  [
    ['PUBACK', '40', '[MQTT-3.4.2-1]'],
    ['PUBREC', '50', '[MQTT-3.5.2-1]'],
    ['PUBREL', '62', '[MQTT-3.6.2-1]'],
    ['PUBCOMP', '70', '[MQTT-3.7.2-1]'],
  ] as const
).flatMap(([name, first, statement]): Fault[] => [
  fault(`${name} without a packet id`, 'server', all, malformed, `${first} 00`, 'Packet Identifier'),
  fault(`${name} with half a packet id`, 'server', all, malformed, `${first} 01 01`, 'Packet Identifier'),
  fault(`${name} with packet id 0`, 'server', all, protocolError, `${first} 02 0000`, 'identifier 0'),
  fault(`${name} with packet id 0 and a code`, 'client', v5, protocolError, `${first} 03 0000 00`, 'identifier 0'),
  fault(`${name} of 3.x with a reason code`, 'server', v34, malformed, `${first} 03 0001 00`, 'too many'),
  fault(`${name} with another's code ${statement}`, 'server', v5, protocolError, `${first} 03 0001 8e`, '0x8e'),
  fault(`${name} with a code unheard of ${statement}`, 'server', v5, protocolError, `${first} 03 0001 01`, '0x01'),
  fault(`${name} with properties too short`, 'server', v5, malformed, `${first} 04 0001 00 01`, 'properties'),
  fault(`${name} with a byte too many`, 'server', v5, malformed, `${first} 05 0001 00 00 00`, 'too many'),
  fault(
    `${name} with a reason string twice`,
    'server',
    v5,
    protocolError,
    `${first} [ 0001 00 [ 1f "a" 1f "b" ] ]`,
    'more than once',
  ),
])

export const subscriptionFaults: readonly Fault[] = [
  fault('SUBSCRIBE without a body', 'server', all, malformed, '82 00', 'Packet Identifier'),
  fault(
    'SUBSCRIBE with packet id 0 [MQTT-2.2.1-3]',
    'server',
    v34,
    protocolError,
    '82 [ 0000 "a" 00 ]',
    'identifier 0',
  ),
  fault(
    'SUBSCRIBE without a filter [MQTT-3.8.3-2]',
    'server',
    v34,
    protocolError,
    '82 [ 0001 ]',
    'without a topic filter',
  ),
  fault(
    'SUBSCRIBE of 5.0 without a filter [MQTT-3.8.3-2]',
    'server',
    v5,
    protocolError,
    '82 [ 0001 [] ]',
    'without a topic',
  ),
  fault('SUBSCRIBE without a Property Length', 'server', v5, malformed, '82 [ 0001 ]', 'Property Length'),
  fault('SUBSCRIBE without options', 'server', v34, malformed, '82 [ 0001 "a" ]', 'Subscription Options'),
  fault('SUBSCRIBE that ends in a filter', 'server', v34, malformed, "82 [ 0001 0002 'a' ]", 'Topic Filter'),
  fault('SUBSCRIBE with an empty filter [MQTT-4.7.3-1]', 'server', v34, protocolError, '82 [ 0001 "" 00 ]', 'empty'),
  fault(
    'a filter that is no UTF-8 [MQTT-3.8.3-1]',
    'server',
    v34,
    malformed,
    '82 [ 0001 0001 c0 00 ]',
    'Topic Filter is no',
  ),
  fault(
    'a filter with U+0000 [MQTT-4.7.3-2]',
    'server',
    v5,
    malformed,
    '82 [ 0001 [] 0001 00 00 ]',
    'Topic Filter is no',
  ),
  ...[0x04, 0x08, 0x10, 0x20, 0x40, 0x80].map((bit) => reservedOption(bit, v34, '82 [ 0001 "a"')),
  ...[0x40, 0x80].map((bit) => reservedOption(bit, v5, '82 [ 0001 [] "a"')),
  fault('a requested QoS of 3 (3.8.3.1)', 'server', v34, protocolError, '82 [ 0001 "a" 03 ]', 'QoS 3'),
  fault('a requested QoS of 3 in 5.0 (3.8.3.1)', 'server', v5, protocolError, '82 [ 0001 [] "a" 03 ]', 'QoS 3'),
  fault('a retain handling of 3 (3.8.3.1)', 'server', v5, protocolError, '82 [ 0001 [] "a" 30 ]', 'Retain Handling'),
  fault('No Local on $share [MQTT-3.8.3-4]', 'server', v5, protocolError, '82 [ 0001 [] "$share/g/a" 04 ]', 'No Local'),
  fault('a second filter at fault', 'server', v34, protocolError, '82 [ 0001 "a" 00 "b" 03 ]', 'QoS 3'),
  fault(
    'subscription identifier 0 (3.8.2.1.2)',
    'server',
    v5,
    protocolError,
    '82 [ 0001 [ 0b 00 ] "a" 00 ]',
    'not be 0',
  ),
  fault(
    'two subscription identifiers (3.8.2.1.2)',
    'server',
    v5,
    protocolError,
    '82 [ 0001 [0b 01 0b 01] "a" 00 ]',
    'once',
  ),
  fault('UNSUBSCRIBE with packet id 0 [MQTT-2.2.1-3]', 'server', v34, protocolError, 'a2 [ 0000 "a" ]', 'identifier 0'),
  fault('UNSUBSCRIBE without a filter [MQTT-3.10.3-2]', 'server', v34, protocolError, 'a2 [ 0001 ]', 'without a topic'),
  fault('UNSUBSCRIBE of 5.0 without a filter', 'server', v5, protocolError, 'a2 [ 0001 [] ]', 'without a topic filter'),
  fault('UNSUBSCRIBE with an empty filter [MQTT-4.7.3-1]', 'server', v34, protocolError, 'a2 [ 0001 "" ]', 'empty'),
  fault(
    'a filter that is no UTF-8 [MQTT-3.10.3-1]',
    'server',
    v34,
    malformed,
    'a2 [ 0001 0001 ff ]',
    'Topic Filter is no',
  ),
  fault(
    'UNSUBSCRIBE with a subscription identifier',
    'server',
    v5,
    malformed,
    'a2 [ 0001 [ 0b 01 ] "a" ]',
    'UNSUBSCRIBE must',
  ),
  fault('SUBACK without a code [MQTT-3.8.4-6]', 'client', v34, protocolError, '90 02 0001', 'without a reason code'),
  fault('SUBACK with a reserved code (3.9.3)', 'client', v34, protocolError, '90 03 0001 03', 'return code 3'),
  fault('SUBACK of 5.0 with a stray code [MQTT-3.9.3-2]', 'client', v5, protocolError, '90 04 0001 00 11', '0x11'),
  fault('SUBACK with packet id 0', 'client', v4, protocolError, '90 03 0000 00', 'identifier 0'),
  fault('UNSUBACK of 3.x with a code', 'client', v34, malformed, 'b0 03 0001 00', 'too many'),
  fault(
    'UNSUBACK of 5.0 without a code (3.11.3)',
    'client',
    v5,
    protocolError,
    'b0 03 0001 00',
    'without a reason code',
  ),
  fault('UNSUBACK with a stray code [MQTT-3.11.3-2]', 'client', v5, protocolError, 'b0 04 0001 00 02', '0x02'),
]

function reservedOption(bit: number, versions: readonly Version[], before: string): Fault {
  const byte = bit.toString(16).padStart(2, '0')
  const name = `reserved option bit ${byte} of ${versions.join(', ')} [MQTT-3.8.3-5]`
  return fault(name, 'server', versions, malformed, `${before} ${byte} ]`, 'reserved bits')
}

const auth = '15 "M"'
export const otherFaults: readonly Fault[] = [
  fault('PINGREQ with a body', 'server', all, malformed, 'c0 01 00', 'too many'),
  fault('PINGRESP with a body', 'client', all, malformed, 'd0 01 00', 'too many'),
  fault('DISCONNECT of 3.x with a body', 'server', v34, malformed, 'e0 01 00', 'too many'),
  fault('DISCONNECT with a byte too many', 'server', v5, malformed, 'e0 03 00 00 00', 'too many'),
  fault("DISCONNECT with a server's code [MQTT-3.14.2-1]", 'server', v5, protocolError, 'e0 01 8b', '0x8b'),
  fault("DISCONNECT with a client's code [MQTT-3.14.2-1]", 'client', v5, protocolError, 'e0 01 04', '0x04'),
  fault('DISCONNECT with a code unheard of [MQTT-3.14.2-1]', 'server', v5, protocolError, 'e0 01 01', '0x01'),
  fault(
    'DISCONNECT from a server with a session expiry [MQTT-3.14.2-2]',
    'client',
    v5,
    protocolError,
    'e0 [ 00 [ 11 00000001 ] ]',
    'Session Expiry',
  ),
  fault('AUTH from a client in its shortest form [MQTT-3.15.2-1]', 'server', v5, protocolError, 'f0 00', '0x00'),
  fault('AUTH with a reason code alone (3.15.2.1)', 'server', v5, malformed, 'f0 01 18', 'Property Length'),
  fault('AUTH without a method (3.15.2.2.2)', 'server', v5, protocolError, 'f0 02 18 00', 'Authentication Method'),
  fault('AUTH with a stray code [MQTT-3.15.2-1]', 'server', v5, protocolError, `f0 [ 80 [ ${auth} ] ]`, '0x80'),
  fault("AUTH with a client's code [MQTT-3.15.2-1]", 'client', v5, protocolError, `f0 [ 19 [ ${auth} ] ]`, '0x19'),
  fault(
    'AUTH with two methods (3.15.2.2.2)',
    'server',
    v5,
    protocolError,
    `f0 [ 18 [ ${auth} ${auth} ] ]`,
    'than once',
  ),
  fault('AUTH with data and no method', 'server', v5, protocolError, 'f0 [ 18 [ 16 0000 ] ]', 'without a method'),
  fault('AUTH with a byte too many', 'server', v5, malformed, `f0 [ 18 [ ${auth} ] 00 ]`, 'too many'),
]
