/** Bridges as the API answers, in the words of docs/bridges.md. */
export interface Bridge {
  namespace: string
  name: string
  source: 'configuration' | 'api'
  url: string
  protocolVersion: number
  clientId: string
  connections: number
  state: 'connecting' | 'connected' | 'waiting' | 'refused' | 'stopped'
  connectedAt: string | null
  nextAttemptAt: string | null
  attempts: number
  lastFailure: { reason: string; text: string; at: string } | null
  waiting: number
  waitingBytes: number
  inflight: number
  dropped: number
  connects: number
  sent: number
  received: number
  skippedOut: Record<string, number>
  skippedIn: Record<string, number>
  refused: Record<string, number>
  failures: Record<string, number>
}

export interface BridgeTopic {
  filter: string
  direction: 'in' | 'out' | 'both'
  qos: number
  localPrefix: string
  remotePrefix: string
  except: string[]
}

export interface BridgeDetails extends Bridge {
  topics: BridgeTopic[]
}
