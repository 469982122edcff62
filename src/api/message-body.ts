/** A message in the body of a call: its schema, and what it becomes. */
import { z } from '@hono/zod-openapi'
import { payloadOf, RequestFault } from '../json/packets.ts'
import { isBase64 } from '../mqtt/base64.ts'
import type { Properties } from '../mqtt/packet.ts'
import { isValidTopicName } from '../mqtt/topic.ts'
import { isEncodable } from '../mqtt/utf8.ts'
import { Problem } from './problem.ts'
import { namespaceQuery } from './schemas.ts'
import type { OwnMessage } from './sources.ts'

const base64 = z.string().refine(isBase64, { error: 'expected base64' })
const mqttText = z.string().refine((text) => isEncodable(text), {
  error: 'MQTT carries no U+0000, no half of a surrogate pair and no more than 65535 bytes',
})
const encodings = z.enum(['utf8', 'text', 'json', 'base64'])

export const messageFields = {
  namespace: namespaceQuery,
  topic: z
    .string()
    .max(65_535)
    .refine((topic) => isEncodable(topic) && isValidTopicName(topic) && !topic.startsWith('$SYS/'), {
      error: 'not a topic name, or one below $SYS, which is the gateway’s own',
    }),
  payload: z.any().optional().describe('A text, or with encoding json any value.'),
  encoding: encodings
    .optional()
    .describe('Of the payload; without it a text is utf8, anything else json. text is another word for utf8.'),
  payloadEncoding: encodings.optional().describe('The same, as lists of messages call it.'),
  qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).default(0),
  retain: z.boolean().default(false),
  properties: z
    .strictObject({
      contentType: mqttText.optional(),
      responseTopic: z
        .string()
        .max(65_535)
        .refine((topic) => isEncodable(topic) && isValidTopicName(topic), { error: 'not a topic name' })
        .optional(),
      correlationData: base64.max(87_000).optional().describe('Base64.'),
      messageExpiryInterval: z.number().int().min(0).max(0xffffffff).optional().describe('Seconds.'),
      userProperties: z
        .array(z.tuple([mqttText, mqttText]))
        .max(100)
        .optional()
        .describe('Names and values, in order.'),
    })
    .default({}),
}

export const messageSchema = z.strictObject(messageFields).openapi('Publish')
type MessageBody = Omit<z.infer<typeof messageSchema>, 'namespace'>

/** @throws Problem for a payload that is not what its encoding says */
export function ownMessage(body: MessageBody, namespace: string): OwnMessage {
  const { topic, qos, retain, payload, encoding = body.payloadEncoding, properties } = body
  const { correlationData, ...others } = properties
  // What was not given is absent, not undefined.
  const given = others as Properties
  if (correlationData !== undefined) given.correlationData = Buffer.from(correlationData, 'base64')
  try {
    const bytes = payloadOf({ payload, ...(encoding !== undefined && { encoding }) })
    return { topic, qos, retain, namespace, payload: bytes, properties: given }
  } catch (error) {
    if (!(error instanceof RequestFault)) throw error
    const message = error.message.replace(/^payload: /, '')
    throw new Problem(400, error.message, { errors: [{ path: 'body.payload', message }] })
  }
}
