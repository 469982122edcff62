/** Stored passwords of every form: what fits them, and which texts are refused. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fits, hashKinds, newPasswordHash, parsePasswordHash, saslPrepared } from '../../src/auth/password-hash.ts'
import { run } from '../e2e/program.ts'
import { describePeer } from '../peers.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64').replace(/=+$/, '')

/** RFC 7914 section 12. */
const scryptOfRfc = `$scrypt$ln=14,r=8,p=1$${Buffer.from('SodiumChloride').toString('base64').replace(/=+$/, '')}$${base64(
  '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887',
)}`
/** The Argon2 authors' own test suite, test.c: "password", "somesalt", t 2, m 65536, p 1. */
const argon2OfReference = `$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$${base64(
  '09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7',
)}`

describe('a password hash', () => {
  it.each(hashKinds)('of the kind %s fits its password and no other', async (kind) => {
    const text = await newPasswordHash(kind, bytes('correct horse'))
    const stored = parsePasswordHash(text)
    expect(stored.kind).toBe(kind)
    expect(await fits(stored, bytes('correct horse'))).toBe(true)
    expect(await fits(stored, bytes('correct horsf'))).toBe(false)
    expect(await fits(stored, bytes(''))).toBe(false)
    expect(text).not.toContain('correct')
    expect(await newPasswordHash(kind, bytes('correct horse'))).not.toBe(text)
  })

  it("is scrypt as in RFC 7914's test vector", async () => {
    expect(await fits(parsePasswordHash(scryptOfRfc), bytes('pleaseletmein'))).toBe(true)
    expect(await fits(parsePasswordHash(scryptOfRfc), bytes('pleaseletmeout'))).toBe(false)
  })

  it("is argon2id as in its authors' test vector", async () => {
    expect(await fits(parsePasswordHash(argon2OfReference), bytes('password'))).toBe(true)
    expect(await fits(parsePasswordHash(argon2OfReference), bytes('Password'))).toBe(false)
  })

  it('takes passwords of SCRAM verifiers as SASLprep has them', () => {
    const prepared = (text: string) => new TextDecoder().decode(saslPrepared(bytes(text)))
    expect(prepared('I\u00adX')).toBe('IX')
    expect(prepared('\u2168')).toBe('IX')
    expect(prepared('\u00aa')).toBe('a')
    expect(prepared('a\u00a0b')).toBe('a b')
    const notText = Uint8Array.of(0xff, 0xfe)
    expect(saslPrepared(notText)).toBe(notText)
  })

  it.each([
    ['a plain word', 'secret'],
    ['an empty text', ''],
    ['an unknown kind', '$1$abc$def'],
    ['crypt(3) with SHA-512, which looks alike', '$6$rounds=5000$saltsalt$abcdef'],
    ['a cut hash', '$6$Xqt+vBLWy7b+Ga4I$5VYe2+IzTyRYJF'],
    ['a hash without salt', '$7$101$$5VYe'],
    ['something after the hash', `${scryptOfRfc}$more`],
    ['characters outside base64', '$7$101$QQLK!bMqKu7ShBTq$oIjQ'],
    [
      'a SCRAM verifier without its second key',
      'SCRAM-SHA-256$4096:c2FsdA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
    ],
    ['argon2i', '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'],
  ])('that is %s is refused', (_what, text) => {
    expect(() => parsePasswordHash(text)).toThrow()
  })

  it.each([
    ['scrypt that takes a terabyte', scryptOfRfc.replace('ln=14', 'ln=30')],
    ['scrypt with a block size beyond sense', scryptOfRfc.replace('r=8', 'r=999999999')],
    ['scrypt a thousand times over', scryptOfRfc.replace('p=1', 'p=1000')],
    ['scrypt of 256 MiB sixteen times over', scryptOfRfc.replace('ln=14', 'ln=18').replace('p=1', 'p=16')],
    ['scrypt with no cost', scryptOfRfc.replace('ln=14', 'ln=0')],
    ['argon2id that takes a terabyte', argon2OfReference.replace('m=65536', 'm=999999999')],
    ['argon2id a million times over', argon2OfReference.replace('t=2', 't=1000000')],
    ['argon2id with too little memory', argon2OfReference.replace('m=65536', 'm=1')],
    ['PBKDF2 for an hour', `$7$999999999999$QQLKGbMqKu7ShBTq$${Buffer.alloc(64).toString('base64')}`],
    ['PBKDF2 with no round', `$7$0$QQLKGbMqKu7ShBTq$${Buffer.alloc(64).toString('base64')}`],
    ['SCRAM with fewer rounds than the RFC asks', `SCRAM-SHA-256$1000:c2FsdA==$${'A'.repeat(43)}=:${'A'.repeat(43)}=`],
  ])('that costs %s is refused', (_what, text) => {
    expect(() => parsePasswordHash(text)).toThrow(/outside what is accepted/)
  })
})

describePeer('a hash of mosquitto_passwd', ['mosquitto_passwd'], ({ mosquitto_passwd: program }) => {
  it.each([
    ['sha512-pbkdf2', '$7$'],
    ['sha512', '$6$'],
  ])('%s is accepted as it is', async (kind, prefix) => {
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-passwd-'))
    const file = join(folder, 'users')
    const made = await run(program, ['-H', kind, '-c', '-b', file, 'alice', 'p:ss wörd'])
    expect(made.exitCode, made.stderr).toBe(0)
    const line = readFileSync(file, 'utf8').trim()
    const text = line.slice('alice:'.length)
    expect(text.startsWith(prefix)).toBe(true)
    expect(await fits(parsePasswordHash(text), bytes('p:ss wörd'))).toBe(true)
    expect(await fits(parsePasswordHash(text), bytes('p:ss word'))).toBe(false)
    rmSync(folder, { recursive: true })
  })
})
