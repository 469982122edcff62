/** Access as configured, and what a reload changes of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Access } from '../../src/auth/access.ts'
import { type AccessSettings, loadAccess } from '../../src/auth/access-files.ts'
import { newPasswordHash } from '../../src/auth/password-hash.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
let folder: string
let users: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-access-'))
  users = join(folder, 'users')
  await write({ alice: 'one', bob: 'two' })
})
afterEach(() => rmSync(folder, { recursive: true }))

async function write(passwords: Record<string, string>): Promise<void> {
  const lines = Object.entries(passwords).map(
    async ([name, password]) => `${name}:${await newPasswordHash('sha512', bytes(password))}`,
  )
  writeFileSync(users, (await Promise.all(lines)).join('\n'))
}

function settings(more: Partial<AccessSettings> = {}): AccessSettings {
  return {
    steps: [{ kind: 'passwordFile', file: users, passOnUnknownUsers: false }],
    scram: true,
    allowAnonymous: false,
    stepTimeoutMs: 1000,
    rememberMs: 60_000,
    hashQueueMax: 10,
    ...more,
  }
}

function accessWith(given: AccessSettings) {
  const logins: string[] = []
  const steps: string[] = []
  const access = new Access(loadAccess(given), {
    now: () => 0,
    sleep: async () => {},
    onError: (error) => {
      throw error
    },
    onLogin: (result) => logins.push(result),
    onStep: (step, answer) => steps.push(`${step}: ${answer}`),
  })
  const login = (username?: string, password?: string, clientId = 'c') =>
    access.authenticate({
      clientId,
      username,
      password: password === undefined ? undefined : bytes(password),
      version: 5,
      remoteAddress: '192.0.2.1:1',
      listener: 'plain',
    })
  return { access, logins, login, steps }
}

describe('access', () => {
  it('tells what each step said of a login, also one that left it to the next', async () => {
    const steps: AccessSettings['steps'] = [
      { kind: 'certificate', settings: { userField: 'cn', fingerprints: {} } },
      { kind: 'passwordFile', file: users, passOnUnknownUsers: false },
    ]
    const { login, steps: told } = accessWith(settings({ steps }))
    await login('alice', 'one')
    await login('alice', 'wrong')
    expect(told).toEqual([
      'certificate: not-mine',
      'passwordFile: yes',
      'certificate: not-mine',
      'passwordFile: wrong_password',
    ])
  })

  it('gives a principal and a grant with a yes, and counts every login by what became of it', async () => {
    const rules = [{ allow: 'publish', topic: 'own/%u', listener: 'plain' }]
    const authorization = { strictSubscribe: false, groups: {}, rules, clientId: ['c', '%u-*'] }
    const { login, logins } = accessWith(settings({ authorization }))
    const answer = await login('alice', 'one')
    expect(answer).toMatchObject({ reasonCode: 0, principal: 'alice' })
    expect(answer.grant?.mayPublish('own/alice', 0, false)).toBe(true)
    expect(answer.grant?.mayPublish('own/bob', 0, false)).toBe(false)
    expect(await login('alice', 'two')).toEqual({ reasonCode: 0x86 })
    expect(await login('alice', 'one', 'bob-1')).toEqual({ reasonCode: 0x85 })
    expect(await login()).toEqual({ reasonCode: 0x87 })
    expect(logins).toEqual(['yes', 'wrong_password', 'client_id_not_allowed', 'no_credential'])
  })

  it('without authentication takes every client for anonymous, whatever name it brings', async () => {
    const rules = [
      { allow: 'publish', topic: 'own/%u' },
      { allow: 'publish', topic: 'open' },
    ]
    const { login } = accessWith(settings({ steps: [], authorization: { strictSubscribe: false, groups: {}, rules } }))
    const { principal, grant } = await login('alice', 'anything')
    expect(principal).toBe('')
    expect([grant?.mayPublish('own/alice', 0, false), grant?.mayPublish('open', 0, false)]).toEqual([false, true])
  })
})

describe('a reload', () => {
  it('judges anew who was being judged by users that are gone', async () => {
    const { access, login, logins } = accessWith(settings())
    const pending = login('alice', 'one')
    const others = join(folder, 'others')
    writeFileSync(others, `bob:${await newPasswordHash('sha512', bytes('two'))}\n`)
    access.replace(loadAccess(settings({ steps: [{ kind: 'passwordFile', file: others, passOnUnknownUsers: false }] })))
    expect(await pending).toMatchObject({ reasonCode: 0x86 })
    expect(logins).toEqual(['wrong_password'])
  })

  it('ends an exchange that was begun with users of before', async () => {
    const { access } = accessWith(settings())
    const request = { clientId: 'c', remoteAddress: '192.0.2.1:1', listener: 'plain' }
    const exchange = access.beginExchange('SCRAM-SHA-256', request)!
    expect(await exchange.next(bytes('n,,n=alice,r=abc'))).toMatchObject({ type: 'continue' })
    access.replace(loadAccess(settings()))
    expect(await exchange.next(bytes('c=biws,r=abc,p=AA=='))).toEqual({ type: 'failure', reasonCode: 0x88 })
  })

  it('keeps what is remembered where the settings are the same, and begins anew where they changed', async () => {
    const { access, login } = accessWith(settings())
    await login('alice', 'one')
    access.replace(loadAccess(settings()))
    expect(login('alice', 'one')).not.toBeInstanceOf(Promise)
    access.replace(loadAccess(settings({ rememberMs: 0 })))
    await login('alice', 'one')
    expect(login('alice', 'one')).toBeInstanceOf(Promise)
  })

  it('says whose entry is gone or another one, and whether anonymous clients may stay', async () => {
    const { access } = accessWith(settings({ allowAnonymous: true }))
    expect(access.replace(loadAccess(settings({ allowAnonymous: true })))).toEqual({
      users: new Set(),
      anonymous: false,
    })
    const bobsLine = loadAccess(settings()).steps[0]
    if (bobsLine?.kind !== 'passwordFile') throw new Error('no users')
    writeFileSync(users, `bob:${bobsLine.users.get('bob')!.text}`)
    expect(access.replace(loadAccess(settings()))).toEqual({ users: new Set(['alice']), anonymous: true })
    await write({ bob: 'other' })
    expect(access.replace(loadAccess(settings()))).toMatchObject({ users: new Set(['bob']) })
    expect(access.replace(loadAccess(settings({ steps: [] })))).toMatchObject({ users: new Set(['bob']) })
  })

  it('with a faulty file is none: it throws before anything is exchanged', async () => {
    const { access, login } = accessWith(settings())
    writeFileSync(users, 'alice:plain')
    expect(() => access.replace(loadAccess(settings()))).toThrow(/users:1: /)
    expect(await login('bob', 'two')).toMatchObject({ reasonCode: 0, principal: 'bob' })
  })

  it.each([
    [{ publicKeyFile: 'missing.pem' }, /missing\.pem: ENOENT/],
    [{ secret: 'too short' }, /authentication\.jwt: .*32 bytes/],
  ])('finds a key that is none before it is used: %j', (key, message) => {
    const jwt = { tokenIn: 'password' as const, expiryRequired: true, clockSkewSeconds: 0 }
    const fetching = { jwksCacheSeconds: 1, jwksCooldownSeconds: 1, jwksTimeoutMs: 1 }
    const given = settings({ steps: [{ kind: 'jwt', key, settings: { ...jwt, ...fetching } }] })
    expect(() => loadAccess(given)).toThrow(message)
  })
})
