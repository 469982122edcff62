/**
 * `mqtide init`: the first configuration, with comments that say what to do next. Users and rules are on from the start, and nobody is in
 * the file of users yet, so that what follows is `mqtide passwd`, and a start that is safe on a network.
 *
 * What exists is not touched: of the configuration only with --force, of users and keys never.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { makeDirectory } from '../store/make-directory.ts'
import { type CliContext, CliError } from './context.ts'
import { type ConfigChoices, configText, usersText } from './init-text.ts'

interface Flags {
  directory: string
  tls?: boolean
  force?: boolean
}

const names = { config: 'mqtide.yaml', users: 'users', cert: 'server.crt', key: 'server.key' } as const
const certificateDays = 365

export function registerInit(program: Command, context: CliContext): void {
  program
    .command('init')
    .description('write a first configuration, with users and rules switched on')
    .option('--directory <folder>', 'where to; made if it is missing', '.')
    .option('--tls', 'make a certificate that signs itself, and listen with TLS for other machines')
    .option('--force', `replace a ${names.config} that exists; users and keys stay`)
    .action((flags: Flags) => init(flags, context))
}

function init({ directory, tls = false, force = false }: Flags, { stdout, stderr }: CliContext): void {
  const at = (name: string): string => join(directory, name)
  if (!force && existsSync(at(names.config))) throw new CliError(`${at(names.config)} exists; --force replaces it`)
  try {
    makeDirectory(directory)
    const certificate = tls ? certificateIn(directory) : 'not-wanted'
    if (certificate === 'impossible')
      stderr.write('mqtide: openssl is not there: the listener with TLS is commented out\n')
    const choices: ConfigChoices = { tls: certificate === 'there' || certificate === 'made' }
    writeFileSync(at(names.config), configText(choices))
    const hadUsers = existsSync(at(names.users))
    if (!hadUsers) writeFileSync(at(names.users), usersText, { mode: 0o600 })
    const made = [
      names.config,
      ...(hadUsers ? [] : [names.users]),
      ...(certificate === 'made' ? [names.cert, names.key] : []),
    ]
    stdout.write(`${made.map((name) => `wrote ${at(name)}\n`).join('')}${nextSteps(at, choices)}`)
  } catch (error) {
    throw typeof (error as NodeJS.ErrnoException).syscall === 'string' ? new CliError((error as Error).message) : error
  }
}

function nextSteps(at: (name: string) => string, { tls }: ConfigChoices): string {
  const trust = tls ? ` -p 8883 --cafile ${at(names.cert)}` : ''
  return `
Next:
  mqtide passwd ${at(names.users)} alice                 # a user; asks for the password
  mqtide check-config ${at(names.config)}
  mqtide start --config ${at(names.config)}
  mosquitto_sub -h localhost${trust} -u alice -P … -t 'users/alice/#'
`
}

/** Programs that make certificates are not ours to be: openssl is nearly everywhere, and Node has no way to. */
function certificateIn(directory: string): 'there' | 'made' | 'impossible' {
  const [cert, key] = [join(directory, names.cert), join(directory, names.key)]
  const there = [cert, key].filter((file) => existsSync(file))
  if (there.length === 2) return 'there'
  if (there.length === 1) throw new CliError(`${there[0]} is there without ${there[0] === cert ? key : cert}`)
  const subject = ['-subj', `/CN=${hostname().slice(0, 64)}`, '-days', String(certificateDays)]
  const hosts = [...new Set(['localhost', hostname()])].map((name) => `DNS:${name}`)
  const extensions = [`subjectAltName=${[...hosts, 'IP:127.0.0.1', 'IP:::1'].join(',')}`, 'extendedKeyUsage=serverAuth']
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', resolve(key)]
  const words = ['req', '-x509', ...newKey, ...subject, ...extensions.flatMap((one) => ['-addext', one])]
  try {
    // Readable by nobody else from its first byte on.
    writeFileSync(key, '', { mode: 0o600, flag: 'wx' })
    execFileSync('openssl', [...words, '-out', resolve(cert)], { stdio: 'pipe' })
    return 'made'
  } catch (error) {
    for (const file of [cert, key]) rmSync(file, { force: true })
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'impossible'
    const { stderr } = error as { stderr?: Buffer }
    throw new CliError(`openssl made no certificate: ${(stderr?.toString() ?? (error as Error).message).trim()}`)
  }
}
