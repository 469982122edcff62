/**
 * The log: one JSON object per line on standard error, through pino.
 *
 * Writing is asynchronous, so that a slow reader of the log never holds the event loop; what can't be written waits in a
 * bounded buffer, and beyond it lines are lost rather than memory. `flushLog` writes what waits before the process ends.
 */
import { type DestinationStream, type Logger, pino } from 'pino'
import type { LogLevel } from '../config/schema.ts'

export type Log = Logger

const logBufferBytesMax = 4 * 1024 * 1024

let destination: (DestinationStream & { flushSync(): void }) | undefined

/** Level `silent` writes nothing; assigning `log.level` changes it while running. */
export function createLog(level: LogLevel): Log {
  destination ??= pino.destination({ dest: 2, sync: false, maxLength: logBufferBytesMax })
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}

export function flushLog(): void {
  try {
    destination?.flushSync()
  } catch {
    // Standard error is closed or was never opened: there's nobody left to tell.
  }
}
