/**
 * The HTTP API as a whole: routes and their OpenAPI document, from the same schemas. Loaded with the first call, since most
 * gateways are never asked.
 *
 *     request -> who asks (`access.ts`) -> may he -> bounded body -> schema -> handler -> answer or problem
 */
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { jsonWebSocketSchema } from '../json/document.ts'
import { authenticate } from './access.ts'
import { documentPage } from './document-page.ts'
import type { ApiEnvironment } from './environment.ts'
import { Pages } from './listing.ts'
import { loginOf } from './login.ts'
import { Problem, problemAnswer } from './problem.ts'
import { type Api, createApp } from './route.ts'
import { addBridges } from './routes/bridges.ts'
import { addClients } from './routes/clients.ts'
import { addConfiguration } from './routes/configuration.ts'
import { addDelayed } from './routes/delayed.ts'
import { addDrops } from './routes/drops.ts'
import { addExplain } from './routes/explain.ts'
import { addHistory } from './routes/history.ts'
import { addIdentity } from './routes/identity.ts'
import { addLogin } from './routes/login.ts'
import { addPublish } from './routes/publish.ts'
import { addQueueWork } from './routes/queue-work.ts'
import { addQueues } from './routes/queues.ts'
import { addReadings } from './routes/readings.ts'
import { addRetained } from './routes/retained.ts'
import { addSessions } from './routes/sessions.ts'
import { addSettings } from './routes/settings.ts'
import { addStream, isByTicket } from './routes/stream.ts'
import { addStreams } from './routes/streams.ts'
import { addSubscriptions } from './routes/subscriptions.ts'
import { addTickets } from './routes/tickets.ts'
import { addTraces } from './routes/traces.ts'
import type { ApiSources, Bearer, Caller } from './sources.ts'
import { lookAt } from './visitor.ts'

export const base = '/api/v1'

/** Paths for which clients may bring what they would bring to MQTT. */
const forClients: ReadonlySet<string> = new Set([`${base}/stream`, `${base}/tickets`])

/** What `@hono/node-server` hands over, and what our HTTP server knows of the caller. */
export type CallBindings = HttpBindings & { caller: Caller }

export function createApi(sources: ApiSources): Api {
  const root = createApp()
  root.use('*', async (context, next) => {
    const { caller, incoming } = context.env
    context.set('sources', sources)
    context.set('caller', caller)
    const login = loginOf(sources, caller, incoming)
    const authorization = login === undefined ? context.req.header('authorization') : `Bearer ${login.token}`
    context.set('login', login)
    context.set('authorization', authorization)
    context.set('bearer', await bearerOf(context, authorization))
    await next()
    context.header('cache-control', 'no-store')
    // An unread body would be taken for the next request.
    if (!incoming.complete) context.header('connection', 'close')
  })
  const api = createApp()
  const pages = new Pages(sources.now)
  addClients(api, pages)
  addSessions(api, pages)
  addSubscriptions(api, pages)
  addRetained(api, pages)
  addDelayed(api)
  addPublish(api)
  addQueues(api, pages)
  addQueueWork(api)
  addStreams(api, pages)
  addBridges(api, pages)
  addReadings(api)
  addHistory(api)
  addIdentity(api)
  addLogin(api)
  addConfiguration(api)
  addDrops(api, pages)
  addExplain(api)
  addTraces(api)
  addSettings(api)
  addStream(api)
  addTickets(api)
  addDocument(api, sources.readings.version)
  root.route(base, api)
  root.notFound((context) => problemAnswer(unknownRoute(api, context.req.method, context.req.path)))
  root.onError((error, context) => {
    if (!(error instanceof Problem)) sources.onError(error)
    const problem = error instanceof Problem ? error : new Problem(500, 'the gateway failed to answer this call')
    const response = problemAnswer(problem)
    if (!context.env.incoming.complete) response.headers.set('connection', 'close')
    return response
  })
  return root
}

/** Null: a program of this machine that needs no token, or somebody whom the route itself looks at. @throws Problem */
async function bearerOf(
  { req, env, var: { sources } }: Context<ApiEnvironment>,
  authorization: string | undefined,
): Promise<Bearer | null> {
  if (isByTicket(req)) return null
  const identify = forClients.has(req.path) ? lookAt : authenticate
  return identify(sources, env.caller, authorization)
}

function unknownRoute(api: Api, method: string, path: string): Problem {
  const within = path.slice(base.length).split('/')
  const methods = api.openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return []
    const parts = definition.route.path.split('/')
    const fits = parts.length === within.length && parts.every((part, i) => part.startsWith('{') || part === within[i])
    return fits ? [definition.route.method.toUpperCase()] : []
  })
  if (methods.length === 0)
    return new Problem(404, `there is no ${path.slice(0, 200)}; ${base}/openapi.json lists what there is`)
  const allow = [...new Set(methods.includes('GET') ? [...methods, 'HEAD'] : methods)].join(', ')
  return new Problem(405, `${method} is not for this path: ${allow}`, { headers: { allow } })
}

function addDocument(api: Api, version: string): void {
  api.openAPIRegistry.registerComponent('securitySchemes', 'token', { type: 'http', scheme: 'bearer' })
  let document: ReturnType<Api['getOpenAPI31Document']> | undefined
  const made = () => {
    document ??= api.getOpenAPI31Document({
      openapi: '3.1.0',
      info: { title: 'MQTide', version, description: 'What operators ask of a gateway and tell it. See docs/api.md.' },
      servers: [{ url: base }],
    })
    return document
  }
  api.get('/openapi.json', (context) => context.json(made()))
  api.get('/json-websocket.schema.json', (context) => context.json(jsonWebSocketSchema))
  api.get('/', (context) => context.html(documentPage(made())))
}
