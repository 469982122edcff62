/** `mqtide explain --follow` and `--send`: what becomes of messages, as a gateway that runs tells it, for people or as JSON lines. */
import type { Qos } from '../mqtt/packet.ts'
import { ApiClient, type ApiFlags } from './api-client.ts'
import type { CliContext } from './context.ts'
import { printable } from './table.ts'

export interface MessageFlags extends ApiFlags {
  follow?: string | true
  send?: string
  text: string
  from?: string
  to?: string
  wait?: string
  count?: string
  seconds?: string
  namespace?: string
  qos: Qos
  retain?: boolean
}

interface Recipient {
  kind: string
  name: string
  filter: string
  group: string
  qos: number
  state: string
  because: string
  rule: string
  afterMs: number
}

interface Explained {
  at: string
  namespace: string
  topic: string
  qos: number
  retain: boolean
  payloadBytes: number
  publisher: { clientId: string; username: string; address: string; listener: string; protocolVersion: number } | null
  outcome: string
  reason: string
  rule: string
  route: { subscriptions: number; groups: number }
  acknowledgement: string
  commit: 'none' | 'waiting' | 'committed'
  commitAfterMs: number
  recipients: Recipient[]
  others: Record<string, number>
  missed: number
}

export async function explainMessages(flags: MessageFlags, context: CliContext): Promise<void> {
  const client = new ApiClient(flags, context)
  const show = (explained: Explained): void => {
    context.stdout.write(flags.json ? `${JSON.stringify(explained)}\n` : textOf(explained))
  }
  const { namespace, to, wait, from, count, seconds } = flags
  if (flags.send !== undefined) {
    const { send: topic, text: payload, qos, retain = false } = flags
    const body = { namespace, topic, payload, qos, retain, to, waitMs: wait }
    show(await client.call<Explained>('/explain/publish', { method: 'POST', body }))
    return
  }
  const filter = flags.follow === true ? undefined : flags.follow
  const query = { namespace, filter, from, to, waitMs: wait, seconds, count }
  for await (const explained of client.lines<Explained>('/explain/messages', query)) show(explained)
}

const versions: Readonly<Record<number, string>> = { 3: '3.1', 4: '3.1.1', 5: '5.0' }

const reasons: Readonly<Record<string, string>> = {
  no_local: 'its own message, and No Local is set',
  shaped: 'its subscription wants less than everything',
  not_connected: 'its client is not connected',
  not_subscribed: 'no subscription of this client matches',
  no_session: 'there is no session of this client id',
  not_routed: 'the message was not routed',
  no_member: 'the group has nobody who could get it',
  window_full: 'too many are unacknowledged already',
  slow_consumer: 'it does not read as fast as it is sent to',
  behind_others: 'others wait before it',
  commit: 'it is not yet safe in the store',
  handed_over: 'another member of its share group gets it',
  queue_full: 'its queue is full',
  expired: 'it expired',
  too_large: 'it is larger than the client accepts',
  not_authorized: 'no right to receive it',
}

const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? '' : 's'}`

function textOf(explained: Explained): string {
  const { at, namespace, topic, qos, retain, payloadBytes, missed, rule, route, recipients, others } = explained
  const time = at.slice(11, 23)
  const where = namespace === 'default' ? '' : `, namespace ${namespace}`
  const first = `${time} ${topic}: QoS ${qos}${retain ? ', retained' : ''}, ${count(payloadBytes, 'byte')}${where}`
  const lines = [
    ...(missed > 0 ? [`(${count(missed, 'message')} not explained: too many at once)`] : []),
    first,
    `  from       ${publisherOf(explained)}`,
    `  rule       ${rule}`,
    `  outcome    ${outcomeOf(explained)}`,
    `  route      ${count(route.subscriptions, 'subscription')}, ${count(route.groups, 'share group')}`,
    ...recipients.map((recipient) => `  to         ${recipientOf(recipient)}`),
    ...Object.entries(others).map(([state, number]) => `  and        ${number} more: ${state}`),
  ]
  return `${lines.map(printable).join('\n')}\n`
}

function publisherOf({ publisher }: Explained): string {
  if (publisher === null) return 'the gateway, a will, a program in it, or another namespace'
  const { clientId, username, address, listener, protocolVersion } = publisher
  const user = username === '' ? '' : `user ${username}, `
  return `${clientId} (${user}${address}, listener ${listener}, MQTT ${versions[protocolVersion]})`
}

function outcomeOf({ outcome, reason, acknowledgement, commit, commitAfterMs }: Explained): string {
  const why = outcome === 'refused' ? ` (${reason})` : ''
  if (acknowledgement === '') return `${outcome}${why}`
  const waits = {
    none: 'at once: nothing had to be stored',
    waiting: 'waits for the commit',
    committed: `committed after ${commitAfterMs} ms`,
  }
  return `${outcome}${why}; ${acknowledgement} ${waits[commit]}`
}

function recipientOf({ kind, name, filter, group, qos, state, because, rule, afterMs }: Recipient): string {
  const what = kind === 'client' ? name : `${kind} ${name}`
  const by = group === '' ? filter : `${filter} of group ${group}`
  const subscribed = filter === '' ? '' : ` [${by}, QoS ${qos}]`
  const when = state === 'acknowledged' || state === 'sent' ? ` after ${afterMs} ms` : ''
  const why = because === '' ? '' : `: ${reasons[because] ?? because}`
  return `${what}: ${state.replace('_', ' ')}${when}${why}${rule === '' ? '' : ` (${rule})`}${subscribed}`
}
