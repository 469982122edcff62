/** What a subscription below `$queue/` is about, by the words of the configuration: which queue, and what it takes in. */
import { deadLetterNameOf } from '../core/logs/definition.ts'
import { queuesOf } from './queues.ts'
import type { GatewayConfig } from './schema.ts'

const prefix = '$queue/'

export type AskedQueue =
  /** `filter`: null: only what is published to the address. */
  | { address: string; filter: string | null; refusal?: undefined }
  /** Why nobody may subscribe so. */
  | { refusal: string }

/** Undefined: the subscription is to no queue. `asked` is without `$share/group/`, which `shared` tells of. */
export function queueOf(
  config: GatewayConfig,
  namespace: string,
  { filter: asked, shared }: { filter: string; shared: boolean },
): AskedQueue | undefined {
  if (!asked.startsWith(prefix)) return undefined
  if (shared) return { refusal: 'a queue is shared by itself: $queue/NAME without $share/GROUP/' }
  const slash = asked.indexOf('/', prefix.length)
  const name = asked.slice(prefix.length, slash < 0 ? undefined : slash)
  const queues = queuesOf(config).filter((queue) => queue.namespace === namespace)
  const declared = queues.find((queue) => queue.name === name)
  const isDeadLetters = queues.some((queue) => deadLetterNameOf(queue.name, queue.definition) === name)
  if (declared === undefined && !isDeadLetters) return { refusal: `no queue is called ${name}` }
  const filter = declared?.definition.filter ?? null
  if (slash >= 0 && asked.slice(slash + 1) !== filter) {
    return { refusal: `the filter of the queue ${name} is ${filter ?? 'none'}, and no other` }
  }
  return { address: prefix + name, filter }
}
