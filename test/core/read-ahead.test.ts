/** A queue of which the store has pages: the next is read while the one before is on its way to the client. */
import { describe, expect, it } from 'vitest'
import { DurableWorld, lasting, receive } from './durable-world.ts'

/** A client that is back, with ten in flight, and so many messages in the store alone. */
async function scene(messages: number) {
  const world = new DurableWorld()
  world.broker.options.sessionQueueMessagesMax = messages
  ;(await world.ready('s')).subscribe('t', 1).drop()
  const publisher = await world.ready('p', {})
  for (let i = 0; i < messages; i++) {
    publisher.publish('t', String(i), { qos: 1 })
    // Within the gateway's Receive Maximum.
    if (i % 500 === 499) await world.settle()
  }
  const session = world.broker.defaultNamespace.sessions.get('s')!
  expect(session.queue.resident).toBe(0)
  const device = world.device().connect({ clientId: 's', ...lasting })
  await world.settle()
  const acknowledge = async (count: number) => {
    for (let done = 0; done < count; ) {
      for (const { packetId } of device.takePublishes()) {
        device.acknowledge('puback', packetId)
        done++
      }
    }
    await world.settle()
  }
  return { world, device, acknowledge, queue: session.queue }
}

describe('the pages of a queue', () => {
  it('are read ahead when half of one is left, and arrive in order, once', async () => {
    const { world, device, acknowledge, queue } = await scene(2500)
    expect(queue.residentEnd).toBe(1000)
    await acknowledge(480)
    expect([queue.sendPosition, queue.residentEnd]).toEqual([490, 1000])
    await acknowledge(30)
    expect([queue.sendPosition, queue.residentEnd]).toEqual([520, 2000])
    expect(await receive(world, device)).toEqual(Array.from({ length: 1990 }, (_, i) => String(510 + i)))
    expect(world.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
  })

  it('wait in the store while memory for queues is short', async () => {
    const { world, device, acknowledge, queue } = await scene(2500)
    world.broker.budgets.queueBytes.max = 1
    await acknowledge(900)
    expect(queue.residentEnd).toBe(1000)
    expect((await receive(world, device)).at(-1)).toBe('2499')
  })
})
