/**
 * The gateway of this checkout, or of another one (`--base REV`). Always its default configuration, with a TLS listener, users, rules,
 * queues and streams where a scenario needs those.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Broker, Capability, Place, Settings } from './broker.ts'
import { written } from './templates.ts'

/** Messages that one worker has at a time. */
const prefetchMax = 1000
const queueMessagesMax = 10_000_000
const forEver = { ageMs: 0, bytesMax: 0, messagesMax: 0 }

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
  'queues',
  'mqtt-queues',
  'idle-queues',
  'streams',
])

export interface Checkout {
  /** Folder with `bin/mqtide.js` and `node_modules`. */
  folder: string
  name: string
  /** Commit, and whether files differ from it. */
  version: string
  /** Folder for a CPU profile of each start, if wanted. */
  profileFolder?: string
}

/** Empty when the checkout has no program yet. */
export function gateway(checkout: Checkout): Broker[] {
  const program = join(checkout.folder, 'bin/mqtide.js')
  if (!existsSync(program)) return []
  return (['memory', 'default'] as const).map((settings) => broker(checkout, program, settings))
}

function broker(checkout: Checkout, program: string, settings: Settings): Broker {
  const memory = settings === 'memory'
  return {
    name: checkout.name,
    label: memory ? checkout.name : `${checkout.name}, durable (default)`,
    version: checkout.version,
    settings,
    capabilities,
    configuration: memory
      ? 'start --in-memory'
      : 'start --data-dir FOLDER (default: fsync before every acknowledgement)',
    webSocketPath: '/mqtt',
    metricsPath: '/metrics',
    writesAtEnd: checkout.profileFolder !== undefined,
    command(place: Place) {
      const store = memory ? ['--in-memory'] : ['--data-dir', join(place.folder, 'data')]
      const { certificate, access, queues, streams } = place
      const isPlain = [certificate, access, queues, streams].every((asked) => asked === undefined)
      const ports = isPlain
        ? ['--mqtt-port', String(place.ports.mqtt), '--http-port', String(place.ports.http)]
        : ['--config', written(place, 'mqtide.yaml', configurationFile(place))]
      const { profileFolder } = checkout
      const profile = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`]
      const args = [...profile, program, 'start', ...store, ...ports]
      return { program: process.execPath, args, folder: checkout.folder }
    },
  }
}

/** JSON is YAML. */
function configurationFile({ ports, certificate, access, queues, streams }: Place): string {
  const listeners: object[] = [
    { kind: 'tcp', port: ports.mqtt },
    { kind: 'http', port: ports.http },
  ]
  if (certificate !== undefined) {
    listeners.push({ kind: 'tls', port: ports.tls, cert: certificate.certificateFile, key: certificate.keyFile })
  }
  const asked = access && {
    authentication: { passwordFile: access.passwordFile },
    authorization: { aclFile: access.aclFile },
  }
  const declared =
    queues &&
    Object.fromEntries(
      Object.entries(queues).map(([name, filter]) => [name, { filter, prefetchMax, messagesMax: queueMessagesMax }]),
    )
  const declaredStreams =
    streams &&
    Object.fromEntries(Object.entries(streams).map(([name, filter]) => [name, { filter, retention: forEver }]))
  return JSON.stringify({
    listeners,
    ...asked,
    ...(declared !== undefined && { queues: declared }),
    ...(declaredStreams !== undefined && { streams: declaredStreams }),
  })
}
