/** Any other broker, by path: started as `PATH MQTT_PORT WEBSOCKET_PORT FOLDER`, so a three-line script adapts it. */
import type { Capability, Peer, Place } from './broker.ts'
import { isExecutable } from './broker.ts'

const capabilities: ReadonlySet<Capability> = new Set([
  'websocket',
  'qos2',
  'mqtt5',
  'shared',
  'retained',
  'many-sessions',
])

export function program(name: string): Peer {
  return {
    name,
    install: `give its path: --peers ${name}=PATH`,
    brokers(path) {
      if (path === undefined || !isExecutable(path)) return []
      return [
        {
          name,
          label: name,
          version: path,
          settings: 'memory',
          capabilities,
          configuration: `${path} MQTT_PORT WEBSOCKET_PORT FOLDER`,
          webSocketPath: '/mqtt',
          command(place: Place) {
            const { folder, ports } = place
            return { program: path, args: [String(ports.mqtt), String(ports.http), folder] }
          },
        },
      ]
    },
  }
}
