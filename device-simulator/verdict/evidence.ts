/**
 * Whether a run proves anything. A verdict that finds no broken promise is worth what was looked at: where nothing arrived,
 * nobody was subscribed or a check did not run, the run is inconclusive, and says what is missing and how to get it.
 */
import type { Verdict } from './judge.ts'
import type { RetainedVerdict } from './retained.ts'

export interface Evidence {
  verdict: Verdict
  retained: RetainedVerdict
  /** PUBLISHes of all devices. */
  sent: number
  /** Those without an envelope, which nobody can follow. */
  untracked: number
}

/** What is missing, one sentence each; empty: the verdict stands. */
export function missingEvidence({ verdict, retained, sent, untracked }: Evidence): string[] {
  const missing: string[] = []
  if (sent === 0) return ['nothing was sent']
  if (verdict.rows.length === 0) {
    missing.push(
      untracked === sent
        ? 'no message could be followed: their payloads have no room for the envelope (docs/simulator.md, "The verdict")'
        : 'no subscription of the run matches what was sent: add a group with subscriptions',
    )
  } else if (verdict.received === 0) {
    missing.push(`none of ${verdict.expected} expected messages arrived`)
  }
  if (verdict.rows.length > 0) {
    for (const [group, count] of Object.entries(verdict.unconsumed)) {
      missing.push(`${count} messages of group ${group} had no subscriber: whether they were lost is not known`)
    }
    for (const row of verdict.rows) {
      if (row.deliveredQos > 0 || row.expected === 0 || row.received > 0 || row.excused > 0) continue
      missing.push(`QoS 0 from ${row.from} to ${row.to}: none of ${row.expected} messages arrived`)
    }
  }
  if (verdict.unacknowledged > 0) {
    missing.push(
      `${verdict.unacknowledged} messages were never acknowledged: a longer drain stage may bring the answers`,
    )
  }
  if (verdict.undelivered > 0) {
    missing.push(
      `${verdict.undelivered} acknowledged messages were undelivered when the run ended: their receivers were away or still receiving`,
    )
  }
  if (retained.failed !== undefined) missing.push(`the retained messages could not be checked: ${retained.failed}`)
  return missing
}
