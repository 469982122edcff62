/** The part of the composition root that lets the program's hooks know what happens. Without hooks, nothing is told of anything. */
import type { GatewayConfig } from './config/schema.ts'
import { Deliveries } from './engine/deliveries.ts'
import type { Engine } from './engine/engine.ts'
import { type GatewayHooks, ProgramHooks } from './engine/hooks.ts'
import type { Log } from './observe/log.ts'
import type { Telemetry } from './telemetry/spans.ts'
import type { Traced } from './trace/tracer.ts'

export interface ComposedHooks {
  /** The connections that a tracer may look at beside the hooks. */
  traced: Traced
  /** Told of a consumer's function that throws. */
  onHandlerError(error: unknown): void
}

export function composeHooks(
  { hooks: given }: GatewayConfig,
  engine: Engine,
  { log, telemetry }: { log: Log; telemetry: Telemetry | undefined },
): ComposedHooks {
  const { broker } = engine
  // What the program made of a message is what its span is of.
  const all: GatewayHooks[] = telemetry === undefined ? [given] : [given, telemetry.hooks]
  const hooks = new ProgramHooks(broker, all, log)
  const onHandlerError = (error: unknown) => hooks.failed('consume', error)
  if (all.every((one) => Object.keys(one).length === 0)) return { traced: engine, onHandlerError }
  broker.hook(hooks, hooks.has('onPublish'))
  if (hooks.has('onDropped')) broker.dropLedger.hook = hooks
  if (!hooks.has('onDeliver')) return { traced: engine, onHandlerError }
  const deliveries = new Deliveries(engine, hooks)
  engine.tapper = deliveries
  return { traced: deliveries, onHandlerError }
}
