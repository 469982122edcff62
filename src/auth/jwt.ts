/**
 * JSON Web Tokens as credentials: in the password, the user name or a WebSocket's Bearer header, or as the Authentication Data of MQTT
 * 5.0's enhanced authentication, where the token is all there is to say and a new one renews the old one by AUTH.
 *
 * What has the form of a token is judged here, and a token that isn't right is a no; anything else is another step's kind.
 * The algorithms are those that fit the configured key, so that neither `alg: none` nor a public key taken for a shared
 * secret gets in. Keys from a URL are fetched when a token names one that isn't known, at most every so often, and stay for
 * a while, so that a provider's rotation needs nothing done here and made-up key names cause no requests.
 *
 * | claim | what it does |
 * |---|---|
 * | `sub` (or `userClaim`) | the user name |
 * | `exp`, `nbf` | when it holds; at `exp` the client is disconnected |
 * | `clientid`, `client_id` (or `clientIdClaim`) | the client id it may be used with |
 * | `username` | in a token that does not stand there itself: the user name it may be used with |
 * | `groups` | groups, for the rules |
 * | `namespace` | the namespace that its client is in: one that is not configured is refused |
 * | `rules`, `acl` | rules of its own, asked before the configured ones |
 */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto'
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { boundedText } from './bounded-text.ts'
import type { ChainStep, Credential, Identity, RefusalReason, StepAnswer } from './credential.ts'
import { rulesOf } from './token-rules.ts'

export type JwtKeySource =
  /** A shared secret: HS256, HS384, HS512. */
  | { kind: 'secret'; secret: Uint8Array }
  /** A public key or certificate as PEM: RS, PS, ES or EdDSA as the key is. */
  | { kind: 'publicKey'; pem: string }
  | { kind: 'jwks'; keys: JSONWebKeySet }
  | { kind: 'jwksUrl'; url: URL }

export interface JwtOptions {
  key: JwtKeySource
  tokenIn: 'password' | 'username' | 'bearer'
  /** Name of the authentication method of MQTT 5.0 that takes such tokens; absent: none does. */
  method?: string
  audience?: readonly string[]
  issuer?: readonly string[]
  userClaim?: string
  clientIdClaim?: string
  /** Whether a token without `exp`, which would hold for ever, is refused. */
  expiryRequired: boolean
  /** How far the clocks of whoever issues tokens may be off. */
  clockSkewSeconds: number
  /** Keys from a URL: how long they are used without asking again, how soon an unknown one may ask, and how long it may take. */
  jwksCacheSeconds: number
  jwksCooldownSeconds: number
  jwksTimeoutMs: number
  now(): number
  fetch?: FetchImplementation
}

/** Longest token that is looked at. */
export const tokenBytesMax = 16 * 1024
const jwksBytesMax = 1024 * 1024
const tokenForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/

const refused = (reasonCode: number, reason: RefusalReason): StepAnswer => ({ type: 'no', reasonCode, reason })

export class JwtStep implements ChainStep {
  readonly name = 'jwt'
  readonly #options: JwtOptions
  readonly #key: JWTVerifyGetKey
  readonly #verify: JWTVerifyOptions

  /** @throws Error for a key that is none */
  constructor(options: JwtOptions) {
    this.#options = options
    const { getKey, algorithms } = keyOf(options)
    this.#key = getKey
    this.#verify = {
      algorithms: [...algorithms],
      clockTolerance: options.clockSkewSeconds,
      ...(options.expiryRequired && { requiredClaims: ['exp'] }),
      ...(options.audience && { audience: [...options.audience] }),
      ...(options.issuer && { issuer: [...options.issuer] }),
    }
  }

  check(credential: Credential): StepAnswer | Promise<StepAnswer> {
    const { username, password, bearer } = credential
    const { tokenIn } = this.#options
    if (tokenIn === 'bearer') return bearer === undefined ? { type: 'not-mine' } : this.#judgeText(bearer, credential)
    const length = tokenIn === 'password' ? (password?.length ?? 0) : (username?.length ?? 0)
    if (length === 0 || length > tokenBytesMax) return { type: 'not-mine' }
    const token = tokenIn === 'password' ? Buffer.from(password!).toString('latin1') : username!
    if (!tokenForm.test(token)) return { type: 'not-mine' }
    return this.#judge(token, credential, tokenIn === 'username')
  }

  get method(): string | undefined {
    return this.#options.method
  }

  /** Judges the token that the Authentication Data has to be: `password` holds that here. What is no token is no other step's kind. */
  readonly ofMethod: ChainStep = {
    name: this.name,
    check: (credential) => {
      const { password = new Uint8Array() } = credential
      if (password.length === 0) return refused(ReasonCode.notAuthorized, 'no_credential')
      return this.#judgeText(Buffer.from(password).toString('latin1'), credential)
    },
  }

  /** What stands where only a token may, so that it can't be another step's kind. */
  #judgeText(token: string, credential: Credential): StepAnswer | Promise<StepAnswer> {
    if (token.length > tokenBytesMax) return refused(ReasonCode.badUserNameOrPassword, 'credential_too_long')
    if (!tokenForm.test(token)) return refused(ReasonCode.badUserNameOrPassword, 'token_invalid')
    return this.#judge(token, credential)
  }

  async #judge(token: string, credential: Credential, isUserName = false): Promise<StepAnswer> {
    let payload: JWTPayload
    try {
      const currentDate = new Date(this.#options.now())
      payload = (await jwtVerify(token, this.#key, { ...this.#verify, currentDate })).payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) return refused(ReasonCode.notAuthorized, 'token_expired')
      if (isTokensFault(error)) return refused(ReasonCode.badUserNameOrPassword, 'token_invalid')
      // The keys could not be had.
      throw error
    }
    return this.#identify(payload, credential, isUserName)
  }

  #identify(payload: JWTPayload, { clientId, username }: Credential, isUserName: boolean): StepAnswer {
    const { userClaim = 'sub', clientIdClaim } = this.#options
    const name = payload[userClaim]
    if (typeof name !== 'string' || name === '') return refused(ReasonCode.badUserNameOrPassword, 'token_invalid')
    const boundClient =
      clientIdClaim === undefined ? (payload['clientid'] ?? payload['client_id']) : payload[clientIdClaim]
    if (boundClient !== undefined && boundClient !== clientId) {
      return refused(ReasonCode.clientIdentifierNotValid, 'client_id_not_allowed')
    }
    const boundUser = payload['username']
    if (!isUserName && boundUser !== undefined && boundUser !== username) {
      return refused(ReasonCode.badUserNameOrPassword, 'token_invalid')
    }
    try {
      return { type: 'yes', identity: identityOf(name, payload) }
    } catch {
      // Rules that aren't understood can't be kept.
      return refused(ReasonCode.notAuthorized, 'token_invalid')
    }
  }
}

/** @throws Error for claims that aren't understood */
function identityOf(name: string, payload: JWTPayload): Identity {
  const identity: Identity = { name }
  if (payload.exp !== undefined) identity.expiresAt = payload.exp * 1000
  const { groups, namespace } = payload as Record<string, unknown>
  if (groups !== undefined) {
    if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string')) throw new Error('groups')
    identity.groups = groups as string[]
  }
  if (namespace !== undefined) {
    if (typeof namespace !== 'string' || namespace === '') throw new Error('namespace')
    identity.namespace = namespace
  }
  const rules = rulesOf(payload)
  if (rules !== undefined) identity.rules = rules
  return identity
}

/** Whether it is the token that is wrong, not the way to the keys. */
function isTokensFault(error: unknown): boolean {
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) return false
  if (!(error instanceof errors.JOSEError)) return false
  // What the fetch of the keys came to, in words: jose has no class of its own for it.
  return error.code !== 'ERR_JOSE_GENERIC'
}

const hmacAlgorithms = ['HS256', 'HS384', 'HS512'] as const
const publicAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

const ecAlgorithms = new Map([
  ['prime256v1', ['ES256']],
  ['secp384r1', ['ES384']],
  ['secp521r1', ['ES512']],
])

function keyOf(options: JwtOptions): { getKey: JWTVerifyGetKey; algorithms: readonly string[] } {
  const { key } = options
  switch (key.kind) {
    case 'secret': {
      if (key.secret.length < 32) throw new Error('the secret of the tokens has less than 32 bytes')
      const secret = createSecretKey(key.secret)
      return { getKey: async () => secret, algorithms: hmacAlgorithms }
    }
    case 'publicKey': {
      const publicKey = createPublicKey(key.pem)
      return { getKey: async () => publicKey, algorithms: algorithmsOf(publicKey) }
    }
    case 'jwks':
      return { getKey: createLocalJWKSet(key.keys), algorithms: publicAlgorithms }
    case 'jwksUrl':
      return { getKey: remoteKeys(key.url, options), algorithms: publicAlgorithms }
  }
}

function remoteKeys(url: URL, options: JwtOptions): JWTVerifyGetKey {
  return createRemoteJWKSet(url, {
    cacheMaxAge: options.jwksCacheSeconds * 1000,
    cooldownDuration: options.jwksCooldownSeconds * 1000,
    timeoutDuration: options.jwksTimeoutMs,
    [customFetch]: keyFetch(options),
  })
}

/** A provider that is down is asked once per pause, not once per login; and what it sends has a limit. */
function keyFetch({ jwksCooldownSeconds, fetch = globalThis.fetch, now }: JwtOptions): FetchImplementation {
  let failedAt = -Infinity
  return async (url, request) => {
    if (now() - failedAt < jwksCooldownSeconds * 1000) throw new Error('the keys could not be fetched a moment ago')
    try {
      const response = await fetch(url, request)
      if (response.status !== 200) throw new Error(`the keys' address answered ${response.status}`)
      return new Response(await boundedText(response, jwksBytesMax))
    } catch (error) {
      failedAt = now()
      throw error
    }
  }
}

function algorithmsOf(key: KeyObject): readonly string[] {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
    case 'ec':
      return ecAlgorithms.get(key.asymmetricKeyDetails?.namedCurve ?? '') ?? []
    case 'ed25519':
      return ['EdDSA', 'Ed25519']
    default:
      throw new Error(`tokens can't be signed with a key of the kind ${key.asymmetricKeyType}`)
  }
}
