/**
 * The end of a run: nobody publishes any more, and what is on its way may arrive.
 *
 * It ends early when nothing has come for a while and nobody is owed anything; silence alone is not enough, since a slow
 * consumer or a broker that recovers may be silent for longer.
 */
import type { Part, Progress } from './swarm/part.ts'
import { judge } from './verdict/judge.ts'
import { mergeReceivers } from './verdict/receiver.ts'

const quietMs = 2000
const stepMs = 250

export interface Drain {
  parts: readonly Part[]
  durationMs: number
  now: () => number
  wait: (ms: number) => Promise<void>
  ended: () => boolean
}

/** Returns whether it was cut short: something still moved when the time was over. */
export async function drain({ parts, durationMs, now, wait, ended }: Drain): Promise<boolean> {
  await Promise.all(parts.map((part) => part.setRate(0)))
  const deadline = now() + durationMs
  let received = -1
  let movedAt = now()
  let lookedAt = movedAt
  while (!ended() && now() < deadline) {
    await wait(stepMs)
    const progress = await progressOf(parts)
    if (progress.pending > 0 || progress.received !== received) movedAt = now()
    received = progress.received
    if (now() - Math.max(movedAt, lookedAt) < quietMs) continue
    if (await nobodyIsOwed(parts)) break
    lookedAt = now()
  }
  return now() - movedAt < quietMs
}

async function nobodyIsOwed(parts: readonly Part[]): Promise<boolean> {
  const facts = await Promise.all(parts.map((part) => part.facts()))
  const senders = facts.flatMap((part) => part.senders)
  const receivers = mergeReceivers(facts.flatMap((part) => part.receivers))
  const queues = facts.flatMap((part) => part.queues)
  const { lost, undelivered } = judge(senders, receivers, { queues })
  return lost + undelivered === 0
}

/** Of all parts together. */
export async function progressOf(parts: readonly Part[]): Promise<Progress> {
  let pending = 0
  let received = 0
  let finished = true
  for (const part of parts) {
    const progress = await part.progress()
    finished &&= progress.finished
    pending += progress.pending
    received += progress.received
  }
  return { pending, received, finished }
}
