/** `mqtide check-config FILE`: says whether `start --config FILE` would accept the file, without starting anything. */
import type { Command } from 'commander'
import { stringify } from 'yaml'
import { loadListenerAccess } from '../auth/access-files.ts'
import { accessOfListeners, accessSettings } from '../config/access-settings.ts'
import { ConfigError, type ConfigIssue, lineOf } from '../config/config-error.ts'
import { listenersOf } from '../config/listeners.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { configJsonSchema, type GatewayConfig } from '../config/schema.ts'
import { withoutSecrets } from '../config/secrets.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { certificateFaults, fileDescriptorWarning, warningsOf } from './findings.ts'

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
      const { config: loaded, sourceOf } = loadConfig({ file })
      loadListenerAccess(accessOfListeners(loaded))
      const placed = (issue: ConfigIssue): ConfigIssue => ({ source: sourceOf(issue.path) ?? file, ...issue })
      const faults = certificateFaults(loaded)
      if (faults.length > 0) throw new ConfigError(faults.map(placed))
      for (const issue of [...warningsOf(loaded, Date.now()), ...limitWarnings(loaded, sourceOf)]) {
        context.stderr.write(`mqtide: warning: ${lineOf(placed(issue))}\n`)
      }
      const { authenticator: _, authenticationMethods: __, ...config } = loaded
      context.stdout.write(flags.print ? stringify(withoutSecrets(config)) : `${file}: ok\n${ownAccess(loaded)}`)
    })
}

/** Where nobody said a limit, the start says it: it may run with other rights than who checks. */
function limitWarnings(config: GatewayConfig, sourceOf: LoadedConfig['sourceOf']): ConfigIssue[] {
  const said = (['connectionsMax', 'handshakesMax', 'httpSocketsMax'] as const).find(
    (name) => sourceOf(['limits', name]) !== sourceOf(['limits']),
  )
  const warning = said && fileDescriptorWarning(config)
  return warning === undefined ? [] : [{ path: ['limits', said!], message: warning.message }]
}

/** A line for each listener that says something of its own of who may connect and what they may do. */
function ownAccess(config: GatewayConfig): string {
  const lines = listenersOf(config).flatMap(({ name, own }) => {
    const { authentication, authorization } = own
    const settings = accessSettings(config, { own, name })
    const said = [
      authentication && `authentication by ${settings!.steps.map(({ kind }) => kind).join(', ')}`,
      authentication === false && 'nobody is asked who he is',
      authorization && (authorization.aclFile === undefined ? 'rules of its own' : `rules of ${authorization.aclFile}`),
      authorization === false && 'no rules',
      own.allowAnonymous !== undefined && `allowAnonymous: ${own.allowAnonymous}`,
    ].filter((one) => typeof one === 'string')
    return said.length === 0 ? [] : [`listener ${name}: ${said.join('; ')}\n`]
  })
  return lines.join('')
}
