/** What a client meets that comes back after a restart. */
import { describe, expect, it } from 'vitest'
import { DurableWorld } from './durable-world.ts'

const will = {
  topic: 'will',
  payload: Buffer.from('x'),
  qos: 1 as const,
  retain: false,
  properties: {},
  forwardProperties: new Uint8Array(0),
}

describe('a client whose session ended with its connection, back after a restart', () => {
  it.each([true, false])(
    'gets a session of its own and its old will is not sent (clean start %s)',
    async (cleanStart) => {
      const world = new DurableWorld()
      ;(await world.ready('brief', { will })).subscribe('t', 1)
      await world.settle()
      const next = await world.restart()
      const watcher = (await next.ready('watcher', {})).subscribe('will', 1)
      watcher.take()
      const back = next.device().connect({ clientId: 'brief', cleanStart })
      await next.settle()
      expect(back.take()).toMatchObject([{ type: 'connack', sessionPresent: false }])
      next.advance(60_000)
      expect(watcher.take()).toEqual([])
      back.drop()
      await next.settle()
      expect((await next.restart()).broker.defaultNamespace.sessions.has('brief')).toBe(false)
    },
  )
})
