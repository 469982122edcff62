import { spawnSync } from 'node:child_process'
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

const capabilities: ReadonlySet<Capability> = new Set(['websocket', 'retained'])

/** Debian's rabbitmq-server on PATH changes to the user rabbitmq, who can't write the bench's folders; this is what it starts. */
const scriptItself = '/usr/lib/rabbitmq/bin/rabbitmq-server'

function broker(program: string, version: string, settings: Settings): Broker {
  return {
    name: 'rabbitmq',
    label: settings === 'memory' ? 'RabbitMQ' : `RabbitMQ, durable (${settings})`,
    version,
    settings,
    capabilities,
    configuration: template('rabbitmq/rabbitmq.conf'),
    webSocketPath: '/ws',
    command(place: Place) {
      const { folder, ports } = place
      const env = {
        RABBITMQ_NODENAME: `bench${ports.mqtt}@localhost`,
        RABBITMQ_NODE_PORT: String(ports.spare),
        RABBITMQ_DIST_PORT: String(ports.tls),
        RABBITMQ_MNESIA_BASE: `${folder}/mnesia`,
        RABBITMQ_LOG_BASE: `${folder}/log`,
        RABBITMQ_CONFIG_FILE: written(place, 'rabbitmq.conf', filled('rabbitmq/rabbitmq.conf', place)),
        RABBITMQ_ENABLED_PLUGINS_FILE: written(place, 'enabled_plugins', '[rabbitmq_mqtt,rabbitmq_web_mqtt].\n'),
        // One scheduler: it has one core.
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1',
        HOME: folder,
      }
      return { program, args: [], env }
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
    return (['memory', 'default'] as const).map((settings) => broker(program, version, settings))
  },
}
