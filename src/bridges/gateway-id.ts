/** What this gateway is called by others' bridges: made at the first start in a data folder, and kept there. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const idPattern = /^[0-9a-f]{12}$/

export function newGatewayId(): string {
  return randomBytes(6).toString('hex')
}

export function gatewayIdOf(dataDir: string): string {
  const path = join(dataDir, 'gateway-id')
  try {
    const text = readFileSync(path, 'utf8').trim()
    if (idPattern.test(text)) return text
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const id = newGatewayId()
  mkdirSync(dataDir, { recursive: true })
  writeFileSync(path, `${id}\n`)
  return id
}
