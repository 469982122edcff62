/** What a subscription below `$queue/` or `$stream/` is about, by the words of the configuration: which of them, and what of it. */
import { isStreamStart, streamStartWords } from '../core/logs/stream-start.ts'
import { type AskedQueue, queueOf } from './queue-of.ts'
import type { GatewayConfig } from './schema.ts'
import { streamsOf } from './streams.ts'

const prefix = '$stream/'

/** Undefined: the subscription is to neither. `filter` is without `$share/group/`, which `shared` tells of. */
export function consumedOf(
  config: GatewayConfig,
  namespace: string,
  asked: { filter: string; shared: boolean },
): AskedQueue | undefined {
  return queueOf(config, namespace, asked) ?? streamOf(config, namespace, asked.filter)
}

function streamOf(config: GatewayConfig, namespace: string, asked: string): AskedQueue | undefined {
  if (!asked.startsWith(prefix)) return undefined
  const slash = asked.indexOf('/', prefix.length)
  const [name = '', start] = asked.slice(prefix.length, slash < 0 ? undefined : slash).split(/@(.*)/s)
  const declared = streamsOf(config).find((stream) => stream.namespace === namespace && stream.name === name)
  if (declared === undefined) return { refusal: `no stream is called ${name}` }
  if (start !== undefined && !isStreamStart(start)) return { refusal: `expected behind @ ${streamStartWords}` }
  return { address: prefix + name, filter: slash < 0 ? declared.definition.filter : asked.slice(slash + 1) }
}
