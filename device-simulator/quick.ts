/** The quick form: a scenario from options whose letters are those of MQTTX's `bench` and `simulate`. */
import type { z } from 'zod'
import { type Scenario, scenario as schema } from './scenario/schema.ts'

export interface QuickOptions {
  count?: number
  /** Milliseconds between two connects. */
  interval?: number
  /** Milliseconds between two messages of one device. */
  messageInterval?: number
  topic?: string
  message?: string
  payloadSize?: string
  qos?: number
  retain?: boolean
  /** Messages of all devices together. */
  limit?: number
  clientId?: string
  mqttVersion?: string
  clean?: boolean
  keepalive?: number
  username?: string
  password?: string
  file?: string
}

const defaults = { count: 1000, interval: 10, messageInterval: 1000, topic: 'bench/%i' }

/** Whether any option of the quick form was given. */
export function isQuick(options: QuickOptions): boolean {
  const { count, interval, messageInterval, topic, message, payloadSize, qos, retain, limit, file } = options
  return [count, interval, messageInterval, topic, message, payloadSize, qos, retain, limit, file].some(
    (value) => value !== undefined,
  )
}

/** The options given that mean nothing beside a scenario, as they are written. */
export function quickOnly(options: QuickOptions): string[] {
  const names: Partial<Record<keyof QuickOptions, string>> = {
    ...{ count: '--count', interval: '--interval', messageInterval: '--message-interval', topic: '--topic' },
    ...{ message: '--message', payloadSize: '--payload-size', qos: '--qos', retain: '--retain', limit: '--limit' },
    ...{ clientId: '--client-id', mqttVersion: '--mqtt-version', keepalive: '--keepalive', file: '--file' },
  }
  const given = Object.entries(names).filter(([name]) => options[name as keyof QuickOptions] !== undefined)
  return [...given.map(([, flag]) => flag), ...(options.clean === false ? ['--no-clean'] : [])]
}

const protocols: Record<string, string> = { '3.1': '3.1', '3.1.1': '3.1.1', '5': '5.0', '5.0': '5.0' }

/** Checked by the schema, as a file would be. @throws z.ZodError */
export function quickScenario(options: QuickOptions): Scenario {
  const count = options.count ?? defaults.count
  const topic = options.topic ?? defaults.topic
  const protocol = protocols[options.mqttVersion ?? '5'] ?? options.mqttVersion
  const qos = options.qos ?? 0
  const credentials =
    options.username === undefined ? {} : { credentials: { username: options.username, password: options.password } }
  const input = {
    name: 'quick',
    groups: {
      devices: {
        count,
        clientId: options.clientId ?? 'mqtide-%i',
        protocol,
        session: options.clean === false ? 'durable' : 'clean',
        keepAlive: options.keepalive ?? 30,
        ...credentials,
        publications: [
          {
            topic,
            every: (options.messageInterval ?? defaults.messageInterval) / 1000,
            qos,
            retain: options.retain ?? false,
            ...(options.limit === undefined || options.limit === 0 ? {} : { limit: Math.ceil(options.limit / count) }),
            payload: payloadOf(options),
          },
        ],
      },
      consumer: {
        clientId: 'mqtide-consumer',
        protocol,
        session: options.clean === false ? 'durable' : 'clean',
        ...credentials,
        subscriptions: [{ filter: filterOf(topic), qos }],
      },
    },
    stages: [
      { type: 'ramp', duration: Math.max(0.5, (count * (options.interval ?? defaults.interval)) / 1000) },
      { type: 'hold', duration: 30 },
      { type: 'drain', duration: 15 },
    ],
  } as unknown as z.input<typeof schema>
  return schema.parse(input)
}

function payloadOf({ message, payloadSize, file }: QuickOptions): object {
  if (file !== undefined) return { encoding: 'module', module: file }
  if (message !== undefined) return { encoding: 'text', value: { type: 'text', template: message } }
  if (payloadSize !== undefined) return { encoding: 'binary', size: payloadSize }
  return {
    fields: {
      temperature: { type: 'random-walk', start: 21, step: 0.2, min: -20, max: 50, reversion: 0.02, decimals: 2 },
      humidity: { type: 'random-walk', start: 50, step: 0.5, min: 0, max: 100, reversion: 0.02, decimals: 1 },
    },
  }
}

/** A filter that takes the topics of all devices: levels that differ become `+`. */
function filterOf(topic: string): string {
  return topic
    .split('/')
    .map((level) => (/%[icu]|\{\w+\}/.test(level) ? '+' : level))
    .join('/')
}
