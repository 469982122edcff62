/** Streams as the API answers, in the words of docs/streams.md. */
import type { LogMessage } from './queue-types.ts'

export interface Stream {
  namespace: string
  name: string
  address: string
  filter: string
  /** False: the configuration does not name it any more, and what it has is kept. */
  declared: boolean
  messages: number
  bytes: number
  firstOffset: number
  nextOffset: number
  oldestAt: string | null
  newestAt: string | null
  readers: number
  groups: number
  totals: Record<'appended' | 'refused' | 'delivered' | 'trimmed' | 'gaps' | 'missed', number>
}

interface Reading {
  filter: string | null
  cursor: number
  lag: number
  inflight: number
}

export interface StreamGroup extends Reading {
  group: string
  members: number
}

export interface StreamReader extends Reading {
  clientId: string
  connected: boolean
  group: string | null
}

export interface StreamDetails extends Stream {
  groupList: StreamGroup[]
  readerList: StreamReader[]
}

export interface StreamMessage {
  offset: number
  at: string
  message: LogMessage
}
