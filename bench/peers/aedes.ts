import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Capability, Peer, Place } from './broker.ts'

const capabilities: ReadonlySet<Capability> = new Set(['websocket', 'qos2', 'retained'])
const manifest = new URL('../../node_modules/aedes/package.json', import.meta.url)

export const aedes: Peer = {
  name: 'aedes',
  install: 'npm ci (a development dependency)',
  brokers() {
    let version: string
    try {
      version = (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
    } catch {
      return []
    }
    return [
      {
        name: 'aedes',
        label: 'aedes',
        version,
        settings: 'memory',
        capabilities,
        configuration: 'memory persistence, default options (bench/peers/aedes-broker.ts)',
        webSocketPath: '/mqtt',
        command(place: Place) {
          const script = fileURLToPath(new URL('aedes-broker.ts', import.meta.url))
          return { program: process.execPath, args: [script, String(place.ports.mqtt), String(place.ports.http)] }
        },
      },
    ]
  },
}
