/** A fault in what a program gave us (an access rule that throws) costs the packet that met it, and nothing else. */
import { describe, expect, it } from 'vitest'
import type { Authority, Grant } from '../../src/core/ports/authority.ts'
import { World } from './world.ts'

function worldWithRule(mayReceive: Grant['mayReceive']): World {
  const grant: Grant = { mayPublish: () => true, maySubscribe: () => true, mayReceive }
  const authority: Authority = {
    authenticate: (packet, _address, done) =>
      done({ reasonCode: 0, grant: packet.clientId === 'ruled' ? grant : null }),
    beginExchange: () => null,
  }
  return new World({}, { authority })
}

describe('an access rule that throws', () => {
  it('does not put its message in the place of the next one', () => {
    const world = worldWithRule((topic) => {
      if (topic === 'secret') throw new Error('no database')
      return true
    })
    const other = world.connected('other').subscribe('#', 0)
    world.connected('ruled').subscribe('#', 0)
    const publisher = world.connected('p')
    other.take()
    expect(() => publisher.publish('secret', 'S', { retain: true })).toThrow('no database')
    const second = world.connected('q')
    second.publish('open', 'O', { retain: true })
    const [connected] = [world.connected('late').subscribe('open', 0)]
    expect(connected?.takePublishes()).toMatchObject([{ topic: 'open', payload: 'O' }])
    expect(other.takePublishes().at(-1)).toMatchObject({ topic: 'open', payload: 'O' })
  })

  it('does not stop the retained messages that are due later', () => {
    let broken = true
    const world = worldWithRule(() => {
      if (broken) throw new Error('no database')
      return true
    })
    world.connected('p').publish('t', 'x', { retain: true })
    const ruled = world.connected('ruled')
    expect(() => ruled.subscribe('t', 0)).toThrow('no database')
    broken = false
    ruled.client.pump()
    const session = world.broker.sessions.get('ruled')
    expect(session?.retainedActive).toBe(false)
  })
})
