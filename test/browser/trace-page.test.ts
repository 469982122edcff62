/** The dashboard's traces: packets of one client as they pass, in a real browser. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { faultsOfAccess, launchBrowser, openDashboard, signIn } from './dashboard.ts'

describePeer('a browser on the page of traces', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchBrowser(programs.chromium)
  })
  afterAll(() => browser.close())

  test('shows packets of one client as they pass, from its CONNECT on, and stops when it is told to', async () => {
    const gateway = await startGateway()
    const dashboard = await openDashboard(browser, gateway, 'trace')
    const { page } = dashboard
    await page.getByText('This needs a token of role operator').waitFor()
    await signIn(dashboard, gateway.addApiToken('panel', 'operator'))
    await page.getByLabel('Client id').fill('pump-7')
    await page.getByRole('button', { name: 'Begin', exact: true }).click()
    await page.waitForSelector('.live[data-state=connected]')
    const { mqtt } = await connectClient(gateway, { clientId: 'pump-7', username: 'alice', password: 'secret-word' })
    await mqtt.publishAsync('plant/<b>1</b>', 'x\u202ey', { qos: 1 })
    const lines = () => page.$$eval('.console-list li', (all) => all.map((one) => one.textContent ?? ''))
    await eventually(async () => (await lines()).length).toBe(4)
    const [puback, publish, connack, connect] = await lines()
    expect([connect, connack, publish, puback]).toEqual([
      expect.stringMatching(/→ from it CONNECT pump-7.*username="alice"/),
      expect.stringMatching(/← to it CONNACK pump-7.*reasonCode=0/),
      expect.stringContaining('plant/<b>1</b>'),
      expect.stringMatching(/← to it PUBACK/),
    ])
    expect(publish).toContain('\\u202e')
    expect((await lines()).join()).not.toContain('secret-word')
    expect(await faultsOfAccess(dashboard)).toEqual([])
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.waitForSelector('.live[data-state=ended]')
    await mqtt.publishAsync('plant/2', 'y', { qos: 1 })
    expect((await lines()).length).toBe(4)
    await dashboard.close()
  })

  test('is found from the client, and says what can not be traced', async () => {
    const gateway = await startGateway()
    await connectClient(gateway, { clientId: 'pump-7' })
    const dashboard = await openDashboard(browser, gateway, 'clients/pump-7')
    const { page } = dashboard
    await signIn(dashboard, gateway.addApiToken('panel', 'operator'))
    await page.getByRole('link', { name: 'Trace its packets' }).click()
    await page.waitForSelector('.live[data-state=connected]')
    expect(await page.getByLabel('Client id').inputValue()).toBe('pump-7')
    await page.getByLabel('Whose packets').selectOption('filter')
    await page.getByLabel('Topic filter').fill('a/#/b')
    await page.getByRole('button', { name: 'Begin', exact: true }).click()
    await page.waitForSelector('.live[data-state=refused]')
    await dashboard.close(/400/)
  })
})
