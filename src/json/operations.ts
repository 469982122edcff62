/**
 * The operations of `mqtide.v1.json` that a client may send, each a JSON object whose `op` names it: their fields as a schema, from
 * which requests are judged and which is published (docs/json-websocket.md).
 */
import type { Schema } from './schema.ts'

/** What ties an answer to its request. */
export type RequestId = number | string

/** How payloads stand in JSON; what is not UTF-8 is base64 in any case, what is not JSON is utf8 under `json`. */
export const payloadForms = ['utf8', 'json', 'base64'] as const
export type PayloadForm = (typeof payloadForms)[number]

export interface FilterRequest {
  filter: string
  qos?: 0 | 1
  noLocal?: boolean
  retainAsPublished?: boolean
  retainHandling?: 0 | 1 | 2
}

export interface MessageProperties {
  contentType?: string
  responseTopic?: string
  /** Base64. */
  correlationData?: string
  messageExpiryInterval?: number
  userProperties?: [string, string][]
}

interface PayloadFields {
  payload?: unknown
  encoding?: PayloadForm | 'text'
}

export interface WillFields extends PayloadFields {
  topic: string
  qos?: 0 | 1
  retain?: boolean
  delaySeconds?: number
}

export interface ConnectOperation {
  op: 'connect'
  id?: RequestId
  clientId?: string
  clean?: boolean
  sessionExpirySeconds?: number
  keepAliveSeconds?: number
  username?: string
  password?: string
  token?: string
  payload?: PayloadForm
  messageBytesMax?: number
  inflightMessagesMax?: number
  will?: WillFields
}

export interface PublishOperation extends PayloadFields {
  op: 'publish'
  id?: RequestId
  topic: string
  qos?: 0 | 1
  retain?: boolean
  properties?: MessageProperties
}

/** How the messages of a subscription are thinned out. */
export interface ShapingFields {
  where?: string
  sample?: number
  maxPerSecond?: number
  latest?: boolean
}

export interface SubscribeOperation extends ShapingFields {
  op: 'subscribe'
  id?: RequestId
  filters: FilterRequest[]
  identify?: boolean
  from?: string
}

export interface ConsumeOperation {
  op: 'consume'
  id?: RequestId
  queue: string
  prefetch?: number
  settle?: 'ack' | 'explicit'
  identify?: boolean
}

export const verdicts = ['ack', 'nack', 'reject', 'extend'] as const

export interface SettleOperation {
  op: 'settle'
  id?: RequestId
  queue: string
  verdict: (typeof verdicts)[number]
  delivery?: string
  delayMs?: number
  reason?: string
}

export interface AckOperation {
  op: 'ack'
  packet: number
  reason?: number
  message?: string
  delayMs?: number
}

export interface RequestOperation extends PayloadFields {
  op: 'request'
  id: RequestId
  topic: string
  qos?: 0 | 1
  properties?: Omit<MessageProperties, 'responseTopic' | 'correlationData'>
  timeoutMs?: number
}

export type Operation =
  | ConnectOperation
  | PublishOperation
  | ConsumeOperation
  | SettleOperation
  | AckOperation
  | RequestOperation
  | SubscribeOperation
  | { op: 'unsubscribe'; id?: RequestId; filters: string[] }
  | { op: 'ping'; id?: RequestId }
  | { op: 'disconnect'; sendWill?: boolean }

const textCharactersMax = 65_535
const intervalMax = 0xffff_ffff

const text: Schema = { type: 'string', maxLength: textCharactersMax }
const flag: Schema = { type: 'boolean', default: false }
const id: Schema = {
  anyOf: [
    { type: 'integer', minimum: -Number.MAX_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
    { type: 'string', maxLength: 100 },
  ],
  description: 'Comes back with the answer.',
}
const qos: Schema = { type: 'integer', enum: [0, 1], default: 0 }
const payload: Schema = { description: 'A string, or with encoding json any value.' }
const encoding: Schema = {
  type: 'string',
  enum: [...payloadForms, 'text'],
  description: 'Of the payload; without it a string is utf8, anything else json. text is another word for utf8.',
}
/** What PUBACK may say. */
const acknowledgements = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const delayMs: Schema = {
  type: 'integer',
  minimum: 0,
  maximum: 999_999_999,
  description: 'Of what failed: when to try again. Of extend: how long from now on.',
}
const queue: Schema = { type: 'string', maxLength: 1000 }
const identify: Schema = {
  type: 'boolean',
  default: false,
  description: 'Its messages carry the id of this request, a number from 1 to 268435455, in `subscriptions`.',
}
const shaping: Record<keyof ShapingFields, Schema> = {
  where: { type: 'string', maxLength: 1000, description: 'Only messages whose content fits: `temperature > 25`.' },
  sample: { type: 'integer', minimum: 1, maximum: 1_000_000, description: 'One of so many.' },
  maxPerSecond: { type: 'number', minimum: 0.01, maximum: 1000, description: 'No more than so many.' },
  latest: { type: 'boolean', default: false, description: 'Of what has to wait, the latest of each topic.' },
}
const seconds: Schema = { type: 'integer', minimum: 0, maximum: intervalMax }

const properties: Schema = {
  type: 'object',
  description: 'Properties of MQTT 5.0.',
  properties: {
    contentType: text,
    responseTopic: text,
    correlationData: { type: 'string', maxLength: 87_384, description: 'Base64.' },
    messageExpiryInterval: { ...seconds, description: 'Seconds.' },
    userProperties: {
      type: 'array',
      maxItems: 100,
      items: { type: 'array', minItems: 2, maxItems: 2, items: text },
    },
  },
  additionalProperties: false,
}

const { responseTopic: _, correlationData: __, ...asked } = properties.properties!
export const requestTimeoutMs = 10_000

const will: Schema = {
  type: 'object',
  description: 'Published where the connection ends without disconnect.',
  properties: { topic: text, payload, encoding, qos, retain: flag, delaySeconds: seconds },
  required: ['topic'],
  additionalProperties: false,
}

const filterRequest: Schema = {
  type: 'object',
  properties: {
    filter: text,
    qos,
    noLocal: flag,
    retainAsPublished: flag,
    retainHandling: {
      type: 'integer',
      enum: [0, 1, 2],
      default: 0,
      description: 'Retained messages: 0 always, 1 only where the subscription is new, 2 none.',
    },
  },
  required: ['filter'],
  additionalProperties: false,
}

const fields: Record<Operation['op'], { properties: Record<string, Schema>; required?: readonly string[] }> = {
  connect: {
    properties: {
      id,
      clientId: { ...text, description: 'The name of the session; absent: one is given, with the answer.' },
      clean: {
        type: 'boolean',
        description: 'Begins anew. Without it: true where sessionExpirySeconds is 0, else false.',
      },
      sessionExpirySeconds: { ...seconds, default: 0, description: 'How long the session outlives the connection.' },
      keepAliveSeconds: {
        type: 'integer',
        minimum: 0,
        maximum: 65_535,
        default: 0,
        description: 'The connection ends where the client says nothing for one and a half times as long.',
      },
      username: text,
      password: text,
      token: { ...text, description: 'A JSON Web Token.' },
      payload: {
        type: 'string',
        enum: payloadForms,
        default: 'utf8',
        description: 'How payloads come. json: a value where it is JSON. What is not UTF-8 comes as base64.',
      },
      messageBytesMax: {
        type: 'integer',
        minimum: 100,
        maximum: intervalMax,
        description: 'Longer messages are not sent to this client, but dropped and counted.',
      },
      inflightMessagesMax: {
        type: 'integer',
        minimum: 1,
        maximum: 65_535,
        description: 'Messages at QoS 1 on their way to this client that it has not acknowledged.',
      },
      will,
    },
  },
  subscribe: {
    properties: {
      id,
      filters: { type: 'array', minItems: 1, items: filterRequest },
      identify,
      ...shaping,
      from: {
        type: 'string',
        maxLength: 100,
        description: 'Of $stream/NAME: where to begin. earliest, latest, offset:N, a time, or -1h; see streams.md.',
      },
    },
    required: ['filters'],
  },
  unsubscribe: { properties: { id, filters: { type: 'array', minItems: 1, items: text } }, required: ['filters'] },
  publish: {
    properties: { id, topic: text, payload, encoding, qos, retain: flag, properties },
    required: ['topic'],
  },
  request: {
    properties: {
      ...{ id, topic: text, payload, encoding, qos },
      properties: { ...properties, properties: asked },
      timeoutMs: { type: 'integer', minimum: 1, maximum: 600_000, default: requestTimeoutMs },
    },
    required: ['id', 'topic'],
  },
  consume: {
    properties: {
      ...{ id, queue, identify },
      prefetch: { type: 'integer', minimum: 1, maximum: 99_999, description: 'Messages of it at the same time.' },
      settle: {
        type: 'string',
        enum: ['ack', 'explicit'],
        description: 'Whether the ack of a message is its verdict. Without it as the queue says.',
      },
    },
    required: ['queue'],
  },
  settle: {
    properties: {
      ...{ id, queue, delayMs },
      verdict: { type: 'string', enum: verdicts },
      delivery: { ...queue, description: 'As the message says; without it the oldest that this client has.' },
      reason: { ...text, description: 'Goes into the dead letter.' },
    },
    required: ['queue', 'verdict'],
  },
  ack: {
    properties: {
      packet: { type: 'integer', minimum: 1, maximum: 65_535 },
      reason: {
        type: 'integer',
        enum: acknowledgements,
        default: 0,
        description: 'As in PUBACK: from 128 on, why not.',
      },
      message: { ...text, description: 'Why, in words.' },
      delayMs,
    },
    required: ['packet'],
  },
  ping: { properties: { id } },
  disconnect: { properties: { sendWill: flag } },
}

/** By operation. */
export const operationSchemas: ReadonlyMap<string, Schema> = new Map(
  Object.entries(fields).map(([op, { properties: own, required = [] }]) => [
    op,
    {
      type: 'object',
      properties: { op: { const: op }, ...own },
      required: ['op', ...required],
      additionalProperties: false,
    },
  ]),
)
