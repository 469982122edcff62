/** The configuration as a flat list, for whoever looks at it: each option by its path, without secrets. */
import { dotted } from './config-error.ts'
import type { GatewayConfig } from './schema.ts'
import { withoutSecrets } from './secrets.ts'

export interface OptionInForce {
  path: string
  value: unknown
  /** A flag, a variable, or file, line and column; null: it is the default. */
  source: string | null
}

/** Groups of options are gone into, lists are values. `sourceOf`: as of the configuration that was loaded. */
export function optionsInForce(
  config: GatewayConfig,
  sourceOf: (path: readonly PropertyKey[]) => string | undefined,
): OptionInForce[] {
  const found: OptionInForce[] = []
  const walk = (value: unknown, path: readonly string[]): void => {
    if (typeof value === 'function') add('code of the program', path)
    else if (value instanceof Uint8Array || value === undefined) return
    else if (typeof value !== 'object' || value === null || Array.isArray(value)) add(value, path)
    else if (path.length > 0 && Object.keys(value).length === 0) add(value, path)
    else for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key])
  }
  const add = (value: unknown, path: readonly string[]) =>
    found.push({ path: dotted(path), value, source: sourceOf(path) ?? null })
  walk(withoutSecrets(config), [])
  return found
}
