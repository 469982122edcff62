/** A bridge as it is seen from outside. */
import type { Bridge } from './bridge.ts'
import { shownUrl } from './settings.ts'
import type { ByReason } from './totals.ts'
import type { BridgeView } from './view.ts'

/** `wallTime`: what the system's clock says at a time of the bridge's. */
export function viewOf(bridge: Bridge, source: BridgeView['source'], wallTime: (time: number) => number): BridgeView {
  const { settings, totals, state, attempts, lastFailure, connectedAt, nextAttemptAt } = bridge
  const { namespace, name, url, protocolVersion, connections, topics } = settings
  return {
    ...{ namespace, name, source, url: shownUrl(url), protocolVersion, clientId: bridge.clientId, connections },
    ...{ state, attempts, connects: totals.connects, sent: totals.sent, received: totals.received },
    connectedAt: connectedAt < 0 ? null : wallTime(connectedAt),
    nextAttemptAt: nextAttemptAt < 0 ? null : wallTime(nextAttemptAt),
    lastFailure: lastFailure && { ...lastFailure, at: wallTime(lastFailure.at) },
    ...bridge.outbox,
    skippedOut: byReason(totals.skippedOut),
    skippedIn: byReason(totals.skippedIn),
    refused: byReason(totals.refused),
    failures: byReason(totals.failures),
    topics,
  }
}

function byReason({ counts }: ByReason): Record<string, number> {
  return Object.fromEntries(counts)
}
