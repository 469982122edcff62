/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as MQTT 5.0's enhanced authentication: the password never travels, and the client
 * learns that the server knows it too.
 *
 *     client -> n,,n=USER,r=NONCE                              CONNECT
 *     server -> r=NONCE+OURS,s=SALT,i=ITERATIONS               AUTH
 *     client -> c=biws,r=NONCE+OURS,p=PROOF                    AUTH
 *     server -> v=SIGNATURE                                    CONNACK
 *
 * An unknown user gets a salt that is always the same for the name, and fails with the proof like a wrong password does.
 * No channel is bound: the method without PLUS.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { ScramVerifier } from './password-hash.ts'

export const scramMethod = 'SCRAM-SHA-256'

const messageBytesMax = 8192
const iterationsOfUnknown = 4096

export type ScramStep =
  | { type: 'continue'; data: Uint8Array }
  | { type: 'success'; data: Uint8Array; user: string }
  | { type: 'failure'; reasonCode: number; reason: 'wrong_password' | 'malformed' }

export interface ScramOptions {
  /** undefined: no such user, or one without a verifier. */
  verifierOf(user: string): ScramVerifier | undefined
  /** Makes the salts of unknown users; the same secret for as long as the process lives. */
  secret: Uint8Array
  nonce?(): string
}

const malformed: ScramStep = { type: 'failure', reasonCode: ReasonCode.notAuthorized, reason: 'malformed' }

interface ServerFirst {
  user: string
  verifier: ScramVerifier
  isKnown: boolean
  nonce: string
  clientFirstBare: string
  gs2Header: string
  message: string
}

/** One exchange, from the client's first message to the end. */
export class ScramExchange {
  readonly #options: ScramOptions
  #serverFirst: ServerFirst | undefined
  #isOver = false

  constructor(options: ScramOptions) {
    this.#options = options
  }

  next(data: Uint8Array | undefined): ScramStep {
    const message = this.#isOver ? undefined : textOf(data)
    if (message === undefined) return this.#end(malformed)
    if (this.#serverFirst !== undefined) return this.#end(final(this.#serverFirst, message))
    this.#serverFirst = first(this.#options, message)
    if (this.#serverFirst === undefined) return this.#end(malformed)
    return { type: 'continue', data: Buffer.from(this.#serverFirst.message) }
  }

  #end(step: ScramStep): ScramStep {
    this.#isOver = true
    return step
  }
}

function textOf(data: Uint8Array | undefined): string | undefined {
  if (data === undefined || data.length > messageBytesMax) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data)
  } catch {
    return undefined
  }
}

function first({ verifierOf, secret, nonce = randomNonce }: ScramOptions, message: string): ServerFirst | undefined {
  // gs2-header, then the bare message. "y" and "n": no channel binding. Nobody may act as somebody else (authzid).
  const parts = /^([yn],(?:a=[^,]*)?,)((n=([^,]+)),r=([\x21-\x2b\x2d-\x7e]+))(?:,.*)?$/s.exec(message)
  if (parts === null) return undefined
  const [, gs2Header, , , name, clientNonce] = parts as unknown as [string, string, string, string, string, string]
  const user = saslName(name)
  if (user === undefined) return undefined
  const authzid = /a=([^,]*)/.exec(gs2Header)?.[1]
  if (authzid !== undefined && saslName(authzid) !== user) return undefined
  const known = verifierOf(user)
  const verifier = known ?? unknownVerifier(secret, user)
  const combined = clientNonce + nonce()
  const salt = verifier.salt.toString('base64')
  return {
    user,
    verifier,
    isKnown: known !== undefined,
    nonce: combined,
    // With its extensions, as the client signs it.
    clientFirstBare: message.slice(gs2Header.length),
    gs2Header,
    message: `r=${combined},s=${salt},i=${verifier.iterations}`,
  }
}

function final(
  { user, verifier, isKnown, nonce, clientFirstBare, gs2Header, message }: ServerFirst,
  text: string,
): ScramStep {
  const parts = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,[^p].*)?),p=([A-Za-z0-9+/=]+)$/s.exec(text)
  if (parts === null) return malformed
  const [, withoutProof, channel, echoed, proofText] = parts as unknown as [string, string, string, string, string]
  if (Buffer.from(channel, 'base64').toString() !== gs2Header || echoed !== nonce) return malformed
  const proof = Buffer.from(proofText, 'base64')
  if (proof.length !== 32) return malformed
  const signed = `${clientFirstBare},${message},${withoutProof}`
  const signature = createHmac('sha256', verifier.storedKey).update(signed).digest()
  const clientKey = Buffer.from(proof.map((byte, index) => byte ^ signature[index]!))
  const fits = timingSafeEqual(createHash('sha256').update(clientKey).digest(), verifier.storedKey)
  if (!fits || !isKnown) return { type: 'failure', reasonCode: ReasonCode.notAuthorized, reason: 'wrong_password' }
  const serverSignature = createHmac('sha256', verifier.serverKey).update(signed).digest('base64')
  return { type: 'success', data: Buffer.from(`v=${serverSignature}`), user }
}

/** "=2C" is a comma and "=3D" an equals sign; any other "=" is a fault (RFC 5802 section 5.1). */
function saslName(text: string): string | undefined {
  if (/=(?!2C|3D)/.test(text)) return undefined
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=')
}

function unknownVerifier(secret: Uint8Array, user: string): ScramVerifier {
  const keyed = (what: string) => createHmac('sha256', secret).update(`${what}\0${user}`).digest()
  const salt = keyed('salt').subarray(0, 16)
  const kind = 'scram-sha-256'
  return { kind, iterations: iterationsOfUnknown, salt, storedKey: keyed('stored'), serverKey: keyed('server') }
}

function randomNonce(): string {
  return randomBytes(18).toString('base64')
}
