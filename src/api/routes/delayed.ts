/** Delayed messages: list in the order in which they are due, show, cancel. */
import { createRoute, z } from '@hono/zod-openapi'
import type { DelayClock, DelayedPlace, DelayedView } from '../../core/ports/inspection.ts'
import { parseTopicFilter, topicMatchesFilter } from '../../mqtt/topic.ts'
import { namespaceOf } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { delayedSchema, namespaceQuery, ownerQuery, pageOf, pageQuery } from '../schemas.ts'
import type { ApiActions } from '../sources.ts'
import { messageBody, timeText, type WallTime } from '../views.ts'

const tags = ['Delayed messages']
/** Looked at for one page; where fewer fit than are wanted, the page is shorter and another one follows. */
const rowsLookedAtMax = 20_000
const rowsAtOnce = 500

const idParam = z.object({
  id: z
    .string()
    .max(40)
    .openapi({ param: { name: 'id', in: 'path' } }),
})

const list = createRoute({
  method: 'get',
  path: '/delayed',
  operationId: 'listDelayed',
  tags,
  summary: 'Messages that wait until they are due, the next one first, page by page; payloads shortened',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: {
    query: z.object({
      ...pageQuery,
      namespace: namespaceQuery,
      filter: z
        .string()
        .max(65_535)
        .refine((filter) => parseTopicFilter(filter)?.shared === undefined && parseTopicFilter(filter) !== undefined, {
          error: 'not a topic filter',
        })
        .optional()
        .describe('An MQTT topic filter; without it, all of them.'),
    }),
  },
  responses: { 200: json(pageOf(delayedSchema), 'A page of them'), ...problems(400, 403) },
})

const show = createRoute({
  method: 'get',
  path: '/delayed/{id}',
  operationId: 'showDelayed',
  tags,
  summary: 'One of them, with its whole payload',
  ...needs({ role: 'viewer', open: true, byNamespace: true }),
  request: { params: idParam, query: ownerQuery },
  responses: { 200: json(delayedSchema, 'The message'), ...problems(400, 403, 404) },
})

const cancel = createRoute({
  method: 'delete',
  path: '/delayed/{id}',
  operationId: 'cancelDelayed',
  tags,
  summary: 'Take one back: it is not published',
  ...needs({ role: 'operator', byNamespace: true }),
  request: { params: idParam, query: ownerQuery },
  responses: { 204: { description: 'It is gone, for good' }, ...problems(400, 403, 404) },
})

export function addDelayed(api: Api): void {
  api.openapi(list, async (context) => {
    const { limit, cursor, namespace: asked, filter } = context.req.valid('query')
    const namespace = namespaceOf(context, asked)
    const { actions, wallTime } = context.get('sources')
    const fits = ({ message }: DelayedView) =>
      message.namespace === namespace && (filter === undefined || topicMatchesFilter(filter, message.topic))
    const { rows, nextCursor } = await pageInDueOrder(actions, { limit, places: placesOf(cursor), fits })
    return context.json({ items: rows.map((row) => delayedBody(row, wallTime)), nextCursor }, 200)
  })
  api.openapi(show, async (context) => {
    const { actions, wallTime } = context.get('sources')
    const namespace = namespaceOf(context, context.req.valid('query').namespace)
    const found = await actions.findDelayed(context.req.valid('param').id)
    if (found?.message.namespace !== namespace) throw nothingWaits()
    return context.json(delayedBody(found, wallTime, Infinity), 200)
  })
  api.openapi(cancel, async (context) => {
    const { id } = context.req.valid('param')
    const { actions, audit } = context.get('sources')
    const namespace = namespaceOf(context, context.req.valid('query').namespace)
    const found = await actions.findDelayed(id)
    if (found?.message.namespace !== namespace || !(await actions.cancelDelayed(id))) throw nothingWaits()
    const { topic } = found.message
    audit({ token: context.get('bearer')?.name, namespace, id, topic }, 'delayed message cancelled through the API')
    return context.body(null, 204)
  })
}

function delayedBody(view: DelayedView, wallTime: WallTime, shownBytesMax?: number) {
  const { id, clock, place, retain, scheduleId, principal, message } = view
  // A date is one already.
  const dueAt = clock === 'system' ? new Date(place.dueAt).toISOString() : timeText(view.dueAt, wallTime)
  const { expiresAt: _never, ...body } = messageBody(message, wallTime, shownBytesMax)
  return { id, dueAt, scheduleId, retain, principal, ...body }
}

type Places = Record<DelayClock, DelayedPlace>

interface DuePage {
  limit: number
  /** Of the last row of the page before, on each clock. */
  places: Places
  fits(row: DelayedView): boolean
}

/** Both clocks' messages, the earliest first. */
async function pageInDueOrder(actions: ApiActions, { limit, places, fits }: DuePage) {
  const rows: DelayedView[] = []
  const sources = { steady: new Source(actions, 'steady', places), system: new Source(actions, 'system', places) }
  for (let looked = 0; ; looked++) {
    const steady = await sources.steady.first()
    const system = await sources.system.first()
    if (steady === undefined && system === undefined) return { rows, nextCursor: null }
    if (rows.length === limit || looked === rowsLookedAtMax) return { rows, nextCursor: cursorOf(places) }
    const isSteady = system === undefined || (steady !== undefined && steady.dueAt <= system.dueAt)
    const row = (isSteady ? sources.steady : sources.system).take()
    if (fits(row)) rows.push(row)
  }
}

/** The messages of one clock, read some at a time. */
class Source {
  readonly #actions: ApiActions
  readonly #clock: DelayClock
  readonly #places: Places
  #rows: readonly DelayedView[] = []
  #next = 0
  #more = true

  constructor(actions: ApiActions, clock: DelayClock, places: Places) {
    this.#actions = actions
    this.#clock = clock
    this.#places = places
  }

  async first(): Promise<DelayedView | undefined> {
    if (this.#next === this.#rows.length && this.#more) {
      const asked = { clock: this.#clock, after: this.#places[this.#clock], messagesMax: rowsAtOnce }
      const { rows, more } = await this.#actions.readDelayed(asked)
      this.#rows = rows
      this.#more = more
      this.#next = 0
    }
    return this.#rows[this.#next]
  }

  take(): DelayedView {
    const row = this.#rows[this.#next++]!
    this.#places[this.#clock] = row.place
    return row
  }
}

const start: DelayedPlace = { dueAt: -1, id: 0 }

function cursorOf({ steady, system }: Places): string {
  const numbers = [steady.dueAt, steady.id, system.dueAt, system.id]
  return Buffer.from(JSON.stringify(numbers)).toString('base64url')
}

function placesOf(cursor: string | undefined): Places {
  if (cursor === undefined) return { steady: start, system: start }
  try {
    const numbers = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown
    if (Array.isArray(numbers) && numbers.length === 4 && numbers.every((one) => Number.isSafeInteger(one))) {
      const [dueAt, id, systemDueAt, systemId] = numbers as [number, number, number, number]
      return { steady: { dueAt, id }, system: { dueAt: systemDueAt, id: systemId } }
    }
  } catch {}
  throw new Problem(400, 'the cursor is none of ours', { errors: [{ path: 'query.cursor', message: 'not a cursor' }] })
}

function nothingWaits(): Problem {
  return new Problem(404, 'no message of this id waits, or not in this namespace')
}
