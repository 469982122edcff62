/** Certificates in real files, made by openssl: read, refused with the file's name, chosen by host name. */
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { CertificateError, contextFor, loadCertificates, stampOf } from '../../src/listeners/certificates.ts'
import { CertificatesInForce } from '../../src/listeners/certificates-in-force.ts'
import { describePeer } from '../peers.ts'
import { TestAuthority } from './openssl.ts'

describePeer('certificates', ['openssl'], ({ openssl }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const minVersion = 'TLSv1.2' as const
  const main = authority?.issue({ commonName: 'main.example', names: ['DNS:main.example', 'DNS:*.plant.example'] })
  const other = authority?.issue({ commonName: 'other.example' })

  test('are chosen by the host name that is asked for', () => {
    const set = loadCertificates({ ...main, names: [other], minVersion })
    const [byDefault, named] = [set.default.context, set.named[0]!.context]
    expect(contextFor(set, 'main.example')).toBe(byDefault)
    expect(contextFor(set, 'OTHER.example')).toBe(named)
    expect(contextFor(set, 'pump.plant.example')).toBe(byDefault)
    expect(contextFor(set, 'a.b.plant.example')).toBe(byDefault)
    expect(contextFor(set, 'unknown.example')).toBe(byDefault)
    expect(set.default.facts.names).toEqual(['main.example', '*.plant.example'])
    expect(set.default.facts.expiresAt).toBeGreaterThan(Date.now())
  })

  test('that changed have another stamp', () => {
    const file = join(authority.folder, 'renewed.crt')
    copyFileSync(main.cert, file)
    const files = { cert: file, key: main.key, minVersion }
    const before = stampOf(files)
    expect(stampOf(files)).toBe(before)
    copyFileSync(other.cert, file)
    expect(stampOf(files)).not.toBe(before)
  })

  describe('that can not be used are refused by name:', () => {
    const garbage = join(authority?.folder ?? '', 'garbage.pem')
    test.each([
      [
        'a missing file',
        () => ({ cert: '/nowhere/server.crt', key: main.key }),
        /server\.crt: can't be read \(ENOENT\)/,
      ],
      ['no certificate', () => ({ cert: garbage, key: main.key }), /garbage\.pem: no certificate in PEM form/],
      ['no key', () => ({ cert: main.cert, key: garbage }), /garbage\.pem: no private key in PEM form/],
      ["another certificate's key", () => ({ cert: main.cert, key: other.key }), /\.key: the key does not belong to/],
      ['no authorities', () => ({ ...main, ca: garbage }), /garbage\.pem: no certificate in PEM form/],
      ['no revocation list', () => ({ ...main, ca: authority.ca, crl: garbage }), /garbage\.pem: no revocation list/],
      ['a wrong second certificate', () => ({ ...main, names: [{ cert: garbage, key: main.key }] }), /garbage\.pem/],
    ])('%s', (_name, files, words) => {
      writeFileSync(garbage, 'nothing of the kind\n')
      const load = () => loadCertificates({ ...files(), minVersion })
      expect(load).toThrow(CertificateError)
      expect(load).toThrow(words)
    })
  })
})

describePeer('certificates in force', ['openssl'], ({ openssl }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const first = authority?.issue({ commonName: 'localhost', days: 30 }, 'server')
  const second = authority?.issue({ commonName: 'localhost', days: 40 }, 'renewed')
  const soon = authority?.issue({ commonName: 'localhost', days: 3 }, 'soon')

  function inForce(now: number | (() => number) = Date.now()) {
    const lines: string[] = []
    const write = (level: string) => (fields: object, text: string) => {
      const { err } = fields as { err?: Error }
      lines.push(`${level}: ${text}${err === undefined ? '' : `: ${err.message.replace(/^.*\//, '')}`}`)
    }
    const files = { cert: join(authority.folder, 'live.crt'), key: join(authority.folder, 'live.key') }
    put(first)
    const log = { info: write('info'), warn: write('warn'), error: write('error') }
    const certificates = new CertificatesInForce({ ...files, minVersion: 'TLSv1.2' }, log, () =>
      typeof now === 'number' ? now : now(),
    )
    return { certificates, lines, put, files }

    function put({ cert, key }: { cert: string; key: string }): void {
      copyFileSync(cert, files.cert)
      copyFileSync(key, files.key)
    }
  }

  test('are exchanged when both files have changed, and stay while only one has', () => {
    const { certificates, lines, put, files } = inForce()
    const before = certificates.facts[0]!.fingerprint
    expect(certificates.check()).toBe(false)
    copyFileSync(second.cert, files.cert)
    expect(certificates.check()).toBe(false)
    expect(certificates.facts[0]!.fingerprint).toBe(before)
    expect(certificates.check()).toBe(false)
    put(second)
    expect(certificates.check()).toBe(true)
    expect(certificates.facts[0]!.fingerprint).not.toBe(before)
    expect(lines).toEqual([
      'error: changed certificates can not be used: those before stay in force: live.key: the key does not belong to the certificate',
      'info: changed certificates are in force for new connections',
    ])
  })

  test('are warned of two weeks before they expire, and when they have', () => {
    const { certificates, lines, put } = inForce()
    put(soon)
    certificates.check()
    expect(lines).toContain('warn: the certificate expires soon')
    const later = inForce(Date.now() + 31 * 86_400_000)
    expect(later.lines).toEqual(['warn: the certificate has expired'])
  })

  test('are warned of once a day, not each time that somebody looks', () => {
    const hourMs = 3_600_000
    let now = Date.now() + 20 * 24 * hourMs
    const { certificates, lines } = inForce(() => now)
    for (let hour = 0; hour < 72; hour++) {
      certificates.check()
      now += hourMs
    }
    expect(lines).toEqual(Array.from({ length: 3 }, () => 'warn: the certificate expires soon'))
  })
})
