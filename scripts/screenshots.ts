/**
 * Makes the pictures of the documentation: starts a gateway in memory and a simulated swarm, opens the page in a real
 * browser, and writes `docs/images/`. Needs Chromium (`npm run peers` says how to get it).
 */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { createGateway } from '../src/gateway.ts'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'docs/images')
const warmUpMs = 12_000

mkdirSync(folder, { recursive: true })
await using gateway = await createGateway({ mqttPort: 0, httpPort: 0, inMemory: true, logLevel: 'silent' })
await gateway.listen()
const { mqtt, http } = gateway.addresses
const swarm = spawn(
  process.execPath,
  ['device-simulator/main.ts', 'weather-stations', '--broker', `mqtt://127.0.0.1:${mqtt!.port}`, '--duration', '60s'],
  { cwd: root, stdio: 'ignore' },
)
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
})
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 640 }, colorScheme: 'light' })
  await page.goto(`http://127.0.0.1:${http!.port}/`)
  await page.waitForTimeout(warmUpMs)
  await page.screenshot({ path: join(folder, 'page.png') })
} finally {
  await browser.close()
  swarm.kill()
}
