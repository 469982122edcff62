/** What a bridge is told to be, checked before it comes here. */
import type { Qos } from '../mqtt/packet.ts'

export interface TopicRule {
  /** Without prefix. */
  readonly filter: string
  readonly direction: 'in' | 'out' | 'both'
  readonly qos: Qos
  /** What topics begin with here, and there: one is exchanged for the other. */
  readonly localPrefix: string
  readonly remotePrefix: string
  /** Of what the filter matches, what stays where it is. Without prefix too. */
  readonly except: readonly string[]
  /** Whether RETAIN is kept. */
  readonly retain: boolean
  readonly retainHandling: 0 | 1 | 2
}

export const queueFullPolicies = ['drop-oldest', 'drop-newest', 'reject'] as const
export type QueueFull = (typeof queueFullPolicies)[number]

export interface TlsFiles {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly passphraseFile?: string | undefined
  readonly servername?: string | undefined
  readonly verify: boolean
}

export interface BridgeSettings {
  readonly namespace: string
  readonly name: string
  /** mqtt, mqtts, ws or wss. */
  readonly url: string
  /** The protocol level: 4 is 3.1.1. */
  readonly protocolVersion: 4 | 5
  /** Undefined: made of the gateway's id and the name. */
  readonly clientId?: string | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
  readonly tls: TlsFiles
  readonly topics: readonly TopicRule[]
  readonly connections: number
  readonly keepAliveSeconds: number
  readonly connectTimeoutMs: number
  readonly ackTimeoutMs: number
  readonly reconnectMs: number
  readonly reconnectMaxMs: number
  readonly sessionExpirySeconds: number
  readonly inflightMessagesMax: number
  readonly packetBytesMax: number
  readonly queueMessagesMax: number
  readonly queueBytesMax: number
  readonly queueFull: QueueFull
}

export const isOut = ({ direction }: TopicRule): boolean => direction !== 'in'
export const isIn = ({ direction }: TopicRule): boolean => direction !== 'out'
export const localFilter = ({ localPrefix, filter }: TopicRule): string => localPrefix + filter
export const remoteFilter = ({ remotePrefix, filter }: TopicRule): string => remotePrefix + filter

/** An address without what may stand behind a question mark, which may be a key. */
export function shownUrl(url: string): string {
  return url.replace(/\?.*$/s, '')
}
