/**
 * Namespaces: routing domains of their own (`docs/tenants.md`). Every one that a listener, a user or a token may name is named
 * here; `default` is there anyway, and may be named for its quotas.
 */
import { z } from 'zod'
import type { NamespaceQuotas } from '../core/options.ts'
import type { ExportRule } from '../core/publish/export.ts'
import { isValidTopicName, parseTopicFilter } from '../mqtt/topic.ts'
import { bridgesOption } from './bridges.ts'
import type { ConfigIssue } from './config-error.ts'
import { GiB, namespaceName, text, wholeNumber } from './fields.ts'
import type { OptionsWithListeners } from './listeners.ts'
import { presenceOption } from './presence.ts'
import { queuesOption } from './queues.ts'
import { rewriteOption } from './rewrite.ts'
import { streamsOption } from './streams.ts'

export const namespacesMax = 1000

export const namespaceQuotasSchema = z.strictObject(
  {
    connectionsMax: wholeNumber(0, 10_000_000)
      .optional()
      .describe('Clients of the namespace at the same time; beyond it CONNECT is refused (0x97; 3 in MQTT 3.x).'),
    sessionsMax: wholeNumber(0, 100_000_000)
      .optional()
      .describe('Its sessions, connected or not; a client that would need one more is refused alike.'),
    subscriptionsMax: wholeNumber(0, 1_000_000_000)
      .optional()
      .describe('Subscriptions of its sessions; one more is answered 0x97 (0x80 in MQTT 3.1.1).'),
    retainedBytesMax: wholeNumber(0, 1024 * GiB)
      .optional()
      .describe(
        'Bytes that its retained messages and their topics take in memory; beyond it as beyond retainedMessagesMax.',
      ),
    queuedBytesMax: wholeNumber(0, 1024 * 1024 * GiB)
      .optional()
      .describe(
        'Bytes of messages that wait for its sessions, in memory and in the store; at it each of its queues is full, and sessionQueueFull says what happens.',
      ),
    delayedMessagesMax: wholeNumber(0, 1_000_000_000)
      .optional()
      .describe('Its messages that wait until they are due; one more is refused (0x97).'),
    delayedBytesMax: wholeNumber(0, 1024 * GiB)
      .optional()
      .describe('Bytes of its messages that wait until they are due; beyond it as beyond delayedMessagesMax.'),
    publishesPerSecondMax: wholeNumber(1, 1_000_000_000)
      .optional()
      .describe(
        'PUBLISH packets per second of all its clients together; who goes beyond it is refused, read more slowly or disconnected.',
      ),
    publishesBurstMax: wholeNumber(1, 1_000_000_000)
      .optional()
      .describe('So many at once after a pause; unset, what a second allows.'),
    publishBytesPerSecondMax: wholeNumber(1, 1024 * GiB)
      .optional()
      .describe('The same in bytes of PUBLISH packets.'),
    publishBytesBurstMax: wholeNumber(1, 1024 * GiB)
      .optional()
      .describe('So many bytes at once after a pause; unset, what a second allows.'),
  },
  'expected the quotas of this namespace as names and values',
)

export const exportSchema = z.strictObject(
  {
    filter: text(65_535).describe('Which messages, by a topic filter.'),
    to: namespaceName().describe('The namespace that gets them.'),
    prefix: text(1024).describe('Where they stand there: this, which ends in a slash, and their topic.'),
  },
  'expected filter, to and prefix',
)

export const namespaceSchema = z.strictObject(
  {
    bridges: bridgesOption('Its bridges to other brokers'),
    users: z
      .array(text(1024), 'expected a list of user names')
      .max(1_000_000)
      .default([])
      .describe('Users whose clients are in this namespace, by whichever listener they come.'),
    quotas: namespaceQuotasSchema.prefault({}),
    queues: queuesOption('Its queues'),
    rewrite: rewriteOption('Its rules of rewriting'),
    presence: presenceOption('its clients'),
    streams: streamsOption('Its streams'),
    exports: z
      .array(exportSchema, 'expected a list of exports')
      .max(1000)
      .default([])
      .describe('What another namespace gets of this one, to read; see tenants.md.'),
  },
  'expected users, quotas, queues, bridges, rewrite, streams and exports of this namespace, or {} for none',
)

export const namespacesSchema = z
  .record(
    namespaceName(),
    namespaceSchema,
    'expected names of letters, digits, dots, dashes and underscores, each with what the namespace is',
  )
  .refine(
    (namespaces) => Object.keys(namespaces).length <= namespacesMax,
    `expected at most ${namespacesMax} namespaces`,
  )

export type NamespacesOptions = z.output<typeof namespacesSchema>

interface OptionsWithNamespaces extends OptionsWithListeners {
  namespaces: NamespacesOptions
}

/** Faults that no single value has. */
export function namespaceIssues({ namespaces, listeners = [] }: OptionsWithNamespaces): ConfigIssue[] {
  return [
    ...listeners.flatMap(({ namespace }, index) =>
      unknownName(namespaces, namespace, ['listeners', index, 'namespace']),
    ),
    ...userIssues(namespaces),
    ...exportIssues(namespaces),
  ]
}

function unknownName(
  namespaces: NamespacesOptions,
  name: string | undefined,
  path: readonly PropertyKey[],
): ConfigIssue[] {
  if (name === undefined || name === 'default' || Object.hasOwn(namespaces, name)) return []
  return [{ path, message: `no namespace is called ${name}; name it among the namespaces` }]
}

/** A user is in one namespace. */
function userIssues(namespaces: NamespacesOptions): ConfigIssue[] {
  const taken = new Map<string, string>()
  return Object.entries(namespaces).flatMap(([name, { users }]) =>
    users.flatMap((user, index) => {
      const other = taken.get(user)
      taken.set(user, name)
      if (other === undefined) return []
      const message = `the user ${user} is in the namespace ${other} already; a user is in one`
      return [{ path: ['namespaces', name, 'users', index], message }]
    }),
  )
}

/** The namespace of each user that is named in one. */
export function namespacesOfUsers(namespaces: NamespacesOptions): ReadonlyMap<string, string> {
  return new Map(Object.entries(namespaces).flatMap(([name, { users }]) => users.map((user) => [user, name] as const)))
}

/** What each may use, by name. */
export function quotasOf(namespaces: NamespacesOptions): Readonly<Record<string, NamespaceQuotas>> {
  return Object.fromEntries(Object.entries(namespaces).map(([name, { quotas }]) => [name, quotas]))
}

/** All exports, each with where it is from. */
export function exportsOf(namespaces: NamespacesOptions): ExportRule[] {
  return Object.entries(namespaces).flatMap(([from, { exports }]) => exports.map((one) => ({ from, ...one })))
}

/** Filters and prefixes that are none, topics that two would write, and loops: each message has to come to an end. */
function exportIssues(namespaces: NamespacesOptions): ConfigIssue[] {
  const earlier: ExportRule[] = []
  return Object.entries(namespaces).flatMap(([from, { exports }]) =>
    exports.flatMap((one, index) => {
      const at = ['namespaces', from, 'exports', index]
      const rule = { from, ...one }
      const issues = [...unknownName(namespaces, one.to, [...at, 'to']), ...formIssues(one, at)]
      const other = earlier.find(
        (given) => given.to === one.to && given.from !== from && overlap(given.prefix, one.prefix),
      )
      if (other !== undefined) {
        issues.push({
          path: [...at, 'prefix'],
          message: `${other.from} exports to ${other.prefix} of ${one.to} already`,
        })
      }
      earlier.push(rule)
      if (leadsTo(from, one.to, earlier)) {
        issues.push({ path: [...at, 'to'], message: `makes a loop: what ${from} exports would come back to it` })
      }
      return issues
    }),
  )
}

function formIssues({ filter, prefix }: { filter: string; prefix: string }, at: readonly PropertyKey[]): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if (filter.startsWith('$') || parseTopicFilter(filter) === undefined) {
    issues.push({ path: [...at, 'filter'], message: 'expected a topic filter that does not begin with $' })
  }
  if (!prefix.endsWith('/') || prefix.startsWith('$') || !isValidTopicName(prefix)) {
    const message = 'expected the beginning of a topic, with a slash at its end and no $ before it'
    issues.push({ path: [...at, 'prefix'], message })
  }
  return issues
}

const overlap = (one: string, other: string): boolean => one.startsWith(other) || other.startsWith(one)

/** Whether exports lead from one to the other. */
function leadsTo(target: string, from: string, rules: readonly ExportRule[]): boolean {
  const reached = new Set([from])
  for (const name of reached) for (const rule of rules) if (rule.from === name) reached.add(rule.to)
  return reached.has(target)
}
