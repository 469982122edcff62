/** The whole of `mqtide.v1.json` as a JSON Schema: what clients send, which is what is enforced, and what they get. */
import { operationSchemas, payloadForms } from './operations.ts'
import type { Schema } from './schema.ts'

const id: Schema = { description: 'The id of the request; null: it had none.' }
const reason: Schema = { type: 'integer', minimum: 0, maximum: 255, description: 'A reason code of MQTT 5.0.' }
const codes: Schema = { type: 'array', items: reason }
const text: Schema = { type: 'string' }
const flag: Schema = { type: 'boolean' }

function answer(op: string, properties: Record<string, Schema>, optional: Record<string, Schema> = {}): Schema {
  return {
    type: 'object',
    properties: { op: { const: op }, ...properties, ...optional },
    required: ['op', ...Object.keys(properties)],
  }
}

const fromServer: readonly Schema[] = [
  answer('connected', {
    ...{ id, clientId: text, sessionPresent: flag },
    ...{ sessionExpirySeconds: { type: 'integer' }, keepAliveSeconds: { type: 'integer' } },
    messageBytesMax: { type: 'integer', description: 'Longest message that the gateway takes.' },
  }),
  answer('subscribed', { id, granted: { ...codes, description: 'By filter: the QoS, or from 128 on why not.' } }),
  answer('unsubscribed', { id, reasons: codes }),
  answer('published', { id, reason }, { outcome: { enum: ['no-subscribers'] } }),
  answer(
    'message',
    {
      topic: text,
      payload: { description: 'As encoding says: text, base64 of the bytes, or with json the value itself.' },
      encoding: { enum: payloadForms },
      qos: { type: 'integer', enum: [0, 1, 2] },
      retain: flag,
      at: { ...text, description: 'When it was published, in UTC.' },
    },
    {
      packet: { type: 'integer', minimum: 1, maximum: 65_535, description: 'Above QoS 0: to be acknowledged.' },
      dup: { ...flag, description: 'It was sent before.' },
      offset: { type: 'integer', minimum: 0, description: 'Of a message of a stream: its place there.' },
      properties: { type: 'object' },
      subscriptions: {
        type: 'array',
        items: { type: 'integer' },
        description: 'Ids of the subscriptions with identify that it came by.',
      },
    },
  ),
  answer('consuming', { id, granted: codes }),
  answer('settled', { id, reason }),
  answer(
    'response',
    { id, topic: text, payload: {}, encoding: { enum: payloadForms }, at: text },
    { qos: { type: 'integer' }, retain: flag, properties: { type: 'object' } },
  ),
  answer('pong', { id }),
  answer('error', { id, reason, message: text }),
]

export const jsonWebSocketSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'mqtide.v1.json',
  description: 'The messages of the JSON WebSocket at /ws. See docs/json-websocket.md.',
  anyOf: [{ $ref: '#/$defs/fromClient' }, { $ref: '#/$defs/fromServer' }],
  $defs: { fromClient: { anyOf: [...operationSchemas.values()] }, fromServer: { anyOf: fromServer } },
} as const
