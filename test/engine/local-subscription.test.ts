/** A subscriber inside the program: what it asks of the core is done within a turn, by the time of that turn. */
import { describe, expect, it } from 'vitest'
import { Broker } from '../../src/core/broker.ts'
import { defaultBrokerOptions } from '../../src/core/options.ts'
import type { Message } from '../../src/core/publish/message.ts'
import { Engine } from '../../src/engine/engine.ts'
import { LocalSubscription } from '../../src/engine/local-subscription.ts'
import { noBytes } from '../../src/mqtt/packet.ts'

function message(payload: string, expiresAt: number): Message {
  const topic = new TextEncoder().encode('t')
  const bytes = { topic, payload: new TextEncoder().encode(payload), forwardProperties: noBytes }
  return { ...bytes, id: 0, name: 't', qos: 1, expiresAt, publisher: '', publishedAt: 0, references: 0, holders: 0 }
}

function scene() {
  let now = 1000
  const faults: Error[] = []
  const broker = new Broker(defaultBrokerOptions)
  const commits = { committed: 0, failed: false, backlogged: false, endTurn() {} }
  const engine = new Engine(
    broker,
    commits,
    { now: () => now, after: () => () => {} },
    { warn() {}, error() {} },
    {
      outputBufferBytesMax: 1000,
      onFault: (error) => faults.push(error),
    },
  )
  const local = engine.call(() => new LocalSubscription(engine, ['$share/g/t'], () => {}))
  const publish = (payload: string, expiresAt = Infinity) =>
    engine.run(() => broker.publish(message(payload, expiresAt), false))
  const turn = (later: number) => {
    engine.endTurn()
    now += later
  }
  return { broker, engine, faults, local, publish, turn }
}

describe('a subscription of the program', () => {
  it('does not hand out what has expired since the last turn', async () => {
    const { local, publish, turn } = scene()
    publish('short', 2000)
    publish('long')
    turn(5000)
    expect(new TextDecoder().decode((await local.next()).value!.payload)).toBe('long')
  })

  it('ends within a turn, in which a fault of the core is one of the gateway', () => {
    const { broker, faults, local } = scene()
    broker.defaultNamespace.index.remove = () => {
      throw new Error('of ours')
    }
    expect(() => local.end()).not.toThrow()
    expect(faults).toMatchObject([{ message: 'of ours' }])
  })

  it('can be left after a fault, and then ends', async () => {
    const { engine, local } = scene()
    const next = local.next()
    engine.fault(new Error('of ours'))
    expect(await local.return()).toEqual({ done: true, value: undefined })
    expect(await next).toEqual({ done: true, value: undefined })
  })
})
