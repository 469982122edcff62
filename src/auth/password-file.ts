/**
 * Users in a file: a line `name:hash` each, `#` begins a line of comment. mosquitto_passwd's files are such files.
 *
 * A login runs through gates, the cheap ones first: its length; the credentials verified a moment ago; the pause that its
 * address has earned; the queue before hashing; the hash. A user who isn't in the file costs the hash of another one's
 * line (always the same one for the same name), so that nobody learns from the time who exists.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { AddressThrottle } from './address-throttle.ts'
import { BoundedWork } from './bounded-work.ts'
import {
  type ChainStep,
  type Credential,
  type RefusalReason,
  type StepAnswer,
  userNameCharactersMax,
} from './credential.ts'
import { AccessFileError, type FileFault } from './file-fault.ts'
import { fits, type PasswordHash, parsePasswordHash } from './password-hash.ts'
import { VerifiedCredentials } from './verified-credentials.ts'

export interface UserEntry {
  name: string
  /** From 1. */
  line: number
  /** The hash as it stands in the file: an entry that changed is another one. */
  text: string
  hash: PasswordHash
}

export type Users = ReadonlyMap<string, UserEntry>

/** Longest password that is hashed. */
export const passwordBytesMax = 4096
const lineCharactersMax = 8192

/** @throws AccessFileError with every faulty line */
export function parsePasswordFile(text: string, file: string): Users {
  const users = new Map<string, UserEntry>()
  const faults: FileFault[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1
    try {
      const entry = parseLine(raw.replace(/\r$/, ''), line)
      if (entry === undefined) continue
      const earlier = users.get(entry.name)
      if (earlier !== undefined) throw new Error(`the user stands in line ${earlier.line} already`)
      users.set(entry.name, entry)
    } catch (error) {
      faults.push({ file, line, message: (error as Error).message })
    }
  }
  if (faults.length > 0) throw new AccessFileError(faults)
  return users
}

function parseLine(text: string, line: number): UserEntry | undefined {
  if (text.trim() === '' || text.startsWith('#')) return undefined
  if (text.length > lineCharactersMax) throw new Error(`longer than ${lineCharactersMax} characters`)
  const colon = text.indexOf(':')
  if (colon === -1) throw new Error('expected NAME:HASH')
  const name = text.slice(0, colon).trim()
  const fault = userNameFault(name)
  if (fault !== undefined) throw new Error(fault)
  const stored = text.slice(colon + 1).trim()
  if (stored === '') throw new Error('the user has no password hash')
  return { name, line, text: stored, hash: parsePasswordHash(stored) }
}

/** Why a name can't stand in a password file; undefined: it can. */
export function userNameFault(name: string): string | undefined {
  if (name === '') return 'the user name is empty'
  if (name.length > userNameCharactersMax) return `the user name is longer than ${userNameCharactersMax} characters`
  if (name.includes(':')) return 'the user name holds a colon'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(name)) return 'the user name holds a control character'
  if (name !== name.trim() || name.startsWith('#')) return 'the user name begins with # or has blanks around it'
  return undefined
}

export interface PasswordFileOptions {
  /** Whether a user who isn't in the file is left to the next step. Then the time tells who is. */
  passOnUnknownUsers?: boolean
  /** Threads that hash. */
  hashingMax: number
  /** Logins that may wait for one. */
  hashQueueMax: number
  /** For so long: who has waited longer has been refused by the chain meanwhile, and costs no hash any more. */
  hashWaitMsMax: number
  rememberMs: number
  rememberedMax: number
  throttle: AddressThrottle
  now(): number
  sleep(ms: number): Promise<void>
}

const refused = (reasonCode: number, reason: RefusalReason): StepAnswer => ({ type: 'no', reasonCode, reason })
const wrong = refused(ReasonCode.badUserNameOrPassword, 'wrong_password')
const busy = refused(ReasonCode.serverBusy, 'busy')
const throttled = refused(ReasonCode.serverBusy, 'throttled')

export class PasswordFile implements ChainStep {
  readonly name = 'passwordFile'
  #users: Users
  #entries: readonly UserEntry[]
  readonly #options: PasswordFileOptions
  readonly #secret = randomBytes(32)
  readonly #hashing: BoundedWork
  readonly #verified: VerifiedCredentials<true>
  /** One hash for all that ask the same at the same time. */
  readonly #underWay = new Map<string, Promise<StepAnswer>>()

  constructor(users: Users, options: PasswordFileOptions) {
    this.#users = users
    this.#entries = [...users.values()]
    this.#options = options
    this.#hashing = new BoundedWork(options.hashingMax, options.hashQueueMax)
    this.#verified = new VerifiedCredentials(
      { entriesMax: options.rememberedMax, forMs: options.rememberMs },
      options.now,
    )
  }

  get users(): Users {
    return this.#users
  }

  /** Puts other users in force. @returns the names whose entry is gone or another one */
  replace(users: Users): string[] {
    const changed = this.#entries.filter(({ name, text }) => users.get(name)?.text !== text).map(({ name }) => name)
    this.#users = users
    this.#entries = [...users.values()]
    return changed
  }

  check(credential: Credential): StepAnswer | Promise<StepAnswer> {
    const { username, password } = credential
    if (username === undefined || password === undefined) return { type: 'not-mine' }
    if (username.length > userNameCharactersMax || password.length > passwordBytesMax) {
      this.#options.throttle.mistake(credential.remoteAddress)
      return refused(ReasonCode.badUserNameOrPassword, 'credential_too_long')
    }
    const known = this.#users.get(username)
    const entry = known ?? this.#standIn(username)
    const key = this.#verified.keyOf(username, entry?.text ?? '', password)
    if (known !== undefined && this.#verified.get(key)) return yes(username)
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    const answer = this.#verify(credential, username, password, key).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, answer)
    return answer
  }

  /** Whose hash a name costs that isn't in the file; undefined: the file is empty, and there is nothing to find out. */
  #standIn(username: string): UserEntry | undefined {
    if (this.#entries.length === 0) return undefined
    const digest = createHmac('sha256', this.#secret).update(username).digest()
    return this.#entries[digest.readUInt32BE(0) % this.#entries.length]
  }

  async #verify(credential: Credential, username: string, password: Uint8Array, key: string): Promise<StepAnswer> {
    const { remoteAddress } = credential
    const waitMs = this.#options.throttle.reserve(remoteAddress)
    if (waitMs === undefined) return throttled
    if (waitMs > 0) await this.#options.sleep(waitMs)
    const known = this.#users.get(username)
    const entry = known ?? this.#standIn(username)
    const since = this.#options.now()
    const judge = async () => this.#vainly(remoteAddress, since, waitMs) ?? (await fits(entry!.hash, password))
    const judged = entry === undefined ? Promise.resolve(false) : this.#hashing.run(judge)
    if (judged === undefined) return busy
    const isRight = await judged
    if (typeof isRight === 'object') return isRight
    // The file may be another one by now.
    if (isRight && known !== undefined && this.#users.get(username)?.text === known.text) {
      this.#verified.add(key, true)
      return yes(username)
    }
    if (known === undefined && this.#options.passOnUnknownUsers) return { type: 'not-mine' }
    this.#options.throttle.mistake(remoteAddress)
    return wrong
  }

  /**
   * Why a login that waited in the queue costs no hash any more: others would wait for it in vain. One whose address has made its
   * mistakes since it came would have had to pause, had it come now.
   */
  #vainly(remoteAddress: string, since: number, pausedMs: number): StepAnswer | undefined {
    const { now, hashWaitMsMax, throttle } = this.#options
    if (now() - since > hashWaitMsMax) return busy
    return pausedMs === 0 && throttle.slowsDown(remoteAddress) ? throttled : undefined
  }
}

function yes(name: string): StepAnswer {
  return { type: 'yes', identity: { name } }
}
