/**
 * One rule: whom it is for, what it is about, and whether it allows or denies. As people write it:
 *
 *     - { allow: [publish, subscribe], topic: 'plant/%u/#', group: devices, qos: [0, 1] }
 *     - { deny: all, topic: 'plant/secret/#' }
 *
 * A rule holds for a client for which all of its conditions hold; of a list of names one has to fit. In `user`, `group`,
 * `clientId` and the certificate's fields `*` stands for any characters. `%u` (user name), `%c` (client id), `%g` (each
 * group) and `%cert.cn`, `%cert.ou` … stand in topics as whole levels, and in `clientId` as text.
 */
import { BlockList, isIPv6 } from 'node:net'
import { parseTopicFilter } from '../mqtt/topic.ts'

/** `produce` and `consume` are publish and subscribe for `$queue/…` and `$stream/…`. */
export const actions = ['publish', 'subscribe', 'receive', 'produce', 'consume'] as const
export type Action = (typeof actions)[number]

export type TextOrList = string | readonly string[]

/** A rule as it stands in a configuration or a token. */
export interface RuleInput {
  allow?: TextOrList | undefined
  deny?: TextOrList | undefined
  topic: TextOrList
  user?: TextOrList | undefined
  group?: TextOrList | undefined
  clientId?: TextOrList | undefined
  /** Addresses and networks: 192.0.2.7, 10.0.0.0/8, 2001:db8::/32. */
  address?: TextOrList | undefined
  listener?: TextOrList | undefined
  /** Fields of the client's certificate: cn, ou, o, … */
  certificate?: Readonly<Record<string, string>> | undefined
  qos?: number | readonly number[] | undefined
  /** Publishing, producing and receiving only. */
  retain?: boolean | undefined
}

export interface Rule {
  allow: boolean
  actions: ReadonlySet<Action>
  topics: readonly string[]
  users: readonly string[] | undefined
  groups: readonly string[] | undefined
  clientIds: readonly string[] | undefined
  addresses: readonly string[] | undefined
  listeners: readonly string[] | undefined
  certificate: Readonly<Record<string, string>> | undefined
  /** Bit n: QoS n. */
  qosMask: number
  retain: boolean | undefined
  /** Where it stands: `mqtide.yaml:14`, `rules[3]`, `token acl[0]`. */
  place: string
}

const names = ['topic', 'user', 'group', 'clientId', 'address', 'listener', 'certificate', 'qos', 'retain'] as const

/** @throws Error that says what is wrong with it */
export function ruleOf(input: RuleInput, place: string): Rule {
  const unknown = Object.keys(input).find((key) => key !== 'allow' && key !== 'deny' && !names.includes(key as 'topic'))
  if (unknown !== undefined) throw new Error(`unknown part of a rule: ${unknown}`)
  if ((input.allow === undefined) === (input.deny === undefined)) throw new Error('expected either allow or deny')
  const topics = listOf(input.topic, 'topic') ?? []
  if (topics.length === 0) throw new Error('expected a topic')
  for (const topic of topics) {
    const fault = topicFault(topic)
    if (fault !== undefined) throw new Error(fault)
  }
  const ruleActions = actionsOf(input.allow ?? input.deny!)
  if (
    input.retain !== undefined &&
    [...ruleActions].every((action) => action === 'subscribe' || action === 'consume')
  ) {
    throw new Error('retain is about publishing and receiving, not about subscribing')
  }
  const addresses = listOf(input.address, 'address')
  if (addresses !== undefined) networkList(addresses)
  return {
    allow: input.allow !== undefined,
    actions: ruleActions,
    topics,
    users: listOf(input.user, 'user'),
    groups: listOf(input.group, 'group'),
    clientIds: listOf(input.clientId, 'clientId'),
    addresses,
    listeners: listOf(input.listener, 'listener'),
    certificate: certificateOf(input.certificate),
    qosMask: qosMaskOf(input.qos),
    retain: retainOf(input.retain),
    place,
  }
}

function actionsOf(input: TextOrList): ReadonlySet<Action> {
  const list = listOf(input, 'action')!
  if (list.includes('all')) return new Set(actions)
  for (const action of list) {
    if (!actions.includes(action as Action)) throw new Error(`expected all or some of ${actions.join(', ')}`)
  }
  if (list.length === 0) throw new Error(`expected all or some of ${actions.join(', ')}`)
  return new Set(list as Action[])
}

function listOf(input: unknown, what: string): readonly string[] | undefined {
  if (input === undefined) return undefined
  const list = typeof input === 'string' ? [input] : input
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string' && item !== '')) {
    throw new Error(`expected a text or a list of texts as ${what}`)
  }
  return list as string[]
}

function certificateOf(input: unknown): Rule['certificate'] {
  if (input === undefined) return undefined
  const isFields = typeof input === 'object' && input !== null && !Array.isArray(input)
  if (!isFields || !Object.values(input).every((value) => typeof value === 'string')) {
    throw new Error("expected the certificate's fields as names and values")
  }
  return input as Record<string, string>
}

function qosMaskOf(input: unknown): number {
  if (input === undefined) return 0b111
  const list: unknown[] = Array.isArray(input) ? input : [input]
  if (list.length === 0 || !list.every((qos) => qos === 0 || qos === 1 || qos === 2)) {
    throw new Error('expected 0, 1, 2 or a list of them as qos')
  }
  return (list as number[]).reduce((mask, qos) => mask | (1 << qos), 0)
}

function retainOf(input: unknown): boolean | undefined {
  if (input === undefined || typeof input === 'boolean') return input
  throw new Error('expected true or false as retain')
}

/** @throws Error for what is no address and no network */
export function networkList(addresses: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of addresses) {
    const [address = '', prefix] = text.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    try {
      if (prefix === undefined) list.addAddress(address, family)
      else if (/^\d{1,3}$/.test(prefix)) list.addSubnet(address, Number(prefix), family)
      else throw new Error('no prefix')
    } catch {
      throw new Error(`not an address or a network such as 10.0.0.0/8: ${JSON.stringify(text.slice(0, 100))}`)
    }
  }
  return list
}

const placeholder = /^%(u|c|g|cert\.[a-z]{1,32})$/

export function isPlaceholder(level: string): boolean {
  return placeholder.test(level)
}

/** Why a text can't be a rule's topic; undefined: it can. */
export function topicFault(topic: string): string | undefined {
  if (topic.startsWith('$share/'))
    return `${topic}: shared subscriptions need subscribe on the filter after $share/group/`
  const parsed = parseTopicFilter(topic)
  if (parsed === undefined) return `not a topic filter: ${JSON.stringify(topic.slice(0, 200))}`
  for (const level of parsed.filter.split('/')) {
    if (/%([ucg]|cert\.)/.test(level) && !isPlaceholder(level)) {
      return `${topic}: a placeholder is a whole level, such as plant/%u/temperature`
    }
  }
  return undefined
}
