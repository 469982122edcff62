/** Certificates in real files, made by openssl: read, refused with the file's name, chosen by host name. */
import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { CertificateError, contextFor, loadCertificates, stampOf } from '../../src/listeners/certificates.ts'
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
