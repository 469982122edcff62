/** A message of the caller's, as if the gateway itself published it. */
import { createRoute, z } from '@hono/zod-openapi'
import type { Properties } from '../../mqtt/packet.ts'
import { isValidTopicName } from '../../mqtt/topic.ts'
import { isEncodable } from '../../mqtt/utf8.ts'
import { namespaceOf } from '../namespace.ts'
import { Problem } from '../problem.ts'
import { type Api, json, needs, problems } from '../route.ts'
import { namespaceQuery } from '../schemas.ts'

const base64 = z.base64('expected base64')
const mqttText = z.string().refine((text) => isEncodable(text), {
  error: 'MQTT carries no U+0000, no half of a surrogate pair and no more than 65535 bytes',
})

const bodySchema = z
  .strictObject({
    namespace: namespaceQuery,
    topic: z
      .string()
      .max(65_535)
      .refine((topic) => isValidTopicName(topic) && !topic.startsWith('$SYS/'), {
        error: 'not a topic name, or one below $SYS, which is the gateway’s own',
      }),
    payload: z.string().default(''),
    payloadEncoding: z.enum(['utf8', 'base64']).default('utf8'),
    qos: z.union([z.literal(0), z.literal(1), z.literal(2)]).default(0),
    retain: z.boolean().default(false),
    properties: z
      .strictObject({
        contentType: mqttText.optional(),
        responseTopic: z
          .string()
          .max(65_535)
          .refine((topic) => isValidTopicName(topic), { error: 'not a topic name' })
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
  })
  .openapi('Publish')

const publish = createRoute({
  method: 'post',
  path: '/publish',
  operationId: 'publish',
  tags: ['Messages'],
  summary: 'Publish a message; answered when it is as safe as a PUBACK would say',
  ...needs({ role: 'operator', open: true, byNamespace: true }, { body: true }),
  request: { body: { content: { 'application/json': { schema: bodySchema } }, required: true } },
  responses: {
    200: json(z.object({ outcome: z.enum(['delivered', 'no-subscribers']) }), 'What became of it'),
    ...problems(400, 403, 404, 413, 415, 503),
  },
})

export function addPublish(api: Api): void {
  api.openapi(publish, async (context) => {
    const { namespace: asked, payload, payloadEncoding, properties, ...message } = context.req.valid('json')
    const namespace = namespaceOf(context, asked)
    if (payloadEncoding === 'base64' && !base64.safeParse(payload).success) {
      throw new Problem(400, 'the payload is not base64', {
        errors: [{ path: 'body.payload', message: 'expected base64' }],
      })
    }
    const { correlationData, ...others } = properties
    // What was not given is absent, not undefined.
    const given = others as Properties
    if (correlationData !== undefined) given.correlationData = Buffer.from(correlationData, 'base64')
    const own = { ...message, namespace, payload: Buffer.from(payload, payloadEncoding), properties: given }
    const outcome = await context.get('sources').actions.publish(own)
    if (outcome === 'no-namespace') throw new Problem(404, 'there is no such namespace')
    if (outcome === 'too-large') throw new Problem(413, 'the message is larger than limits.packetBytesMax')
    if (outcome === 'quota-exceeded') throw new Problem(503, 'refused: a queue or the store has no room')
    return context.json({ outcome }, 200)
  })
}
