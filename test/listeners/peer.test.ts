/** What is read of a client certificate. */
import type { PeerCertificate } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { fieldsOf } from '../../src/listeners/peer.ts'

const certificate = (fields: object) => ({ subject: {}, ...fields }) as unknown as PeerCertificate

describe('the fields of a client certificate', () => {
  test('are its names and its fingerprint', () => {
    const subject = { CN: 'pump-7', O: 'Plant', OU: ['north', 'hall 3'] }
    const subjectaltname =
      'DNS:pump-7.plant.example, DNS:other, email:ops@plant.example, URI:urn:pump:7, IP Address:10.0.0.7'
    expect(fieldsOf(certificate({ subject, subjectaltname, fingerprint256: 'AB:CD' }))).toEqual({
      ...{ cn: 'pump-7', o: 'Plant', ou: 'north', san: 'pump-7.plant.example', email: 'ops@plant.example' },
      ...{ uri: 'urn:pump:7', fingerprint: 'abcd' },
    })
  })

  test('are not taken out of the middle of another name', () => {
    const subjectaltname = 'DNS:"a, URI:urn:admin, b", email:"x\\", URI:urn:admin"'
    expect(fieldsOf(certificate({ subjectaltname }))).toEqual({
      san: 'a, URI:urn:admin, b',
      email: 'x", URI:urn:admin',
    })
  })
})
