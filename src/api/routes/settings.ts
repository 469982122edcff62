/** What is set while the gateway runs: the configuration read again, the log level, a backup; and why something is refused. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Qos } from '../../mqtt/packet.ts'
import { isValidTopicName, parseTopicFilter } from '../../mqtt/topic.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'

const tags = ['Settings']
const texts = z.array(z.string())

const reload = createRoute({
  method: 'post',
  path: '/reload',
  operationId: 'reload',
  tags,
  summary: 'Read the configuration again, as SIGHUP does: all of it or, with a fault, nothing',
  ...needs({ role: 'admin' }),
  responses: {
    200: json(z.object({ needRestart: texts, warnings: texts }), 'It is in force, but for what needs a restart'),
    ...problems(403, 409, 501),
  },
})

const levels = z.enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'])
const levelSchema = z.strictObject({ level: levels })

const showLevel = createRoute({
  method: 'get',
  path: '/log-level',
  operationId: 'showLogLevel',
  tags,
  summary: 'The least severe level that is logged',
  ...needs({ role: 'viewer', open: true }),
  responses: { 200: json(levelSchema, 'The level'), ...problems(403) },
})

const setLevel = createRoute({
  method: 'put',
  path: '/log-level',
  operationId: 'setLogLevel',
  tags,
  summary: 'Set it, until the next start or reload',
  ...needs({ role: 'admin' }, { body: true }),
  request: { body: { content: { 'application/json': { schema: levelSchema } }, required: true } },
  responses: { 200: json(levelSchema, 'The level'), ...problems(400, 403, 413, 415) },
})

const backup = createRoute({
  method: 'post',
  path: '/backup',
  operationId: 'backup',
  tags,
  summary: 'Copy the database to a file of this name in the folder `backups` of the data folder',
  ...needs({ role: 'admin' }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            name: z
              .string()
              .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'expected a file name of letters, digits, ., _ and -'),
          }),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(z.object({ file: z.string(), bytes: z.number().int() }), 'It is written and checked'),
    ...problems(400, 403, 409, 413, 415, 501),
  },
})

const topic = z
  .string()
  .max(65_535)
  .refine((name) => isValidTopicName(name), { error: 'not a topic name' })

const explain = createRoute({
  method: 'post',
  path: '/explain',
  operationId: 'explain',
  tags,
  summary: 'Whether a client may publish, subscribe or receive, and which rule in force decides',
  ...needs({ role: 'viewer', open: true }, { body: true }),
  request: {
    body: {
      content: {
        'application/json': {
          schema: z.strictObject({
            user: z.string().max(65_535).optional().describe('Without it, an anonymous client.'),
            clientId: z.string().max(65_535).default('explain'),
            groups: z.array(z.string().max(1000)).max(100).default([]),
            address: z.string().max(100).default('127.0.0.1'),
            listener: z.string().max(256).default(''),
            namespace: z
              .string()
              .max(256)
              .optional()
              .describe('As a token says; else that of the user or the listener.'),
            certificate: z.record(z.string().max(100), z.string().max(1000)).default({}),
            publish: topic.optional(),
            subscribe: z
              .string()
              .max(65_535)
              .refine((filter) => parseTopicFilter(filter) !== undefined, { error: 'not a topic filter' })
              .optional(),
            receive: topic.optional(),
            qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).default(0),
            retain: z.boolean().default(false),
          }),
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(z.object({ allowed: z.boolean(), because: z.string().describe('The rule.') }), 'The answer'),
    ...problems(400, 403, 413, 415, 501),
  },
})

export function addSettings(api: Api): void {
  api.openapi(reload, async (context) => {
    const { settings, audit } = context.get('sources')
    if (settings.reload === undefined)
      throw new Problem(501, 'the program that runs this gateway reads no configuration')
    const { faults, needRestart, warnings } = await settings.reload()
    audit({ token: context.get('bearer')?.name, faults }, 'configuration read again through the API')
    if (faults.length > 0) {
      const errors = faults.map((message) => ({ path: 'configuration', message }))
      throw new Problem(409, `nothing has changed: ${faults[0]}`, { errors })
    }
    return context.json({ needRestart: [...needRestart], warnings: [...warnings] }, 200)
  })
  api.openapi(showLevel, (context) => {
    return context.json({ level: context.get('sources').settings.logLevel() as z.output<typeof levels> }, 200)
  })
  api.openapi(setLevel, (context) => {
    const { level } = context.req.valid('json')
    const { settings, audit } = context.get('sources')
    audit({ token: context.get('bearer')?.name, level }, 'log level set through the API')
    settings.setLogLevel(level)
    return context.json({ level }, 200)
  })
  addBackup(api)
  addExplain(api)
}

function addBackup(api: Api): void {
  let isRunning = false
  api.openapi(backup, async (context) => {
    const { name } = context.req.valid('json')
    const { settings, audit } = context.get('sources')
    if (settings.backup === undefined) throw new Problem(501, 'this gateway stores nothing that could be copied')
    if (isRunning) throw new Problem(409, 'another backup is being made')
    isRunning = true
    // The answer takes as long as the copy does; meanwhile the socket is silent.
    const { socket } = context.env.incoming
    const silentMs = socket.timeout ?? 0
    socket.setTimeout(0)
    try {
      const made = await settings.backup(name)
      audit({ token: context.get('bearer')?.name, ...made }, 'backup made through the API')
      return context.json(made, 200)
    } catch (error) {
      if ((error as Error).name === 'StoreError') throw new Problem(409, (error as Error).message)
      throw error
    } finally {
      isRunning = false
      socket.setTimeout(silentMs)
    }
  })
}

function subscribing(text: string, qos: Qos) {
  const { filter, shared } = parseTopicFilter(text)!
  return { action: 'subscribe', filter, shared: shared !== undefined, qos } as const
}

function addExplain(api: Api): void {
  api.openapi(explain, (context) => {
    const { publish, subscribe, receive, qos, retain, ...asked } = context.req.valid('json')
    const given = [publish, subscribe, receive].filter((one) => one !== undefined)
    if (given.length !== 1) {
      const errors = [{ path: 'body', message: 'expected one of publish, subscribe and receive' }]
      throw new Problem(400, 'it takes one of publish, subscribe and receive', { errors })
    }
    const name = given[0]!
    const action = publish === undefined ? 'receive' : 'publish'
    const question =
      subscribe === undefined ? ({ action, topic: name, qos, retain } as const) : subscribing(subscribe, qos)
    const answer = context.get('sources').readings.explain({ ...asked, question })
    if (answer === undefined) throw new Problem(501, 'code of the program that runs this gateway decides')
    return context.json({ allowed: answer.allowed, because: answer.because }, 200)
  })
}
