/** The part of the composition root about what the configuration declares by name, at a reload and as metrics. */
import { queuesOf } from './config/queues.ts'
import type { GatewayConfig } from './config/schema.ts'
import type { Broker } from './core/broker.ts'
import { declareQueues } from './core/logs/queue-set.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Engine } from './engine/engine.ts'
import { flatMetrics } from './observe/metrics.ts'
import type { MetricFamily } from './observe/named-metrics.ts'
import { queueMetrics } from './observe/queue-metrics.ts'

export interface Declared {
  broker: Broker
  queues: Queues
}

/** What a queue takes in stays until a restart. What one that is gone has waits until it is declared again. */
export function declareAgain({ broker, queues, engine }: Declared & { engine: Engine }, config: GatewayConfig): void {
  const declared = queuesOf(config).map((queue) => {
    const before = queues.state(queue)
    const filter = before?.declared === true ? before.filter : queue.definition.filter
    return { ...queue, definition: { ...queue.definition, filter } }
  })
  engine.run(() => declareQueues(broker, declared))
}

export function declaredMetrics({ broker, queues }: Declared): MetricFamily[] {
  return [queueMetrics(queues, broker.now)]
}

/** Every counter and gauge by its name in /metrics. */
export function allMetrics(declared: Declared): Record<string, number> {
  const { broker } = declared
  const figures = flatMetrics(broker.totals(), broker.gauges())
  return Object.assign(figures, ...declaredMetrics(declared).map((family) => family.flat()))
}
