/** The part of the composition root that loads OpenTelemetry's API, where the configuration asks for it. */
import { ConfigError } from './config/config-error.ts'
import type { GatewayConfig } from './config/schema.ts'
import { version } from './observe/version.ts'
import { createTelemetry, type Telemetry } from './telemetry/spans.ts'

/** Undefined: it is not asked for. Rejects with a ConfigError where the package is not there. */
export async function loadTelemetry({ telemetry }: GatewayConfig): Promise<Telemetry | undefined> {
  if (telemetry === undefined) return undefined
  try {
    return createTelemetry(await import('@opentelemetry/api'), telemetry.spans, version)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    const message = 'needs the package @opentelemetry/api beside this one: npm install @opentelemetry/api'
    throw new ConfigError([{ path: ['telemetry'], message }])
  }
}
