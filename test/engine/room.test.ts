import { describe, expect, test } from 'vitest'
import { type Guest, Room, type RoomLimits } from '../../src/engine/room.ts'

class Visitor implements Guest {
  readonly client: { connect: object | null; ended: boolean } = { connect: null, ended: false }
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

  test('are displaced when they were refused and only their socket is there yet', () => {
    const room = new Room(limits(1, 2))
    const refused = arrive(room)!
    Object.assign(refused.client, { connect: {}, ended: true })
    const silent = arrive(room)!
    arrive(room)
    expect([refused.ended, silent.ended]).toEqual(['handshake_displaced', undefined])
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

describe('clients of one address', () => {
  class Caller implements Guest {
    readonly client: { connect: object | null; ended: boolean } = { connect: null, ended: false }
    readonly address: string

    constructor(address: string) {
      this.address = address
    }
    onClosed(): void {}
    destroy(): void {}
  }
  const perAddress = (connectionsPerAddressMax: number | undefined) => ({ ...limits(10, 10), connectionsPerAddressMax })

  /** Comes in and becomes a client where it may. */
  function call(room: Room, address: string, replaced: Guest | null = null): Caller | undefined {
    const caller = new Caller(address)
    if (!room.mayEnter(caller)) return undefined
    room.enter(caller)
    return room.admit(caller, replaced) ? caller : undefined
  }

  test('beyond the limit are refused until one has left; others are not concerned', () => {
    const room = new Room(limits(10, 10), new Room(perAddress(2)))
    const first = call(room, '192.0.2.1:1')!
    call(room, '192.0.2.1:2')
    expect(call(room, '::ffff:192.0.2.1:3')).toBeUndefined()
    expect(call(room, '192.0.2.2:1')).toBeDefined()
    room.leave(first)
    expect(call(room, '192.0.2.1:4')).toBeDefined()
  })

  test('are those of a network of 64 bits with IPv6', () => {
    const room = new Room(perAddress(1))
    expect(call(room, '2001:db8:1:2::1:5')).toBeDefined()
    expect(call(room, '2001:db8:1:2:3:4:5:6:7')).toBeUndefined()
    expect(call(room, '2001:db8:1:3::1:5')).toBeDefined()
  })

  test.each(['127.0.0.1:1', '::1:1', '::ffff:127.0.0.1:1', ':0'])(
    'are not counted for this machine itself: %s',
    (address) => {
      const room = new Room(perAddress(1))
      call(room, address)
      expect(call(room, address)).toBeDefined()
    },
  )

  test('may take over from each other at the limit', () => {
    const room = new Room(perAddress(1))
    const first = call(room, '192.0.2.1:1')!
    expect(call(room, '192.0.2.1:2', first)).toBeDefined()
    const elsewhere = new Room(perAddress(1))
    const other = call(elsewhere, '192.0.2.9:1')!
    call(elsewhere, '192.0.2.1:1')
    expect(call(elsewhere, '192.0.2.1:2', other)).toBeUndefined()
  })

  test('that have said nothing yet are limited as well', () => {
    const room = new Room(perAddress(1))
    const silent = new Caller('192.0.2.1:1')
    room.enter(silent)
    expect(room.mayEnter(new Caller('192.0.2.1:2'))).toBe(false)
    room.leave(silent)
    expect(room.mayEnter(new Caller('192.0.2.1:2'))).toBe(true)
  })

  test('are counted from the beginning where the limit comes later', () => {
    const room = new Room(perAddress(undefined))
    const callers = ['1', '2', '3'].map((port) => call(room, `192.0.2.1:${port}`)!)
    room.limits = perAddress(3)
    expect(call(room, '192.0.2.1:4')).toBeUndefined()
    for (const caller of callers) room.leave(caller)
    expect(call(room, '192.0.2.1:5')).toBeDefined()
  })
})

describe('turns', () => {
  const perSecond = (connectsPerSecondMax: number) => ({ ...limits(10, 10), connectsPerSecondMax })

  test('come evenly, after a tenth of a second at once, and beyond the wait there are none', () => {
    const room = new Room(perSecond(100))
    const turns = Array.from({ length: 1020 }, () => room.takeTurn(0, 10_000))
    expect(turns.slice(0, 12)).toEqual([...new Array(10).fill(0), 10, 20])
    expect(turns[1009]).toBe(10_000)
    expect(turns.slice(1010)).toEqual(new Array(10).fill(undefined))
    expect(room.takeTurn(1000, 10_000)).toBe(9_010)
  })

  test('are those of the listener and those of all listeners', () => {
    const all = new Room(perSecond(10))
    const [slow, fast] = [new Room(perSecond(1), all), new Room(limits(10, 10), all)]
    expect([slow.takeTurn(0, 5000), slow.takeTurn(0, 5000)]).toEqual([0, 1000])
    expect(fast.takeTurn(0, 5000)).toBe(200)
    expect(fast.takeTurn(0, 250)).toBeUndefined()
    expect(slow.takeTurn(0, 1500)).toBeUndefined()
    expect(fast.takeTurn(0, 5000)).toBe(300)
  })
})
