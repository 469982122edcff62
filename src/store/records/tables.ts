/** Every table of records, for check and salvage: in the order in which rows must be known to judge the next. */
import { clockTable } from './clock.ts'
import { delayedTable } from './delayed.ts'
import { incomingTable } from './incoming.ts'
import { attemptTable } from './log.ts'
import { messageTable } from './message.ts'
import { queueTables } from './queue-entry.ts'
import { releasedTable } from './released.ts'
import { retainedTable } from './retained.ts'
import { seenTables } from './seen.ts'
import { logTable } from './sent.ts'
import { sessionTable } from './session.ts'
import { streamTables } from './stream.ts'
import { subscriptionTable } from './subscription.ts'
import type { StoredTable } from './table.ts'
import { willTable } from './will.ts'

const endedSessionTable: StoredTable = { name: 'ended_session', key: ['number'] }

export const tables: readonly StoredTable[] = [
  sessionTable,
  endedSessionTable,
  messageTable,
  willTable,
  retainedTable,
  subscriptionTable,
  releasedTable,
  incomingTable,
  logTable,
  attemptTable,
  clockTable,
  delayedTable,
  ...streamTables,
  ...seenTables,
  ...queueTables,
]
