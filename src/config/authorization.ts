/** Who may do what: `authorization`, by rules of our own or by an ACL file of Mosquitto's. */
import { z } from 'zod'
import { type RuleInput, ruleOf } from '../auth/rule.ts'
import type { ConfigIssue } from './config-error.ts'
import { flag, text } from './fields.ts'

const rulesMax = 100_000

function texts(what: string) {
  const one = text(65_535)
  return z.union([one, z.array(one).min(1)], `expected ${what} or a list of them`)
}

function qos() {
  const one = z.union([z.literal(0), z.literal(1), z.literal(2)])
  return z.union([one, z.array(one).min(1)], 'expected 0, 1, 2 or a list of them')
}

export const ruleSchema = z.strictObject(
  {
    allow: texts('an action').optional().describe('Actions: publish, subscribe, receive, produce, consume, or all.'),
    deny: texts('an action').optional().describe('The same, to be denied.'),
    topic: texts('a topic filter').describe('Topic filters; %u, %c, %g and %cert.cn stand as whole levels.'),
    user: texts('a user name').optional().describe('User names; * stands for any characters.'),
    group: texts('a group').optional().describe('Groups of which the client has one.'),
    clientId: texts('a client id')
      .optional()
      .describe('Client ids, such as %u-* for those that begin with the user name.'),
    address: texts('an address').optional().describe('Addresses and networks, such as 10.0.0.0/8.'),
    listener: texts("a listener's name").optional().describe('Names of listeners.'),
    certificate: z
      .record(text(64), text(1024), "expected the certificate's fields as names and values")
      .optional()
      .describe("Fields of the client's certificate: cn, o, ou, ...; * stands for any characters."),
    qos: qos().optional().describe('QoS that the rule is about; unset, all.'),
    retain: flag().optional().describe('Whether it is about retained messages; unset, about both.'),
  },
  'expected a rule, for example `allow: publish` and `topic: plant/%u/#`',
)

export const authorizationSchema = z.strictObject(
  {
    aclFile: text(4096).optional().describe("Mosquitto's ACL file, judged as Mosquitto does."),
    strictSubscribe: flag()
      .default(false)
      .describe(
        'Refuse subscriptions that the read lines of the ACL file do not cover, instead of leaving messages out.',
      ),
    rules: z
      .array(ruleSchema, 'expected a list of rules')
      .max(rulesMax, `expected at most ${rulesMax} rules`)
      .optional()
      .describe('Rules in their order: the first that fits decides, and where none does the answer is no.'),
    clientId: texts('a client id').optional().describe('Client ids that may be used, such as %u-*; unset, any.'),
    groups: z
      .record(text(256), z.array(text(1024), 'expected a list of user names'), 'expected groups and their users')
      .default({})
      .describe('Users by group.'),
  },
  'expected aclFile or rules',
)

export type AuthorizationOptions = z.output<typeof authorizationSchema>

/** Faults that no single value has. `path`: where the options stand. */
export function authorizationIssues(
  options: AuthorizationOptions | undefined,
  path: readonly PropertyKey[] = ['authorization'],
): ConfigIssue[] {
  if (options === undefined) return []
  const { aclFile, rules, clientId } = options
  if (aclFile !== undefined && rules !== undefined)
    return [{ path, message: 'expected either aclFile or rules, not both' }]
  if (aclFile === undefined && rules === undefined && clientId === undefined) {
    return [{ path, message: 'expected aclFile, rules or clientId' }]
  }
  return (rules ?? []).flatMap((rule, index): ConfigIssue[] => {
    try {
      ruleOf(rule as RuleInput, '')
      return []
    } catch (error) {
      return [{ path: [...path, 'rules', index], message: (error as Error).message }]
    }
  })
}
