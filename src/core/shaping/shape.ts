/** From what a client wishes to where its subscription's messages go, or why that can't be. */
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { sharePrefix } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import type { Session } from '../session/session.ts'
import { Shaper, shapedSubscriptionsMax } from './shaper.ts'
import { WhereFault } from './where.ts'
import type { Wishes } from './wishes.ts'

/** The text is for the client. */
export interface ShapingRefusal {
  readonly code: ReasonCode
  readonly reason: string
}

const refusal = (code: ReasonCode, reason: string): ShapingRefusal => ({ code, reason })

/** `wishes`: a text says what is wrong with them. What is returned counts for the session and has to be ended. */
export function shape(
  broker: Broker,
  session: Session,
  filter: string,
  wishes: Wishes | string,
): Shaper | ShapingRefusal {
  if (typeof wishes === 'string') return refusal(ReasonCode.topicFilterInvalid, wishes)
  if (filter.startsWith(sharePrefix)) {
    return refusal(ReasonCode.topicFilterInvalid, 'a share group gives each message to one member: it is not shaped')
  }
  session.shapers ??= new Set()
  const isNew = !(session.subscriptions.get(filter)?.destination instanceof Shaper)
  if (isNew && session.shapers.size >= shapedSubscriptionsMax) {
    return refusal(ReasonCode.quotaExceeded, `a client has at most ${shapedSubscriptionsMax} shaped subscriptions`)
  }
  try {
    const where = wishes.where === null ? null : broker.contentFilters.use(wishes.where)
    if (where === null && wishes.where !== null) {
      return refusal(ReasonCode.quotaExceeded, 'there are too many different content filters')
    }
    const shaper = new Shaper(broker, session, filter, wishes, where)
    session.shapers.add(shaper)
    return shaper
  } catch (error) {
    if (!(error instanceof WhereFault)) throw error
    return refusal(ReasonCode.topicFilterInvalid, `where: ${error.message}`)
  }
}
