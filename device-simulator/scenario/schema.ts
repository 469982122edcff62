/**
 * The scenario file: who connects (groups), what they say and hear, in which stages, under which faults, and what
 * makes the run fail. One schema gives the types, the messages and the published JSON Schema.
 */
import { z } from 'zod'
import { fault } from './fault-schema.ts'
import {
  duration,
  fraction,
  positiveDuration,
  positiveNumber,
  qos,
  size,
  topicFilterTemplate,
  topicTemplate,
} from './fields.ts'
import { payload } from './generator-schema.ts'
import { parseThreshold } from './threshold.ts'

const groupName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]*$/, 'expected a group name of letters, digits, - and _')
/** YAML reads an unquoted 5.0 as the number 5. */
const protocol = z
  .union([z.enum(['3.1', '3.1.1', '5.0']), z.literal(5), z.literal(3.1)], {
    error: 'expected protocol 3.1, 3.1.1 or 5.0',
  })
  .transform((name) => (name === 5 ? '5.0' : name === 3.1 ? '3.1' : name))
export type Protocol = z.output<typeof protocol>

const brokerUrl = z.string().regex(/^(mqtt|mqtts|ws|wss):\/\/.+/, 'expected a URL: mqtt://, mqtts://, ws:// or wss://')

const broker = z.union(
  [
    brokerUrl.transform((url) => ({ url })),
    z.strictObject({ url: brokerUrl }),
    z.strictObject({
      gateway: z.strictObject({
        arguments: z.array(z.string()).default([]),
        options: z
          .record(z.string(), z.unknown())
          .optional()
          .meta({ description: 'What the configuration file of the gateway says' }),
      }),
    }),
    z.strictObject({ command: z.array(z.string()).min(1), url: brokerUrl }),
  ],
  { error: 'expected a URL, { url }, { gateway: {} } to start one, or { command: [...], url }' },
)
export type BrokerSpec = z.output<typeof broker>

const tls = z.strictObject({
  ca: z.string().optional(),
  cert: z.string().optional(),
  key: z.string().optional(),
  servername: z.string().optional(),
  rejectUnauthorized: z.boolean().default(true),
})

const announcement = {
  topic: topicTemplate,
  payload: z.string(),
  qos: qos.default(0),
  retain: z.boolean().default(false),
}

const qosMix = z
  .strictObject({ 0: positiveNumber.optional(), 1: positiveNumber.optional(), 2: positiveNumber.optional() })
  .refine((mix) => mix[0] !== undefined || mix[1] !== undefined || mix[2] !== undefined, {
    error: 'expected at least one weight, such as { 0: 0.7, 1: 0.3 }',
  })

const publication = z
  .strictObject({
    name: z.string().optional(),
    topic: topicTemplate.optional(),
    every: positiveDuration.optional(),
    rate: positiveNumber.max(1_000_000).optional(),
    arrivals: z.enum(['regular', 'poisson']).default('regular'),
    jitter: fraction.default(0),
    step: positiveDuration.optional(),
    limit: z.number().int().min(1).optional(),
    qos: z.union([qos, qosMix], { error: 'expected QoS 0, 1 or 2, or weights such as { 0: 0.7, 1: 0.3 }' }).default(0),
    retain: z.boolean().default(false),
    identity: z.enum(['payload', 'property', 'none']).optional(),
    payload,
  })
  .superRefine((value, context) => {
    if ((value.every === undefined) === (value.rate === undefined)) {
      context.addIssue({
        code: 'custom',
        message: 'expected either every: (an interval) or rate: (messages per second)',
      })
    }
    if (value.topic === undefined && value.payload.encoding !== 'sparkplug') {
      context.addIssue({ code: 'custom', path: ['topic'], message: 'expected a topic' })
    }
    if (value.every !== undefined && value.every < 1) {
      context.addIssue({
        code: 'custom',
        path: ['every'],
        message: 'impossible rate: expected an interval of at least 1ms; use more devices for more messages',
      })
    }
    if (value.rate !== undefined && value.rate > 100_000) {
      context.addIssue({
        code: 'custom',
        path: ['rate'],
        message: 'impossible rate: expected at most 100000 messages per second for one device; use more devices',
      })
    }
  })
export type PublicationSpec = z.output<typeof publication>

const subscription = z.strictObject({
  filter: topicFilterTemplate,
  qos: qos.default(0),
  noLocal: z.boolean().optional(),
  retainAsPublished: z.boolean().optional(),
  retainHandling: z.union([z.literal(0), z.literal(1), z.literal(2)]).optional(),
  stream: z
    .string()
    .min(1)
    .optional()
    .meta({ description: 'Read this stream from its beginning; filter says which of its messages' }),
  group: z.string().min(1).optional().meta({ description: 'The group that reads the stream together' }),
  work: z
    .strictObject({ mean: duration, deviation: duration.default(0) })
    .optional()
    .meta({ description: 'Time the consumer needs for each message before it acknowledges it' }),
})
export type SubscriptionSpec = z.output<typeof subscription>

const consumer = z
  .strictObject({
    queue: z.string().min(1),
    filter: topicFilterTemplate
      .optional()
      .meta({ description: 'What the queue takes in, as the broker has it: which jobs are to be done' }),
    deadLettersOf: z
      .string()
      .optional()
      .meta({ description: 'The queue is that of the dead letters of another one, which a group consumes' }),
    prefetch: z.number().int().min(1).max(65_535).default(10),
    work: z
      .strictObject({ mean: duration, deviation: duration.default(0) })
      .optional()
      .meta({ description: 'Time that a worker needs for each job' }),
    fail: fraction.default(0).meta({ description: 'Part of the attempts that fail' }),
    reject: fraction.default(0).meta({ description: 'Part of the attempts after which nobody is to try again' }),
    attemptsMax: z.number().int().min(1).default(10).meta({ description: 'As the queue has it' }),
    orderBy: z
      .enum(['none', 'topic'])
      .default('none')
      .meta({ description: 'topic: the queue promises one job of a topic at a time, in order' }),
  })
  .superRefine(({ filter, deadLettersOf }, context) => {
    if ((filter === undefined) === (deadLettersOf === undefined)) {
      context.addIssue({ code: 'custom', message: 'expected either filter: or deadLettersOf:' })
    }
  })
export type ConsumerSpec = z.output<typeof consumer>

const command = z.strictObject({
  style: z.enum(['request-response', 'tasmota']),
  filter: topicFilterTemplate,
  reply: topicTemplate.optional(),
  qos: qos.default(1),
  delay: duration.default(0),
  fail: fraction.default(0),
})
export type CommandSpec = z.output<typeof command>

const request = z.strictObject({
  style: z.enum(['request-response', 'tasmota']),
  to: groupName,
  topic: topicTemplate,
  rate: positiveNumber.max(100_000),
  payload: z.string().default('TOGGLE'),
  replies: topicFilterTemplate.optional(),
  timeout: positiveDuration.default(5000),
  qos: qos.default(1),
})
export type RequestSpec = z.output<typeof request>

const sparkplug = z.strictObject({
  group: z.string().min(1),
  node: z.string().default('{clientId}'),
  device: z.string().optional(),
})

const homeAssistant = z.strictObject({
  prefix: z.string().default('homeassistant'),
  device: z.strictObject({ name: z.string(), model: z.string().optional(), manufacturer: z.string().optional() }),
  entities: z
    .array(
      z.strictObject({
        component: z.enum(['sensor', 'binary_sensor', 'switch', 'light', 'climate', 'lock', 'cover']),
        name: z.string(),
        field: z.string(),
        publication: z.number().int().min(0).default(0),
        unit: z.string().optional(),
        deviceClass: z.string().optional(),
        stateClass: z.string().optional(),
        commandTopic: topicTemplate.optional(),
      }),
    )
    .min(1),
})

export const group = z.strictObject({
  count: z.number().int().min(1).max(1_000_000).default(1),
  broker: z.string().optional(),
  clientId: z.string().min(1).default('{group}-{index}'),
  variables: z.record(z.string().regex(/^[A-Za-z]\w*$/), z.union([z.string(), z.array(z.string()).min(1)])).default({}),
  protocol: z
    .union([protocol, z.array(protocol).min(1)], { error: 'expected protocol 3.1, 3.1.1 or 5.0, or a list of them' })
    .default('5.0'),
  session: z.enum(['clean', 'durable']).default('clean'),
  sessionExpiry: duration.default(3_600_000),
  keepAlive: duration.default(30_000),
  receiveMaximum: z.number().int().min(1).max(65_535).optional(),
  credentials: z.strictObject({ username: z.string(), password: z.string().optional() }).optional(),
  tls: tls.optional(),
  will: z.strictObject({ ...announcement, delay: duration.optional() }).optional(),
  birth: z.strictObject(announcement).optional(),
  reconnect: z
    .strictObject({ min: duration.default(500), max: duration.default(10_000), jitter: fraction.default(0.3) })
    .prefault({}),
  offlineMessagesMax: z.number().int().min(0).default(1000),
  duty: z.strictObject({ online: positiveDuration, offline: positiveDuration }).optional(),
  publications: z.array(publication).default([]),
  subscriptions: z.array(subscription).default([]),
  consumes: consumer.optional(),
  commands: z.array(command).default([]),
  requests: z.array(request).default([]),
  sparkplug: sparkplug.optional(),
  homeAssistant: homeAssistant.optional(),
})
export type GroupSpec = z.output<typeof group>

const stage = z.strictObject({
  name: z.string().optional(),
  type: z.enum(['ramp', 'hold', 'storm', 'drain']),
  duration: positiveDuration,
  rate: z.number().min(0).max(1000).default(1),
  to: fraction.default(1),
  groups: z.array(z.string()).min(1).optional(),
  spread: duration.default(0),
  measure: z.boolean().optional(),
  faults: z.array(fault).default([]),
})
export type StageSpec = z.output<typeof stage>

const threshold = z.string().transform((text, context) => {
  const parsed = parseThreshold(text)
  if (typeof parsed === 'string') {
    context.addIssue({ code: 'custom', message: parsed })
    return z.NEVER
  }
  return parsed
})

export const scenario = z.strictObject({
  name: z.string().min(1),
  description: z.string().optional(),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  client: z.enum(['mqttjs', 'lean']).default('mqttjs'),
  workers: z.number().int().min(1).max(64).optional(),
  localAddresses: z.array(z.string()).min(1).optional(),
  epoch: z.iso.datetime({ error: 'expected a time such as 2026-01-01T00:00:00Z' }).default('2026-01-01T00:00:00Z'),
  brokers: z.record(z.string(), broker).optional(),
  groups: z.record(groupName, group).refine((groups) => Object.keys(groups).length > 0, {
    error: 'expected at least one group of devices',
  }),
  stages: z.array(stage).min(1).optional(),
  faults: z.array(fault).default([]),
  thresholds: z.array(threshold).default([]),
  generatorLagMax: positiveDuration.default(100),
  maximumPayload: size.default(16 * 1024 * 1024),
})
export type Scenario = z.output<typeof scenario>
