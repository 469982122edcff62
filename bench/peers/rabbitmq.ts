import { spawnSync } from 'node:child_process'
import { rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type Broker,
  type Capability,
  findProgram,
  isExecutable,
  type Peer,
  type Place,
  type Settings,
} from './broker.ts'
import { filled, template, written } from './templates.ts'

/** Debian's rabbitmq-server on PATH changes to the user rabbitmq, who can't write the bench's folders; this is what it starts. */
const scriptItself = '/usr/lib/rabbitmq/bin/rabbitmq-server'
const starter = fileURLToPath(new URL('rabbitmq/start.sh', import.meta.url))

/** One scheduler, as it has one core, and none that spins while it waits: the processor is measured. */
const erlangFlags = '+S 1:1 +SDcpu 1:1 +sbwt none +sbwtdcpu none +sbwtdio none'

const lacks = {
  'many-sessions': 'left out: makes fewer than 500 durable sessions per second',
  qos2: 'delivers QoS 2 as QoS 1',
  mqtt5: 'MQTT 5 came with 3.13',
  retained: 'sends no retained messages to wildcard subscriptions',
} as const

/** MQTT 5 came with 3.13. The version begins with major and minor number, as Debian's does. */
export function isBefore313(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10))
  return !(major > 3 || (major === 3 && minor >= 13))
}

/** A path to this place's folder that is the same in every place: RabbitMQ's own files say where they are, also in a copy. */
function samePath(place: Place): string {
  const link = join(dirname(place.folder), 'node-of-rabbitmq')
  rmSync(link, { force: true })
  symlinkSync(place.folder, link)
  return link
}

function broker(program: string, version: string, settings: Settings): Broker {
  const file = settings === 'safest' ? 'rabbitmq/safest.conf' : 'rabbitmq/default.conf'
  const capabilities: Capability[] = ['websocket', 'queues']
  if (!isBefore313(version)) capabilities.push('mqtt5')
  return {
    name: 'rabbitmq',
    label: settings === 'memory' ? 'RabbitMQ' : `RabbitMQ, durable (${settings})`,
    version,
    settings,
    capabilities: new Set(capabilities),
    lacks,
    alwaysDurable: true,
    startsSlowly: true,
    configuration: `# Erlang: ${erlangFlags}\n${template(file)}`,
    webSocketPath: '/ws',
    workQueue: ({ ports }) => ({
      protocol: 'amqp',
      port: ports.queue,
      queueType: settings === 'safest' ? 'quorum' : 'classic',
    }),
    command(place: Place) {
      const { ports } = place
      const folder = samePath(place)
      const env = {
        // Always the same, as its files carry it; the port mapper is this node's own, so names don't collide.
        RABBITMQ_NODENAME: 'bench@localhost',
        RABBITMQ_DIST_PORT: String(ports.tls),
        ERL_EPMD_PORT: String(ports.spare),
        RABBITMQ_MNESIA_BASE: `${folder}/mnesia`,
        RABBITMQ_LOG_BASE: `${folder}/log`,
        RABBITMQ_CONFIG_FILE: written(place, 'rabbitmq.conf', filled(file, place)),
        RABBITMQ_ENABLED_PLUGINS_FILE: written(place, 'enabled_plugins', '[rabbitmq_mqtt,rabbitmq_web_mqtt].\n'),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: erlangFlags,
        HOME: folder,
      }
      return { program: '/bin/sh', args: [starter, program], env }
    },
  }
}

export const rabbitmq: Peer = {
  name: 'rabbitmq',
  install: 'apt-get install rabbitmq-server',
  brokers(path) {
    const program =
      path ?? (isExecutable(scriptItself) ? scriptItself : findProgram('rabbitmq-server', process.env['PATH']))
    if (program === undefined) return []
    const answer = spawnSync('dpkg-query', ['-W', '-f', '$' + '{Version}', 'rabbitmq-server'], { encoding: 'utf8' })
    const version = answer.stdout?.trim() || 'unknown version'
    return (['memory', 'default', 'safest'] as const).map((settings) => broker(program, version, settings))
  },
}
