/** Field types that several parts of the scenario schema share, each with a message that says what it expects. */
import { z } from 'zod'
import { durationPattern, parseDurationMs, parseSizeBytes, sizePattern } from '../units.ts'

const durationExpected = 'expected a duration such as 250ms, 30s, 5m or 1h (a bare number is seconds)'
const sizeExpected = 'expected a size such as 512, 2KiB or 1MB'

/** Milliseconds, from `250ms`, `30s`, `5m`, `1h30m` or a number of seconds. */
export const duration = z
  .union([z.string().regex(durationPattern, durationExpected), z.number().min(0)], {
    error: durationExpected,
  })
  .transform((text) => parseDurationMs(text) ?? 0)
  .meta({ description: 'Duration such as 250ms, 30s, 5m or 1h; a bare number is seconds' })

/** Milliseconds, more than none. */
export const positiveDuration = duration.refine((ms) => ms > 0, { error: 'expected a duration of more than 0' })

export const size = z
  .union([z.string().regex(sizePattern, sizeExpected), z.number().int().min(0)], {
    error: sizeExpected,
  })
  .transform((text) => parseSizeBytes(text) ?? 0)
  .meta({ description: 'Size in bytes, or such as 2KiB or 1MB' })

export const fraction = z.number().min(0).max(1)
export const probability = fraction
export const positiveNumber = z.number().positive()

export const topicTemplate = z
  .string()
  .min(1)
  .refine((topic) => !topic.includes('+') && !topic.includes('#'), {
    error: 'expected a topic name: + and # are for filters only',
  })
  .meta({ description: 'Topic name; {group}, {index}, {clientId} and the variables of the group are replaced' })

export const topicFilterTemplate = z
  .string()
  .min(1)
  .refine((filter) => isTopicFilter(filter), {
    error: 'expected a topic filter: + fills a whole level, # stands last, $share/NAME/FILTER is shared',
  })

function isTopicFilter(filter: string): boolean {
  const levels = filter.split('/')
  if (levels[0] === '$share' && (levels.length < 3 || levels[1] === '' || levels[2] === undefined)) return false
  return levels.every((level, i) => {
    if (level.includes('#')) return level === '#' && i === levels.length - 1
    return !level.includes('+') || level === '+'
  })
}

export const qos = z.union([z.literal(0), z.literal(1), z.literal(2)], { error: 'expected QoS 0, 1 or 2' })
export type Qos = z.output<typeof qos>
