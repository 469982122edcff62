/** All peers the bench knows by name. */
import { aedes } from './aedes.ts'
import type { Broker, Peer } from './broker.ts'
import { flashmq } from './flashmq.ts'
import { mosquitto } from './mosquitto.ts'
import { nats } from './nats.ts'
import { program } from './program.ts'
import { rabbitmq } from './rabbitmq.ts'

export const peers: readonly Peer[] = [mosquitto, nats, rabbitmq, aedes, flashmq]

export interface PeerRequest {
  name: string
  path?: string
}

export interface FoundPeers {
  brokers: Broker[]
  /** One line per peer that was asked for and is not here, with what installs it. */
  missing: string[]
}

/** Finds the brokers of the requested peers. An unknown name with a path is any other program. */
export function findPeers(requests: readonly PeerRequest[]): FoundPeers {
  const found: FoundPeers = { brokers: [], missing: [] }
  for (const { name, path } of requests) {
    const peer = peers.find((one) => one.name === name) ?? program(name)
    const brokers = peer.brokers(path)
    if (brokers.length === 0) found.missing.push(`${name}${path === undefined ? '' : ` at ${path}`}: ${peer.install}`)
    found.brokers.push(...brokers)
  }
  return found
}
