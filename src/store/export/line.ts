/**
 * The lines of an export: what each says, as it is written and as it is taken back.
 *
 * The first line is the header, the last one the end, and each one between is one thing of the store: its `kind` and its fields. Sessions,
 * queues and streams have a number within the file, by which later lines name them. Times are those of the system's clock, so that a file says the same
 * whatever gateway it came from. A body that several queues or a retained topic share comes with an id where it is first named, and by that id
 * alone from then on.
 */
import { z } from 'zod'
import { isBase64 } from '../../mqtt/base64.ts'

export const formatName = 'mqtide-export'
export const formatVersion = 1

const time = z.string().transform((text, context) => {
  const ms = Date.parse(text)
  if (/^[+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(text) && Number.isInteger(ms)) return ms
  context.addIssue({ code: 'custom', message: 'expected a time like 2026-11-21T12:00:00.000Z' })
  return z.NEVER
})
const timeOrNever = time.nullable().transform((at) => at ?? Number.POSITIVE_INFINITY)
const whole = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const number = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)
const seconds = z.number().int().min(0).max(0xffffffff)
const packetId = z.number().int().min(1).max(65_535)
const qos = z.union([z.literal(0), z.literal(1), z.literal(2)], 'expected 0, 1 or 2')
const namespace = z.string().min(1)
const base64 = z.string().refine(isBase64, 'expected base64 with its padding')

const userProperty = z.tuple([z.string(), z.string()])
/** Those that go on to every receiver. */
const properties = z.strictObject({
  payloadFormatIndicator: z.union([z.literal(0), z.literal(1)]).optional(),
  contentType: z.string().optional(),
  responseTopic: z.string().optional(),
  correlationDataBase64: base64.optional(),
  userProperties: z.array(userProperty).optional(),
})

/** A payload is text where it is UTF-8; properties are bytes where they are not in the usual order. */
const content = {
  payload: z.string().optional(),
  payloadBase64: base64.optional(),
  properties: properties.optional(),
  propertiesBase64: base64.optional(),
}
const message = z.strictObject({
  id: number.optional(),
  topic: z.string(),
  ...content,
  qos,
  publisher: z.string().default(''),
  publishedAt: time,
  expiresAt: timeOrNever,
})
const body = z.union([number, message], 'expected a message, or the id of one in a line before')

export const headerSchema = z.strictObject({
  format: z.literal(formatName),
  formatVersion: z.number().int(),
  gatewayVersion: z.string(),
  exportedAt: time.optional(),
  namespaces: z.array(namespace).optional(),
})

const protocol = z.enum(['3.1', '3.1.1', '5.0'])
const session = z.strictObject({
  kind: z.literal('session'),
  number,
  namespace,
  clientId: z.string(),
  protocol,
  /** Null: it never expires. */
  expirySeconds: seconds.nullable(),
  expiresAt: timeOrNever,
  connected: z.boolean(),
  username: z.string().default(''),
  principal: z.string().default(''),
  /** It is there only for what its share groups have not taken over yet. */
  ended: z.boolean().default(false),
})
const subscription = z.strictObject({
  kind: z.literal('subscription'),
  session: number,
  filter: z.string(),
  qos,
  noLocal: z.boolean().default(false),
  retainAsPublished: z.boolean().default(false),
  retainHandling: qos.default(0),
  identifier: z.number().int().min(1).max(268_435_455).optional(),
})
const will = z.strictObject({
  kind: z.literal('will'),
  session: number,
  topic: z.string(),
  ...content,
  qos,
  retain: z.boolean(),
  delaySeconds: seconds.default(0),
  expirySeconds: seconds.optional(),
  dueAt: timeOrNever,
})
const incoming = z.strictObject({ kind: z.literal('incoming'), session: number, packetId })
const released = z.strictObject({ kind: z.literal('released'), session: number, position: whole })
const sent = z.strictObject({ kind: z.literal('sent'), session: number, position: whole })
const queue = z.strictObject({
  kind: z.literal('queue'),
  number,
  namespace,
  name: z.string().min(1),
  priority: z.number().int().min(0).max(255),
  filter: z.string().default(''),
})
const attempt = z.strictObject({
  kind: z.literal('attempt'),
  queue: number,
  position: whole,
  failed: seconds,
  returned: seconds,
  /** Null: at once. */
  dueAt: time.nullable(),
  reason: z.string().default(''),
})
const stream = z.strictObject({
  kind: z.literal('stream'),
  number,
  namespace,
  name: z.string().min(1),
  filter: z.string(),
  /** Everything before it has gone. */
  firstOffset: whole,
})
const segment = z.strictObject({
  kind: z.literal('segment'),
  stream: number,
  firstOffset: whole,
  firstAt: time,
  lastAt: time,
  messages: number,
  bytes: whole,
})
const cursor = z.strictObject({
  kind: z.literal('cursor'),
  stream: number,
  /** Absent: it is a group's. */
  session: number.optional(),
  group: z.string().default(''),
  filter: z.string().default(''),
  position: whole,
  /** What came before is not wanted; null: everything is. */
  notBefore: time.nullable().default(null),
  open: z
    .string()
    .regex(/^[0-9a-z]*( [0-9a-z]+)*$/, 'expected numbers to the base 36')
    .default(''),
})
/** What waits for a session or in a queue, or is in a stream. */
/** A queue has seen a message of this id: it came in at this place. */
const seen = z.strictObject({
  kind: z.literal('seen'),
  namespace,
  address: z.string().min(1),
  id: z.string(),
  at: time,
  queue: number,
  position: whole,
})
/** How far a publisher of a queue has counted. */
const counted = z.strictObject({
  kind: z.literal('counted'),
  namespace,
  address: z.string().min(1),
  publisher: z.string(),
  sequence: whole,
  at: time,
})
/** What waits for a session, or in a queue. */
const entry = z.strictObject({
  kind: z.literal('entry'),
  log: number,
  position: whole,
  qos,
  retain: z.boolean(),
  sharedFilter: z.string().default(''),
  subscriptionIdentifiers: z.array(z.number().int().min(1).max(268_435_455)).default([]),
  message: body,
})
const retained = z.strictObject({ kind: z.literal('retained'), namespace, topic: z.string(), message: body })
const delayed = z.strictObject({
  kind: z.literal('delayed'),
  namespace,
  clock: z.enum(['steady', 'system']),
  dueAt: time,
  topic: z.string(),
  ...content,
  qos,
  retain: z.boolean(),
  publisher: z.string().default(''),
  principal: z.string().default(''),
  scheduleId: z.string().default(''),
  expirySeconds: seconds.optional(),
  publishedAt: time,
})
/** How many lines stand before it, where whoever wrote the file has counted them. */
const end = z.strictObject({ kind: z.literal('end'), lines: whole.optional() })

/** A kind that comes later takes a schema here, a line in `store-export.ts` and a case in `line-import.ts`. */
export const lineSchema = z.discriminatedUnion('kind', [
  session,
  subscription,
  will,
  incoming,
  released,
  sent,
  queue,
  attempt,
  stream,
  segment,
  cursor,
  seen,
  counted,
  entry,
  retained,
  delayed,
  end,
])

export type Header = z.output<typeof headerSchema>
/** As it is written. */
export type WrittenLine = z.input<typeof lineSchema>
/** As it is taken back: times in milliseconds, nothing left out. */
export type Line = z.output<typeof lineSchema>
export type Kind = Line['kind']
export type WrittenContent = z.input<z.ZodObject<typeof content>>
export type WrittenMessage = z.input<typeof message>
export type MessageLine = z.output<typeof message>
export type Protocol = z.output<typeof protocol>
