/**
 * What a command may know of the process it runs in. Only `src/main.ts` touches the process itself.
 */
import type { Readable, Writable } from 'node:stream'
import type { Environment } from '../config/load.ts'

export type StopSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP'

export interface CliContext {
  environment: Environment
  pid: number
  stdin: Readable
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean }
  /** Calls `listener` for each such signal, which then no longer ends the process by itself; gives back how to stop that. */
  onSignal(signal: StopSignal, listener: () => void): () => void
  /** Ends the process at once. */
  exit(exitCode: number): never
}

export const ExitCode = {
  ok: 0,
  fatal: 1,
  usage: 2,
  /** Waiting took longer than `-W` allows; the number that mosquitto_sub uses. */
  timeout: 27,
} as const

/** Ends the command with a message for the user instead of a stack trace. */
export class CliError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number = ExitCode.fatal) {
    super(message)
    this.name = 'CliError'
    this.exitCode = exitCode
  }
}
