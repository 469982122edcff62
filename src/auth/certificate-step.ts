/**
 * A verified client certificate as the credential: one of its fields is the user name, or its fingerprint stands for a name.
 *
 * Whether a certificate is good (its authority, its time, the revocation lists) was decided by the listener in the handshake;
 * only good ones come here. A user name and a password beside it are not looked at: the certificate says who it is.
 */
import { ReasonCode } from '../mqtt/reason-code.ts'
import { type ChainStep, type Credential, type StepAnswer, userNameCharactersMax } from './credential.ts'

export const certificateFields = ['cn', 'san', 'email', 'uri', 'fingerprint'] as const
export type CertificateField = (typeof certificateFields)[number]

export interface CertificateOptions {
  userField: CertificateField
  /** User names by SHA-256 fingerprint in hexadecimal, small letters, without colons. They come before the field. */
  fingerprints: Readonly<Record<string, string>>
}

export class CertificateStep implements ChainStep {
  readonly name = 'certificate'
  readonly #options: CertificateOptions

  constructor(options: CertificateOptions) {
    this.#options = options
  }

  check({ certificate }: Credential): StepAnswer {
    if (certificate === undefined) return { type: 'not-mine' }
    const { userField, fingerprints } = this.#options
    const fingerprint = certificate['fingerprint'] ?? ''
    const named = Object.hasOwn(fingerprints, fingerprint) ? fingerprints[fingerprint] : undefined
    const name = named ?? certificate[userField]
    if (name === undefined || name === '' || name.length > userNameCharactersMax) {
      return { type: 'no', reasonCode: ReasonCode.notAuthorized, reason: 'certificate_without_name' }
    }
    return { type: 'yes', identity: { name } }
  }
}
