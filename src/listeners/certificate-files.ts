/** The files of one listener's certificates, as its options name them. */
import { readFileSync } from 'node:fs'
import type { TlsOptions } from '../config/tls.ts'
import { CertificateError, type CertificateFiles } from './certificates.ts'

/** @throws CertificateError for a passphrase that can't be read */
export function certificateFiles(options: TlsOptions): CertificateFiles {
  const { cert, key, passphraseFile, certificates = [], ca, crl, ciphers, minVersion = 'TLSv1.2' } = options
  const names = certificates.map((one) => ({
    cert: one.cert,
    key: one.key,
    passphrase: passphraseOf(one.passphraseFile),
  }))
  // Checked with the configuration: a listener of these kinds has both.
  return { cert: cert!, key: key!, passphrase: passphraseOf(passphraseFile), names, ca, crl, ciphers, minVersion }
}

function passphraseOf(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw new CertificateError(file, `can't be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}
