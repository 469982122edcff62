/** Streams, their messages and their cursors as the API's JSON, and the schemas of it. */
import { z } from '@hono/zod-openapi'
import type { StreamGroupView, StreamMessageView, StreamReaderView, StreamState } from '../core/ports/streams.ts'
import { messageSchema } from './schemas.ts'
import { messageBody, timeText, type WallTime } from './views.ts'

const count = () => z.number().int().min(0)
const timeOrNone = (text: string) => z.iso.datetime().nullable().describe(text)

const totals = z
  .object({
    appended: count().describe('Messages taken in.'),
    refused: count().describe('Not taken in, since the disk had no room.'),
    delivered: count().describe('Sent to readers, a second sending counted again.'),
    trimmed: count().describe('That retention let go, or somebody by hand.'),
    gaps: count().describe('Times that a reader came too late for what was next.'),
    missed: count().describe('Messages that readers did not get so.'),
  })
  .describe('Since the gateway started.')

const stream = {
  namespace: z.string(),
  name: z.string(),
  address: z.string().describe('What readers subscribe to.'),
  filter: z.string().describe('Which messages it takes in.'),
  declared: z.boolean().describe('false: the configuration does not name it any more, and what it has is kept.'),
  messages: count(),
  bytes: count(),
  firstOffset: count().describe('Of the oldest message; nextOffset where there is none.'),
  nextOffset: count().describe('That the next message gets.'),
  oldestAt: timeOrNone('When the oldest came, or one of those beside it. UTC; null: it is empty.'),
  newestAt: timeOrNone('When the newest came.'),
  readers: count().describe('Subscriptions, those of members of groups too.'),
  groups: count(),
  totals,
}

export const streamSchema = z.object(stream).openapi('Stream')

const filter = z.string().nullable().describe('What it reads of the stream, by topic; null: all.')
const cursor = count().describe('Everything before this offset is acknowledged.')
const lag = count().describe('Messages behind that which are kept, whether they match the filter or not.')
const inflight = count().describe('Sent and not yet acknowledged.')

export const streamGroupSchema = z
  .object({
    group: z.string(),
    filter,
    cursor,
    lag,
    inflight,
    settledAhead: count().describe('Acknowledged behind the cursor already.'),
    members: count(),
  })
  .openapi('StreamGroup')

const readerSchema = z.object({
  clientId: z.string(),
  connected: z.boolean(),
  filter,
  group: z.string().nullable().describe('It shares the cursor of this group; null: it has its own.'),
  cursor,
  lag,
  inflight,
  stored: z.boolean().describe('Its cursor outlives its connection.'),
})

/** Readers that are shown of a stream: there may be many thousands. */
export const readersShownMax = 1000

export const streamDetailsSchema = z
  .object({
    ...stream,
    groupList: z.array(streamGroupSchema),
    readerList: z.array(readerSchema).describe(`${readersShownMax} of them at most.`),
    options: z.record(z.string(), z.unknown()).nullable().describe('As configured, with defaults; null: not any more.'),
  })
  .openapi('StreamDetails')

export const streamMessageSchema = z
  .object({ offset: count(), at: z.iso.datetime().describe('When it was taken in. UTC.'), message: messageSchema })
  .openapi('StreamMessage')

export function streamBody(state: StreamState, wallTime: WallTime): z.output<typeof streamSchema> {
  const { namespace, name, filter, declared, messages, bytes, firstOffset, nextOffset, readers, groups } = state
  const timeOf = (time: number | null) => (time === null ? null : timeText(time, wallTime))
  return {
    ...{ namespace, name, address: `$stream/${name}`, filter, declared },
    ...{ messages, bytes, firstOffset, nextOffset },
    ...{ oldestAt: timeOf(state.oldestAt), newestAt: timeOf(state.newestAt) },
    ...{ readers, groups },
    totals: { ...state.totals },
  }
}

export function groupBody({ group, filter, cursor, lag, inflight, settledAhead, members }: StreamGroupView) {
  return { group, filter, cursor, lag, inflight, settledAhead, members }
}

export function readerBody({ clientId, connected, filter, group, cursor, lag, inflight, stored }: StreamReaderView) {
  return { clientId, connected, filter, group, cursor, lag, inflight, stored }
}

export function streamMessageBody({ offset, at, message }: StreamMessageView, wallTime: WallTime) {
  return { offset, at: timeText(at, wallTime), message: messageBody(message, wallTime) }
}
