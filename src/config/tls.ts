/** The options of listeners whose connections are encrypted, and what is wrong with them without looking into their files. */
import { z } from 'zod'
import type { ConfigIssue } from './config-error.ts'
import { oneOf, text } from './fields.ts'

const file = () => text(4096)

const certificateFields = {
  cert: file().optional().describe('PEM file with the certificate, followed by those between it and its authority.'),
  key: file().optional().describe("PEM file with the certificate's private key."),
  passphraseFile: file().optional().describe('File with the passphrase of an encrypted key.'),
}

/** Of kinds tls, wss and https; file names in a configuration file are relative to its folder. */
export const tlsFields = {
  ...certificateFields,
  certificates: z
    .array(z.strictObject({ ...certificateFields, cert: file(), key: file() }), 'expected a list of cert and key')
    .max(1000)
    .optional()
    .describe('Further certificates, chosen by the host name that a client asks for.'),
  ca: file().optional().describe('PEM file with the authorities whose client certificates are accepted.'),
  crl: file().optional().describe('PEM file with revoked client certificates.'),
  clientCertificate: oneOf('none', 'request', 'require')
    .optional()
    .describe('Whether clients are asked for a certificate; with require nobody connects without one. Unset, none.'),
  minVersion: oneOf('TLSv1.2', 'TLSv1.3').optional().describe('Oldest TLS version served. Unset, TLSv1.2.'),
  ciphers: text(4096).optional().describe("Cipher suites as OpenSSL lists them; unset, Node's."),
}

export type TlsOptions = z.output<ReturnType<typeof z.strictObject<typeof tlsFields>>>

export const tlsKinds = ['tls', 'wss', 'https'] as const

export function isTlsKind(kind: string): boolean {
  return (tlsKinds as readonly string[]).includes(kind)
}

/** Faults of one listener. `at`: its place in the configuration. */
export function tlsIssues(kind: string, options: TlsOptions, at: readonly PropertyKey[]): ConfigIssue[] {
  const names = Object.keys(tlsFields) as (keyof TlsOptions)[]
  if (!isTlsKind(kind)) {
    return names
      .filter((name) => options[name] !== undefined)
      .map((name) => ({ path: [...at, name], message: `belongs to a listener of kind ${tlsKinds.join(', ')} only` }))
  }
  const issues: ConfigIssue[] = []
  for (const name of ['cert', 'key'] as const) {
    if (options[name] === undefined) issues.push({ path: [...at, name], message: 'missing: expected a PEM file' })
  }
  const { clientCertificate = 'none', ca, crl } = options
  if (clientCertificate !== 'none' && ca === undefined) {
    issues.push({
      path: [...at, 'ca'],
      message: 'missing: clientCertificate needs the authorities that it is judged by',
    })
  }
  if (crl !== undefined && clientCertificate === 'none') {
    issues.push({ path: [...at, 'crl'], message: 'says nothing without clientCertificate: request or require' })
  }
  return issues
}
