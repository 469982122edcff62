/**
 * `-D PACKET PROPERTY VALUE`: MQTT 5.0 properties on the command line, with the names of mosquitto_pub and mosquitto_sub.
 */
import { CliError, ExitCode } from './context.ts'

const packets = ['connect', 'publish', 'subscribe', 'unsubscribe', 'disconnect', 'will'] as const
export type PropertyCommand = (typeof packets)[number]

/** Properties as MQTT.js takes them, by packet. */
export type PropertyLists = Record<PropertyCommand, Record<string, unknown>>

interface Property {
  /** MQTT.js's name of it. */
  name: string
  type: 'number' | 'flag' | 'text' | 'bytes' | 'pair'
  max?: number
  packets: readonly PropertyCommand[]
}

const message = ['publish', 'will'] as const

const properties: Readonly<Record<string, Property>> = {
  'content-type': { name: 'contentType', type: 'text', packets: message },
  'correlation-data': { name: 'correlationData', type: 'bytes', packets: message },
  'message-expiry-interval': { name: 'messageExpiryInterval', type: 'number', max: 0xffff_ffff, packets: message },
  'payload-format-indicator': { name: 'payloadFormatIndicator', type: 'flag', packets: message },
  'response-topic': { name: 'responseTopic', type: 'text', packets: message },
  'topic-alias': { name: 'topicAlias', type: 'number', max: 0xffff, packets: ['publish'] },
  'will-delay-interval': { name: 'willDelayInterval', type: 'number', max: 0xffff_ffff, packets: ['will'] },
  'subscription-identifier': {
    name: 'subscriptionIdentifier',
    type: 'number',
    max: 268_435_455,
    packets: ['subscribe'],
  },
  'session-expiry-interval': {
    name: 'sessionExpiryInterval',
    type: 'number',
    max: 0xffff_ffff,
    packets: ['connect', 'disconnect'],
  },
  'reason-string': { name: 'reasonString', type: 'text', packets: ['disconnect'] },
  'receive-maximum': { name: 'receiveMaximum', type: 'number', max: 0xffff, packets: ['connect'] },
  'topic-alias-maximum': { name: 'topicAliasMaximum', type: 'number', max: 0xffff, packets: ['connect'] },
  'maximum-packet-size': { name: 'maximumPacketSize', type: 'number', max: 0xffff_ffff, packets: ['connect'] },
  'request-problem-information': { name: 'requestProblemInformation', type: 'flag', packets: ['connect'] },
  'request-response-information': { name: 'requestResponseInformation', type: 'flag', packets: ['connect'] },
  'authentication-method': { name: 'authenticationMethod', type: 'text', packets: ['connect'] },
  'authentication-data': { name: 'authenticationData', type: 'bytes', packets: ['connect'] },
  'user-property': { name: 'userProperties', type: 'pair', packets },
}

/** Collects the words of all `-D` options into one list; `propertiesOf` knows how many belong together. */
export function propertyWords(word: string, before: string[] | undefined): string[] {
  return [...(before ?? []), word]
}

/** @throws CliError (usage) for unknown packets and properties, for missing and for wrong values */
export function propertiesOf(words: readonly string[]): PropertyLists {
  const lists = Object.fromEntries(packets.map((packet) => [packet, {}])) as PropertyLists
  let at = 0
  while (at < words.length) {
    const packet = packets.find((known) => known === words[at])
    if (!packet) throw usage(`-D: ${words[at]} is none of ${packets.join(', ')}`)
    const identifier = words[at + 1] ?? ''
    const property = Object.hasOwn(properties, identifier) ? properties[identifier] : undefined
    if (!property?.packets.includes(packet)) throw usage(`-D ${packet}: there is no property "${identifier}" for it`)
    const count = property.type === 'pair' ? 2 : 1
    const values = words.slice(at + 2, at + 2 + count)
    if (values.length < count)
      throw usage(`-D ${packet} ${identifier}: needs ${count === 2 ? 'a name and a value' : 'a value'}`)
    add(lists[packet], identifier, property, values)
    at += 2 + count
  }
  return lists
}

function add(list: Record<string, unknown>, identifier: string, property: Property, values: readonly string[]): void {
  const value = values[0]!
  switch (property.type) {
    case 'pair': {
      const pairs = (list[property.name] ??= {}) as Record<string, string[]>
      ;(pairs[value] ??= []).push(values[1]!)
      return
    }
    case 'text':
      list[property.name] = value
      return
    case 'bytes':
      list[property.name] = Buffer.from(value)
      return
    case 'flag':
      if (value !== '0' && value !== '1') throw usage(`-D … ${identifier}: expected 0 or 1`)
      // MQTT.js takes booleans for these three and writes them as 0 and 1.
      list[property.name] = value === '1'
      return
    case 'number':
      if (!/^\d+$/.test(value) || Number(value) > property.max!) {
        throw usage(`-D … ${identifier}: expected a whole number from 0 to ${property.max}`)
      }
      list[property.name] = Number(value)
      return
    default:
      property.type satisfies never
  }
}

function usage(text: string): CliError {
  return new CliError(text, ExitCode.usage)
}
