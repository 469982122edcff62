/**
 * What a stored session has in memory when its client leaves goes from there once the store has it all: it is read again, page by
 * page, when the client is back. A few small messages stay while memory is plenty, so that ten thousand clients that lost their
 * network for a moment do not all ask the store.
 */
import type { Broker } from '../broker.ts'
import { DeliveryState } from './delivery.ts'
import { keepLeftGroup } from './left-groups.ts'
import type { Session } from './session.ts'

const keptBytesMax = 4 * 1024
const keptMessagesMax = 10

/** To be called when its client has left, and when anything else has ended that goes by what is in memory. */
export function unloadWhenCommitted(broker: Broker, session: Session): void {
  if (session.stored && session.queue.resident > 0) broker.awaitCommit({ pump: () => unload(broker, session) })
}

function unload(broker: Broker, session: Session): void {
  const { queue } = session
  if (!session.stored || session.ended || session.client !== null || keepsLittle(broker, session)) return
  // A page in use was asked for behind what is in memory; a hand-over goes through that. Both come back here.
  if (session.pageUse !== null || session.handOvers !== null) return
  const released: number[] = []
  for (let position = queue.base; position < queue.residentEnd; position++) {
    const delivery = queue.at(position)
    if (delivery === null) continue
    // The store does not have it. Once it is over, this is tried again.
    if (delivery.lease !== null) return
    if (delivery.ticket > broker.journal.committed) {
      unloadWhenCommitted(broker, session)
      return
    }
    if (delivery.state === DeliveryState.released) released.push(position)
    if (delivery.group !== null) keepLeftGroup(session, delivery.group)
  }
  queue.unload()
  session.releasedPositions = [...released, ...session.releasedPositions]
}

function keepsLittle({ budgets: { queueBytes } }: Broker, { queue }: Session): boolean {
  if (queue.resident === 0) return true
  return (
    queue.resident <= keptMessagesMax && queue.residentBytes <= keptBytesMax && queueBytes.used * 2 < queueBytes.max
  )
}
