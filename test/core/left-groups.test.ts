/** What a session has of share groups that it has left is lost by no end of it, and by no restart before that. */
import { describe, expect, it } from 'vitest'
import { DurableWorld, receive } from './durable-world.ts'
import { filter, member, publish, range, slow } from './group-members.ts'

describe('a session that has left a share group', () => {
  it('gives on at its end what it kept when it unsubscribed and nobody else was there', async () => {
    const world = new DurableWorld()
    const leaving = await member(world, 'leaver', 1, slow)
    await publish(world, range(0, 4))
    leaving.unsubscribe(filter)
    await world.settle()
    leaving.drop()
    const heir = await member(world, 'heir')
    expect(heir.takePublishes()).toEqual([])
    world.advance(3_600_000)
    expect(await receive(world, heir)).toEqual(range(0, 4))
    expect(world.broker.counters.messagesDropped.get('session_ended')).toBe(0)
  })

  describe.each([
    ['which is away since', async (_: DurableWorld) => {}],
    [
      'which was back for a moment',
      async (world: DurableWorld) => {
        const back = await world.ready('leaver', slow)
        await world.settle()
        back.drop()
        await world.settle()
      },
    ],
  ])('gives on at its end, %s,', (_, meanwhile) => {
    /** A member that unsubscribed with ten of its group's messages, the first of them in flight, and nobody else there. */
    async function unsubscribed(messages = 10) {
      const world = new DurableWorld()
      const leaving = await member(world, 'leaver', 1, slow)
      leaving.subscribe('other', 1)
      await publish(world, range(0, messages))
      leaving.unsubscribe(filter)
      await world.settle()
      return { world, leaving }
    }

    it.each(['expiry', 'clean start'])(
      'what it kept of a group it unsubscribed from before the gateway was restarted, by %s',
      async (how) => {
        const { world } = await unsubscribed()
        const after = await world.restart()
        await meanwhile(after)
        const heir = await member(after, 'heir')
        if (how === 'expiry') after.advance(3_600_000)
        else await after.ready('leaver', { cleanStart: true })
        expect(await receive(after, heir)).toEqual(range(0, 10))
        expect(after.broker.counters.messagesDropped.get('session_ended')).toBe(0)
        expect((await after.restart()).broker.gauges().queuedMessages).toBe(0)
      },
    )

    it.each([1, 10])('what was in flight too when it unsubscribed, of %i messages', async (messages) => {
      const { world, leaving } = await unsubscribed(messages)
      leaving.drop()
      await world.settle()
      await meanwhile(world)
      const heir = await member(world, 'heir')
      world.advance(3_600_000)
      expect(await receive(world, heir)).toEqual(range(0, messages))
    })

    it('what was just being given on when its client was replaced', async () => {
      const { world, leaving } = await unsubscribed(0)
      leaving.subscribe(filter, 1)
      await publish(world, range(0, 4))
      const heir = await member(world, 'heir')
      const { options } = world.broker
      const room = options.sessionQueueMessagesMax
      options.sessionQueueMessagesMax = 0
      heir.link.full = true
      leaving.unsubscribe(filter)
      ;(await world.ready('leaver', slow)).drop()
      await meanwhile(world)
      options.sessionQueueMessagesMax = room
      heir.link.full = false
      world.advance(3_600_000 + 1000)
      expect((await receive(world, heir)).sort()).toEqual(range(0, 4))
    })
  })

  it('ends, with what is left counted, where it had unsubscribed before the gateway was restarted and nobody takes over', async () => {
    const world = new DurableWorld()
    const leaving = await member(world, 'leaver', 1, slow)
    await publish(world, range(0, 4))
    leaving.unsubscribe(filter)
    await world.settle()
    const after = await world.restart()
    ;(await after.ready('else')).subscribe('$share/else/t', 1)
    await after.settle()
    after.advance(3_600_000)
    await after.settle()
    expect(after.broker.counters.messagesDropped.get('session_ended')).toBe(4)
    expect((await after.restart()).broker.gauges().queuedMessages).toBe(0)
  })
})
