/**
 * Makes the pictures of the documentation: starts a gateway in memory and a simulated swarm, opens the dashboard in a real
 * browser, and writes `docs/images/`. Needs Chromium (`npm run peers` says how to get it).
 */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { createGateway } from '../src/gateway.ts'

const root = join(import.meta.dirname, '..')
const folder = join(root, 'docs/images')
/** So that the curves have a past. */
const warmUpMs = 45_000
const settleMs = 6_000

mkdirSync(folder, { recursive: true })
await using gateway = await createGateway({
  mqttPort: 0,
  httpPort: 0,
  inMemory: true,
  logLevel: 'silent',
  limits: { sessionQueueMessagesMax: 200 },
})
await gateway.listen()
const { mqtt, http } = gateway.addresses
const broker = `mqtt://127.0.0.1:${mqtt!.port}`

/** One that is away, so that something waits and is dropped. */
async function leaveAway(clientId: string): Promise<void> {
  const away = { clientId, clean: false, protocolVersion: 5, properties: { sessionExpiryInterval: 3600 } } as const
  const client = await connectAsync(broker, away)
  await client.subscribeAsync('weather/north/#', { qos: 1 })
  await client.endAsync()
}

const shape = { viewport: { width: 1280, height: 800 }, colorScheme: 'light' } as const

async function picture(
  browser: Browser,
  name: string,
  { route, act, ...options }: BrowserContextOptions & { route: string; act?: (page: Page) => Promise<void> },
): Promise<void> {
  const page = await browser.newPage({ ...shape, locale: 'en-GB', ...options })
  await page.goto(`http://127.0.0.1:${http!.port}/#/${route}`)
  await act?.(page)
  await page.waitForTimeout(settleMs)
  await page.screenshot({ path: join(folder, `${name}.png`) })
  await page.close()
}

async function pin(page: Page): Promise<void> {
  const tree = page.getByRole('tree')
  await page.getByRole('treeitem', { name: 'east' }).click()
  await page
    .getByRole('treeitem', { name: /^▸station-1 / })
    .or(page.getByRole('treeitem', { name: 'station-1' }))
    .first()
    .click()
  await tree.getByText('observation').first().click()
  for (const field of ['temperature', 'pressure', 'wind'])
    await page.getByRole('button', { name: field, exact: true }).click()
  await page.getByRole('button', { name: 'Difference' }).click()
}

await leaveAway('archive-backup')
const swarm = spawn(
  process.execPath,
  ['device-simulator/main.ts', 'weather-stations', '--broker', broker, '--duration', '300s'],
  { cwd: root, stdio: 'ignore' },
)
const browser = await chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
})
try {
  await new Promise((resolve) => setTimeout(resolve, warmUpMs))
  await picture(browser, 'overview', { route: 'overview' })
  await picture(browser, 'topics', { route: 'topics', act: pin })
  await picture(browser, 'clients-dark', { route: 'clients?show=sessions&sort=-droppedMessages', colorScheme: 'dark' })
  await picture(browser, 'phone', { route: 'overview', viewport: { width: 390, height: 780 } })
} finally {
  await browser.close()
  swarm.kill()
}
