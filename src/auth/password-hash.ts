/**
 * Stored passwords: how a hash is written, what it may cost, and whether a password fits it.
 *
 * | text | what | written by |
 * |---|---|---|
 * | `$scrypt$ln=14,r=8,p=1$salt$hash` | scrypt, as a PHC string | `mqtide passwd` |
 * | `$argon2id$v=19$m=…,t=…,p=…$salt$hash` | Argon2id, as a PHC string | mosquitto_passwd 2.1 |
 * | `$7$iterations$salt$hash` | PBKDF2 with HMAC-SHA-512 | mosquitto_passwd 2.0 |
 * | `$6$salt$hash` | SHA-512 of password and salt, once | mosquitto_passwd before 1.6.9 and with `-H sha512` |
 * | `SCRAM-SHA-256$iterations:salt$storedKey:serverKey` | RFC 5803 with PostgreSQL's separators | `mqtide passwd --scram` |
 *
 * A file decides how much work a login is, so costs have bounds: a hash that takes a minute or a gigabyte is refused where
 * the file is read. The long work runs in Node's thread pool.
 */

import * as crypto from 'node:crypto'
import { createHash, createHmac, pbkdf2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

export type PasswordHash =
  | { kind: 'scrypt'; log2N: number; blockSize: number; parallelism: number; salt: Buffer; hash: Buffer }
  | { kind: 'argon2id'; memoryKiB: number; passes: number; parallelism: number; salt: Buffer; hash: Buffer }
  | { kind: 'sha512-pbkdf2'; iterations: number; salt: Buffer; hash: Buffer }
  | { kind: 'sha512'; salt: Buffer; hash: Buffer }
  | ScramVerifier

/** What a server keeps for SCRAM: enough to check a client's proof, not enough to make one. */
export interface ScramVerifier {
  kind: 'scram-sha-256'
  iterations: number
  salt: Buffer
  storedKey: Buffer
  serverKey: Buffer
}

export const hashKinds = ['scrypt', 'argon2id', 'sha512-pbkdf2', 'sha512', 'scram-sha-256'] as const
export type HashKind = (typeof hashKinds)[number]

/** Bounds of what a hash in a file may cost. */
const memoryBytesMax = 256 * 1024 * 1024
const pbkdf2IterationsMax = 2_000_000
const passesMax = 32
const parallelismMax = 16
const saltBytesMax = 256
const hashBytesMin = 16
const hashBytesMax = 128

/** The costs that new hashes get: about 40 ms and 16 MiB each. */
const scryptDefault = { log2N: 14, blockSize: 8, parallelism: 1 } as const
const argon2Default = { memoryKiB: 19_456, passes: 2, parallelism: 1 } as const
const pbkdf2IterationsDefault = 210_000
const scramIterationsDefault = 4096

interface Argon2Parameters {
  message: Uint8Array
  nonce: Uint8Array
  parallelism: number
  tagLength: number
  memory: number
  passes: number
}
type Argon2 = (
  algorithm: 'argon2id',
  parameters: Argon2Parameters,
  done: (error: Error | null, hash: Buffer) => void,
) => void
/** Node has it since 24.7. */
const argon2 = (crypto as { argon2?: Argon2 }).argon2

/** @throws Error whose message says what is wrong with the text, without repeating it */
export function parsePasswordHash(text: string): PasswordHash {
  const [before, name, ...fields] = text.split('$')
  if (before === 'SCRAM-SHA-256') return parseScram([name ?? '', ...fields])
  if (before !== '' || name === undefined) throw new Error('this is no password hash (mqtide passwd -U makes them)')
  switch (name) {
    case 'scrypt':
      return parseScrypt(fields)
    case 'argon2id':
      return parseArgon2(fields)
    case '7':
      return parsePbkdf2(fields)
    case '6':
      return { kind: 'sha512', ...saltAndHash(fields, 64) }
    default:
      throw new Error('unknown kind of password hash (known: $scrypt$, $argon2id$, $7$, $6$, SCRAM-SHA-256$)')
  }
}

function parseScrypt([costs, ...rest]: string[]): PasswordHash {
  const [log2N, blockSize, parallelism] = costsOf(costs, /^ln=(\d{1,3}),r=(\d{1,9}),p=(\d{1,9})$/)
  // 128 * N * r bytes, and all of it once for each p.
  const bytes = 128 * 2 ** log2N! * blockSize!
  bounded('scrypt', log2N! >= 1 && blockSize! >= 1 && parallelism! >= 1 && parallelism! <= parallelismMax)
  bounded('scrypt', bytes <= memoryBytesMax && bytes * parallelism! <= 2 * memoryBytesMax)
  return { kind: 'scrypt', log2N: log2N!, blockSize: blockSize!, parallelism: parallelism!, ...saltAndHash(rest) }
}

function parseArgon2([version, costs, ...rest]: string[]): PasswordHash {
  if (version !== 'v=19') throw new Error('argon2id of another version than 19')
  if (argon2 === undefined) throw new Error('argon2id needs Node 24.7 or newer')
  const [memoryKiB, passes, parallelism] = costsOf(costs, /^m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,9})$/)
  bounded('argon2id', parallelism! >= 1 && parallelism! <= parallelismMax && passes! >= 1 && passes! <= passesMax)
  bounded('argon2id', memoryKiB! >= 8 * parallelism! && memoryKiB! * 1024 <= memoryBytesMax)
  bounded('argon2id', memoryKiB! * 1024 * passes! <= 8 * memoryBytesMax)
  return { kind: 'argon2id', memoryKiB: memoryKiB!, passes: passes!, parallelism: parallelism!, ...saltAndHash(rest) }
}

function parsePbkdf2([costs, ...rest]: string[]): PasswordHash {
  const [iterations] = costsOf(costs, /^(\d{1,12})$/)
  bounded('$7$', iterations! >= 1 && iterations! <= pbkdf2IterationsMax)
  return { kind: 'sha512-pbkdf2', iterations: iterations!, ...saltAndHash(rest, 64) }
}

function parseScram(fields: string[]): PasswordHash {
  const [costs = '', keys = ''] = fields
  const parts = /^(\d{1,12}):([A-Za-z0-9+/=]+)$/.exec(costs)
  const [storedKey, serverKey] = keys.split(':').map((key) => base64(key))
  if (parts === null || fields.length !== 2 || storedKey?.length !== 32 || serverKey?.length !== 32) {
    throw new Error('this is no SCRAM-SHA-256 verifier')
  }
  const iterations = Number(parts[1])
  // RFC 7677 section 4 asks for 4096 at least.
  bounded('SCRAM-SHA-256', iterations >= 4096 && iterations <= pbkdf2IterationsMax)
  return { kind: 'scram-sha-256', iterations, salt: saltOf(parts[2]), storedKey, serverKey }
}

function costsOf(text: string | undefined, form: RegExp): number[] {
  const found = form.exec(text ?? '')
  if (found === null) throw new Error('the costs of the password hash are not readable')
  return found.slice(1).map(Number)
}

function bounded(kind: string, isWithin: boolean): void {
  if (!isWithin) throw new Error(`the costs of the ${kind} password hash are outside what is accepted`)
}

function saltAndHash(fields: readonly string[], hashBytes?: number): { salt: Buffer; hash: Buffer } {
  const [saltText, hashText] = fields
  const salt = saltOf(saltText)
  const hash = base64(hashText)
  if (fields.length !== 2 || hash === undefined || hash.length < hashBytesMin || hash.length > hashBytesMax) {
    throw new Error('the password hash is cut off or damaged')
  }
  if (hashBytes !== undefined && hash.length !== hashBytes) throw new Error('the password hash is cut off or damaged')
  return { salt, hash }
}

function saltOf(text: string | undefined): Buffer {
  const salt = base64(text)
  if (salt === undefined || salt.length < 1 || salt.length > saltBytesMax) throw new Error('the salt is not readable')
  return salt
}

/** Standard alphabet, with or without padding. */
function base64(text: string | undefined): Buffer | undefined {
  if (text === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  return Buffer.from(text, 'base64')
}

/** Whether the password fits; compared in constant time. */
export async function fits(stored: PasswordHash, password: Uint8Array): Promise<boolean> {
  if (stored.kind === 'scram-sha-256') {
    const { storedKey } = await scramKeys(saslPrepared(password), stored.salt, stored.iterations)
    return timingSafeEqual(storedKey, stored.storedKey)
  }
  const derived = await derive(stored, password)
  return derived.length === stored.hash.length && timingSafeEqual(derived, stored.hash)
}

function derive(stored: Exclude<PasswordHash, ScramVerifier>, password: Uint8Array): Promise<Buffer> {
  const { salt } = stored
  const bytes = stored.hash.length
  switch (stored.kind) {
    case 'scrypt': {
      const { log2N, blockSize, parallelism } = stored
      // The bound of Node's own would refuse what is exactly as large as it.
      const options = { N: 2 ** log2N, r: blockSize, p: parallelism, maxmem: 2 * memoryBytesMax }
      return calledBack((done) => scrypt(password, salt, bytes, options, done))
    }
    case 'argon2id': {
      const { memoryKiB: memory, passes, parallelism } = stored
      const parameters = { message: password, nonce: salt, parallelism, tagLength: bytes, memory, passes }
      return calledBack((done) => argon2!('argon2id', parameters, done))
    }
    case 'sha512-pbkdf2':
      return calledBack((done) => pbkdf2(password, salt, stored.iterations, bytes, 'sha512', done))
    case 'sha512':
      return Promise.resolve(createHash('sha512').update(password).update(salt).digest())
  }
}

function calledBack(run: (done: (error: Error | null, hash: Buffer) => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    run((error, hash) => {
      if (error === null) resolve(hash)
      else reject(error)
    })
  })
}

/**
 * What RFC 4013 (SASLprep) makes of the passwords that people type: compatibility forms folded (NFKC), spaces of other
 * kinds as plain ones, soft hyphens and the like left out. Bytes that are no UTF-8 stay as they are.
 */
export function saslPrepared(password: Uint8Array): Uint8Array {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(password)
  } catch {
    return password
  }
  const mapped = text
    .replace(/[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g, ' ')
    .replace(/\u034f|[\u00ad\u1806\u200b-\u200d\u2060\ufeff]|[\u180b-\u180d]|[\ufe00-\ufe0f]/g, '')
  return new TextEncoder().encode(mapped.normalize('NFKC'))
}

/** RFC 5802 section 3; the password is `saslPrepared`. */
export async function scramKeys(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
): Promise<{ storedKey: Buffer; serverKey: Buffer }> {
  const salted = await calledBack((done) => pbkdf2(password, salt, iterations, 32, 'sha256', done))
  const clientKey = createHmac('sha256', salted).update('Client Key').digest()
  const storedKey = createHash('sha256').update(clientKey).digest()
  return { storedKey, serverKey: createHmac('sha256', salted).update('Server Key').digest() }
}

/** A new hash of a password, as the text that a file holds. @throws Error where this Node can't make the kind */
export async function newPasswordHash(kind: HashKind, password: Uint8Array): Promise<string> {
  switch (kind) {
    case 'scrypt': {
      const { log2N, blockSize, parallelism } = scryptDefault
      const stored = { kind, ...scryptDefault, salt: randomBytes(16), hash: Buffer.alloc(32) }
      return `$scrypt$ln=${log2N},r=${blockSize},p=${parallelism}${await phcTail(stored, password)}`
    }
    case 'argon2id': {
      if (argon2 === undefined) throw new Error('argon2id needs Node 24.7 or newer')
      const { memoryKiB, passes, parallelism } = argon2Default
      const stored = { kind, ...argon2Default, salt: randomBytes(16), hash: Buffer.alloc(32) }
      return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${parallelism}${await phcTail(stored, password)}`
    }
    case 'sha512-pbkdf2':
    case 'sha512': {
      // 12 bytes of salt: Mosquitto 2.0 reads no others.
      const stored = { kind, iterations: pbkdf2IterationsDefault, salt: randomBytes(12), hash: Buffer.alloc(64) }
      const hash = await derive(stored, password)
      const costs = kind === 'sha512' ? '$6' : `$7$${pbkdf2IterationsDefault}`
      return `${costs}$${stored.salt.toString('base64')}$${hash.toString('base64')}`
    }
    case 'scram-sha-256': {
      const salt = randomBytes(16)
      const { storedKey, serverKey } = await scramKeys(saslPrepared(password), salt, scramIterationsDefault)
      const keys = `${storedKey.toString('base64')}:${serverKey.toString('base64')}`
      return `SCRAM-SHA-256$${scramIterationsDefault}:${salt.toString('base64')}$${keys}`
    }
  }
}

async function phcTail(stored: Exclude<PasswordHash, ScramVerifier>, password: Uint8Array): Promise<string> {
  const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')
  return `$${unpadded(stored.salt)}$${unpadded(await derive(stored, password))}`
}
