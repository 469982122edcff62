/**
 * What a client brings to be known by, who it then is, and the step of a chain that decides between the two.
 */
import type { AuthenticationRequest } from './authenticator.ts'
import type { Rule } from './rule.ts'

/** Fields of a client's TLS certificate: cn, o, ou, c, l, st, email, san (the first DNS name), fingerprint (SHA-256). */
export type CertificateFields = Readonly<Record<string, string>>

export interface Credential extends Omit<AuthenticationRequest, 'listener'> {
  listener?: string
}

/** Who somebody was found to be. */
export interface Identity {
  /** The principal: user name, token subject, or name in the certificate. */
  name: string
  groups?: readonly string[]
  /** Milliseconds since the epoch after which the identity holds no more. */
  expiresAt?: number
  /** Rules that came with the credential; they are asked before those of the configuration. */
  rules?: readonly Rule[]
  /** Where it belongs, if the credential says so. */
  namespace?: string
  /** May do everything, whatever the rules say. */
  superuser?: boolean
}

export type StepAnswer =
  | { type: 'yes'; identity: Identity }
  /** `reason` is for the log and the counters, and never holds anything of the credential. */
  | { type: 'no'; reasonCode: number; reason: RefusalReason }
  | { type: 'not-mine' }

export type RefusalReason =
  | 'no_credential'
  | 'wrong_password'
  | 'credential_too_long'
  | 'throttled'
  | 'busy'
  | 'token_invalid'
  | 'token_expired'
  | 'certificate_without_name'
  | 'hook_refused'
  | 'hook_failed'
  | 'client_id_not_allowed'
  | 'not_accepted'
  | 'error'

export interface ChainStep {
  /** Its name in the log. */
  readonly name: string
  check(credential: Credential): StepAnswer | Promise<StepAnswer>
}

/** Longest user name that any step looks at: longer ones are refused before anything is spent on them. */
export const userNameCharactersMax = 1024
