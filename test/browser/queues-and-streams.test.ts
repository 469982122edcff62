/** The dashboard's pages about what is kept for others: queues and streams. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { launchBrowser, openDashboard, signIn } from './dashboard.ts'

describePeer('the dashboard', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchBrowser(programs.chromium)
  })
  afterAll(() => browser.close())

  test('what is in a queue is seen, who works on it, and it is emptied with a token only', async () => {
    const gateway = await startGateway({ queues: { jobs: { filter: 'jobs/#' } } })
    await gateway.publish({ topic: 'jobs/one', payload: 'resize', qos: 1 })
    const dashboard = await openDashboard(browser, gateway, 'queues')
    const { page } = dashboard
    await page.getByRole('link', { name: 'jobs', exact: true }).click()
    await page.getByRole('region', { name: 'Messages' }).getByText('jobs/one').waitFor()
    await page.getByText('Nobody works on it.').waitFor()
    expect(await page.getByRole('button', { name: 'Empty' }).isDisabled()).toBe(true)
    await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
    await page.getByRole('button', { name: 'Empty' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Empty' }).click()
    await page.getByText('1 dropped.').waitFor()
    await page.getByText('It is empty.').waitFor()
    await dashboard.close()
  })

  test('a stream is replayed from any place, and emptied with a token only', async () => {
    const gateway = await startGateway({ streams: { meters: { filter: 'meters/#' } } })
    for (const payload of ['one', 'two', 'three']) await gateway.publish({ topic: 'meters/7', payload, qos: 1 })
    const dashboard = await openDashboard(browser, gateway, 'streams')
    const { page } = dashboard
    await page.getByRole('link', { name: 'meters', exact: true }).click()
    const replay = page.getByRole('region', { name: 'Replay' })
    await replay.getByText('one', { exact: true }).waitFor()
    await replay.getByLabel('From').fill('offset:2')
    await replay.getByText('one', { exact: true }).waitFor({ state: 'detached' })
    await replay.getByText('three', { exact: true }).waitFor()
    await replay.getByLabel('Topics').fill('meters/8')
    await replay.getByText('There is nothing from here on.').waitFor()
    await page.getByText('No group has read it.').waitFor()
    expect(await page.getByRole('button', { name: 'Empty' }).isDisabled()).toBe(true)
    await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
    await page.getByRole('button', { name: 'Empty' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Empty' }).click()
    await page.getByText('3 dropped.').waitFor()
    await dashboard.close()
  })

  test('a group of a stream is moved and forgotten', async () => {
    const gateway = await startGateway({ streams: { meters: { filter: 'meters/#' } } })
    for (const payload of ['one', 'two']) await gateway.publish({ topic: 'meters/7', payload, qos: 1 })
    const member = await connectClient(gateway)
    await member.mqtt.subscribeAsync('$share/billing/$stream/meters', { qos: 1 })
    const dashboard = await openDashboard(browser, gateway, 'streams/meters')
    const { page } = dashboard
    await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
    const groups = page.getByRole('region', { name: 'Groups' })
    await groups.getByText('billing').waitFor()
    expect(await groups.getByRole('button', { name: 'Delete' }).isDisabled()).toBe(true)
    await groups.getByRole('button', { name: 'Move' }).click()
    await page.getByRole('dialog').getByLabel('From').fill('offset:1')
    await page.getByRole('dialog').getByRole('button', { name: 'Move' }).click()
    await member.until(1)
    expect(member.texts()).toEqual(['two'])
    await member.mqtt.unsubscribeAsync('$share/billing/$stream/meters')
    await eventually(() => groups.getByRole('button', { name: 'Delete' }).isDisabled()).toBe(false)
    await groups.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.getByText('No group has read it.').waitFor()
    await dashboard.close()
  })
})
