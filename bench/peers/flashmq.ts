import { spawnSync } from 'node:child_process'
import { type Broker, type Capability, findProgram, type Peer, type Place, type Settings } from './broker.ts'
import { filledWithAccess, template, written } from './templates.ts'

const capabilities: ReadonlySet<Capability> = new Set([
  'websocket',
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
    name: 'flashmq',
    label: settings === 'memory' ? 'FlashMQ' : `FlashMQ, durable (${settings})`,
    version,
    settings,
    capabilities,
    configuration: template(`flashmq/${settings}.conf`),
    webSocketPath: '/mqtt',
    command(place: Place) {
      const file = written(
        place,
        'flashmq.conf',
        filledWithAccess(`flashmq/${settings}.conf`, 'flashmq/access.conf', place),
      )
      return { program, args: ['--config-file', file] }
    },
  }
}

export const flashmq: Peer = {
  name: 'flashmq',
  install: 'no Debian package; build or download it from www.flashmq.org, then --peers flashmq=PATH',
  brokers(path) {
    const program = path ?? findProgram('flashmq', process.env['PATH'])
    if (program === undefined) return []
    const answer = spawnSync(program, ['--version'], { encoding: 'utf8' })
    const version = /\d+\.\d+(\.\d+)?/.exec(`${answer.stdout ?? ''}${answer.stderr ?? ''}`)?.[0] ?? 'unknown version'
    return (['memory', 'default'] as const).map((settings) => broker(program, version, settings))
  },
}
