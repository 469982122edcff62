/** Queues and their messages as the API's JSON, and the schemas of it. */
import { z } from '@hono/zod-openapi'
import type { QueueConsumerView, QueuedMessageView, QueueState } from '../core/ports/queues.ts'
import { messageSchema } from './schemas.ts'
import { messageBody, timeText, type WallTime } from './views.ts'

const count = () => z.number().int().min(0)

const totals = z
  .object({
    enqueued: count().describe('Messages taken in, dead letters and redriven ones among them.'),
    settled: count().describe('Done.'),
    retried: count().describe('Failed attempts after which there was another.'),
    returned: count().describe('Given back without a fault.'),
    deadLettered: count(),
    redriven: count().describe('Went back to the queue that they came from.'),
    purged: count(),
    dropped: count().describe('Ended without having been settled: expired, or pushed out.'),
    duplicates: count().describe('Acknowledged and not taken in, since they were there before.'),
    forgotten: count().describe('Ids and publishers forgotten early, because there were too many.'),
    refused: count().describe('Not taken in, since the queue was full.'),
    timedOut: count().describe('Verdicts that did not come in time.'),
    stalled: count().describe(
      'Times that too many waited behind others of their key for further ones to be looked at.',
    ),
  })
  .describe('Since the gateway started.')

const queue = {
  namespace: z.string(),
  name: z.string(),
  address: z.string().describe('What consumers subscribe to.'),
  filter: z.string().nullable().describe('Which messages it takes in; null: only those published to its address.'),
  declared: z.boolean().describe('false: the configuration does not name it any more, and its messages wait.'),
  messages: count().describe('Unsettled: ready, leased and waiting.'),
  ready: count(),
  leased: count().describe('With a consumer.'),
  waiting: count().describe('For their next attempt.'),
  bytes: count(),
  oldestAt: z.iso
    .datetime()
    .nullable()
    .describe('When the oldest came. UTC; null: it is empty, or that is not known yet.'),
  consumers: count(),
  totals,
}

export const queueSchema = z.object(queue).openapi('Queue')

const consumerSchema = z.object({
  clientId: z.string(),
  connected: z.boolean(),
  prefetch: count().describe('Messages that it has unsettled at most.'),
  leased: count(),
  paused: z
    .boolean()
    .describe('It gets nothing at the moment: it asked for a pause, or owes a verdict that is too late.'),
})

export const queueDetailsSchema = z
  .object({
    ...queue,
    consumerList: z.array(consumerSchema),
    options: z
      .record(z.string(), z.unknown())
      .nullable()
      .describe('As configured, with defaults; null: of dead letters that nobody declared, or not declared any more.'),
  })
  .openapi('QueueDetails')

export const queueMessageSchema = z
  .object({
    delivery: z.string().describe('Opaque: what a verdict names.'),
    state: z.enum(['ready', 'leased', 'waiting']),
    priority: count().max(9),
    attempt: count().describe('From 1: of the delivery that is under way, or would be next.'),
    dueAt: z.iso.datetime().nullable().describe('When it is ready again; null unless it waits.'),
    deadLetter: z
      .object({ queue: z.string(), reason: z.string(), attempts: count(), text: z.string() })
      .nullable()
      .describe('Of a dead letter: where it is from and why.'),
    message: messageSchema,
  })
  .openapi('QueueMessage')

export function queueBody(state: QueueState, wallTime: WallTime): z.output<typeof queueSchema> {
  const { namespace, name, filter, declared, ready, leased, waiting, bytes, oldestAt, consumers } = state
  return {
    ...{ namespace, name, address: `$queue/${name}`, filter, declared },
    ...{ messages: ready + leased + waiting, ready, leased, waiting, bytes },
    oldestAt: oldestAt === null ? null : timeText(oldestAt, wallTime),
    consumers,
    totals: { ...state.totals },
  }
}

export function consumerBody({ clientId, connected, prefetch, leased, paused }: QueueConsumerView) {
  return { clientId, connected, prefetch, leased, paused }
}

export function queueMessageBody(view: QueuedMessageView, wallTime: WallTime, shownBytesMax?: number) {
  const { delivery, state, priority, attempt, dueAt, deadLetter, message } = view
  return {
    ...{ delivery, state, priority, attempt },
    dueAt: dueAt === null ? null : timeText(dueAt, wallTime),
    deadLetter: deadLetter === null ? null : { ...deadLetter },
    message: messageBody(message, wallTime, shownBytesMax),
  }
}
