/**
 * How a new connection comes in: at once where nothing limits it. Where so many may come each second, the next ones wait in the
 * order in which they came, and their bytes in their sockets, so that a storm costs the others no more than that rate. Who would have to
 * wait for longer than `connectWaitMsMax` is let in to be told so by its CONNACK (0x9F, in 3.x server unavailable).
 */
import type { Broker } from '../core/broker.ts'
import type { Client } from '../core/connection/client.ts'
import { Deadline } from '../core/deadlines.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { Engine } from './engine.ts'
import type { Guest, Room } from './room.ts'

interface Newcomer extends Guest {
  readonly client: Client
  pauseForRate(): void
  resumeFromRate(): void
}

export function arrive({ broker }: Engine, room: Room, newcomer: Newcomer): void {
  const { counters, deadlines, options, now } = broker
  const { client } = newcomer
  if (!room.mayEnter(newcomer)) {
    noteFullAddress(broker, client)
    client.end('address_limit')
    // It said nothing that it could be answered, and to wait until it has closed its side would cost a socket for each.
    newcomer.destroy()
    return
  }
  const waitMs = room.takeTurn(now, options.connectWaitMsMax)
  if (waitMs === 0) {
    room.enter(newcomer)
    return
  }
  counters.rateLimited.add('connects')
  broker.audit.limited('connects', client)
  if (waitMs === undefined) {
    client.refusal = ReasonCode.connectionRateExceeded
    room.enter(newcomer)
    return
  }
  room.wait(newcomer)
  newcomer.pauseForRate()
  const turnAt = now + Math.ceil(waitMs)
  client.times.startAt(turnAt)
  deadlines.set(new Deadline(() => onTurn(broker.counters, room, newcomer)), turnAt)
}

export function noteFullAddress({ counters, audit }: Broker, client: Client): void {
  counters.rateLimited.add('connections_per_address')
  audit.limited('connections_per_address', client)
}

function onTurn(counters: { connectionsRefused: number }, room: Room, newcomer: Newcomer): void {
  if (newcomer.client.ended) return
  if (!room.makePlace()) {
    counters.connectionsRefused++
    newcomer.client.end('handshake_displaced')
    return
  }
  room.enter(newcomer)
  newcomer.resumeFromRate()
}
