/** What one turn appended: its records, in order, and how they are to be committed. */

import type { LogOwner } from '../core/ports/journal.ts'
import type { DelayedQuery, RecoveredDelayedPage } from '../core/ports/recovered.ts'
import type { Message } from '../core/publish/message.ts'
import type { Delivery } from '../core/session/delivery.ts'
import type { BatchPacker } from './batch-packer.ts'

/** The record that may still be elided; all others are functions that write themselves when the batch is packed. */
export interface PendingReference {
  owner: LogOwner
  position: number
  delivery: Delivery
  message: Message
  elided: boolean
}

export type PendingRecord = PendingReference | ((packer: BatchPacker) => void)

export class TurnRecords {
  readonly ticket: number
  /** When its turn ended. */
  sealedAt = 0
  readonly records: PendingRecord[] = []
  /** Records that were not elided. */
  live = 0
  /** Nothing is won by waiting: something in it can't be elided, and holds a frame. */
  urgent = false
  /**
   * The strictest level that any of its records asks for. A frame that waits for this turn leaves on a connection of this
   * level at most: its own records ask for its connection's level.
   */
  level = 0
  bytes = 0
  /** Something besides the store has to have it: it is a turn even without records. */
  hasLegs = false

  constructor(ticket: number) {
    this.ticket = ticket
  }

  raise(level: number): void {
    if (level > this.level) this.level = level
  }
}

/** What a record counts for besides its message. */
export const recordBytes = 64

/** Of a queue, read at a time. */
export const pageMessagesMax = 1000
export const pageBytesMax = 1024 * 1024
/** At once. */
export const pageReadsMax = 12

/** A page of the messages that wait until they are due, and who gets it. */
export interface DelayedRead {
  readonly query: DelayedQuery
  readonly use: (page: RecoveredDelayedPage) => void
  /** The turn in which it was asked for. */
  readonly ticket: number
}

export interface PageRequest {
  readonly owner: LogOwner
  readonly fromPosition: number
  readonly sharedFilter: string | undefined
  /** The turn in which it was asked for. */
  readonly ticket: number
}
