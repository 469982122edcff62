/** Streams: list and show them, read from a place on, drop what is before one, and move or forget how far a reader is. */
import { createRoute, z } from '@hono/zod-openapi'
import { streamGroupCharactersMax } from '../../core/logs/stream-definition.ts'
import { type StreamStart, streamStartOf, streamStartWords } from '../../core/logs/stream-start.ts'
import type { CursorOutcome, StreamReaderView, StreamState } from '../../core/ports/streams.ts'
import { parseTopicFilter, sharePrefix } from '../../mqtt/topic.ts'
import { isEncodable } from '../../mqtt/utf8.ts'
import { matcherOf } from '../filter.ts'
import { orderBy, sortQuery, wordsQuery } from '../list-query.ts'
import type { Pages, SortValue } from '../listing.ts'
import { identityOf, inTime, known, namedIn, nameParam } from '../named.ts'
import { visible } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { namespaceQuery, ownerQuery, pageOf, pageQuery } from '../schemas.ts'
import {
  groupBody,
  readerBody,
  readersShownMax,
  streamBody,
  streamDetailsSchema,
  streamGroupSchema,
  streamMessageBody,
  streamMessageSchema,
  streamSchema,
} from '../stream-bodies.ts'
import { topicFilter } from '../topic-filter.ts'

const tags = ['Streams']

const sorts = {
  name: identityOf,
  messages: (stream) => stream.messages,
  bytes: (stream) => stream.bytes,
  readers: (stream) => stream.readers,
  groups: (stream) => stream.groups,
  // The empty ones come last.
  oldestAt: (stream) => stream.oldestAt ?? Number.MAX_SAFE_INTEGER,
} satisfies Record<string, (stream: StreamState) => SortValue>
type Sort = keyof typeof sorts

const list = createRoute({
  method: 'get',
  path: '/streams',
  operationId: 'listStreams',
  tags,
  summary: 'Streams, sorted, page by page',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      filter: wordsQuery('name', ['namespace', 'filter', 'declared']),
      sort: sortQuery(Object.keys(sorts) as Sort[]).default('name'),
    }),
  },
  responses: { 200: json(pageOf(streamSchema), 'A page of them'), ...problems(400, 503) },
})

const show = createRoute({
  method: 'get',
  path: '/streams/{name}',
  operationId: 'showStreamByName',
  tags,
  summary: 'One stream, with its groups, its readers and its options',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: nameParam, query: ownerQuery },
  responses: { 200: json(streamDetailsSchema, 'The stream'), ...problems(400, 403, 404) },
})

function place(what: string) {
  const words = `${what}: ${streamStartWords}.`
  return z
    .string()
    .max(100)
    .refine((text) => streamStartOf(text) !== null, { error: `expected ${streamStartWords}` })
    .describe(words)
}

const startOf = (text: string): StreamStart => streamStartOf(text)!

const read = createRoute({
  method: 'get',
  path: '/streams/{name}/messages',
  operationId: 'readStream',
  tags,
  summary: 'Messages from a place on, in order, page by page; payloads shortened. Nobody’s cursor moves',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    params: nameParam,
    query: ownerQuery.extend({
      ...pageQuery,
      from: place('Where to begin').default('earliest'),
      filter: topicFilter.optional().describe('Only messages of topics that this MQTT filter matches.'),
    }),
  },
  responses: {
    200: json(
      pageOf(streamMessageSchema).extend({
        missed: z.number().int().describe('Asked for by offset, and not kept any more.'),
      }),
      'A page of them; it may be shorter than `limit`, or empty, and others follow',
    ),
    ...problems(400, 403, 404, 503),
  },
})

const trim = createRoute({
  method: 'post',
  path: '/streams/{name}/trim',
  operationId: 'trimStream',
  tags,
  summary: 'Drop the messages before a place, for good',
  ...needs({ role: 'operator', byNamespace: true }, { body: true }),
  request: {
    params: nameParam,
    query: ownerQuery,
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({ before: place('What is before this goes; latest drops everything') }),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(z.object({ trimmed: z.number().int() }), 'How many were dropped, for good'),
    ...problems(400, 403, 404, 413, 415),
  },
})

const groupFields = {
  group: z.string().min(1).max(65_535),
  filter: topicFilter.optional().describe('Of the subscriptions with this filter behind the stream’s name.'),
}

/** Whether a subscription could say it: of another one nobody would ever be a member. */
function isGroupName(group: string): boolean {
  if (group.length > streamGroupCharactersMax || !isEncodable(group)) return false
  return parseTopicFilter(`${sharePrefix}${group}/topic`)?.shared?.group === group
}

const newGroup = groupFields.group.refine(isGroupName, {
  error: `not the name of a group: up to ${streamGroupCharactersMax} characters without /, + and #`,
})

const moveCursor = createRoute({
  method: 'put',
  path: '/streams/{name}/cursors',
  operationId: 'moveStreamCursor',
  tags,
  summary: 'A group goes on from another place; one that is new begins there',
  ...needs({ role: 'operator', byNamespace: true }, { body: true }),
  request: {
    params: nameParam,
    query: ownerQuery,
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({ ...groupFields, group: newGroup, to: place('Where it goes on') }),
        },
      },
      required: true,
    },
  },
  responses: { 200: json(streamGroupSchema, 'Where it is now'), ...problems(400, 403, 404, 409, 413, 415) },
})

const deleteCursor = createRoute({
  method: 'delete',
  path: '/streams/{name}/cursors',
  operationId: 'deleteStreamCursor',
  tags,
  summary: 'Forget how far a group without members has come',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { params: nameParam, query: z.object({ namespace: namespaceQuery, ...groupFields }) },
  responses: { 204: { description: 'It is gone' }, ...problems(400, 403, 404, 409) },
})

export function addStreams(api: Api, pages: Pages): void {
  addLooking(api, pages)
  addCursors(api)
  api.openapi(trim, async (context) => {
    const { before } = context.req.valid('json')
    const stream = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { streams, audit } = context.get('sources')
    const trimmed = known(await streams.trim(stream, startOf(before)), 'stream')
    audit({ token: context.get('bearer')?.name, ...stream, before, trimmed }, 'stream trimmed through the API')
    return context.json({ trimmed }, 200)
  })
}

function addLooking(api: Api, pages: Pages): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, filter, sort } = context.req.valid('query')
    const { streams, wallTime } = context.get('sources')
    const matches = matcherOf<StreamState>(filter, (stream) => stream.name, {
      namespace: (stream) => stream.namespace,
      filter: (stream) => stream.filter,
      declared: (stream) => String(stream.declared),
    })
    const order = orderBy<StreamState, Sort>(sort, sorts, identityOf)
    const wanted = { limit, cursor, order, matches }
    const { rows, nextCursor } = await pages.page(visible(context, streams.list()), wanted)
    return context.json({ items: rows.map((row) => streamBody(row, wallTime)), nextCursor }, 200)
  })
  api.openapi(show, (context) => {
    const stream = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { streams, wallTime } = context.get('sources')
    const state = known(streams.state(stream) ?? undefined, 'stream')
    const lists = {
      groupList: streams.groups(stream).map(groupBody),
      readerList: firstOf(streams.readers(stream), readersShownMax).map(readerBody),
    }
    return context.json({ ...streamBody(state, wallTime), ...lists, options: streams.options(stream) ?? null }, 200)
  })
  api.openapi(read, async (context) => {
    const { limit, cursor, from, filter = null, namespace } = context.req.valid('query')
    const stream = namedIn(context, context.req.valid('param'), { namespace })
    const sources = context.get('sources')
    if (cursor !== undefined && !/^offset:\d{1,15}$/.test(cursor)) {
      const errors = [{ path: 'query.cursor', message: 'not a cursor' }]
      throw new Problem(400, 'the cursor is none of ours', { errors })
    }
    const query = { from: startOf(cursor ?? from), filter, messagesMax: limit, bytesMax: pageBytesMax }
    const found = known(await inTime(sources, sources.streams.read(stream, query)), 'stream')
    const { messages, nextOffset, atEnd, missed } = found
    const items = messages.map((one) => streamMessageBody(one, sources.wallTime))
    return context.json({ items, nextCursor: atEnd ? null : `offset:${nextOffset}`, missed }, 200)
  })
}

/** Payloads are shortened in the answer, and read whole. */
const pageBytesMax = 4 * 1024 * 1024

/** A list may be long, and a step of it bring nothing. */
function firstOf(readers: Iterable<StreamReaderView | null>, max: number): StreamReaderView[] {
  const found: StreamReaderView[] = []
  for (const reader of readers) {
    if (reader !== null) found.push(reader)
    if (found.length === max) break
  }
  return found
}

function addCursors(api: Api): void {
  api.openapi(moveCursor, async (context) => {
    const { group, filter = null, to } = context.req.valid('json')
    const stream = namedIn(context, context.req.valid('param'), context.req.valid('query'))
    const { streams, audit } = context.get('sources')
    settled(
      await streams.moveCursor(stream, { group, filter }, startOf(to)),
      'the stream has as many groups as it may have',
    )
    audit({ token: context.get('bearer')?.name, ...stream, group, filter, to }, 'cursor moved through the API')
    const moved = streams.groups(stream).find((one) => one.group === group && one.filter === filter)
    return context.json(groupBody(known(moved, 'stream')), 200)
  })
  api.openapi(deleteCursor, async (context) => {
    const { group, filter = null, namespace } = context.req.valid('query')
    const stream = namedIn(context, context.req.valid('param'), { namespace })
    const { streams, audit } = context.get('sources')
    settled(await streams.deleteCursor(stream, { group, filter }), 'the group has members: they have to leave first')
    audit({ token: context.get('bearer')?.name, ...stream, group, filter }, 'cursor deleted through the API')
    return context.body(null, 204)
  })
}

/** @throws Problem */
function settled(outcome: CursorOutcome, busy: string): void {
  if (outcome === 'unknown')
    throw new Problem(404, 'there is no such stream, or no such group of it, in this namespace')
  if (outcome === 'busy') throw new Problem(409, busy)
}
