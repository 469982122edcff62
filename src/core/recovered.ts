/**
 * What a store gives back, in the shapes the core takes: the store's port extends these, so that the core knows no store.
 */
import type { ProtocolVersion, Qos } from '../mqtt/packet.ts'

export interface RecoveredSession {
  number: number
  clientId: string
  version: ProtocolVersion
  expiryInterval: number
  expiresAt: number
  connected: boolean
  username: string
}

export interface RecoveredSubscription {
  session: number
  topicFilter: string
  qos: Qos
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
  identifier: number
}

export interface RecoveredMessage {
  id: number
  topic: string
  payload: Uint8Array
  properties: Uint8Array
  qos: Qos
  expiresAt: number
  publisher: string
  publishedAt: number
}

export interface RecoveredReference {
  session: number
  position: number
  messageId: number
  qos: Qos
  retain: boolean
  sharedFilter: string
  subscriptionIdentifiers: readonly number[]
}

export interface RecoveredWill {
  session: number
  topic: string
  payload: Uint8Array
  properties: Uint8Array
  qos: Qos
  retain: boolean
  delayInterval: number
  messageExpiryInterval: number
  dueAt: number
}

export interface RecoveredPage {
  session: number
  entries: readonly { reference: RecoveredReference; message: RecoveredMessage }[]
  more: boolean
}
