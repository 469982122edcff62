/** A topic filter in a call. Apart from the other schemas, which the dashboard's browser takes too. */
import { z } from '@hono/zod-openapi'
import { parseTopicFilter } from '../mqtt/topic.ts'

export const topicFilter = z
  .string()
  .max(65_535)
  .refine((filter) => parseTopicFilter(filter)?.shared === undefined && parseTopicFilter(filter) !== undefined, {
    error: 'not a topic filter',
  })
