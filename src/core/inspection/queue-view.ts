/**
 * What waits in a session's queue, from a position on: first what is in memory, then, page by page, what is in the store only.
 * Looking takes nothing out and loads nothing into the queue.
 */
import type { Broker } from '../broker.ts'
import type { QueuedView, QueueView } from '../ports/inspection.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import { DeliveryState } from '../session/delivery.ts'
import { messageOf, requestPage } from '../session/queue-pages.ts'
import type { Session } from '../session/session.ts'
import { viewMessage } from './inspection.ts'

const stateNames = {
  [DeliveryState.waiting]: 'waiting',
  [DeliveryState.sent]: 'sent',
  [DeliveryState.released]: 'released',
} as const

export interface Part {
  fromPosition: number
  entriesMax: number
}

/** False: a page of the store is being read already, for somebody else. */
export function viewQueue(broker: Broker, session: Session, part: Part, use: (part: QueueView) => void): boolean {
  const { queue, namespace } = session
  const entries: QueuedView[] = []
  const { entriesMax } = part
  let position = Math.max(part.fromPosition, queue.base)
  // Holes count too: a window of 65,535 positions may have one message at each end.
  for (; position < queue.residentEnd && entries.length < entriesMax; position++) {
    const delivery = queue.at(position)
    if (delivery === null) continue
    const { message, qos, state } = delivery
    entries.push({
      position,
      message: message === null ? null : viewMessage(namespace.name, message),
      qos,
      state: stateNames[state],
    })
  }
  if (entries.length === entriesMax || position >= queue.nextPosition || !session.stored) {
    use({ entries, nextPosition: position < queue.nextPosition ? position : null })
    return true
  }
  if (session.pageUse !== null) return false
  requestPage(broker, session, position, undefined, (page) => use(withPage(namespace.name, entries, page, entriesMax)))
  return true
}

function withPage(
  namespace: string,
  resident: readonly QueuedView[],
  { entries, more }: RecoveredPage,
  entriesMax: number,
): QueueView {
  const room = entriesMax - resident.length
  const taken = entries.slice(0, room)
  const stored = taken.map(({ reference: { position, qos }, message }) => {
    return { position, qos, message: viewMessage(namespace, messageOf(message)), state: 'waiting' } as const
  })
  const goesOn = more || entries.length > room
  const last = taken.at(-1)
  return {
    entries: [...resident, ...stored],
    nextPosition: goesOn && last !== undefined ? last.reference.position + 1 : null,
  }
}
