/** The journal is told of filters that begin and cease to have subscribers. */
import { describe, expect, it } from 'vitest'
import { type Journal, noJournal } from '../../src/core/ports/journal.ts'
import { BrokerRecovery } from '../../src/core/session/recovery.ts'
import { InProcessSubscriber } from '../../src/core/subscriptions/in-process.ts'
import { World } from './world.ts'

/** What it was told: `+filter` and `-filter`. */
function toldWorld() {
  const told: string[] = []
  const interest = (_namespace: string, filter: string, added: boolean) =>
    void told.push(`${added ? '+' : '-'}${filter}`)
  return { told, world: new World({}, { journal: { ...noJournal, interest } }) }
}

describe('interest in a filter', () => {
  it.each(['a/b', 'a/+/b', 'a/#', '#'])(
    'in %s begins with its first subscriber and ends with its last one',
    (filter) => {
      const { told, world } = toldWorld()
      const one = world.connected('one').subscribe(filter).subscribe(filter, 1)
      const two = world.connected('two').subscribe(`$share/g/${filter}`)
      const program = new InProcessSubscriber(world.broker, () => {})
      program.subscribe(filter)
      expect(told).toEqual([`+${filter}`])
      one.unsubscribe(filter)
      two.disconnect()
      expect(told).toEqual([`+${filter}`])
      program.end()
      expect(told).toEqual([`+${filter}`, `-${filter}`])
      world.connected('three').subscribe(filter)
      expect(told).toEqual([`+${filter}`, `-${filter}`, `+${filter}`])
    },
  )

  it('is kept apart for filters that share a node of the index', () => {
    const { told, world } = toldWorld()
    world.connected('c').subscribe('a/+').subscribe('a/+/#').subscribe('a/+/b').unsubscribe('a/+/#').unsubscribe('a/+')
    expect(told).toEqual(['+a/+', '+a/+/#', '+a/+/b', '-a/+/#', '-a/+'])
  })

  it('is told of recovered subscriptions too', () => {
    const { told, world } = toldWorld()
    const recovery = new BrokerRecovery(world.broker)
    const session = { number: 1, clientId: 'c', version: 5, expiryInterval: 100, expiresAt: Infinity } as const
    recovery.onSession({ ...session, connected: false, username: '', namespace: '', principal: '' })
    const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const
    recovery.onSubscription({ session: 1, topicFilter: '$share/g/t', ...options })
    recovery.onSubscription({ session: 1, topicFilter: 't', ...options })
    recovery.end()
    expect(told).toEqual(['+t'])
  })

  it('holds SUBACK and UNSUBACK back, of a session that is not stored too, where the journal records it', () => {
    const journal = { ...noJournal, ticket: 1, committed: 0, interest: () => void journal.appended++ } as {
      -readonly [Key in keyof Journal]: Journal[Key]
    }
    const world = new World({}, { journal })
    const device = world.connected('c').subscribe('t')
    expect(device.take()).toEqual([])
    journal.committed = 1
    device.link.release()
    expect(device.take()).toMatchObject([{ type: 'suback' }])
    journal.ticket = 2
    expect(device.unsubscribe('t').take()).toEqual([])
    journal.committed = 2
    device.link.release()
    expect(device.take()).toMatchObject([{ type: 'unsuback' }])
  })
})
