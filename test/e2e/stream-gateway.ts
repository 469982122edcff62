/** The gateway as a program with streams, to be killed and started again under its readers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { type KilledGateway, startToBeKilled } from './killed-gateway.ts'

export interface StreamGateway extends KilledGateway {
  /** Messages of `meters/1` with these numbers as payloads, each acknowledged. */
  publish(from: number, to: number): Promise<void>
}

/** With the stream `meters` of `meters/#`. */
export async function startStreamGateway(): Promise<StreamGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-streams-'))
  const config = join(folder, 'mqtide.yaml')
  writeFileSync(config, 'streams: { meters: { filter: meters/# } }\n')
  const gateway = await startToBeKilled('--config', config)
  return {
    ...gateway,
    async publish(from, to) {
      const device = await connectAsync(gateway.mqtt)
      for (let i = from; i < to; i++) await device.publishAsync('meters/1', String(i), { qos: 1 })
      await device.endAsync()
    },
    async remove() {
      await gateway.remove()
      rmSync(folder, { recursive: true, maxRetries: 5 })
    },
  }
}
