/** Generated packets of every type and version, as a sink sees them: what a peer may legally send. */
import fc from 'fast-check'
import { encodeProperties } from '../../src/mqtt/encoder.ts'
import { PacketType, type Properties } from '../../src/mqtt/packet.ts'
import type { PropertyPlace } from '../../src/mqtt/properties.ts'
import type { Role, Seen, SeenPublish, Version } from './packets.ts'

const text = fc.string({ unit: 'binary', maxLength: 24 }).map((value) => value.replaceAll('\0', '0'))
const topicName = text.map((value) => value.replaceAll(/[+#]/g, '/') || '/')
const filter = text.map((value) => value || '#')
const bytes = fc.uint8Array({ maxLength: 200 })
const packetId = fc.integer({ min: 1, max: 65_535 })
const uint16 = fc.integer({ min: 0, max: 65_535 })
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff })
const flag = fc.integer({ min: 0, max: 1 })
const qos = fc.constantFrom(0, 1, 2) as fc.Arbitrary<0 | 1 | 2>
const identifier = fc.integer({ min: 1, max: 268_435_455 })

const userProperties = fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 4 })
const ofMessage = {
  payloadFormatIndicator: flag,
  contentType: text,
  responseTopic: topicName,
  correlationData: bytes,
  userProperties,
}
const reason = { reasonString: text, userProperties }
const inConnack = {
  sessionExpiryInterval: uint32,
  assignedClientIdentifier: text,
  serverKeepAlive: uint16,
  responseInformation: text,
  serverReference: text,
  reasonString: text,
  receiveMaximum: packetId,
  topicAliasMaximum: uint16,
  maximumQos: flag,
  retainAvailable: flag,
  userProperties,
  maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }),
  wildcardSubscriptionAvailable: flag,
  subscriptionIdentifierAvailable: flag,
  sharedSubscriptionAvailable: flag,
}
const inConnect = {
  sessionExpiryInterval: uint32,
  requestProblemInformation: flag,
  requestResponseInformation: flag,
  receiveMaximum: packetId,
  topicAliasMaximum: uint16,
  userProperties,
  maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }),
}

/** Each property present or not; none at all in 3.x. */
function some(version: Version, model: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Properties> {
  return version === 5 ? (fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Properties>) : fc.constant({})
}

/** The same, with authentication data only where there is a method. */
function someWithAuthentication(
  version: Version,
  model: Record<string, fc.Arbitrary<unknown>>,
): fc.Arbitrary<Properties> {
  if (version !== 5) return fc.constant({})
  const authentication = fc.record(
    { authenticationMethod: text, authenticationData: bytes },
    {
      requiredKeys: ['authenticationMethod'],
    },
  )
  return fc
    .tuple(some(version, model), fc.option(authentication, { nil: {} }))
    .map(([properties, method]) => ({ ...properties, ...method }))
}

function connect(version: Version): fc.Arbitrary<Seen> {
  const will = fc
    .record({
      topic: topicName,
      payload: bytes,
      qos,
      retain: fc.boolean(),
      properties: some(version, { ...ofMessage, messageExpiryInterval: uint32, willDelayInterval: uint32 }),
    })
    .map((one) => {
      const { messageExpiryInterval: _expiry, willDelayInterval: _delay, ...forwarded } = one.properties
      return { ...one, forwardProperties: new Uint8Array(encodeProperties(0 as PropertyPlace, forwarded)) }
    })
  return fc
    .record(
      {
        version: fc.constant(version),
        cleanStart: fc.boolean(),
        keepAlive: uint16,
        clientId: text,
        username: text,
        password: bytes,
        will,
        properties: someWithAuthentication(version, inConnect),
      },
      { requiredKeys: ['version', 'cleanStart', 'keepAlive', 'clientId', 'properties'] },
    )
    .map((packet) => {
      // 3.x allows no password without a user name.
      if (version !== 5 && packet.username === undefined) delete packet.password
      return { type: 'connect', packet }
    })
}

function connack(version: Version): fc.Arbitrary<Seen> {
  const code = version === 5 ? fc.constantFrom(0, 0x80, 0x86, 0x9f) : fc.integer({ min: 0, max: 5 })
  return fc
    .tuple(fc.boolean(), code, someWithAuthentication(version, inConnack))
    .map(([present, reasonCode, properties]) => ({
      type: 'connack',
      packet: { sessionPresent: present && reasonCode === 0 && version !== 3, reasonCode, properties },
    }))
}

function publish(role: Role, version: Version): fc.Arbitrary<SeenPublish> {
  return fc
    .record({
      topic: topicName,
      qos,
      retain: fc.boolean(),
      dup: fc.boolean(),
      id: packetId,
      payload: bytes,
      expiry: fc.option(uint32, { nil: -1 }),
      alias: fc.option(packetId, { nil: 0 }),
      aliasAlone: fc.boolean(),
      identifiers: role === 'client' ? fc.array(identifier, { maxLength: 4 }) : fc.constant([]),
      forwarded: some(version, ofMessage),
    })
    .map((one) => {
      const is5 = version === 5
      const hop: Properties = {
        ...(is5 && one.expiry >= 0 && { messageExpiryInterval: one.expiry }),
        ...(is5 && one.alias > 0 && { topicAlias: one.alias }),
        ...(is5 && one.identifiers.length > 0 && { subscriptionIdentifiers: one.identifiers }),
      }
      return {
        type: 'publish',
        topic: is5 && one.alias > 0 && one.aliasAlone ? '' : one.topic,
        qos: one.qos,
        retain: one.retain,
        dup: one.dup && one.qos > 0,
        packetId: one.qos > 0 ? one.id : 0,
        properties: is5 ? hopProperties(hop) + encoded(PacketType.publish, one.forwarded) : '',
        payload: Buffer.from(one.payload).toString('hex'),
        topicAlias: is5 ? one.alias : 0,
        messageExpiryInterval: is5 ? one.expiry : -1,
        subscriptionIdentifiers: is5 ? one.identifiers : [],
      } satisfies SeenPublish
    })
}

/** In the order in which our encoder writes them: expiry, alias, identifiers. */
function hopProperties({ messageExpiryInterval, topicAlias, subscriptionIdentifiers }: Properties): string {
  return [
    messageExpiryInterval === undefined ? {} : { messageExpiryInterval },
    topicAlias === undefined ? {} : { topicAlias },
    subscriptionIdentifiers === undefined ? {} : { subscriptionIdentifiers },
  ]
    .map((properties) => encoded(PacketType.publish, properties))
    .join('')
}

function encoded(place: PropertyPlace, properties: Properties): string {
  return Buffer.from(encodeProperties(place, properties)).toString('hex')
}

function acknowledgement(version: Version): fc.Arbitrary<Seen> {
  const codes = { puback: [0, 0x10, 0x99], pubrec: [0, 0x91], pubrel: [0, 0x92], pubcomp: [0, 0x92] }
  const type = fc.constantFrom(...(Object.keys(codes) as (keyof typeof codes)[]))
  return type.chain((name) =>
    fc.record({
      type: fc.constant(name),
      packetId,
      reasonCode: version === 5 ? fc.constantFrom(...codes[name]) : fc.constant(0),
      properties: some(version, reason),
    }),
  )
}

function wholePacket(type: string, model: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Seen> {
  return fc.record({ type: fc.constant(type), packet: fc.record(model) })
}

function toServer(version: Version): fc.Arbitrary<Seen>[] {
  const is5 = version === 5
  const subscription = fc
    .record({
      topicFilter: filter,
      qos,
      noLocal: is5 ? fc.boolean() : fc.constant(false),
      retainAsPublished: is5 ? fc.boolean() : fc.constant(false),
      retainHandling: is5 ? fc.constantFrom(0, 1, 2) : fc.constant(0),
    })
    .map((one) => ({ ...one, noLocal: one.noLocal && !one.topicFilter.startsWith('$share/') }))
  return [
    wholePacket('subscribe', {
      packetId,
      subscriptions: fc.array(subscription, { minLength: 1, maxLength: 6 }),
      properties: some(version, { subscriptionIdentifiers: identifier.map((one) => [one]), userProperties }),
    }),
    wholePacket('unsubscribe', {
      packetId,
      topicFilters: fc.array(filter, { minLength: 1, maxLength: 6 }),
      properties: some(version, { userProperties }),
    }),
    fc.constant({ type: 'pingreq' }),
    wholePacket('disconnect', {
      reasonCode: is5 ? fc.constantFrom(0, 4, 0x80, 0x99) : fc.constant(0),
      properties: some(version, { ...reason, sessionExpiryInterval: uint32 }),
    }),
    ...(is5 ? [auth(fc.constantFrom(0x18, 0x19))] : []),
  ]
}

function toClient(version: Version): fc.Arbitrary<Seen>[] {
  const is5 = version === 5
  const reasonCodes = (codes: number[]) => fc.array(fc.constantFrom(...codes), { minLength: 1, maxLength: 9 })
  return [
    wholePacket('suback', {
      packetId,
      reasonCodes: reasonCodes(is5 ? [0, 1, 2, 0x80, 0x8f, 0xa2] : [0, 1, 2, 0x80]),
      properties: some(version, reason),
    }),
    wholePacket('unsuback', {
      packetId,
      reasonCodes: is5 ? reasonCodes([0, 0x11, 0x91]) : fc.constant([]),
      properties: some(version, reason),
    }),
    fc.constant({ type: 'pingresp' }),
    ...(is5
      ? [
          wholePacket('disconnect', {
            reasonCode: fc.constantFrom(0, 0x8b, 0x9d, 0xa2),
            properties: some(version, { ...reason, serverReference: text }),
          }),
          auth(fc.constantFrom(0, 0x18)),
        ]
      : []),
  ]
}

function auth(reasonCode: fc.Arbitrary<number>): fc.Arbitrary<Seen> {
  const properties = fc.record(
    { authenticationMethod: text, authenticationData: bytes, ...reason },
    { requiredKeys: ['authenticationMethod'] },
  )
  return wholePacket('auth', { reasonCode, properties })
}

/** The packet that opens a connection. */
export function openingPacket(role: Role, version: Version): fc.Arbitrary<Seen> {
  return role === 'server' ? connect(version) : connack(version)
}

/** Any packet after that. */
export function laterPacket(role: Role, version: Version): fc.Arbitrary<Seen> {
  const only = role === 'server' ? toServer(version) : toClient(version)
  return fc.oneof(publish(role, version), publish(role, version), acknowledgement(version), ...only)
}

/** Cuts a stream into chunks at these places, wherever they fall. */
export function cutAt(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const offsets = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  const chunks: Buffer[] = []
  let start = 0
  for (const end of [...offsets, stream.length]) {
    if (end > start) chunks.push(stream.subarray(start, end))
    start = end
  }
  return chunks
}

export const everyPairing: readonly { role: Role; version: Version }[] = (['server', 'client'] as const).flatMap(
  (role) => ([3, 4, 5] as const).map((version) => ({ role, version })),
)
export const anyCuts = fc.array(fc.nat(100_000), { maxLength: 12 })
