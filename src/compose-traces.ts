/** The part of the composition root that looks at packets: live for the API, and into files of the data folder. */
import { join } from 'node:path'
import type { ApiTraces } from './api/sources.ts'
import type { GatewayConfig } from './config/schema.ts'
import { addressOf } from './core/address.ts'
import type { Engine } from './engine/engine.ts'
import type { Log } from './observe/log.ts'
import { FileTraces } from './trace/file-traces.ts'
import { type Traced, Tracer } from './trace/tracer.ts'

export interface Traces extends ApiTraces {
  /** Ends all of them; their files are whole then. */
  close(): Promise<void>
}

/** `traced`: the engine's connections, or those at which somebody else looks too. */
export function composeTraces(config: GatewayConfig, { broker }: Engine, traced: Traced, log: Log): Traces {
  const tracer = new Tracer(traced, {
    now: Date.now,
    addressOf,
    onError: (error) => log.error({ err: error }, 'a connection is traced no longer'),
    onLeftOut: () => broker.counters.tracedPacketsLeftOut++,
  })
  const files = new FileTraces(tracer, join(config.dataDir, 'traces'), {
    now: Date.now,
    isDiskFull: () => broker.storeFull,
    onEnded: (name, because) => log.info({ name, because }, 'a trace into a file has ended'),
  })
  return {
    follow(asked, write) {
      const trace = tracer.begin(asked, { write, end: () => {} })
      return trace === null ? null : () => tracer.end(trace)
    },
    ...(config.inMemory ? {} : { files }),
    close: () => files.close(),
  }
}
