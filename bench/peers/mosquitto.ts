import { spawnSync } from 'node:child_process'
import { type Broker, type Capability, findProgram, type Peer, type Place, type Settings } from './broker.ts'
import { filled, filledWithAccess, template, written } from './templates.ts'

const capabilities: ReadonlySet<Capability> = new Set([
  'websocket',
  'tls',
  'qos2',
  'mqtt5',
  'shared',
  'retained',
  'many-sessions',
  'password',
  'acl',
])

function broker(program: string, version: string, settings: Settings): Broker {
  return {
    name: 'mosquitto',
    label: settings === 'memory' ? 'Mosquitto' : `Mosquitto, durable (${settings})`,
    version,
    settings,
    capabilities,
    configuration: template(`mosquitto/${settings}.conf`),
    webSocketPath: '/mqtt',
    command(place: Place) {
      const tls = place.certificate === undefined ? '' : filled('mosquitto/tls.conf', place)
      // Started by root, Mosquitto would become the user mosquitto, who can't reach these files.
      const user = process.getuid?.() === 0 ? 'user root\n' : ''
      const main = filledWithAccess(`mosquitto/${settings}.conf`, 'mosquitto/access.conf', place)
      const file = written(place, 'mosquitto.conf', user + main + tls)
      return { program, args: ['-c', file] }
    },
  }
}

export const mosquitto: Peer = {
  name: 'mosquitto',
  install: 'apt-get install mosquitto',
  brokers(path) {
    const program = path ?? findProgram('mosquitto', process.env['PATH'])
    if (program === undefined) return []
    const help = spawnSync(program, ['-h'], { encoding: 'utf8' })
    const version = /mosquitto version (\S+)/.exec(help.stdout ?? '')?.[1] ?? 'unknown version'
    return (['memory', 'default', 'safest'] as const).map((settings) => broker(program, version, settings))
  },
}
