/** Packets as they pass: live, or into a file. Whoever asks sees what clients send to each other: a token of role operator, always. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { parseTopicFilter } from '../../mqtt/topic.ts'
import type { ApiEnvironment } from '../environment.ts'
import { countQuery, lineContent, secondsQuery, streamLines } from '../line-stream.ts'
import { namespaceOf } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { fileTraceSchema } from '../schemas.ts'
import type { FileTraceView, TraceAsked } from '../sources.ts'

const tags = ['Traces']

const asked = {
  clientId: z.string().min(1).max(65_535).optional().describe('Packets of this client.'),
  address: z.string().min(1).max(100).optional().describe('Packets of clients of this address, without port.'),
  filter: z
    .string()
    .max(65_535)
    .refine((text) => parseTopicFilter(text) !== undefined && parseTopicFilter(text)!.shared === undefined, {
      error: 'not a topic filter',
    })
    .optional()
    .describe('PUBLISH packets whose topic matches this filter.'),
  namespace: z.string().max(256).optional().describe('Unless said, that of the token, else all.'),
  payloadBytes: z.coerce
    .number()
    .int()
    .min(0)
    .max(1024)
    .default(64)
    .describe('Of the beginning of each payload; 0: none of it.'),
}

const follow = createRoute({
  method: 'get',
  path: '/trace',
  operationId: 'followPackets',
  tags,
  summary: 'Packets of a client, an address or a topic filter as they pass, decoded; one JSON line for each',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { query: z.object({ ...asked, seconds: secondsQuery, count: countQuery }) },
  responses: {
    200: { content: { [lineContent]: { schema: z.string() } }, description: 'One packet on each line' },
    ...problems(400, 403, 503),
  },
})

const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'expected a file name of letters, digits, ., _ and -')

const begin = createRoute({
  method: 'post',
  path: '/traces',
  operationId: 'beginTrace',
  tags,
  summary: 'Write such packets to `traces/NAME.jsonl` in the data folder, for so long and no more than so many bytes',
  ...needs({ role: 'operator' }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            ...asked,
            name: nameSchema,
            seconds: z.number().int().min(1).max(86_400).default(600),
            bytesMax: z
              .number()
              .int()
              .min(65_536)
              .max(1024 * 1024 * 1024)
              .default(16 * 1024 * 1024)
              .describe('Of the file and the one before it (NAME.jsonl.1) together.'),
          }),
        },
      },
      required: true,
    },
  },
  responses: { 200: json(fileTraceSchema, 'It has begun'), ...problems(400, 403, 409, 413, 415, 501, 503) },
})

const list = createRoute({
  method: 'get',
  path: '/traces',
  operationId: 'listTraces',
  tags,
  summary: 'Traces into files: those that go on, and the last ones that ended',
  ...needs({ role: 'operator' }),
  responses: { 200: json(z.object({ items: z.array(fileTraceSchema) }), 'All of them'), ...problems(403) },
})

const end = createRoute({
  method: 'delete',
  path: '/traces/{name}',
  operationId: 'endTrace',
  tags,
  summary: 'End one; its file stays',
  ...needs({ role: 'operator' }),
  request: { params: z.object({ name: nameSchema.openapi({ param: { name: 'name', in: 'path' } }) }) },
  responses: { 204: { description: 'It has ended, and its file is whole' }, ...problems(400, 403, 404) },
})

function checked(context: Context<ApiEnvironment>, { namespace, ...given }: TraceAsked): TraceAsked {
  const own = context.get('bearer')!.namespace
  const what = own === undefined ? namespace : namespaceOf(context, namespace)
  if (given.clientId !== undefined || given.address !== undefined || given.filter !== undefined) {
    return { ...given, namespace: what }
  }
  throw new Problem(400, 'whose packets? Say a clientId, an address or a topic filter')
}

const tooMany = () => new Problem(503, 'too many traces are on already', { headers: { 'retry-after': '10' } })

function bodyOf({ asked: about, endsAt, ended, ...view }: FileTraceView) {
  return { ...about, ...view, endsAt: new Date(endsAt).toISOString(), ended: ended === '' ? null : ended }
}

export function addTraces(api: Api): void {
  api.openapi(follow, (context) => {
    const { seconds, count, ...query } = context.req.valid('query')
    const { traces, audit } = context.get('sources')
    const about = checked(context, query)
    let write: (line: { leftOut: number }) => boolean = () => false
    const stop = traces.follow(about, (line) => write(line))
    if (stop === null) throw tooMany()
    audit({ token: context.get('bearer')!.name, ...about }, 'packets are traced')
    return streamLines({ seconds, count }, (lines) => {
      // What had no room is counted by the trace itself.
      write = (line) => lines.write(() => line)
      return stop
    })
  })
  api.openapi(begin, async (context) => {
    const { name, seconds, bytesMax, ...body } = context.req.valid('json')
    const { traces, audit } = context.get('sources')
    const about = checked(context, body)
    if (traces.files === undefined) throw new Problem(501, 'a gateway in memory writes no files')
    const begun = await traces.files.begin(name, about, { seconds, bytesMax })
    if (begun === 'exists') throw new Problem(409, `there is a trace of the name ${name} already`)
    if (begun === 'too-many') throw tooMany()
    if (begun === 'disk-full') throw new Problem(503, 'the disk is full or nearly so')
    audit({ token: context.get('bearer')!.name, name, ...about }, 'packets are traced into a file')
    return context.json(bodyOf(begun), 200)
  })
  api.openapi(list, (context) =>
    context.json({ items: (context.get('sources').traces.files?.list() ?? []).map(bodyOf) }, 200),
  )
  api.openapi(end, async (context) => {
    const { name } = context.req.valid('param')
    const { traces, audit } = context.get('sources')
    if (!(await traces.files?.end(name))) throw new Problem(404, 'no trace of this name goes on')
    audit({ token: context.get('bearer')!.name, name }, 'a trace was ended')
    return context.body(null, 204)
  })
}
