/**
 * A fault of ours ends the process: an acknowledgement can't rest on state that is changed by half. What a program gave us (an
 * authenticator, an access rule) is asked behind a guard (`test/auth/`), so that what throws here is ours.
 */
import { describe, expect, it } from 'vitest'
import type { Authority, Grant } from '../../src/core/ports/authority.ts'
import { World } from './world.ts'

function faultyWorld(mayReceive: Grant['mayReceive']): World {
  const grant: Grant = { mayPublish: () => true, maySubscribe: () => true, mayReceive }
  const authority: Authority = {
    authenticate: (packet, _address, done) =>
      done({ reasonCode: 0, grant: packet.clientId === 'ruled' ? grant : null }),
    beginExchange: () => null,
  }
  return new World({}, { authority })
}

describe('an exception that nobody expected', () => {
  it('reaches whoever drives the core, with the client whose packet it was', () => {
    const world = faultyWorld(() => {
      throw new Error('a fault')
    })
    world.connected('ruled').subscribe('#', 0)
    const publisher = world.connected('p')
    expect(() => publisher.publish('t', 'x', { qos: 1 })).toThrow('a fault')
    expect(publisher.take()).toEqual([])
    expect(world.broker.faultyClient).toBe(publisher.client)
  })

  it('is not kept back by the publishing of a will', () => {
    const world = faultyWorld(() => {
      throw new Error('a fault')
    })
    world.connected('ruled').subscribe('#', 0)
    const will = { topic: 't', payload: new Uint8Array(0), qos: 0, retain: false, properties: {} } as const
    const device = world.connected('w', { will: { ...will, forwardProperties: new Uint8Array(0) } })
    expect(() => device.drop()).toThrow('a fault')
  })
})
