/** The shapes of answers and of what they have in common, as schemas: they check, they type, and the OpenAPI document is made of them. */
import { z } from '@hono/zod-openapi'
import { roles } from './sources.ts'

const count = () => z.number().int().min(0)
const time = () => z.iso.datetime().describe('UTC.')
const timeOrNever = (text: string) => z.iso.datetime().nullable().describe(text)

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem')

const namespace = z.string().describe('The namespace.')

const owner = {
  namespace,
  clientId: z.string(),
}

const waiting = {
  subscriptions: count(),
  queuedMessages: count().describe('That wait, in memory and in the store.'),
  queuedBytes: count(),
  inflightMessages: count().describe('Sent and not yet acknowledged.'),
  droppedMessages: count().describe('That it did not get, for whatever reason, since the gateway started.'),
}

const protocolVersion = z.number().int().describe('3: MQTT 3.1, 4: 3.1.1, 5: 5.0.')
const sessionExpirySeconds = count().describe('4294967295: never.')

export const clientSchema = z
  .object({
    ...owner,
    username: z.string(),
    principal: z.string().describe('Under which it was let in; empty: nobody in particular.'),
    address: z.string(),
    listener: z.string(),
    protocolVersion,
    connectedAt: time(),
    keepAliveSeconds: count().describe('0: off.'),
    sessionExpirySeconds,
    ...waiting,
  })
  .openapi('Client')

export const sessionSchema = z
  .object({
    ...owner,
    connected: z.boolean(),
    username: z.string(),
    principal: z.string(),
    protocolVersion,
    stored: z.boolean().describe('It survives the process.'),
    sessionExpirySeconds,
    expiresAt: timeOrNever('When it ends unless its client comes back; null: not, or not while it is connected.'),
    ...waiting,
  })
  .openapi('Session')

export const subscriptionSchema = z
  .object({
    ...owner,
    filter: z.string().describe('As subscribed, with $share/GROUP/.'),
    group: z.string().describe('Of a shared subscription; empty: it is none.'),
    qos: z.number().int().min(0).max(2),
    noLocal: z.boolean(),
    retainAsPublished: z.boolean(),
    retainHandling: z.number().int().min(0).max(2),
    identifiers: z.array(z.number().int()),
  })
  .openapi('Subscription')

const message = {
  namespace,
  topic: z.string(),
  payload: z.string().describe('Text, or base64 where it is no UTF-8.'),
  payloadEncoding: z.enum(['utf8', 'base64']),
  payloadBytes: count().describe('Of the whole payload.'),
  payloadCut: z.boolean().describe('Only its beginning is shown.'),
  qos: z.number().int().min(0).max(2),
  publisher: z.string().describe('Client id; empty: the gateway itself.'),
  publishedAt: time(),
  expiresAt: timeOrNever('null: never.'),
}
export const messageSchema = z.object(message).openapi('Message')

export const retainedSchema = z.object(message).openapi('RetainedMessage')

const { expiresAt: _never, ...waitingMessage } = message
export const delayedSchema = z
  .object({
    id: z.string(),
    dueAt: time().describe('When it is published, in UTC.'),
    scheduleId: z.string().describe('Under which its publisher replaces and cancels it; empty: it has none.'),
    retain: z.boolean(),
    principal: z.string().describe('Of its publisher; empty: nobody in particular.'),
    ...waitingMessage,
  })
  .openapi('DelayedMessage')

export const queuedSchema = z
  .object({
    position: count(),
    state: z.enum(['waiting', 'sent', 'released']),
    qos: z.number().int().min(0).max(2),
    message: messageSchema.nullable().describe('null: only its place is kept.'),
  })
  .openapi('QueuedMessage')

export const listenerSchema = z
  .object({
    name: z.string(),
    kind: z.string(),
    host: z.string().optional().describe('Where it is bound; a path for a socket in the file system.'),
    port: z.number().int().optional(),
    durability: z.string(),
    clients: count(),
    handshakes: count().describe('Connections whose CONNECT is not accepted yet.'),
  })
  .openapi('Listener')

export const budgetSchema = z
  .object({
    used: z.number(),
    max: z.number().nullable().describe('null: none.'),
    refused: count().describe('Times that there was no room.'),
  })
  .openapi('Budget')

export const dropSchema = z
  .object({
    ...owner,
    reason: z.string(),
    topicPrefix: z
      .string()
      .describe('Its first two levels; empty: not known, as of messages that were in the store only.'),
    count: count(),
    firstAt: time(),
    lastAt: time(),
  })
  .openapi('Drop')

const rights = ['read', 'publish', 'operate', 'configure'] as const

export const identitySchema = z
  .object({
    token: z.string().nullable().describe('Its name; null: none was brought, and none is needed to read.'),
    role: z.enum(roles).nullable(),
    namespace: z.string().nullable().describe('It may see and change this one only; null: the whole gateway.'),
    may: z.array(z.enum(rights)).describe('operate: disconnect and delete; configure: reload, log level, backup.'),
    authentication: z.boolean().describe('Clients are asked who they are, and every call needs a token.'),
    version: z.string().describe("The gateway's."),
    csrfToken: z.string().nullable().describe('Of a login by cookie: what X-CSRF-Token brings beside it.'),
  })
  .openapi('Identity')
export type Identity = z.infer<typeof identitySchema>

export const optionSchema = z
  .object({
    path: z.string().describe('As in `limits.packetBytesMax`.'),
    value: z.unknown().describe('Secrets are stars.'),
    source: z.string().nullable().describe('A flag, a variable, or file, line and column; null: it is the default.'),
  })
  .openapi('Option')

export const topicSchema = z
  .object({ namespace, topic: z.string(), recipients: count(), groups: count().describe('Shared subscriptions.') })
  .openapi('Topic')

export const routeSchema = z
  .object({
    topic: z.string(),
    recipientCount: count(),
    groupCount: count(),
    recipients: z.array(z.object({ name: z.string(), filter: z.string(), qos: z.number().int(), online: z.boolean() })),
    groups: z.array(
      z.object({ name: z.string(), filter: z.string(), strategy: z.string(), members: z.array(z.string()) }),
    ),
  })
  .openapi('Route')

export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    nextCursor: z.string().nullable().describe('For the next page; null: this is the last one.'),
  })
}

export const pageLimitMax = 1000

/** What every list is asked with. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(pageLimitMax).default(100),
  cursor: z.string().min(1).max(4096).optional().describe('`nextCursor` of the page before.'),
}

const state = z.enum(['sent', 'acknowledged', 'refused', 'queued', 'dropped', 'not_sent', 'passed_on'])
const qos = z.union([z.literal(0), z.literal(1), z.literal(2)])

export const explanationSchema = z
  .object({
    at: time(),
    namespace,
    topic: z.string(),
    qos,
    retain: z.boolean(),
    payloadBytes: count(),
    publisher: z
      .object({
        clientId: z.string(),
        username: z.string(),
        principal: z.string(),
        address: z.string(),
        listener: z.string(),
        protocolVersion,
      })
      .nullable()
      .describe('null: the gateway itself, its program, a will, or what another namespace exports.'),
    outcome: z.enum(['delivered', 'no-subscribers', 'refused', 'duplicate']),
    reason: z.string().describe('Name of the reason code.'),
    rule: z.string().describe('Which rule lets it be published, or does not.'),
    route: z.object({ subscriptions: count(), groups: count() }).describe('What matches the topic.'),
    acknowledgement: z.enum(['', 'PUBACK', 'PUBREC']),
    commit: z.enum(['none', 'waiting', 'committed']).describe('What the acknowledgement waits for.'),
    commitAfterMs: count(),
    recipients: z.array(
      z.object({
        kind: z.enum(['client', 'program', 'namespace', 'group', 'queue', 'stream', 'other']),
        name: z.string(),
        filter: z.string(),
        group: z.string(),
        qos,
        state,
        because: z.string().describe('Why it is dropped, waits, or is not sent.'),
        rule: z.string().describe('Which rule denies it.'),
        afterMs: count(),
      }),
    ),
    others: z.record(z.string(), count()).describe('Recipients that are not listed, by state.'),
    missed: count().describe('Messages before this one that fitted and were not explained.'),
  })
  .openapi('Explanation')

export const fileTraceSchema = z
  .object({
    name: z.string(),
    file: z.string(),
    clientId: z.string().optional(),
    address: z.string().optional(),
    filter: z.string().optional(),
    namespace: z.string().optional(),
    payloadBytes: count(),
    ended: z
      .string()
      .nullable()
      .describe('Why it is over: asked, time, disk_full, write_failed, closed; null: it goes on.'),
    endsAt: time(),
    lines: count(),
    leftOut: count().describe('Packets that were not written: too many at once, or the disk was too slow.'),
    bytes: count().describe('On the disk.'),
  })
  .openapi('Trace')

export const namespaceQuery = z
  .string()
  .max(256)
  .optional()
  .describe('The namespace; unless said, that of the token, else `default`.')
export const ownerQuery = z.object({ namespace: namespaceQuery })
/**
 * A name as a level of a path. `.` and `..` are steps in every URL, also percent-encoded: they are written `~.` and `~..`, and what looks like
 * those has one more `~` in front.
 */
export function fromPath(level: string): string {
  return /^~+\.\.?$/.test(level) ? level.slice(1) : level
}

export const pathText = 'Percent-encoded: plant%2F1. The names . and .. are written ~. and ~.. here.'

export const clientIdParam = z.object({
  clientId: z
    .string()
    .min(1)
    .max(65_535)
    .transform(fromPath)
    .openapi({ type: 'string', param: { name: 'clientId', in: 'path' }, description: pathText }),
})
