/** The process: hands argv, environment, streams and signals to the command line and takes its exit code. */
import type { StopSignal } from './cli/context.ts'
import { runProgram } from './cli/program.ts'
import { flushLog } from './observe/log.ts'

process.exitCode = await runProgram(process.argv.slice(2), {
  environment: process.env,
  pid: process.pid,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  onSignal: (signal: StopSignal, listener: () => void) => {
    process.on(signal, listener)
    return () => process.off(signal, listener)
  },
  exit: (exitCode) => {
    flushLog()
    process.exit(exitCode)
  },
})
flushLog()
