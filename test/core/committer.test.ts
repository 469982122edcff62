/** Whoever waits for the committer is answered, whatever goes on meanwhile. */
import { describe, expect, it } from 'vitest'
import { pageReadsMax } from '../../src/engine/turn-records.ts'
import { DurableWorld, lasting, SlowStore } from './durable-world.ts'

async function soon(promise: Promise<unknown>): Promise<'resolved' | 'rejected' | 'pending'> {
  const later = new Promise<'pending'>((resolve) => setImmediate(() => resolve('pending')))
  return Promise.race([
    promise.then(
      () => 'resolved' as const,
      () => 'rejected' as const,
    ),
    later,
  ])
}

describe('what was appended so far is settled', () => {
  it('when it is committed, though more is under way without a pause', async () => {
    const world = new DurableWorld()
    world.device().connect({ clientId: 'first', ...lasting })
    const settled = world.committer.settled()
    expect(await soon(settled)).toBe('pending')
    world.device().connect({ clientId: 'second', ...lasting })
    world.turn()
    await world.store.finish()
    expect(world.store.waiting).toBe(1)
    expect(await soon(settled)).toBe('resolved')
  })

  it('not before a batch that it is part of, when another was under way', async () => {
    const world = new DurableWorld()
    world.device().connect({ clientId: 'first', ...lasting })
    world.turn()
    world.device().connect({ clientId: 'second', ...lasting })
    const settled = world.committer.settled()
    await world.store.finish()
    expect(await soon(settled)).toBe('pending')
    await world.store.finish()
    expect(await soon(settled)).toBe('resolved')
  })

  it.each(['rejects', 'throws'])('never, and whoever waits is told, when the commit %s', async (how) => {
    class FailingStore extends SlowStore {
      override commit(): Promise<void> {
        const error = new Error('no space left')
        if (how === 'throws') throw error
        return Promise.reject(error)
      }
    }
    const errors: string[] = []
    const world = new DurableWorld(new FailingStore(), 0, (error) => errors.push(error.message))
    world.device().connect({ clientId: 'first', ...lasting })
    await expect(world.committer.settled()).rejects.toThrow('no space left')
    await expect(world.committer.settled()).rejects.toThrow('no space left')
    expect(errors).toEqual(['no space left'])
  })
})

describe('the wait for acknowledgements', () => {
  it('does not last longer because the clock was set back', async () => {
    const world = new DurableWorld(undefined, 2)
    const subscriber = world.device().connect({ clientId: 's', ...lasting })
    subscriber.subscribe('t', 1)
    const publisher = world.device().connect({ clientId: 'p' })
    await world.settle()
    publisher.take()
    publisher.publish('t', 'x', { qos: 1 })
    world.turn()
    world.now -= 3_600_000
    world.fireTimers()
    await world.store.finish()
    expect(publisher.take()).toMatchObject([{ type: 'puback' }])
  })
})

describe('a turn with a second leg', () => {
  async function published() {
    const world = new DurableWorld()
    world
      .device()
      .connect({ clientId: 's', ...lasting })
      .subscribe('t', 1)
      .drop()
    const publisher = world.device().connect({ clientId: 'p' })
    await world.settle()
    publisher.take()
    return { world, publisher }
  }

  it('is committed when both are done, and the turns after it not before', async () => {
    const { world, publisher } = await published()
    publisher.publish('t', 'first', { qos: 1 })
    const done = world.committer.openLeg()
    world.turn()
    await world.store.finish()
    publisher.publish('t', 'second', { qos: 1 })
    await world.settle()
    expect(publisher.take()).toEqual([])
    done()
    expect(publisher.take()).toMatchObject([
      { type: 'puback', packetId: 1 },
      { type: 'puback', packetId: 2 },
    ])
  })

  it('waits for the store as well, whichever comes first', async () => {
    const { world, publisher } = await published()
    publisher.publish('t', 'x', { qos: 1 })
    const [first, second] = [world.committer.openLeg(), world.committer.openLeg()]
    world.turn()
    first()
    second()
    expect(publisher.take()).toEqual([])
    await world.store.finish()
    expect(publisher.take()).toMatchObject([{ type: 'puback' }])
  })

  it('waits for the leg alone when it records nothing', async () => {
    const { world } = await published()
    const { ticket } = world.committer
    const done = world.committer.openLeg()
    await world.settle()
    expect(world.committer.committed).toBe(ticket - 1)
    done()
    expect(world.committer.committed).toBe(ticket)
    expect(world.store.waiting).toBe(0)
  })
})

describe('pages of queues', () => {
  it('are read a few at a time when many sessions come back at once, and all are read in the end', async () => {
    class CountingStore extends SlowStore {
      reading = 0
      most = 0
      override async readQueue(...where: Parameters<SlowStore['readQueue']>): ReturnType<SlowStore['readQueue']> {
        this.most = Math.max(this.most, ++this.reading)
        const page = await super.readQueue(...where)
        await new Promise((resolve) => setImmediate(resolve))
        this.reading--
        return page
      }
    }
    const store = new CountingStore()
    const world = new DurableWorld(store)
    for (let i = 0; i < 20; i++) (await world.ready(`s${i}`)).subscribe('t', 1).drop()
    const publisher = await world.ready('p')
    publisher.publish('t', 'kept', { qos: 1 })
    await world.settle()
    const devices = Array.from({ length: 20 }, (_, i) => world.device().connect({ clientId: `s${i}`, ...lasting }))
    for (let i = 0; i < 100; i++) await world.settle()
    expect(store.most).toBe(pageReadsMax)
    for (const device of devices) expect(device.takePublishes().map((one) => one.payload)).toEqual(['kept'])
  })
})
