/** Presence: where a namespace says which of its clients are there (`docs/presence.md`). */
import { z } from 'zod'
import { isValidTopicName } from '../mqtt/topic.ts'
import type { ConfigIssue } from './config-error.ts'
import { text } from './fields.ts'

export const presenceSchema = z.strictObject(
  {
    prefix: text(1024).describe('Where: the client id, as one level, follows this, which ends in a slash.'),
  },
  'expected { prefix: TOPIC/ }',
)

export const presenceOption = (whose: string) =>
  presenceSchema
    .optional()
    .describe(`Who of ${whose} is there, as retained messages; see presence.md. Unset: not said.`)

type Presence = z.output<typeof presenceSchema>

interface OptionsWithPresence {
  presence?: Presence | undefined
  namespaces: Readonly<
    Record<string, { presence?: Presence | undefined; exports: readonly { to: string; prefix: string }[] }>
  >
}

/** The prefix of each namespace that has one. */
export function presenceOf({ presence, namespaces }: OptionsWithPresence): Readonly<Record<string, string>> {
  const named = Object.entries(namespaces).flatMap(([name, one]) =>
    one.presence === undefined ? [] : [[name, one.presence.prefix] as const],
  )
  return { ...(presence !== undefined && { default: presence.prefix }), ...Object.fromEntries(named) }
}

/** Faults that no single value has. */
export function presenceIssues(options: OptionsWithPresence): ConfigIssue[] {
  const { presence, namespaces } = options
  const issues: ConfigIssue[] = []
  if (presence !== undefined && namespaces['default']?.presence !== undefined) {
    issues.push({ path: ['presence'], message: 'namespaces.default.presence says it too; say it once' })
  }
  const sections = [
    { name: 'default', at: ['presence'], given: presence },
    ...Object.entries(namespaces).map(([name, one]) => ({
      name,
      at: ['namespaces', name, 'presence'],
      given: one.presence,
    })),
  ]
  for (const { name, at, given } of sections) {
    if (given === undefined) continue
    const message = prefixFault(given.prefix) ?? overlapFault(options, name, given.prefix)
    if (message !== undefined) issues.push({ path: [...at, 'prefix'], message })
  }
  return issues
}

function prefixFault(prefix: string): string | undefined {
  const ofSystem = prefix.startsWith('$SYS/') && !prefix.startsWith('$SYS/broker/')
  if (prefix.endsWith('/') && isValidTopicName(prefix) && (ofSystem || !prefix.startsWith('$'))) return undefined
  return 'expected the beginning of a topic, with a slash at its end and no $ before it but that of $SYS/'
}

/** Topics that another namespace writes. */
function overlapFault({ namespaces }: OptionsWithPresence, name: string, prefix: string): string | undefined {
  for (const [from, { exports }] of Object.entries(namespaces)) {
    const other = exports.find(
      (one) => one.to === name && (one.prefix.startsWith(prefix) || prefix.startsWith(one.prefix)),
    )
    if (other !== undefined) return `${from} exports to ${other.prefix} of ${name}`
  }
  return undefined
}
