/** A body goes from the store with the last record that names it; a record that comes later has to bring its own. */
import { describe, expect, it } from 'vitest'
import type { Message } from '../../src/core/publish/message.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'

describe('a message whose body has left the store', () => {
  it('is written again when it is handed over to a lasting member of its shared group', async () => {
    const world = new DurableWorld()
    // Two, so that the body stands by itself.
    const plain = (await world.ready('plain')).subscribe('t', 1)
    const other = (await world.ready('other')).subscribe('t', 1)
    const brief = (await world.ready('brief', {})).subscribe('$share/g/t', 1)
    await world.settle()
    ;(await world.ready('p', {})).publish('t', 'x', { qos: 1 })
    await world.settle()
    const late = (await world.ready('late')).subscribe('$share/g/t', 1)
    await world.settle()
    plain.drain()
    other.drain()
    late.take()
    await world.settle()
    brief.drop()
    await world.settle()
    expect(late.takePublishes()).toMatchObject([{ payload: 'x', dup: false }])
    const next = await world.restart()
    const again = next.device().connect({ clientId: 'late', ...lasting })
    await next.settle()
    expect(again.takePublishes()).toMatchObject([{ payload: 'x', dup: true }])
  })

  it('is written again for each lasting subscriber of a $SYS topic, which is retained in memory only', async () => {
    const world = new DurableWorld()
    const message: Message = {
      id: 0,
      topic: encodeUtf8('$SYS/broker/version'),
      name: '$SYS/broker/version',
      payload: encodeUtf8('1'),
      forwardProperties: new Uint8Array(0),
      qos: 2,
      expiresAt: Infinity,
      publisher: '',
      publishedAt: world.now,
      references: 0,
      holders: 0,
    }
    world.broker.publish(message, true)
    for (const clientId of ['a', 'b']) {
      const device = (await world.ready(clientId)).subscribe('$SYS/#', 1)
      await world.settle()
      expect(device.takePublishes()).toMatchObject([{ payload: '1', retain: true, packetId: 1 }])
      device.acknowledge('puback', 1)
      await world.settle()
    }
  })
})
