/**
 * The log: one JSON object per line on standard error, through pino.
 *
 *     pino -> LineLimit: lines per second -> LogOutput: bytes that wait -> standard error
 *
 * What is left out on the way is counted (`mqtt_log_lines_dropped_total`), and a line says so in its place. Nothing here
 * blocks or throws. `flushLog` writes what still can be written when the process ends.
 */
import { type Logger, pino } from 'pino'
import type { LogLevel } from '../config/schema.ts'
import { LineLimit } from './log-limit.ts'
import { LogOutput } from './log-output.ts'
import { standardError } from './log-target.ts'

export type Log = Logger

const logBufferBytesMax = 1024 * 1024
const retryMs = 1000
const linesPerReasonPerSecondMax = 50
const linesPerSecondMax = 500

/** Below are levels that somebody asked for, above is why the process ends. */
const limited = { from: pino.levels.values['info']!, below: pino.levels.values['fatal']! }

/** Lines that were not written, since the start of the process and for all gateways in it. */
export const droppedLines = {
  /** More of one reason than a second may have. */
  leftOut: 0,
  /** Standard error did not take them. */
  get unwritten(): number {
    return output?.droppedLines ?? 0
  },
}

let output: LogOutput | undefined

/** Made by the first line, so that a program that logs nothing keeps its standard error as it is. */
function openOutput(): LogOutput {
  output ??= new LogOutput(standardError(), { bufferBytesMax: logBufferBytesMax, retryMs, dropped: droppedLine })
  return output
}

function droppedLine(lines: number): string {
  const time = new Date().toISOString()
  const msg = `${lines} lines were not written, since nothing read the log or its disk was full`
  return `${JSON.stringify({ level: 'warn', time, lines, msg })}\n`
}

/** What pino tells a destination that asks for it: the level of the line that it is about to be given. */
const destination = {
  [Symbol.for('pino.metadata')]: true,
  lastLevel: 0,
  write(line: string): void {
    openOutput().write(line, this.lastLevel >= limited.below)
  },
}

/** Level `silent` writes nothing; assigning `log.level` changes it while running. */
export function createLog(level: LogLevel): Log {
  let telling = false
  const limit = new LineLimit({
    linesPerReasonPerSecondMax,
    linesPerSecondMax,
    now: () => performance.now(),
    after: (delayMs, call) => void setTimeout(call, delayMs).unref(),
    leftOut(lines, { reason, level: number }) {
      droppedLines.leftOut += lines
      const name = pino.levels.labels[number] as 'warn'
      telling = true
      log[name]({ reason, lines }, `${lines} more lines with this reason were left out within a second`)
      telling = false
    },
  })
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: {
        logMethod(parts, method, number) {
          const isUrgent = number >= limited.below
          if (!isUrgent && output?.refuses) output.refuse()
          else if (isUrgent || telling || number < limited.from || limit.admits(reasonOf(parts), number)) {
            method.apply(this, parts)
          }
        },
      },
    },
    destination,
  )
  return log
}

/** Far enough into a text to tell it from others, not far enough for what a client put there. */
const reasonCharactersMax = 24

function reasonOf([fields, text]: readonly unknown[]): string {
  if (typeof fields === 'string') return fields.slice(0, reasonCharactersMax)
  const { reason } = (fields ?? {}) as { reason?: unknown }
  return typeof reason === 'string' ? reason : String(text).slice(0, reasonCharactersMax)
}

export function flushLog(): void {
  output?.finish()
}
