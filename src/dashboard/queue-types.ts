/** Queues as the API answers, in the words of docs/queues.md. */
import type { z } from '@hono/zod-openapi'
import type { messageSchema } from '../api/schemas.ts'

export type LogMessage = z.infer<typeof messageSchema>

export interface Queue {
  namespace: string
  name: string
  address: string
  /** Null: it takes in what is published to its address only. */
  filter: string | null
  /** False: the configuration does not name it any more, and its messages wait. */
  declared: boolean
  ready: number
  leased: number
  waiting: number
  bytes: number
  oldestAt: string | null
  consumers: number
  totals: Record<QueueTotal, number>
}

export type QueueTotal = 'enqueued' | 'settled' | 'retried' | 'deadLettered' | 'redriven' | 'dropped' | 'refused'

export interface QueueDetails extends Queue {
  consumerList: { clientId: string; connected: boolean; prefetch: number; leased: number; paused: boolean }[]
}

export interface QueueMessage {
  /** Unlike the others'. */
  delivery: string
  state: 'ready' | 'leased' | 'waiting'
  attempt: number
  deadLetter: { queue: string; reason: string } | null
  message: LogMessage
}
