import { spawnSync } from 'node:child_process'
import { type Broker, type Capability, findProgram, type Peer, type Place, type Settings } from './broker.ts'
import { filled, template, written } from './templates.ts'

/** `sync_interval: always` came with 2.10, QoS 2 as well. */
export function isBefore210(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < 2 || (major === 2 && minor < 10)
}

function broker(program: string, version: string, settings: Settings): Broker {
  const capabilities: Capability[] = ['websocket', 'retained', 'many-sessions', 'queues']
  if (!isBefore210(version)) capabilities.push('qos2')
  return {
    name: 'nats',
    label: settings === 'memory' ? 'nats-server' : `nats-server, durable (${settings})`,
    version,
    settings,
    capabilities: new Set(capabilities),
    configuration: template(`nats/${settings}.conf`),
    webSocketPath: '/mqtt',
    workQueue: ({ ports }) => ({
      protocol: 'jetstream',
      port: ports.spare,
      storage: settings === 'memory' ? 'memory' : 'file',
    }),
    command(place: Place) {
      const file = written(place, 'nats.conf', filled(`nats/${settings}.conf`, place))
      // One processor is all it gets: more threads than that only switch.
      return { program, args: ['-c', file], env: { GOMAXPROCS: '1' } }
    },
  }
}

export const nats: Peer = {
  name: 'nats',
  install: 'apt-get install nats-server',
  brokers(path) {
    const program = path ?? findProgram('nats-server', process.env['PATH'])
    if (program === undefined) return []
    const answer = spawnSync(program, ['--version'], { encoding: 'utf8' })
    const version = /v(\d+\.\d+\.\d+)/.exec(answer.stdout ?? '')?.[1] ?? '0.0.0'
    const settings: Settings[] = ['memory', 'default']
    if (!isBefore210(version)) settings.push('safest')
    return settings.map((one) => broker(program, version, one))
  },
}
