/** `mqtide api-token`: who may use the HTTP API. Works on the data folder's file; a gateway that runs takes the change at once. */
import { existsSync } from 'node:fs'
import { type Command, Option } from 'commander'
import {
  type ApiRole,
  apiRoles,
  changeTokens,
  readTokens,
  TokenError,
  tokensPath,
  withToken,
} from '../auth/api-tokens.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { type DirectoryFlags, dataDirOf } from './store-directory.ts'
import { writeTable } from './table.ts'

type AddFlags = DirectoryFlags & { role: ApiRole; namespace?: string }

export function registerApiToken(program: Command, context: CliContext): void {
  const group = program.command('api-token').description('tokens for the HTTP API: add, list, remove')
  const command = (name: string) =>
    group
      .command(name)
      .option('--config <file>', 'configuration file that names the data folder (MQTIDE_CONFIG)')
      .option('--data-dir <folder>', 'data folder (default ./data)')
  command('add')
    .description('make a token and print it; it is stored as a hash and can not be shown again')
    .argument('<name>', 'what the token is for, as it stands in the audit log')
    .addOption(new Option('--role <role>', 'what it may do').choices(apiRoles).default('viewer'))
    .option('--namespace <name>', 'let it see and change this namespace only (default: the whole gateway)')
    .action((name: string, flags: AddFlags) => add(name, flags, context))
  command('list')
    .description('show the names and roles of all tokens')
    .option('--json', 'as JSON')
    .action((flags: DirectoryFlags & { json?: boolean }) => {
      const tokens = readTokens(pathOf(flags, context)).map(({ name, role, namespace = null, createdAt }) => {
        return { name, role, namespace, createdAt }
      })
      if (flags.json) context.stdout.write(`${JSON.stringify(tokens, null, 2)}\n`)
      else writeTable(context, ['name', 'role', 'namespace', 'createdAt'], tokens)
    })
  command('remove')
    .description('remove a token; whoever has it is refused from then on')
    .argument('<name>', 'the name it was added with')
    .action((name: string, flags: DirectoryFlags) => remove(name, flags, context))
}

/** @throws CliError where there is no such folder: a misspelt one would silently get tokens of its own */
function pathOf(flags: DirectoryFlags, context: CliContext): string {
  const dataDir = dataDirOf(flags, context)
  if (!existsSync(dataDir)) {
    throw new CliError(`${dataDir} does not exist; the first start of a gateway makes it, with a first token`)
  }
  return tokensPath(dataDir)
}

function add(name: string, flags: AddFlags, context: CliContext): void {
  const path = pathOf(flags, context)
  try {
    let made = ''
    changeTokens(path, (before) => {
      const { token, tokens } = withToken(before, { name, role: flags.role, namespace: flags.namespace }, new Date())
      made = token
      return tokens
    })
    context.stdout.write(`${made}\n`)
  } catch (error) {
    throw error instanceof TokenError ? new CliError(error.message, ExitCode.usage) : error
  }
}

function remove(name: string, flags: DirectoryFlags, context: CliContext): void {
  changeTokens(pathOf(flags, context), (tokens) => {
    const kept = tokens.filter((token) => token.name !== name)
    if (kept.length === tokens.length) throw new CliError(`there is no token named ${name}`)
    return kept
  })
}
