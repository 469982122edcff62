import { readdirSync } from 'node:fs'
import { expect, it } from 'vitest'
import { resolveTask } from '../../device-simulator/cli.ts'
import { parseGatewayOptions } from '../../src/config/schema.ts'

const names = readdirSync(new URL('../../device-simulator/scenarios/', import.meta.url)).map((file) =>
  file.replace('.yaml', ''),
)

it.each(names)('a gateway takes the options that the scenario %s starts one with', (name) => {
  const { scenario } = resolveTask(name, {}, {})
  for (const broker of Object.values(scenario.brokers ?? {})) {
    const options = 'gateway' in broker ? (broker.gateway.options ?? {}) : {}
    expect(() => parseGatewayOptions(options)).not.toThrow()
  }
})
