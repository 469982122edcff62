/** Table 2-4 of the specification, written down a second time: every identifier in every packet, twice, cut and out of range. */
import { describe, expect, it } from 'vitest'
import { encodeProperties } from '../../src/mqtt/encoder.ts'
import { PacketType, type Properties } from '../../src/mqtt/packet.ts'
import { publishProperties } from '../../src/mqtt/publish.ts'
import { decode, decodeFirst, faultOf, hex, type Role, type Seen } from './packets.ts'

type Place = keyof typeof places

/** A packet around properties, and how to get at what was decoded. */
const places = {
  connect: inConnect((properties) => `10 [ "MQTT" 05 02 003c [ ${properties} ] "c" ]`),
  will: inConnect((properties) => `10 [ "MQTT" 05 06 003c [] "c" [ ${properties} ] "w" "p" ]`),
  connack: in5('client', (properties) => `20 [ 00 00 [ ${properties} ] ]`, true),
  publish: in5('client', (properties) => `30 [ "a" [ ${properties} ] ]`),
  puback: in5('server', (properties) => `40 [ 0001 00 [ ${properties} ] ]`),
  pubrec: in5('server', (properties) => `50 [ 0001 00 [ ${properties} ] ]`),
  pubrel: in5('client', (properties) => `62 [ 0001 00 [ ${properties} ] ]`),
  pubcomp: in5('client', (properties) => `70 [ 0001 00 [ ${properties} ] ]`),
  subscribe: in5('server', (properties) => `82 [ 0001 [ ${properties} ] "a" 00 ]`),
  suback: in5('client', (properties) => `90 [ 0001 [ ${properties} ] 00 ]`),
  unsubscribe: in5('server', (properties) => `a2 [ 0001 [ ${properties} ] "a" ]`),
  unsuback: in5('client', (properties) => `b0 [ 0001 [ ${properties} ] 00 ]`),
  disconnect: in5('server', (properties) => `e0 [ 00 [ ${properties} ] ]`),
  auth: in5('server', (properties) => `f0 [ 18 [ ${properties} ] ]`),
}

interface Sample {
  id: string
  name: keyof Properties
  /** The value's bytes, and what they decode to. */
  bytes: string
  value: unknown
  places: readonly Place[]
  /** Values of the right type that are a protocol error, or another code where `code` says so. */
  wrong?: readonly string[]
  code?: number
}

const acknowledgements = ['puback', 'pubrec', 'pubrel', 'pubcomp', 'suback', 'unsuback'] as const
const everywhere: readonly Place[] = [
  ...(['connect', 'connack', 'publish', 'will', 'subscribe', 'unsubscribe', 'disconnect', 'auth'] as const),
  ...acknowledgements,
]

const samples: readonly Sample[] = [
  sample('01', 'payloadFormatIndicator', '01', 1, ['publish', 'will'], ['02', 'ff']),
  sample('02', 'messageExpiryInterval', 'fffffffe', 0xfffffffe, ['publish', 'will']),
  sample('03', 'contentType', '"text/é"', 'text/é', ['publish', 'will']),
  sample('08', 'responseTopic', '"a/b"', 'a/b', ['publish', 'will'], ['""', '"+"', '"a/#"'], 0x90),
  sample('09', 'correlationData', '0002 00ff', Uint8Array.of(0, 255), ['publish', 'will']),
  sample('0b', 'subscriptionIdentifiers', '808001', [16384], ['publish', 'subscribe'], ['00']),
  sample('11', 'sessionExpiryInterval', '00000000', 0, ['connect', 'connack', 'disconnect']),
  sample('12', 'assignedClientIdentifier', '"id"', 'id', ['connack']),
  sample('13', 'serverKeepAlive', '0000', 0, ['connack']),
  sample('15', 'authenticationMethod', '"M"', 'M', ['connect', 'connack', 'auth']),
  sample('16', 'authenticationData', '0000', new Uint8Array(0), ['connect', 'connack', 'auth']),
  sample('17', 'requestProblemInformation', '00', 0, ['connect'], ['02']),
  sample('18', 'willDelayInterval', 'ffffffff', 0xffffffff, ['will']),
  sample('19', 'requestResponseInformation', '01', 1, ['connect'], ['02']),
  sample('1a', 'responseInformation', '"info"', 'info', ['connack']),
  sample('1c', 'serverReference', '"other"', 'other', ['connack', 'disconnect']),
  sample('1f', 'reasonString', '""', '', ['connack', 'disconnect', 'auth', ...acknowledgements]),
  sample('21', 'receiveMaximum', 'ffff', 65535, ['connect', 'connack'], ['0000']),
  sample('22', 'topicAliasMaximum', '0000', 0, ['connect', 'connack']),
  sample('23', 'topicAlias', '0001', 1, ['publish'], ['0000'], 0x94),
  sample('24', 'maximumQos', '00', 0, ['connack'], ['02']),
  sample('25', 'retainAvailable', '01', 1, ['connack'], ['02']),
  sample('26', 'userProperties', '"" "v"', [['', 'v']], everywhere),
  sample('27', 'maximumPacketSize', '00000001', 1, ['connect', 'connack'], ['00000000']),
  sample('28', 'wildcardSubscriptionAvailable', '01', 1, ['connack'], ['02']),
  sample('29', 'subscriptionIdentifierAvailable', '00', 0, ['connack'], ['02']),
  sample('2a', 'sharedSubscriptionAvailable', '00', 0, ['connack'], ['02']),
]

const cases = Object.keys(places).flatMap((place) => samples.map((one) => ({ ...one, place: place as Place })))
const allowed = cases.filter(({ place, places: right }) => right.includes(place))

describe('properties', () => {
  it.each(allowed)('$name may stand in $place', ({ place, name, id, bytes, value }) => {
    const properties = propertiesOf(place, `${id} ${bytes}`)
    expect(properties[name]).toEqual(value)
  })

  it.each(cases.filter(({ place, places: right }) => !right.includes(place)))(
    '$name must not stand in $place (2.2.2.2)',
    ({ place, id, bytes }) => {
      const fault = faultOf(() => propertiesOf(place, `${id} ${bytes}`))
      expect(fault.message).toContain('must not carry')
      expect(fault.reasonCode).toBe(0x81)
    },
  )

  it.each(Object.keys(places))('an identifier that no property has is malformed in %s', (place) => {
    const known = new Set(samples.map(({ id }) => Number.parseInt(id, 16)))
    for (let id = 0; id < 128; id++) {
      if (known.has(id)) continue
      const byte = id.toString(16).padStart(2, '0')
      expect(faultOf(() => propertiesOf(place as Place, `${byte} 00`)).reasonCode).toBe(0x81)
    }
  })

  it.each(allowed)('$name twice in $place', ({ place, name, id, bytes }) => {
    const twice = `${id} ${bytes} ${id} ${bytes}`
    if (name === 'userProperties' || (name === 'subscriptionIdentifiers' && place === 'publish')) {
      expect(propertiesOf(place, twice)[name]).toHaveLength(2)
      return
    }
    const fault = faultOf(() => propertiesOf(place, twice))
    expect(fault.message).toContain('more than once')
    expect(fault.reasonCode).toBe(0x82)
  })

  it.each(allowed)('$name in $place, cut short at any byte, is malformed', ({ place, id, bytes }) => {
    const whole = hex(`${id} ${bytes}`)
    for (let length = 1; length < whole.length; length++) {
      const fault = faultOf(() => propertiesOf(place, whole.toString('hex', 0, length), ''))
      expect(fault.message).toContain('ends inside')
      expect(fault.reasonCode).toBe(0x81)
    }
  })

  it.each(allowed.filter(({ wrong }) => wrong))('$name in $place out of range', ({ place, id, wrong, code }) => {
    for (const bytes of wrong!) expect(faultOf(() => propertiesOf(place, `${id} ${bytes}`)).reasonCode).toBe(code)
  })

  it.each(allowed.filter(({ bytes }) => bytes.includes('"')))(
    '$name in $place must be UTF-8',
    ({ place, id, bytes }) => {
      for (const bad of ['0001 00', '0001 ff', '0002 c080', '0003 eda080', '0004 f4908080']) {
        const strings = bytes.replaceAll('""', '"x"').replace(/"[^"]*"/, bad)
        expect(faultOf(() => propertiesOf(place, `${id} ${strings}`)).reasonCode).toBe(0x81)
        const last = bytes.replaceAll('""', '"x"').replace(/"[^"]*"$/, bad)
        expect(faultOf(() => propertiesOf(place, `${id} ${last}`)).reasonCode).toBe(0x81)
      }
    },
  )

  it.each(allowed)('$name in $place is written as it was read', ({ place, name, id, bytes, value }) => {
    const packetPlace = place === 'will' ? 0 : PacketType[place]
    expect(Buffer.from(encodeProperties(packetPlace, { [name]: value })).toString('hex')).toBe(
      hex(`${id} ${bytes}`).toString('hex'),
    )
  })

  it.each(cases.filter(({ place, places: right }) => !right.includes(place)))(
    'the encoder refuses $name in $place',
    ({ place, name, value }) => {
      expect(() => encodeProperties(place === 'will' ? 0 : PacketType[place], { [name]: value })).toThrow(RangeError)
    },
  )

  it('keep the order of user properties, those of one name included [MQTT-3.3.2-18]', () => {
    const { userProperties } = propertiesOf('publish', '26 "b" "1" 26 "a" "2" 26 "b" "0" 26 "a" "2"')
    expect(userProperties).toEqual([
      ['b', '1'],
      ['a', '2'],
      ['b', '0'],
      ['a', '2'],
    ])
  })
})

function sample(
  id: string,
  name: keyof Properties,
  bytes: string,
  value: unknown,
  where: readonly Place[],
  wrong?: readonly string[],
  code = 0x82,
): Sample {
  return { id, name, bytes, value, places: where, code, ...(wrong && { wrong }) }
}

/** @param companion of authentication properties, which need or are a method, so that only the sample is tested */
function propertiesOf(place: Place, sampleBytes: string, companion = companionOf(place, sampleBytes)): Properties {
  return places[place](`${companion} ${sampleBytes}`)
}

function companionOf(place: Place, bytes: string): string {
  const needsMethod = place === 'auth' || bytes.startsWith('16')
  return needsMethod && !bytes.startsWith('15') ? '15 "M"' : ''
}

function inConnect(around: (properties: string) => string) {
  return (properties: string): Properties => {
    const [seen] = decodeFirst(hex(around(properties))) as { packet?: { will?: { properties: Properties } } }[]
    const packet = seen?.packet as { will?: { properties: Properties }; properties: Properties }
    return packet.will?.properties ?? packet.properties
  }
}

function in5(role: Role, around: (properties: string) => string, opens = false) {
  return (properties: string): Properties => {
    const bytes = hex(around(properties))
    const [seen] = (opens ? decodeFirst(bytes, role) : decode(role, 5, bytes)) as [Seen]
    if ('topic' in seen) return asObject(seen.properties)
    return seen.properties ?? (seen.packet as { properties: Properties }).properties
  }
}

/** What decodes them here would refuse them too, and hide that the decoder of PUBLISH, which only walks them, did not. */
function asObject(properties: string): Properties {
  try {
    return publishProperties(Buffer.from(properties, 'hex'))
  } catch (error) {
    throw new Error('the decoder of PUBLISH let it pass', { cause: error })
  }
}
