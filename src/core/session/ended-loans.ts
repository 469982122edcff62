/** What a session was lent of queues and streams, and is not to be sent again. */
import type { Broker } from '../broker.ts'
import { messageBytes } from '../publish/message.ts'
import type { Session } from './session.ts'
import { unloadWhenCommitted } from './unload.ts'

/** For one whose client is away: takes what is over out of what waits. */
export function dropEndedLoans(broker: Broker, session: Session): void {
  const { queue } = session
  for (let position = queue.base; position < queue.residentEnd; position++) {
    const delivery = queue.at(position)
    if (delivery?.lease?.ended !== true) continue
    queue.taken(messageBytes(delivery.message!))
    queue.clear(position)
  }
  if (session.client === null) unloadWhenCommitted(broker, session)
}
