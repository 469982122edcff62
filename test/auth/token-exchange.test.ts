/** Tokens as Authentication Data: the method in front of the core, with a clock that the test moves. */
import { SignJWT } from 'jose'
import { expect, it, vi } from 'vitest'
import { Access } from '../../src/auth/access.ts'
import { type AccessSettings, loadAccess } from '../../src/auth/access-files.ts'
import { createAuthority } from '../../src/auth/authority.ts'
import { type Audit, noAudit } from '../../src/core/ports/audit.ts'
import { encodeAuth } from '../../src/mqtt/encoder.ts'
import { type Device, World } from '../core/world.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const secret = 'a-shared-secret-of-thirty-two-bytes!'
const start = new World().now

const token = (expiresAfterMs: number, claims: object = {}, key = secret) =>
  new SignJWT({ sub: 'tina', exp: (start + expiresAfterMs) / 1000, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(bytes(key))

function settings(method = 'JWT'): AccessSettings {
  const jwt = { tokenIn: 'password', expiryRequired: true, clockSkewSeconds: 0, method } as const
  const keys = { jwksCacheSeconds: 1, jwksCooldownSeconds: 1, jwksTimeoutMs: 1 }
  return {
    steps: [{ kind: 'jwt', key: { secret }, settings: { ...jwt, ...keys } }],
    scram: true,
    allowAnonymous: false,
    stepTimeoutMs: 1000,
    rememberMs: 0,
    hashQueueMax: 1,
    authorization: { strictSubscribe: false, rules: [{ allow: 'all', topic: 'own/%u/#' }], groups: {} },
  }
}

function tokenWorld() {
  const logins: string[] = []
  const access = new Access(loadAccess(settings()), {
    now: () => world.now,
    sleep: async () => {},
    onError: (error) => {
      throw error
    },
    onLogin: (result, _credential, step) => logins.push(`${step}: ${result}`),
  })
  const beginExchange: Access['beginExchange'] = (method, request) => access.beginExchange(method, request)
  let answers = 0
  const inTurn = (answer: () => void) => {
    answer()
    answers++
  }
  const answered = async (device: Device, ask: () => unknown) => {
    const before = answers
    ask()
    await vi.waitUntil(() => answers > before || device.link.closed !== undefined, { interval: 1, timeout: 10_000 })
    return device
  }
  const context = { inTurn, onError: () => {}, steadyTime: (time: number) => time }
  const authority = createAuthority({ authenticator: access, beginExchange }, context)
  const audited: string[] = []
  const audit: Audit = {
    ...noAudit,
    refused: (action, { clientId }, _object, reason) => audited.push(`${action} ${clientId} ${reason}`),
  }
  const world: World = new World({ namespaces: { lab: {} } }, { authority, audit })
  const connect = async (data: string | undefined, { method = 'JWT', clientId = 'c', username = '' } = {}) => {
    const authenticationData = data === undefined ? {} : { authenticationData: bytes(data) }
    const properties = { authenticationMethod: method, ...authenticationData }
    const device = world.device()
    return answered(device, () => device.connect({ clientId, properties, ...(username && { username }) }))
  }
  const renew = (device: Device, data: string) => {
    const packet = encodeAuth(0x19, { authenticationMethod: 'JWT', authenticationData: bytes(data) })
    return answered(device, () => device.send(packet))
  }
  return { world, access, connect, renew, logins, audited }
}

it('a token is the whole exchange, and its end is that of the connection', async () => {
  const { world, connect, logins } = tokenWorld()
  const device = await connect(await token(10_000))
  expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0, properties: { authenticationMethod: 'JWT' } }])
  expect(world.broker.defaultNamespace.sessions.get('c')!.principal).toBe('tina')
  world.advance(9_999)
  expect(device.link.closed).toBeUndefined()
  world.advance(1)
  expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0xa0 }])
  expect(logins).toEqual(['jwt: yes'])
})

it('[MQTT-4.12.1-1] a new token moves the end of the connection, as often as one comes, and also to an earlier time', async () => {
  const { world, connect, renew, logins } = tokenWorld()
  const device = await connect(await token(10_000))
  device.take()
  for (const end of [20_000, 40_000, 30_000]) {
    await renew(device, await token(end))
    expect(device.take()).toMatchObject([{ type: 'auth', reasonCode: 0, properties: { authenticationMethod: 'JWT' } }])
    if (end === 20_000) world.advance(15_000)
  }
  expect([logins, world.broker.counters.renewals.get('yes')]).toEqual([['jwt: yes'], 3])
  world.advance(14_999)
  expect(device.link.closed).toBeUndefined()
  world.advance(1)
  expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0xa0 }])
})

const otherKey = 'another-secret-of-thirty-two-bytes!!'
const refusals: [string, number, string, () => Promise<string> | string][] = [
  ['one signed with another key', 0x86, 'token_invalid', () => token(5_000, {}, otherKey)],
  ['one that has expired', 0x87, 'token_expired', () => token(-1_000)],
  ['one for another client id', 0x85, 'client_id_not_allowed', () => token(5_000, { clientid: 'd' })],
  ['one for another user name', 0x86, 'token_invalid', () => token(5_000, { username: 'toni' })],
  ['one with rules that are none', 0x87, 'token_invalid', () => token(5_000, { rules: 'all' })],
  ['one of more than 16 KiB', 0x86, 'credential_too_long', () => token(5_000, { filler: 'x'.repeat(16_384) })],
  ['no token', 0x86, 'token_invalid', () => 'tina'],
  ['nothing', 0x87, 'no_credential', () => ''],
]

it.each(refusals)('%s is refused with the reason code %i in CONNACK', async (_what, reasonCode, why, made) => {
  const { world, connect, logins } = tokenWorld()
  const device = await connect((await made()) || undefined)
  expect(device.take()).toMatchObject([{ type: 'connack', reasonCode }])
  expect(logins).toEqual([`jwt: ${why}`])
  expect(world.broker.connections).toBe(0)
})

it.each([
  ...refusals,
  ['one of another principal', 0x87, 'other_principal', () => token(5_000, { sub: 'toni' })],
  ['one of another namespace', 0x87, 'other_namespace', () => token(5_000, { namespace: 'lab' })],
] as typeof refusals)('[MQTT-4.12.1-2] %s in AUTH ends the connection', async (_what, _reasonCode, why, made) => {
  const { world, connect, renew, logins, audited } = tokenWorld()
  const device = await connect(await token(10_000))
  device.take()
  await renew(device, await made())
  // A DISCONNECT has no word for wrong credentials or client ids.
  expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x87 }])
  // It never counts as a login: either the chain has refused it, or the core, which audits it as the chain does.
  const ofCore = why.startsWith('other_')
  expect(logins).toEqual(ofCore ? ['jwt: yes'] : ['jwt: yes', `jwt: ${why}`])
  expect(audited).toEqual(ofCore ? [`renewal c ${why}`] : [])
  expect(world.broker.counters.renewals.get(ofCore ? why : 'no')).toBe(1)
  expect(world.broker.connections).toBe(0)
})

it('a token that names no namespace does not keep a client in the one that another token opened', async () => {
  const { connect, renew } = tokenWorld()
  const device = await connect(await token(10_000, { namespace: 'lab' }))
  expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
  await renew(device, await token(20_000, { namespace: 'lab' }))
  expect(device.take()).toMatchObject([{ type: 'auth', reasonCode: 0 }])
  await renew(device, await token(20_000))
  expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x87 }])
})

it('the user name that a token is bound to is that of CONNECT, at renewal too', async () => {
  const { connect, renew } = tokenWorld()
  const device = await connect(await token(10_000, { username: 'tablet' }), { username: 'tablet' })
  expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
  await renew(device, await token(20_000, { username: 'tablet' }))
  expect(device.take()).toMatchObject([{ type: 'auth', reasonCode: 0 }])
})

it('the rules of the new token are in the place of those of the old one, also for subscriptions', async () => {
  const { connect, renew } = tokenWorld()
  const other = await connect(await token(90_000, { acl: { pub: ['#'] } }), { clientId: 'other' })
  const device = await connect(await token(10_000, { acl: { all: ['before/#'] } }))
  device.subscribe('before/1').subscribe('own/tina/1')
  device.take()
  await renew(device, await token(20_000, { acl: { all: ['after/#'] } }))
  device.take()
  for (const topic of ['before/1', 'own/tina/1']) other.publish(topic, topic)
  expect(device.takePublishes()).toMatchObject([{ topic: 'own/tina/1' }])
  for (const topic of ['before/2', 'after/2']) device.publish(topic, '', { qos: 1 })
  expect(device.take()).toMatchObject([
    { type: 'puback', reasonCode: 0x87 },
    { type: 'puback', reasonCode: 0x10 },
  ])
})

it('a reload that gives the method another name ends clients that renew by the old one, and takes the new one', async () => {
  const { access, connect, renew } = tokenWorld()
  const device = await connect(await token(10_000))
  device.take()
  access.replace(loadAccess(settings('bearer')))
  await renew(device, await token(20_000))
  expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x8c }])
  expect((await connect(await token(10_000))).take()).toMatchObject([{ type: 'connack', reasonCode: 0x8c }])
  const anew = await connect(await token(10_000), { method: 'bearer' })
  expect(anew.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
})
