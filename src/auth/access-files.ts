/**
 * What access is made of, with its files read and checked: users, rules, keys. Nothing here is in force yet.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { parseAclFile } from './acl-file.ts'
import { type AuthorizationSource, everythingAllowed, type RuleSet } from './authorization.ts'
import type { CertificateOptions } from './certificate-step.ts'
import { AccessFileError, type FileFault } from './file-fault.ts'
import { headerNamePattern, headerValuePattern } from './hook-forms.ts'
import type { HttpHookOptions } from './http-hook.ts'
import { type JwtKeySource, type JwtOptions, JwtStep } from './jwt.ts'
import { parsePasswordFile, type Users } from './password-file.ts'
import { type RuleInput, ruleOf, type TextOrList } from './rule.ts'

/** Larger files are refused unread. */
const fileBytesMax = 64 * 1024 * 1024

type JwtSettings = Omit<JwtOptions, 'key' | 'now' | 'fetch'>
type HookSettings = Omit<HttpHookOptions, 'throttle' | 'now' | 'sleep' | 'fetch' | 'rememberMs' | 'rememberedMax'>

/** How to have a key; exactly one is given. */
export interface JwtKeySettings {
  secret?: string | undefined
  secretFile?: string | undefined
  publicKeyFile?: string | undefined
  jwksFile?: string | undefined
  jwksUrl?: string | undefined
}

export type StepSettings =
  | { kind: 'passwordFile'; file: string; passOnUnknownUsers: boolean }
  | { kind: 'jwt'; key: JwtKeySettings; settings: JwtSettings }
  | { kind: 'http'; settings: HookSettings; headersFile?: string | undefined }
  | { kind: 'certificate'; settings: CertificateOptions }

export interface AccessSettings {
  /** Empty: nobody is asked who he is. */
  steps: readonly StepSettings[]
  scram: boolean
  allowAnonymous: boolean
  stepTimeoutMs: number
  rememberMs: number
  hashQueueMax: number
  /** Where the rules stand, for whoever asks which one decides; absent: `authorization`. */
  place?: string
  authorization?:
    | {
        aclFile?: string | undefined
        strictSubscribe: boolean
        rules?: readonly RuleInput[] | undefined
        clientId?: TextOrList | undefined
        groups: Readonly<Record<string, readonly string[]>>
      }
    | undefined
}

export type LoadedStep = { key: string } & (
  | { kind: 'passwordFile'; users: Users; passOnUnknownUsers: boolean }
  | { kind: 'jwt'; options: Omit<JwtOptions, 'now'> }
  | { kind: 'http'; options: HookSettings }
  | { kind: 'certificate'; options: CertificateOptions }
)

export interface LoadedAccess extends Omit<AccessSettings, 'steps' | 'authorization'> {
  steps: readonly LoadedStep[]
  authorization: AuthorizationSource
}

/** Undefined: whoever comes is let in and may do everything. */
export interface ListenerAccessSettings {
  common: AccessSettings | undefined
  /** By name, of listeners with something of their own. */
  own: ReadonlyMap<string, AccessSettings | undefined>
}

export interface LoadedListenerAccess {
  common: LoadedAccess | undefined
  own: ReadonlyMap<string, LoadedAccess | undefined>
}

/** @throws AccessFileError with the faults of the first file that has some */
export function loadListenerAccess({ common, own }: ListenerAccessSettings): LoadedListenerAccess {
  const load = (settings: AccessSettings | undefined) => settings && loadAccess(settings)
  return { common: load(common), own: new Map([...own].map(([listener, settings]) => [listener, load(settings)])) }
}

/** @throws AccessFileError with the faults of the first file that has some */
export function loadAccess({ steps, authorization, ...rest }: AccessSettings): LoadedAccess {
  const loaded = steps.map((step) => loadStep(step, rest))
  return { ...rest, steps: loaded, authorization: loadAuthorization(authorization, rest.place) }
}

function loadStep(
  step: StepSettings,
  { rememberMs, hashQueueMax, stepTimeoutMs }: Pick<AccessSettings, 'rememberMs' | 'hashQueueMax' | 'stepTimeoutMs'>,
): LoadedStep {
  switch (step.kind) {
    case 'passwordFile': {
      // Its users may change while it stays the same step.
      const users = parsePasswordFile(readText(step.file), step.file)
      const { kind, file, passOnUnknownUsers } = step
      const key = keyOf([kind, file, passOnUnknownUsers, rememberMs, hashQueueMax, stepTimeoutMs])
      return { kind, key, users, passOnUnknownUsers }
    }
    case 'jwt': {
      const key = keySource(step.key)
      const options = { ...step.settings, key }
      checkKey(step.key, { ...options, now: Date.now })
      return { kind: 'jwt', key: keyOf([step, key]), options }
    }
    case 'certificate':
      return { kind: 'certificate', key: keyOf([step]), options: step.settings }
    case 'http': {
      const headers = step.headersFile === undefined ? {} : headersOf(readText(step.headersFile), step.headersFile)
      const options = { ...step.settings, headers: { ...step.settings.headers, ...headers } }
      return { kind: 'http', key: keyOf([step, headers, rememberMs]), options }
    }
  }
}

/** The same for the same settings and contents; a digest, since secrets are among them. */
function keyOf(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64')
}

function keySource({ secret, secretFile, publicKeyFile, jwksFile, jwksUrl }: JwtKeySettings): JwtKeySource {
  if (jwksUrl !== undefined) return { kind: 'jwksUrl', url: new URL(jwksUrl) }
  if (publicKeyFile !== undefined) return { kind: 'publicKey', pem: readText(publicKeyFile) }
  if (secretFile !== undefined) return { kind: 'secret', secret: Buffer.from(readText(secretFile).trimEnd()) }
  if (secret !== undefined) return { kind: 'secret', secret: Buffer.from(secret) }
  return { kind: 'jwks', keys: parsedJson(jwksFile!) as Extract<JwtKeySource, { kind: 'jwks' }>['keys'] }
}

/** A line `name: value` for each; none of it is told where a line is wrong. */
function headersOf(text: string, file: string): Record<string, string> {
  const headers: [string, string][] = []
  const faults: FileFault[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const [name, value] = [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
    if (colon > 0 && headerNamePattern.test(name) && headerValuePattern.test(value)) headers.push([name, value])
    else faults.push({ file, line: index + 1, message: 'expected a header, such as `authorization: Bearer …`' })
  }
  if (faults.length > 0) throw new AccessFileError(faults)
  return Object.fromEntries(headers)
}

function parsedJson(file: string): unknown {
  try {
    return JSON.parse(readText(file))
  } catch (error) {
    if (error instanceof AccessFileError) throw error
    throw new AccessFileError([{ file, line: 0, message: 'this is no JSON' }])
  }
}

function checkKey({ secretFile, publicKeyFile, jwksFile }: JwtKeySettings, options: JwtOptions): void {
  try {
    new JwtStep(options)
  } catch (error) {
    const file = publicKeyFile ?? jwksFile ?? secretFile ?? 'authentication.jwt'
    throw new AccessFileError([{ file, line: 0, message: (error as Error).message }])
  }
}

function loadAuthorization(settings: AccessSettings['authorization'], place = 'authorization'): AuthorizationSource {
  if (settings === undefined) return everythingAllowed
  const { aclFile, strictSubscribe, rules, clientId, groups } = settings
  const byUser = new Map<string, string[]>()
  for (const [group, users] of Object.entries(groups)) {
    for (const user of users) byUser.set(user, [...(byUser.get(user) ?? []), group])
  }
  return {
    ruleSet:
      aclFile === undefined
        ? ruleSetOf(rules, place)
        : { kind: 'acl', acl: parseAclFile(readText(aclFile), aclFile, strictSubscribe) },
    clientIds: clientId === undefined ? [] : typeof clientId === 'string' ? [clientId] : clientId,
    groups: byUser,
  }
}

function ruleSetOf(rules: readonly RuleInput[] | undefined, place: string): RuleSet {
  if (rules === undefined) return { kind: 'everything' }
  return { kind: 'rules', rules: rules.map((rule, index) => ruleOf(rule, `${place}.rules[${index}]`)) }
}

function readText(file: string): string {
  try {
    if (statSync(file).size > fileBytesMax) throw new Error(`larger than ${fileBytesMax} bytes`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new AccessFileError([{ file, line: 0, message: (error as Error).message }])
  }
}
