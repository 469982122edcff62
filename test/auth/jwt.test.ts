/** Tokens: which get in, as whom, and that nothing about one is believed before its signature. */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, type JWTPayload, SignJWT } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import type { Credential, StepAnswer } from '../../src/auth/credential.ts'
import { type JwtKeySource, type JwtOptions, JwtStep } from '../../src/auth/jwt.ts'

const start = Date.UTC(2026, 0, 1)
const secret = Buffer.alloc(32, 3)
const bytes = (text: string) => new TextEncoder().encode(text)

function stepOf(key: JwtKeySource, more: Partial<JwtOptions> = {}) {
  const world = { now: start }
  const step = new JwtStep({
    key,
    tokenIn: 'password',
    expiryRequired: true,
    clockSkewSeconds: 30,
    jwksCacheSeconds: 600,
    jwksCooldownSeconds: 30,
    jwksTimeoutMs: 1000,
    now: () => world.now,
    ...more,
  })
  const check = async (token: string, credential: Partial<Credential> = {}): Promise<StepAnswer> =>
    step.check({
      clientId: 'c1',
      username: 'anybody',
      password: bytes(token),
      version: 5,
      remoteAddress: '192.0.2.1:1',
      ...credential,
    })
  return { check, world }
}

async function token(claims: JWTPayload = {}, key: KeyObject | Uint8Array = secret, alg = 'HS256', kid?: string) {
  const payload = { sub: 'alice', exp: start / 1000 + 3600, ...claims }
  return new SignJWT(payload).setProtectedHeader(kid === undefined ? { alg } : { alg, kid }).sign(key)
}

const invalid = { type: 'no', reason: 'token_invalid' }
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

const pairs = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS384: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  EdDSA: generateKeyPairSync('ed25519'),
}
const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()

describe('a token', () => {
  it.each(['HS256', 'HS384', 'HS512'])('signed with the shared secret by %s lets its subject in', async (alg) => {
    const { check } = stepOf({ kind: 'secret', secret: Buffer.alloc(64, 3) })
    expect(await check(await token({}, Buffer.alloc(64, 3), alg))).toEqual({
      type: 'yes',
      identity: { name: 'alice', expiresAt: start + 3_600_000 },
    })
  })

  it.each(Object.entries(pairs))('signed by %s lets its subject in', async (alg, { publicKey, privateKey }) => {
    const { check } = stepOf({ kind: 'publicKey', pem: pemOf(publicKey) })
    expect(await check(await token({}, privateKey, alg))).toMatchObject({ type: 'yes', identity: { name: 'alice' } })
  })

  it('in the user name serves where that is said', async () => {
    const { check } = stepOf({ kind: 'secret', secret }, { tokenIn: 'username' })
    expect(await check('', { username: await token() })).toMatchObject({ type: 'yes' })
    expect(await check(await token())).toEqual({ type: 'not-mine' })
  })

  it.each(['secret', '', 'a.b', 'a.b.c.d', 'a b.c.d', 'x'.repeat(60_000)])(
    'is what looks like one; the rest is left to other steps (%#)',
    async (password) => {
      const { check } = stepOf({ kind: 'secret', secret })
      expect(await check(password)).toEqual({ type: 'not-mine' })
    },
  )

  it('brings groups, a namespace and rules of its own', async () => {
    const { check } = stepOf({ kind: 'secret', secret })
    const rules = [{ allow: 'publish', topic: 'plant/%u/#' }]
    const answer = await check(await token({ groups: ['g'], namespace: 'plant', rules }))
    expect(answer).toMatchObject({ type: 'yes', identity: { groups: ['g'], namespace: 'plant' } })
    expect(answer).toMatchObject({ identity: { rules: [{ allow: true, topics: ['plant/%u/#'], place: 'rules[0]' }] } })
  })

  it.each([
    [{ pub: ['a/%u'], sub: ['b/#'], all: ['c'] }, ['a/%u', 'b/#', 'c']],
    [[{ permission: 'allow', action: 'publish', topic: `d/$${'{clientid}'}`, qos: [0, 1], retain: false }], ['d/%c']],
    [[{ permission: 'deny', action: 'all', topics: ['e', 'f'] }], ['e,f']],
  ])("brings rules in EMQX's form too: %j", async (acl, topics) => {
    const { check } = stepOf({ kind: 'secret', secret })
    const answer = await check(await token({ acl }))
    if (answer.type !== 'yes') throw new Error('refused')
    expect(answer.identity.rules?.map((rule) => rule.topics.join())).toEqual(topics)
  })

  it.each([
    { acl: 'all' },
    { acl: [{ permission: 'maybe', action: 'publish', topic: 'a' }] },
    { acl: [{ permission: 'allow', action: 'publish', topic: 'eq a' }] },
    { acl: { pubb: ['a'] } },
    { rules: [{ allow: 'publish', topic: 'a/#/b' }] },
    { rules: [null] },
    { acl: { pub: Array.from({ length: 1001 }, () => 'a') } },
    { groups: 'admin' },
    { namespace: 7 },
    { namespace: '' },
    { sub: '' },
  ])('with claims that are not understood is refused (%#)', async (claims) => {
    const { check } = stepOf({ kind: 'secret', secret })
    expect(await check(await token(claims as JWTPayload))).toMatchObject(invalid)
  })

  it('holds for the client id and the user name that it names', async () => {
    const { check } = stepOf({ kind: 'secret', secret })
    expect(await check(await token({ clientid: 'c1', username: 'anybody' }))).toMatchObject({ type: 'yes' })
    expect(await check(await token({ client_id: 'c2' }))).toMatchObject({ type: 'no', reasonCode: 0x85 })
    expect(await check(await token({ username: 'somebody' }))).toMatchObject(invalid)
  })
})

describe('a token is refused', () => {
  it('without a signature, whatever its header says', async () => {
    const claims = encoded({ sub: 'root', exp: start / 1000 + 60 })
    for (const alg of ['none', 'None', 'NONE', '']) {
      const { check } = stepOf({ kind: 'secret', secret })
      expect(await check(`${encoded({ alg })}.${claims}.`)).toMatchObject(invalid)
    }
  })

  it('that is signed with the public key as if it were a secret', async () => {
    const pem = pemOf(pairs.RS256.publicKey)
    const { check } = stepOf({ kind: 'publicKey', pem })
    const text = `${encoded({ alg: 'HS256' })}.${encoded({ sub: 'root', exp: start / 1000 + 60 })}`
    const signature = createHmac('sha256', pem).update(text).digest('base64url')
    expect(await check(`${text}.${signature}`)).toMatchObject(invalid)
  })

  it('with another key, a changed claim or an algorithm that does not fit the key', async () => {
    const { check } = stepOf({ kind: 'publicKey', pem: pemOf(pairs.ES256.publicKey) })
    expect(await check(await token({}, pairs.ES384.privateKey, 'ES384'))).toMatchObject(invalid)
    expect(await check(await token({}, pairs.RS256.privateKey, 'RS256'))).toMatchObject(invalid)
    const [header, , signature] = (await token({}, pairs.ES256.privateKey, 'ES256')).split('.')
    expect(await check(`${header}.${encoded({ sub: 'root', exp: 9e9 })}.${signature}`)).toMatchObject(invalid)
  })

  it('for another audience or from another issuer', async () => {
    const { check } = stepOf({ kind: 'secret', secret }, { audience: ['mqtide'], issuer: ['https://id.example'] })
    expect(await check(await token({ aud: 'mqtide', iss: 'https://id.example' }))).toMatchObject({ type: 'yes' })
    expect(await check(await token({ aud: ['x', 'mqtide'], iss: 'https://id.example' }))).toMatchObject({ type: 'yes' })
    expect(await check(await token({ aud: 'other', iss: 'https://id.example' }))).toMatchObject(invalid)
    expect(await check(await token({ aud: 'mqtide', iss: 'https://evil.example' }))).toMatchObject(invalid)
    expect(await check(await token({}))).toMatchObject(invalid)
  })

  it('before its time and after it, give or take the skew of clocks', async () => {
    const { check, world } = stepOf({ kind: 'secret', secret })
    const one = await token({ nbf: start / 1000, exp: start / 1000 + 60 })
    world.now = start - 31_000
    expect(await check(one)).toMatchObject(invalid)
    world.now = start - 29_000
    expect(await check(one)).toMatchObject({ type: 'yes' })
    world.now = start + 60_000 + 29_000
    expect(await check(one)).toMatchObject({ type: 'yes' })
    world.now = start + 60_000 + 31_000
    expect(await check(one)).toMatchObject({ type: 'no', reasonCode: 0x87, reason: 'token_expired' })
  })

  it('without an expiry, unless that is allowed', async () => {
    const endless = await new SignJWT({ sub: 'alice' }).setProtectedHeader({ alg: 'HS256' }).sign(secret)
    expect(await stepOf({ kind: 'secret', secret }).check(endless)).toMatchObject(invalid)
    const { check } = stepOf({ kind: 'secret', secret }, { expiryRequired: false })
    expect(await check(endless)).toEqual({ type: 'yes', identity: { name: 'alice' } })
  })

  it('by a secret that could be guessed: such a configuration is refused', () => {
    expect(() => stepOf({ kind: 'secret', secret: bytes('short') })).toThrow(/32 bytes/)
    expect(() => stepOf({ kind: 'publicKey', pem: 'no key' })).toThrow()
  })
})

describe('keys from a URL', () => {
  const servers: Server[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })

  async function keyServer(answer: () => Promise<{ status: number; body: string }>) {
    let requests = 0
    const server = createServer(async (_request, response) => {
      requests++
      const { status, body } = await answer()
      response.writeHead(status).end(body)
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`)
    return { url, requests: () => requests }
  }

  const jwks = async (...named: [string, KeyObject][]) =>
    JSON.stringify({ keys: await Promise.all(named.map(async ([kid, key]) => ({ ...(await exportJWK(key)), kid }))) })

  it('are fetched once for many tokens, and again when a token names one that is new', async () => {
    let body = await jwks(['one', pairs.ES256.publicKey])
    const { url, requests } = await keyServer(async () => ({ status: 200, body }))
    const { check } = stepOf({ kind: 'jwksUrl', url }, { jwksCooldownSeconds: 0 })
    const first = await token({}, pairs.ES256.privateKey, 'ES256', 'one')
    for (const answer of await Promise.all(Array.from({ length: 20 }, () => check(first)))) {
      expect(answer).toMatchObject({ type: 'yes' })
    }
    expect(requests()).toBe(1)
    body = await jwks(['two', pairs.EdDSA.publicKey])
    expect(await check(await token({}, pairs.EdDSA.privateKey, 'EdDSA', 'two'))).toMatchObject({ type: 'yes' })
    expect(requests()).toBe(2)
    expect(await check(first)).toMatchObject(invalid)
  })

  it('are not fetched again for every made-up name of a key', async () => {
    const body = await jwks(['one', pairs.ES256.publicKey])
    const { url, requests } = await keyServer(async () => ({ status: 200, body }))
    const { check } = stepOf({ kind: 'jwksUrl', url })
    for (let index = 0; index < 10; index++) {
      expect(await check(await token({}, pairs.ES256.privateKey, 'ES256', `made-up-${index}`))).toMatchObject(invalid)
    }
    expect(requests()).toBe(1)
  })

  it('that can not be had are a fault, not a wrong token, and a server that is down is asked once per pause', async () => {
    const { url, requests } = await keyServer(async () => ({ status: 503, body: '' }))
    const { check, world } = stepOf({ kind: 'jwksUrl', url })
    const one = await token({}, pairs.ES256.privateKey, 'ES256', 'one')
    for (let index = 0; index < 5; index++) await expect(check(one)).rejects.toThrow()
    expect(requests()).toBe(1)
    world.now += 31_000
    await expect(check(one)).rejects.toThrow()
    expect(requests()).toBe(2)
  })

  it('longer than a megabyte are refused', async () => {
    const { url } = await keyServer(async () => ({ status: 200, body: 'x'.repeat(2 * 1024 * 1024) }))
    const { check } = stepOf({ kind: 'jwksUrl', url })
    await expect(check(await token({}, pairs.ES256.privateKey, 'ES256', 'one'))).rejects.toThrow(/longer than/)
  })
})
