/** What an authenticator may answer, in time, late or wrongly: a client is let in by a clear yes only. */
import { describe, expect, it } from 'vitest'
import {
  type AuthenticationMethod,
  type AuthenticationStep,
  type Authenticator,
  createAuthority,
} from '../../src/auth/authenticator.ts'
import { encodeAuth } from '../../src/mqtt/encoder.ts'
import type { ConnectPacket } from '../../src/mqtt/packet.ts'
import { World } from '../core/world.ts'

function worldOf(
  authenticator: Authenticator | undefined,
  methods: Readonly<Record<string, AuthenticationMethod>> = {},
): { world: World; errors: unknown[] } {
  const errors: unknown[] = []
  const context = { inTurn: (answer: () => void) => answer(), onError: (error: unknown) => errors.push(error) }
  const authority = createAuthority(authenticator, methods, context)
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
  ])('that %s refuses the client with 0x88, and the fault is told', async (_how, answer) => {
    const { world, errors } = worldOf(authenticatorOf(answer))
    const device = world.device().connect({ clientId: 'c' })
    await settle()
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x88 }])
    expect(errors).toHaveLength(1)
    expect(world.broker.connections).toBe(0)
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
