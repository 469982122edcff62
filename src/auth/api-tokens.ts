/**
 * Who may use the HTTP API: tokens with a name and a role.
 *
 *     data/api-tokens.json   all tokens, as hashes
 *     data/api-token         the first one in full, for the commands of this machine; written once
 *
 * Both are readable by their owner alone. A token has 256 random bits, so that a plain hash of it can be kept: there is nothing
 * to guess. The file is read again when it has changed, which is how `mqtide api-token` reaches a gateway that runs. Without a
 * data folder tokens are in memory, and there is none until the program makes one.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { AccessFileError } from './file-fault.ts'
import { replaceFile, whileAlone } from './password-file-edit.ts'

/** Each may do what those before it may. */
export const apiRoles = ['viewer', 'operator', 'admin'] as const
export type ApiRole = (typeof apiRoles)[number]

export interface TokenBearer {
  readonly name: string
  readonly role: ApiRole
  /** It may see and change this one only; undefined: the whole gateway. */
  readonly namespace?: string | undefined
}

export interface StoredToken extends TokenBearer {
  readonly sha256: string
  /** ISO 8601. */
  readonly createdAt: string
}

const tokensMax = 1000
const nameCharactersMax = 64
const fileBytesMax = 1024 * 1024
const prefix = 'mqtide_'
/** As in the configuration. */
const namespacePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

export const firstTokenPath = (dataDir: string): string => join(dataDir, 'api-token')
export const tokensPath = (dataDir: string): string => join(dataDir, 'api-tokens.json')

export class TokenError extends Error {
  override name = 'TokenError'
}

export function readTokens(path: string): StoredToken[] {
  if (!existsSync(path)) return []
  if (statSync(path).size > fileBytesMax) throw fileError(path, `larger than ${fileBytesMax} bytes`)
  let parsed: unknown
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw fileError(path, (error as Error).message)
  }
  const tokens = (parsed as { tokens?: unknown } | null)?.tokens
  if (!Array.isArray(tokens) || !tokens.every(isToken)) throw fileError(path, 'not a file of API tokens')
  return tokens
}

function isToken(value: unknown): value is StoredToken {
  const { name, role, namespace, sha256, createdAt } = (value ?? {}) as Partial<StoredToken>
  const texts =
    typeof name === 'string' && typeof createdAt === 'string' && ['string', 'undefined'].includes(typeof namespace)
  return texts && apiRoles.includes(role!) && typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256)
}

function fileError(file: string, message: string): AccessFileError {
  return new AccessFileError([{ file, line: 0, message }])
}

function writeTokens(path: string, tokens: readonly StoredToken[]): void {
  replaceFile(path, `${JSON.stringify({ tokens }, null, 2)}\n`)
}

/** @throws what `change` throws, and nothing is changed then */
export function changeTokens(path: string, change: (tokens: StoredToken[]) => readonly StoredToken[]): void {
  whileAlone(path, () => writeTokens(path, change(readTokens(path))))
}

/** Returns the token, which is nowhere else in full, and the list with it. @throws TokenError */
export function withToken(
  tokens: readonly StoredToken[],
  { name, role, namespace }: TokenBearer,
  now: Date,
): { token: string; tokens: StoredToken[] } {
  if (name === '' || name.length > nameCharactersMax || /\p{Cc}/u.test(name)) {
    throw new TokenError(
      `the name of a token has 1 to ${nameCharactersMax} characters, none of them a control character`,
    )
  }
  if (namespace !== undefined && !namespacePattern.test(namespace)) {
    throw new TokenError('the name of a namespace has 1 to 64 letters, digits, . _ and -')
  }
  if (tokens.some((one) => one.name === name)) throw new TokenError(`there is a token named ${name} already`)
  if (tokens.length >= tokensMax) throw new TokenError(`there are ${tokensMax} tokens already, which is the limit`)
  const token = `${prefix}${randomBytes(32).toString('base64url')}`
  const sha256 = hashOf(token).toString('hex')
  return { token, tokens: [...tokens, { name, role, namespace, sha256, createdAt: now.toISOString() }] }
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

interface Known extends TokenBearer {
  hash: Buffer
}

export class ApiTokens {
  readonly #path: string | undefined
  readonly #onError: (error: AccessFileError) => void
  #known: readonly Known[] = []
  #stored: readonly StoredToken[] = []
  #seen = ''

  /** Without a path tokens are in memory. @throws AccessFileError for a file that is none of tokens */
  constructor(path?: string, onError: (error: AccessFileError) => void = () => {}) {
    this.#path = path
    this.#onError = onError
    this.#seen = this.#stamp()
    if (path !== undefined) this.#take(readTokens(path))
  }

  /** Undefined: nobody has this token. Takes the same time whichever it is, and whether it is any. */
  find(token: string): TokenBearer | undefined {
    this.#readAgain()
    const hash = hashOf(token)
    let found: Known | undefined
    for (const one of this.#known) if (timingSafeEqual(one.hash, hash)) found = one
    return found && { name: found.name, role: found.role, namespace: found.namespace }
  }

  /** @throws TokenError, and AccessFileError for a file that is none of tokens */
  add(bearer: TokenBearer, now: Date): string {
    let made = ''
    const change = (before: readonly StoredToken[]) => {
      const { token, tokens } = withToken(before, bearer, now)
      made = token
      return tokens
    }
    if (this.#path === undefined) this.#take(change(this.#stored))
    else changeTokens(this.#path, change)
    this.#readAgain()
    return made
  }

  #take(tokens: readonly StoredToken[]): void {
    this.#stored = tokens
    this.#known = tokens.map(({ sha256, ...bearer }) => ({ ...bearer, hash: Buffer.from(sha256, 'hex') }))
  }

  #readAgain(): void {
    const stamp = this.#stamp()
    if (this.#path === undefined || stamp === this.#seen) return
    this.#seen = stamp
    try {
      this.#take(readTokens(this.#path))
    } catch (error) {
      if (!(error instanceof AccessFileError)) throw error
      this.#onError(error)
    }
  }

  /** Other once the file is another one: it is replaced as a whole. */
  #stamp(): string {
    const stat = this.#path === undefined ? undefined : statSync(this.#path, { throwIfNoEntry: false, bigint: true })
    return stat === undefined ? '' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`
  }
}

/**
 * At the first start in a data folder: makes a token of role admin and writes it to a file of its own. Returns that file's path;
 * undefined: there were tokens before, also where all of them were removed.
 */
export function writeFirstToken(dataDir: string, now: Date): string | undefined {
  if (existsSync(tokensPath(dataDir))) return undefined
  const { token, tokens } = withToken([], { name: 'first', role: 'admin' }, now)
  const path = firstTokenPath(dataDir)
  // Before the list, so that a crash in between leaves a start that begins anew.
  replaceFile(path, `${token}\n`)
  writeTokens(tokensPath(dataDir), tokens)
  return path
}
