/** `mqtide check-config FILE`: says whether `start --config FILE` would accept the file, without starting anything. */
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { loadAccess } from '../auth/access-files.ts'
import { accessSettings, withoutSecrets } from '../config/access-settings.ts'
import { loadConfig } from '../config/load.ts'
import { configJsonSchema } from '../config/schema.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'

interface Flags {
  print?: boolean
  jsonSchema?: boolean
}

export function registerCheckConfig(program: Command, context: CliContext): void {
  program
    .command('check-config')
    .description('check a configuration file and say what is wrong, with line and column')
    .argument('[file]', 'YAML or JSON file')
    .option('--print', 'print all options with their defaults filled in')
    .option('--json-schema', "print the file's JSON Schema, for editors")
    .action((file: string | undefined, flags: Flags) => {
      if (flags.jsonSchema) context.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
      else if (file === undefined) throw new CliError('check-config needs a file', ExitCode.usage)
      if (file === undefined) return
      const loaded = loadConfig({ file }).config
      const settings = accessSettings(loaded)
      if (settings !== undefined) loadAccess(settings)
      const { authenticator: _, authenticationMethods: __, ...config } = loaded
      context.stdout.write(flags.print ? stringify(withoutSecrets(config)) : `${file}: ok\n`)
    })
}
