/**
 * Who may connect: `authentication`, either by the kinds of credentials, or as a list of steps in the order in which they are
 * asked. By kinds the order is certificate, tokens, password file, HTTP hook.
 */
import { z } from 'zod'
import type { StepSettings } from '../auth/access-files.ts'
import { certificateFields } from '../auth/certificate-step.ts'
import { headerNamePattern, headerValuePattern, hookPresets, responseModes } from '../auth/hook-forms.ts'
import type { ConfigIssue } from './config-error.ts'
import { flag, oneOf, text, wholeNumber } from './fields.ts'

const path = () => text(4096)

function httpUrl() {
  const error = 'expected an address that begins with http:// or https://'
  const bare = 'a password in an address would be shown with it, and is not sent; put an authorization into headers'
  return z
    .string(error)
    .refine((value) => /^https?:\/\/[^/]/.test(value) && URL.canParse(value), error)
    .refine((value) => !URL.canParse(value) || `${new URL(value).username}${new URL(value).password}` === '', bare)
}

function texts(what: string) {
  const one = text(1024)
  return z.union([one, z.array(one).min(1)], `expected ${what} or a list of them`)
}

function headerName() {
  const error = 'expected the name of a header'
  return z.string(error).regex(headerNamePattern, error).max(256, error)
}

function headerValue() {
  const error = 'expected the text of a header, in one line'
  return z.string(error).regex(headerValuePattern, error).max(4096, error)
}

export const jwtSchema = z.strictObject(
  {
    secret: text(4096).optional().describe('Shared secret of HS256, HS384 and HS512 tokens, 32 bytes or more.'),
    secretFile: path().optional().describe('File that holds the shared secret.'),
    publicKeyFile: path().optional().describe('PEM file of the public key of RS, PS, ES or EdDSA tokens.'),
    jwksFile: path().optional().describe('File of a JSON Web Key Set.'),
    jwksUrl: httpUrl().optional().describe('Address of a JSON Web Key Set.'),
    tokenIn: oneOf('password', 'username', 'bearer')
      .default('password')
      .describe('Where clients put the token; bearer: in the Authorization header of a WebSocket.'),
    method: text(256)
      .default('JWT')
      .describe(
        'Authentication method of MQTT 5.0 clients that bring the token as authentication data and renew it by AUTH.',
      ),
    audience: texts('an audience').optional().describe('Audiences (aud) of which a token has to name one.'),
    issuer: texts('an issuer').optional().describe('Issuers (iss) of which a token has to name one.'),
    userClaim: text(256).default('sub').describe('Claim that holds the user name.'),
    clientIdClaim: text(256)
      .optional()
      .describe('Claim that binds a token to a client id; unset, clientid and client_id.'),
    expiryRequired: flag().default(true).describe('Refuse tokens without exp, which would hold for ever.'),
    clockSkewSeconds: wholeNumber(0, 3600).default(30).describe("How far an issuer's clock may be off."),
    jwksCacheSeconds: wholeNumber(1, 86_400)
      .default(600)
      .describe('How long fetched keys are used without asking again.'),
    jwksCooldownSeconds: wholeNumber(1, 3600).default(30).describe('Shortest time between two fetches of keys.'),
    jwksTimeoutMs: wholeNumber(10, 60_000).default(3000).describe('How long a fetch of keys may take.'),
  },
  'expected the options for tokens as names and values',
)

export const hookSchema = z.strictObject(
  {
    url: httpUrl().describe('Address that is asked about each login.'),
    preset: oneOf(...hookPresets)
      .default('emqx')
      .describe('Form of questions and answers.'),
    superuserUrl: httpUrl().optional().describe('Mosquitto-go-auth: address that is asked who may do everything.'),
    body: oneOf('json', 'form').default('json').describe('Mosquitto-go-auth: form of the question.'),
    responseMode: oneOf(...responseModes)
      .default('status')
      .describe('Mosquitto-go-auth: where the answer stands.'),
    headers: z
      .record(headerName(), headerValue(), 'expected header names and values')
      .default({})
      .describe('Headers of each request, such as an authorization of the gateway.'),
    headersFile: path()
      .optional()
      .describe('File with further headers, which hold a secret: a line `name: value` for each.'),
    timeoutMs: wholeNumber(10, 60_000).default(3000).describe('How long an answer may take; then it is a no.'),
    concurrencyMax: wholeNumber(1, 10_000).default(32).describe('Requests at the same time.'),
    queueMax: wholeNumber(0, 1_000_000)
      .default(1000)
      .describe('Logins that may wait for a request; beyond it they get 0x89.'),
    failuresMax: wholeNumber(1, 1000).default(5).describe('Failures in a row after which nobody is asked for openMs.'),
    openMs: wholeNumber(10, 3_600_000).default(10_000).describe('How long a hook that failed is left alone.'),
  },
  'expected the options of the HTTP hook as names and values',
)

export const certificateSchema = z.strictObject(
  {
    userField: oneOf(...certificateFields)
      .default('cn')
      .describe('Field of a verified client certificate that is the user name.'),
    fingerprints: z
      .record(
        z.string().regex(/^[0-9a-f]{64}$/, 'expected a SHA-256 fingerprint of 64 hexadecimal digits in small letters'),
        text(1024),
        'expected fingerprints and user names',
      )
      .default({})
      .describe('User names by SHA-256 fingerprint, in hexadecimal without colons; they come before the field.'),
  },
  'expected the options for certificates as names and values',
)

const kinds = {
  certificate: certificateSchema.optional(),
  passwordFile: path().optional().describe('File of users, as mqtide passwd and mosquitto_passwd write it.'),
  jwt: jwtSchema.optional(),
  http: hookSchema.optional(),
}

export const chainStepSchema = z.strictObject(kinds, 'expected a step, for example `passwordFile: users`')

export const authenticationSchema = z.strictObject(
  {
    ...kinds,
    chain: z
      .array(chainStepSchema, 'expected a list of steps')
      .min(1, 'expected a step at least')
      .max(16, 'expected at most 16 steps')
      .optional()
      .describe(
        'Steps in their order, each a passwordFile, jwt, http or certificate, in place of the options of that name.',
      ),
    scram: flag()
      .default(true)
      .describe('Offer SCRAM-SHA-256 to MQTT 5.0 clients, for users with a verifier in the password file.'),
    passOnUnknownUsers: flag()
      .default(false)
      .describe('Leave users that are not in the password file to the next step.'),
    stepTimeoutMs: wholeNumber(10, 60_000).default(5000).describe('How long one step may take; then it is a no.'),
    rememberSeconds: wholeNumber(0, 86_400)
      .default(300)
      .describe('How long a verified password needs no other hash or request; 0: not at all.'),
    hashQueueMax: wholeNumber(0, 1_000_000)
      .default(256)
      .describe('Logins that may wait for their password to be hashed; beyond it they get 0x89.'),
  },
  'expected the ways to authenticate, for example `passwordFile: users`',
)

export type AuthenticationOptions = z.output<typeof authenticationSchema>
type ChainStepOptions = z.output<typeof chainStepSchema>

/** A list in the place of the options is short for `chain`, for the gateway as for a listener. */
export function withChain(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { listeners } = options
  const whole = chained(options)
  return Array.isArray(listeners) ? { ...whole, listeners: listeners.map(chained) } : whole
}

function chained<T>(options: T): T {
  const { authentication } = Object(options) as { authentication?: unknown }
  return Array.isArray(authentication) ? { ...options, authentication: { chain: authentication } } : options
}

const keyNames = ['secret', 'secretFile', 'publicKeyFile', 'jwksFile', 'jwksUrl'] as const

/** Faults that no single value has. `place`: where the options stand. */
export function authenticationIssues(
  options: AuthenticationOptions | undefined,
  place: readonly PropertyKey[] = ['authentication'],
): ConfigIssue[] {
  if (options === undefined) return []
  const { chain, certificate, passwordFile, jwt, http } = options
  const issues: ConfigIssue[] = []
  const at = (path: readonly PropertyKey[], message: string) => issues.push({ path: [...place, ...path], message })
  const outside = [certificate, passwordFile, jwt, http].filter((one) => one !== undefined).length
  if (chain === undefined && outside === 0) at([], 'expected passwordFile, jwt, http, certificate or a chain of them')
  if (chain !== undefined && outside > 0) at(['chain'], 'the steps stand either in the chain or beside it, not both')
  for (const [index, step] of (chain ?? []).entries()) {
    const count = Object.values(step).filter((one) => one !== undefined).length
    if (count !== 1) at(['chain', index], 'expected one of passwordFile, jwt, http and certificate')
  }
  for (const [place, one] of [
    [['jwt'], jwt] as const,
    ...(chain ?? []).map((step, index) => [['chain', index, 'jwt'], step.jwt] as const),
  ]) {
    if (one === undefined) continue
    const given = keyNames.filter((name) => one[name] !== undefined)
    if (given.length !== 1) at(place, `expected one of ${keyNames.join(', ')}`)
    if (one.method.startsWith('SCRAM-'))
      at([...place, 'method'], 'methods of this name are for passwords: tokens need one of their own')
  }
  const files = [options, ...(chain ?? [])].filter((step) => step.passwordFile !== undefined)
  if (files.length > 1) at(['chain'], 'one password file at most')
  return issues
}

/** The steps in the order in which they are asked. */
export function stepsOf(options: AuthenticationOptions | undefined): StepSettings[] {
  if (options === undefined) return []
  const { passOnUnknownUsers } = options
  const steps: ChainStepOptions[] = options.chain ?? [
    { certificate: options.certificate },
    { jwt: options.jwt },
    { passwordFile: options.passwordFile },
    { http: options.http },
  ]
  return steps.flatMap(({ certificate, passwordFile, jwt, http }): StepSettings[] => {
    if (certificate !== undefined) return [{ kind: 'certificate', settings: certificate }]
    if (passwordFile !== undefined) return [{ kind: 'passwordFile', file: passwordFile, passOnUnknownUsers }]
    if (jwt !== undefined) return [jwtStep(jwt)]
    if (http === undefined) return []
    const { headersFile, ...hook } = http
    return [{ kind: 'http', settings: withoutUndefined(hook), headersFile }]
  })
}

function jwtStep(options: z.output<typeof jwtSchema>): StepSettings {
  const { secret, secretFile, publicKeyFile, jwksFile, jwksUrl, audience, issuer, ...rest } = options
  const listed = { audience: listOf(audience), issuer: listOf(issuer) }
  return {
    kind: 'jwt',
    key: { secret, secretFile, publicKeyFile, jwksFile, jwksUrl },
    settings: withoutUndefined({ ...rest, ...listed }),
  }
}

function listOf(value: string | string[] | undefined): string[] | undefined {
  return typeof value === 'string' ? [value] : value
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

function withoutUndefined<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>
}
