/**
 * The certificates of one TLS listener: read from files, checked before they are used, and read again when a file changes.
 *
 * What is in force is a set that was read and checked as a whole: a certificate with its key for each host name (SNI), the
 * authorities that client certificates are judged by, and their revocation lists. A set that has a fault changes nothing and
 * says which file it is; connections that exist keep what they began with.
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'

export interface CertificateFiles {
  /** PEM, the server's own certificate first, then those between it and its authority. */
  cert: string
  /** PEM. */
  key: string
  /** Text, read from a file or the environment by whoever made this. */
  passphrase?: string | undefined
  /** PEM: whose client certificates are accepted. */
  ca?: string | undefined
  /** PEM: revoked client certificates. */
  crl?: string | undefined
  /** Further certificates, chosen by the host name that a client asks for. */
  names?: readonly { cert: string; key: string; passphrase?: string | undefined }[] | undefined
  ciphers?: string | undefined
  minVersion: 'TLSv1.2' | 'TLSv1.3'
}

/** A file can't be used. The text names it, says what is wrong and what would be right. */
export class CertificateError extends Error {
  readonly file: string

  constructor(file: string, finding: string, options?: ErrorOptions) {
    super(`${file}: ${finding}`, options)
    this.name = 'CertificateError'
    this.file = file
  }
}

export interface CertificateFacts {
  file: string
  /** As in `CN=gate.example, O=Plant`; cut to what a metric's label may have. */
  subject: string
  /** Host names that it is for, in small letters; `*.` begins a wildcard. */
  names: readonly string[]
  /** Milliseconds since the epoch. */
  expiresAt: number
  /** SHA-256 in hexadecimal, small letters, without colons. */
  fingerprint: string
}

interface Loaded {
  facts: CertificateFacts
  /** What the context was made of: a server takes its own only in this form. */
  options: SecureContextOptions
  context: SecureContext
}

const subjectCharactersMax = 200

/** A set in force. */
export interface CertificateSet {
  default: Loaded
  named: readonly Loaded[]
  /** Of all files, to notice a change. */
  stamp: string
}

/** Reads and checks all files. @throws CertificateError for the first that can't be used */
export function loadCertificates(files: CertificateFiles): CertificateSet {
  const stamp = stampOf(files)
  const ca = files.ca === undefined ? undefined : readAuthorities(files.ca)
  const crl = files.crl === undefined ? undefined : read(files.crl)
  if (crl !== undefined && !crl.includes('-----BEGIN X509 CRL-----')) {
    throw new CertificateError(files.crl!, 'no revocation list in PEM form (BEGIN X509 CRL)')
  }
  const common = { ca, crl, ciphers: files.ciphers, minVersion: files.minVersion }
  const load = (one: { cert: string; key: string; passphrase?: string | undefined }): Loaded => {
    const { pem: cert, facts, leaf } = readCertificate(one.cert)
    const key = readKey(one.key, one.passphrase, leaf)
    const { passphrase } = one
    const options = defined({ ...common, cert, key, passphrase }) as SecureContextOptions
    try {
      return { facts, options, context: createSecureContext(options) }
    } catch (cause) {
      throw new CertificateError(one.cert, (cause as Error).message, { cause })
    }
  }
  return { default: load(files), named: (files.names ?? []).map(load), stamp }
}

/** Without what is undefined, which OpenSSL's options do not take. */
function defined(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new CertificateError(file, `can't be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}

function readCertificate(file: string): { pem: string; facts: CertificateFacts; leaf: X509Certificate } {
  const pem = read(file)
  const leaf = parse(file, pem)
  const facts = {
    file,
    subject: leaf.subject.replaceAll('\n', ', ').slice(0, subjectCharactersMax),
    names: namesOf(leaf),
    expiresAt: leaf.validToDate.getTime(),
    fingerprint: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
  }
  return { pem, facts, leaf }
}

function parse(file: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new CertificateError(file, 'no certificate in PEM form (BEGIN CERTIFICATE)', { cause })
  }
}

function readAuthorities(file: string): string {
  const pem = read(file)
  parse(file, pem)
  return pem
}

function readKey(file: string, passphrase: string | undefined, certificate: X509Certificate): string {
  const pem = read(file)
  let key: ReturnType<typeof createPrivateKey>
  try {
    key = createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase })
  } catch (cause) {
    const encrypted = pem.includes('ENCRYPTED')
    const finding = encrypted
      ? 'the key is encrypted, and the passphrase is missing or wrong'
      : 'no private key in PEM form'
    throw new CertificateError(file, finding, { cause })
  }
  if (!certificate.checkPrivateKey(key)) throw new CertificateError(file, 'the key does not belong to the certificate')
  return pem
}

function namesOf(certificate: X509Certificate): string[] {
  const names = [...(certificate.subjectAltName ?? '').matchAll(/DNS:([^,\s]+)/g)].map(([, name]) =>
    name!.toLowerCase(),
  )
  const common = /^CN=(.+)$/m.exec(certificate.subject)?.[1]
  return names.length > 0 || common === undefined ? names : [common.toLowerCase()]
}

/** The certificate for the host name that a client asked for: an exact name, then a wildcard, then the default. */
export function contextFor(set: CertificateSet, hostName: string): SecureContext {
  const wanted = hostName.toLowerCase()
  const wildcard = wanted.replace(/^[^.]+/, '*')
  const all = [...set.named, set.default]
  const found =
    all.find(({ facts }) => facts.names.includes(wanted)) ?? all.find(({ facts }) => facts.names.includes(wildcard))
  return (found ?? set.default).context
}

function allFiles(files: CertificateFiles): string[] {
  const named = (files.names ?? []).flatMap(({ cert, key }) => [cert, key])
  return [files.cert, files.key, files.ca, files.crl, ...named].filter((file) => file !== undefined)
}

/** Changes when a file does: its content counts, since tools that renew certificates keep names and may keep times. */
export function stampOf(files: CertificateFiles): string {
  const hash = createHash('sha256')
  for (const file of allFiles(files)) {
    try {
      statSync(file)
      hash.update(readFileSync(file))
    } catch {
      hash.update('missing')
    }
    hash.update('\0')
  }
  return hash.digest('hex')
}
