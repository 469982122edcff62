/** The queues and streams that scenarios need, by name, each with its filter. */
import { benchQueue, benchStream } from '../generator/topics.ts'
import type { Capability, Place } from './broker.ts'

const idleQueues = 100

export function queuesFor(needs: readonly Capability[]): Place['queues'] {
  if (needs.includes('queues') || needs.includes('mqtt-queues')) return { [benchQueue]: 'bench/#' }
  if (!needs.includes('idle-queues')) return undefined
  return Object.fromEntries(
    Array.from({ length: idleQueues }, (_, n) => [`idle${n}`, `elsewhere/site${n}/+/telemetry`]),
  )
}

export function streamsFor(needs: readonly Capability[]): Place['streams'] {
  return needs.includes('streams') ? { [benchStream]: 'bench/#' } : undefined
}
