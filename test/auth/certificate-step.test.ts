/** Verified client certificates as credentials. */
import { describe, expect, it } from 'vitest'
import { type CertificateOptions, CertificateStep } from '../../src/auth/certificate-step.ts'

const fingerprint = 'ab'.repeat(32)

function check(certificate: Record<string, string> | undefined, options: Partial<CertificateOptions> = {}) {
  const step = new CertificateStep({ userField: 'cn', fingerprints: {}, ...options })
  const credential = { clientId: 'c', username: 'root', password: undefined, version: 5 as const, remoteAddress: '' }
  return step.check(certificate === undefined ? credential : { ...credential, certificate })
}

describe('a client certificate', () => {
  it('gives its name, whatever user name the client brings beside it', () => {
    expect(check({ cn: 'press-7', san: 'press-7.example' })).toEqual({ type: 'yes', identity: { name: 'press-7' } })
    expect(check({ cn: 'x', san: 'press-7.example' }, { userField: 'san' })).toEqual({
      type: 'yes',
      identity: { name: 'press-7.example' },
    })
  })

  it('may stand for a name by its fingerprint', () => {
    const fingerprints = { [fingerprint]: 'press-7' }
    expect(check({ cn: 'x', fingerprint }, { fingerprints })).toEqual({ type: 'yes', identity: { name: 'press-7' } })
    expect(check({ cn: 'x', fingerprint: 'cd'.repeat(32) }, { fingerprints })).toMatchObject({
      identity: { name: 'x' },
    })
  })

  it('without the field is refused, and a client without one is left to the next step', () => {
    expect(check({ cn: '' })).toMatchObject({ type: 'no', reasonCode: 0x87 })
    expect(check({ san: 'x' })).toMatchObject({ type: 'no', reason: 'certificate_without_name' })
    expect(check({ cn: 'x'.repeat(2000) })).toMatchObject({ type: 'no' })
    expect(check(undefined)).toEqual({ type: 'not-mine' })
  })
})
