/** Schedules: messages that the gateway publishes again and again (`docs/delayed.md`). */
import { z } from 'zod'
import { addressOf } from '../core/logs/address.ts'
import type { Qos } from '../mqtt/packet.ts'
import { isValidTopicName } from '../mqtt/topic.ts'
import { recurrenceFault } from '../schedules/cron.ts'
import type { ConfigIssue } from './config-error.ts'
import { flag, oneOf, text } from './fields.ts'
import type { NamespacesOptions } from './namespaces.ts'

const schedulesMax = 1000
const payloadCharactersMax = 1_000_000

export const scheduleSchema = z.strictObject(
  {
    name: text(64)
      .regex(/^[0-9a-zA-Z][-.0-9a-zA-Z_]*$/, 'expected letters, digits, -, . and _, with a letter or a digit first')
      .describe('Unlike that of any other schedule.'),
    cron: text(256).describe(
      'When: minute, hour, day of the month, month and weekday, with seconds in front where there are six; or @hourly, @daily, @weekly, @monthly.',
    ),
    timeZone: text(64).default('UTC').describe('In which this is meant, as Europe/Berlin.'),
    topic: text(65_535).describe('Where the message is published; $delayed/… and $queue/… are possible.'),
    payload: z
      .string('expected text')
      .max(payloadCharactersMax, `expected at most ${payloadCharactersMax} characters`)
      .default('')
      .describe('Payload of the message, as text.'),
    qos: z
      .union([z.literal(0), z.literal(1), z.literal(2)], 'expected 0, 1 or 2')
      .default(1)
      .describe('QoS of the message.'),
    retain: flag().default(false).describe('Whether the message is retained.'),
    missed: oneOf('skip', 'once')
      .default('skip')
      .describe(
        'What becomes of occurrences that nobody was there for: nothing, or one message for all of them at once.',
      ),
    namespace: text(256).default('default').describe('Where it is published.'),
  },
  'expected name, cron and topic',
)

export const schedulesSchema = z
  .array(scheduleSchema, 'expected a list of schedules')
  .max(schedulesMax, `expected at most ${schedulesMax} schedules`)

export type Schedule = Omit<z.output<typeof scheduleSchema>, 'qos'> & { qos: Qos }

interface OptionsWithSchedules {
  schedules: readonly z.output<typeof scheduleSchema>[]
  namespaces: NamespacesOptions
}

/** Faults that no single value has. */
export function scheduleIssues({ schedules, namespaces }: OptionsWithSchedules): ConfigIssue[] {
  return schedules.flatMap((schedule, index) => {
    const { name, topic, namespace } = schedule
    const issues: ConfigIssue[] = []
    const fault = (of: string, message: string) => issues.push({ path: ['schedules', index, of], message })
    if (schedules.findIndex((one) => one.name === name) < index) fault('name', `another schedule is called ${name}`)
    const recurrence = recurrenceFault(schedule)
    if (recurrence !== undefined) fault(recurrence.of, recurrence.text)
    const isOwn = topic === '$SYS' || topic.startsWith('$SYS/')
    if (!isValidTopicName(topic) || isOwn || addressOf(topic)?.kind === 'malformed') {
      fault('topic', 'expected a topic that can be published to')
    }
    if (namespace !== 'default' && !Object.hasOwn(namespaces, namespace)) {
      fault('namespace', `no namespace is called ${namespace}; name it among the namespaces`)
    }
    return issues
  })
}
