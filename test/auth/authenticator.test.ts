/** What an authenticator may answer, in time, late or wrongly: a client is let in by a clear yes only. */
import { describe, expect, it } from 'vitest'
import type { AuthenticationMethod, AuthenticationStep, Authenticator } from '../../src/auth/authenticator.ts'
import { createAuthority } from '../../src/auth/authority.ts'
import { encodeAuth } from '../../src/mqtt/encoder.ts'
import type { ConnectPacket } from '../../src/mqtt/packet.ts'
import { World } from '../core/world.ts'

function worldOf(
  authenticator: Authenticator | undefined,
  methods: Readonly<Record<string, AuthenticationMethod>> = {},
  allowAnonymous = false,
): { world: World; errors: unknown[] } {
  const errors: unknown[] = []
  const context = {
    inTurn: (answer: () => void) => answer(),
    onError: (error: unknown) => errors.push(error),
    steadyTime: (wallTime: number) => wallTime,
  }
  const authority = createAuthority({ authenticator, methods, allowAnonymous }, context)
  return { world: new World({}, { authority }), errors }
}

const authenticatorOf = (answer: () => unknown): Authenticator => ({
  authenticate: answer as Authenticator['authenticate'],
})

const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('an authenticator', () => {
  it.each([
    ['at once', () => ({ reasonCode: 0 })],
    ['with a promise', async () => ({ reasonCode: 0 })],
    // biome-ignore lint/suspicious/noThenProperty: what other promise libraries give
    ['with a thenable', () => ({ then: (done: (value: object) => void) => done({ reasonCode: 0 }) })],
  ])('lets a client in %s', async (_how, answer) => {
    const { world, errors } = worldOf(authenticatorOf(answer))
    const device = world.device().connect({ clientId: 'c' })
    await settle()
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
    expect(errors).toEqual([])
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('no database')
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('no database')
      },
    ],
    ['says nothing', () => undefined],
    ['says nothing later', async () => undefined],
    ['says yes in its own words', () => true],
    ['gives no reason code', async () => ({ ok: true })],
    ['gives a reason code that is a text', () => ({ reasonCode: '0' })],
    ['gives rules that can not be asked', () => ({ reasonCode: 0, grant: { mayPublish: () => true } })],
    ['gives a principal that is no name', () => ({ reasonCode: 0, principal: 7 })],
    ['gives an expiry that is no time', () => ({ reasonCode: 0, expiresAt: Number.NaN })],
    [
      'answers with an object that throws when it is read',
      () => ({
        get reasonCode(): number {
          throw new Error('gone')
        },
      }),
    ],
  ])('that %s refuses the client with 0x88, and the fault is told', async (_how, answer) => {
    const { world, errors } = worldOf(authenticatorOf(answer))
    const device = world.device().connect({ clientId: 'c' })
    await settle()
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x88 }])
    expect(errors).toHaveLength(1)
    expect(world.broker.connections).toBe(0)
  })
})

const never = () => ({ reasonCode: 0x87 })
const credentials = [{ username: 'u' }, { password: Uint8Array.of(1) }, { username: '', password: new Uint8Array(0) }]

describe('nobody connects without a yes', () => {
  const methods = { M: { begin: () => ({ next: () => ({ type: 'success' as const }) }) } }
  const connack = (world: World, options: Partial<ConnectPacket>) =>
    world
      .device()
      .connect({ clientId: 'c', ...options })
      .take()

  it('where only methods are configured: not without one, whatever is brought, unless anonymous is allowed', () => {
    const { world } = worldOf(undefined, methods)
    expect(connack(world, {})).toMatchObject([{ reasonCode: 0x87 }])
    for (const one of credentials) expect(connack(world, one)).toMatchObject([{ reasonCode: 0x86 }])
    expect(connack(world, { properties: { authenticationMethod: 'M' } })).toMatchObject([{ reasonCode: 0 }])
  })

  it('anonymous is who brings nothing at all', () => {
    for (const authenticator of [undefined, authenticatorOf(never)]) {
      const { world } = worldOf(authenticator, methods, true)
      expect(connack(world, {})).toMatchObject([{ reasonCode: 0 }])
      expect(world.broker.defaultNamespace.sessions.get('c')?.principal).toBe('')
      for (const one of credentials) expect(connack(world, one)[0]).not.toMatchObject({ reasonCode: 0 })
      const unknown = { properties: { authenticationMethod: 'N' } }
      expect(connack(world, unknown)).toMatchObject([{ reasonCode: 0x8c }])
    }
  })

  it('where nobody is asked, credentials are not looked at, and nobody is anybody', () => {
    const { world } = worldOf(undefined)
    expect(connack(world, { username: 'u' })).toMatchObject([{ reasonCode: 0 }])
    expect(world.broker.defaultNamespace.sessions.get('c')?.principal).toBe('')
  })
})

describe('a principal', () => {
  it.each([
    ['by the authenticator', { reasonCode: 0, principal: '$program' }, 'c'],
    ['by its user name', { reasonCode: 0 }, '$program'],
  ])('is never that of the program: %s', (_how, verdict, username) => {
    const { world } = worldOf(authenticatorOf(() => verdict))
    const device = world.device().connect({ clientId: 'c', username })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x87 }])
  })

  it.each([
    ['what the authenticator says', { reasonCode: 0, principal: 'alice' }, 'alice'],
    ['the user name where it says none', { reasonCode: 0 }, 'u'],
    ['nobody where it says so', { reasonCode: 0, principal: '' }, ''],
  ])('is %s', (_what, verdict, principal) => {
    const { world } = worldOf(authenticatorOf(() => verdict))
    world.connected('c', { username: 'u' })
    expect(world.broker.defaultNamespace.sessions.get('c')?.principal).toBe(principal)
  })
})

describe('an access rule', () => {
  const grantOf = (rule: () => unknown): Authenticator =>
    authenticatorOf(() => ({ reasonCode: 0, grant: { mayPublish: rule, maySubscribe: rule, mayReceive: rule } }))

  it.each([
    [
      'throws',
      () => {
        throw new Error('no database')
      },
    ],
    ['answers with a promise', async () => true],
    ['answers with anything but yes or no', () => 1],
  ])('that %s has said no, and is told of once', (_what, rule) => {
    const { world, errors } = worldOf(grantOf(rule))
    const device = world.connected('c')
    device.subscribe('t')
    const packetId = device.publish('t', 'x', { qos: 1 })
    expect(device.take()).toMatchObject([
      { type: 'suback', reasonCodes: [0x87] },
      { type: 'puback', packetId, reasonCode: 0x87 },
    ])
    expect(errors).toHaveLength(1)
  })
})

describe('enhanced authentication', () => {
  const properties: ConnectPacket['properties'] = { authenticationMethod: 'M' }
  const method = (...steps: (AuthenticationStep | undefined)[]): AuthenticationMethod => ({
    begin: () => {
      if (steps.length === 0) throw new Error('no key')
      return { next: () => steps.shift() as AuthenticationStep }
    },
  })

  it('a step that is no step refuses the client', () => {
    const { world, errors } = worldOf(undefined, { M: method(undefined) })
    const device = world.device().connect({ clientId: 'c', properties })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x88 }])
    expect(errors).toHaveLength(1)
  })

  it('[MQTT-3.1.2-24] an AUTH larger than the client accepts is not sent, and the exchange ends', () => {
    const data = new Uint8Array(100)
    const { world } = worldOf(undefined, { M: method({ type: 'continue', data }) })
    const device = world.device().connect({ clientId: 'c', properties: { ...properties, maximumPacketSize: 60 } })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x95 }])
  })

  it('[MQTT-4.12.1-2] a method that can no longer begin ends the connection at re-authentication', () => {
    const { world, errors } = worldOf(undefined, { M: method({ type: 'success' }) })
    const device = world.device().connect({ clientId: 'c', properties })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
    device.send(encodeAuth(0x19, properties))
    expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x8c }])
    expect(errors).toHaveLength(1)
  })
})
