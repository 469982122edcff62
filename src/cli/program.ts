/**
 * The command line: which commands there are, and how their ends become exit codes.
 */
import { Command, CommanderError } from 'commander'
import { AccessFileError } from '../auth/file-fault.ts'
import { ConfigError } from '../config/config-error.ts'
import { version } from '../observe/version.ts'
import { registerApiCommands } from './api-commands.ts'
import { registerApiToken } from './api-token.ts'
import { registerBackup } from './backup.ts'
import { registerCheckConfig } from './check-config.ts'
import { registerCheckStore } from './check-store.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { registerExplain } from './explain.ts'
import { registerExplainTopic } from './explain-topic.ts'
import { registerExport } from './export.ts'
import { registerImport } from './import.ts'
import { registerInit } from './init.ts'
import { registerPasswd } from './passwd.ts'
import { registerPub } from './pub.ts'
import { registerRestore } from './restore.ts'
import { registerSimulate } from './simulate.ts'
import { registerStart } from './start.ts'
import { registerSub } from './sub.ts'
import { registerTrace } from './trace.ts'
import { registerUpgradeCheck } from './upgrade-check.ts'

/** Runs one command to its end. @returns the process's exit code: 0 ok, 2 bad usage or configuration, 1 anything else */
export async function runProgram(words: readonly string[], context: CliContext): Promise<number> {
  const program = createProgram(context)
  try {
    await program.parseAsync(words, { from: 'user' })
    return ExitCode.ok
  } catch (error) {
    return reported(error, context)
  }
}

function createProgram(context: CliContext): Command {
  const program = new Command('mqtide')
  program
    .description('MQTT and WebSocket gateway for IoT')
    .version(version, '--version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'mqtide: ')),
    })
    .showHelpAfterError('(--help shows the options)')
  registerStart(program, context)
  registerInit(program, context)
  registerPub(program, context)
  registerSub(program, context)
  registerCheckConfig(program, context)
  registerPasswd(program, context)
  registerExplain(program, context)
  registerExplainTopic(program, context)
  registerApiCommands(program, context)
  registerTrace(program, context)
  registerApiToken(program, context)
  registerBackup(program, context)
  registerRestore(program, context)
  registerExport(program, context)
  registerImport(program, context)
  registerSimulate(program, context)
  registerCheckStore(program, context)
  registerUpgradeCheck(program, context)
  return program
}

function reported(error: unknown, { stderr }: CliContext): number {
  if (error instanceof CommanderError) {
    // Commander has written its message. Its own complaints are about usage; `command.error()` brings its own code.
    if (error.exitCode === 0) return ExitCode.ok
    return error.code === 'commander.error' ? error.exitCode : ExitCode.usage
  }
  if (error instanceof ConfigError) {
    const lines = error.message.split('\n').map((line) => `  ${line}\n`)
    stderr.write(`mqtide: the configuration is not valid:\n${lines.join('')}`)
    return ExitCode.usage
  }
  if (error instanceof AccessFileError) {
    stderr.write(`mqtide: ${error.message}\n`)
    return ExitCode.usage
  }
  if (error instanceof CliError) {
    if (error.message) stderr.write(`mqtide: ${error.message}\n`)
    return error.exitCode
  }
  stderr.write(`mqtide: ${error instanceof Error ? error.stack : String(error)}\n`)
  return ExitCode.fatal
}
