import { describe, expect, test } from 'vitest'
import { type Guest, Room, type RoomLimits } from '../../src/engine/room.ts'

class Visitor implements Guest {
  readonly client: { connect: object | null } = { connect: null }
  ended: string | undefined
  readonly #room: Room

  constructor(room: Room) {
    this.#room = room
    room.enter(this)
  }

  onClosed(reason: string): void {
    this.ended = reason
    this.#room.leave(this)
  }

  destroy(): void {}
}

const limits = (connectionsMax: number, handshakesMax: number): RoomLimits => ({ connectionsMax, handshakesMax })

/** Comes in if there is a place. */
const arrive = (room: Room) => (room.makePlace() ? new Visitor(room) : undefined)

describe('connections before their CONNECT', () => {
  test('displace the one that has waited longest where there are too many', () => {
    const room = new Room(limits(1, 2))
    const [first, second, third] = [arrive(room)!, arrive(room)!, arrive(room)!]
    expect([first.ended, second.ended, third.ended]).toEqual(['handshake_displaced', undefined, undefined])
    expect(room.handshakes).toBe(2)
  })

  test('stay once their CONNECT is being decided, and a newcomer is refused when all are', () => {
    const room = new Room(limits(1, 2))
    const deciding = arrive(room)!
    deciding.client.connect = {}
    const silent = arrive(room)!
    const third = arrive(room)!
    expect([deciding.ended, silent.ended]).toEqual([undefined, 'handshake_displaced'])
    third.client.connect = {}
    expect(arrive(room)).toBeUndefined()
    expect(room.handshakes).toBe(2)
  })

  test('take no place of a client, and a client none of theirs', () => {
    const room = new Room(limits(1, 1))
    const client = arrive(room)!
    expect(room.admit(client, null)).toBe(true)
    expect([room.clients, room.handshakes]).toEqual([1, 0])
    for (let i = 0; i < 5; i++) arrive(room)
    expect(client.ended).toBeUndefined()
    expect([room.clients, room.handshakes]).toEqual([1, 1])
  })
})

describe('clients', () => {
  test('beyond the limit are refused, but for one that takes over from one of them', () => {
    const room = new Room(limits(1, 5))
    const old = arrive(room)!
    room.admit(old, null)
    const again = arrive(room)!
    expect(room.admit(again, null)).toBe(false)
    expect(room.admit(again, old)).toBe(true)
    room.leave(old)
    expect(room.clients).toBe(1)
    room.leave(again)
    expect(room.clients).toBe(0)
  })

  test('of one listener fill neither the others nor, beyond the limit of all, themselves', () => {
    const whole = new Room(limits(2, 10))
    const [narrow, wide] = [new Room(limits(1, 10), whole), new Room(limits(9, 10), whole)]
    const admit = (room: Room) => room.admit(arrive(room)!, null)
    expect([admit(narrow), admit(narrow), admit(wide), admit(wide)]).toEqual([true, false, true, false])
    expect([narrow.clients, wide.clients, whole.clients]).toEqual([1, 1, 2])
  })
})
