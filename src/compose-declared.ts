/** The part of the composition root about what the configuration declares: queues and streams, at a reload and as metrics. */
import type { BridgeView } from './bridges/view.ts'
import { queuesOf } from './config/queues.ts'
import type { GatewayConfig } from './config/schema.ts'
import { streamsOf } from './config/streams.ts'
import type { Broker } from './core/broker.ts'
import { declareQueues } from './core/logs/queue-set.ts'
import { declareStreams } from './core/logs/stream-set.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Streams } from './core/ports/streams.ts'
import type { Engine } from './engine/engine.ts'
import { bridgeMetrics } from './observe/bridge-metrics.ts'
import { flatMetrics } from './observe/metrics.ts'
import type { MetricFamily } from './observe/named-metrics.ts'
import { queueMetrics } from './observe/queue-metrics.ts'
import { streamMetrics } from './observe/stream-metrics.ts'

export interface Declared {
  broker: Broker
  queues: Queues
  streams: Streams
  bridges: { views(): BridgeView[] }
}

interface NamedDefinition {
  namespace: string
  name: string
  definition: { readonly filter: string | null }
}

/** What a queue or a stream takes in stays until a restart. What one that is gone has waits until it is declared again. */
export function declareAgain(
  { broker, queues, streams, engine }: Omit<Declared, 'bridges'> & { engine: Engine },
  config: GatewayConfig,
) {
  const declaredQueues = withFilters(queuesOf(config), queues)
  const declaredStreams = withFilters(streamsOf(config), streams)
  engine.run(() => {
    declareQueues(broker, declaredQueues)
    declareStreams(broker, declaredStreams)
  })
}

function withFilters<One extends NamedDefinition>(
  declared: readonly One[],
  known: { state(name: { namespace: string; name: string }): { declared: boolean; filter: string | null } | null },
): One[] {
  return declared.map((one) => {
    const before = known.state(one)
    if (before?.declared !== true) return one
    return { ...one, definition: { ...one.definition, filter: before.filter } }
  })
}

export function declaredMetrics({ broker, queues, streams, bridges }: Declared): MetricFamily[] {
  return [queueMetrics(queues, broker.now), streamMetrics(streams), bridgeMetrics(bridges.views())]
}

/** Every counter and gauge by its name in /metrics. */
export function allMetrics(declared: Declared): Record<string, number> {
  const { broker } = declared
  const figures = flatMetrics(broker.totals(), broker.gauges())
  return Object.assign(figures, ...declaredMetrics(declared).map((family) => family.flat()))
}
