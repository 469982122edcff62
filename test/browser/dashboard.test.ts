/** The dashboard's pages, each used as a person would, and looked at by axe-core. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { type Dashboard, faultsOfAccess, launchBrowser, openDashboard, signIn } from './dashboard.ts'

describePeer('a browser', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchBrowser(programs.chromium)
  })
  afterAll(() => browser.close())
  const folders: string[] = []
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
  })

  const figure = ({ page }: Dashboard, label: string) =>
    page.locator('.figure', { hasText: label }).locator('.figure-value').textContent()

  /** A session that is away and has lost what did not fit into its queue. */
  async function leaveFullQueue(gateway: Awaited<ReturnType<typeof startGateway>>, clientId: string): Promise<void> {
    const options = { clientId, clean: false, protocolVersion: 5, properties: { sessionExpiryInterval: 600 } } as const
    const client = await connectClient(gateway, options)
    await client.mqtt.subscribeAsync('jobs/#', { qos: 1 })
    await client.mqtt.endAsync()
    await eventually(() => gateway.metrics()['mqtt_sessions{state="disconnected"}']).toBe(1)
    for (let number = 0; number < 5; number++) {
      await gateway.publish({ topic: 'jobs/one', payload: `job ${number}`, qos: 1 })
    }
  }
  const smallQueue = { limits: { sessionQueueMessagesMax: 2 } }

  describe('on the overview', () => {
    test('connections, rates and what was dropped are there, with plots of the past from before it was opened', async () => {
      const gateway = await startGateway(smallQueue)
      const client = await connectClient(gateway)
      await client.mqtt.subscribeAsync('a')
      await leaveFullQueue(gateway, 'worker')
      const dashboard = await openDashboard(browser, gateway)
      const { page } = dashboard
      await eventually(() => figure(dashboard, 'Connections')).toBe('1')
      await eventually(() => figure(dashboard, 'Waiting')).toBe('2')
      await page.getByRole('link', { name: 'queue full' }).waitFor()
      await eventually(() => page.locator('.plot canvas').count()).toBe(8)
      await page.getByRole('button', { name: 'A day' }).click()
      await eventually(() => page.locator('.plot canvas').count()).toBe(8)
      await page.getByRole('link', { name: 'queue full' }).click()
      await page.getByRole('link', { name: 'worker' }).waitFor()
      await dashboard.close()
    })
  })

  describe('on the clients page', () => {
    test('one among many is found by a part of its name, sorted lists begin with the greatest, pages go on', async () => {
      const gateway = await startGateway(smallQueue)
      await leaveFullQueue(gateway, 'worker')
      for (let number = 0; number < 105; number++) await connectClient(gateway, { clientId: `device-${number}` })
      const dashboard = await openDashboard(browser, gateway, 'clients')
      const { page } = dashboard
      const names = () => page.$$eval('tbody a', (links) => links.map((link) => link.textContent))
      await eventually(() => names().then((found) => found.length)).toBe(100)
      await page.getByRole('button', { name: 'Next' }).click()
      await eventually(() => names().then((found) => found.length)).toBe(5)
      await page.getByRole('button', { name: 'Previous' }).click()
      await page.getByRole('searchbox').fill('device-104')
      await eventually(names).toEqual(['device-104'])
      expect(page.url()).toContain('filter=device-104')
      await page.getByRole('searchbox').fill('')
      await page.getByRole('button', { name: 'All sessions' }).click()
      await page.getByRole('button', { name: 'Dropped' }).click()
      await eventually(() => names().then((found) => found[0])).toBe('worker')
      expect(await page.locator('th', { hasText: 'Dropped' }).getAttribute('aria-sort')).toBe('descending')
      await dashboard.close()
    })

    test('a client is shown with what it has, disconnected with a token only, and its will is seen', async () => {
      const gateway = await startGateway()
      const will = { topic: 'wills', payload: Buffer.from('gone'), qos: 0, retain: false } as const
      const device = await connectClient(gateway, { clientId: 'pump 7/a', will })
      await device.mqtt.subscribeAsync('set/#', { qos: 1 })
      const other = await connectClient(gateway)
      await other.mqtt.subscribeAsync('wills')
      const dashboard = await openDashboard(browser, gateway, 'clients')
      const { page } = dashboard
      await page.getByRole('link', { name: 'pump 7/a' }).click()
      await page.getByText('set/#').waitFor()
      const disconnect = page.getByRole('button', { name: 'Disconnect' })
      expect(await disconnect.isDisabled()).toBe(true)
      await page.getByText('disconnects or deletes needs a token').waitFor()
      await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
      await disconnect.click()
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
      expect(device.mqtt.connected).toBe(true)
      await disconnect.click()
      await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
      await other.until(1)
      expect(other.texts()).toEqual(['gone'])
      await page.getByText('There is no session of this name').waitFor()
      // What is asked for and not there is a 404, which Chromium writes to the console.
      await dashboard.close(/404/)
    })

    test('what waits for a client that is away is seen, and its session can be ended', async () => {
      const gateway = await startGateway(smallQueue)
      await leaveFullQueue(gateway, 'worker')
      const dashboard = await openDashboard(browser, gateway, 'clients/worker')
      const { page } = dashboard
      await page.getByText('It is away').waitFor()
      const queue = page.getByRole('region', { name: 'In flight and waiting' })
      await queue.getByText('jobs/one').first().waitFor()
      await page.getByRole('region', { name: 'What it did not get' }).getByText('queue full').waitFor()
      await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
      await page.getByRole('button', { name: 'End session' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'End session' }).click()
      await page.getByText('There is no session of this name').waitFor()
      expect(gateway.metrics()['mqtt_queued_messages']).toBe(0)
      await dashboard.close(/404/)
    })
  })

  describe('with configured users', () => {
    async function startWithUsers() {
      const folder = mkdtempSync(join(tmpdir(), 'mqtide-dashboard-'))
      folders.push(folder)
      const passwordFile = join(folder, 'users')
      writeFileSync(passwordFile, '')
      return startGateway({ authentication: { passwordFile } })
    }

    test('the page asks for a token first, says when it is wrong, and forgets it when asked to', async () => {
      const gateway = await startWithUsers()
      const token = await gateway.addApiToken('panel', 'viewer')
      const dashboard = await openDashboard(browser, gateway)
      const { page } = dashboard
      await page.getByText('This gateway asks for a token.').waitFor()
      await page.getByLabel('Token').fill('wrong')
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByText('nobody has this token').first().waitFor()
      await page.getByLabel('Token').fill(token)
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('heading', { name: 'Overview' }).waitFor()
      await page.getByText('panel (viewer)').waitFor()
      expect(await faultsOfAccess(dashboard)).toEqual([])
      await page.reload()
      await page.getByText('panel (viewer)').waitFor()
      // What runs in the page by mistake finds nothing that it could take along.
      const within = 'JSON.stringify([document.cookie, { ...sessionStorage }, { ...localStorage }])'
      expect(await page.evaluate(within)).not.toMatch(/mqtide_|mqtide-login/)
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByText('This gateway asks for a token.').waitFor()
      expect(await faultsOfAccess(dashboard)).toEqual([])
      await dashboard.close(/401/)
    })

    test('live messages come with the token alone, and are published with it', async () => {
      const gateway = await startWithUsers()
      const dashboard = await openDashboard(browser, gateway, 'topics')
      const { page } = dashboard
      await page.getByLabel('Token').fill(await gateway.addApiToken('panel', 'operator'))
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.waitForSelector('.live[data-state=connected]')
      await page.getByLabel('Topic', { exact: true }).fill('lamp')
      await page.getByRole('button', { name: 'Publish' }).click()
      await page.getByRole('treeitem', { name: 'lamp' }).waitFor()
      await dashboard.close(/401/)
    })

    test('a token of one namespace sees the pages that are about one', async () => {
      const gateway = await startGateway({ namespaces: { plant: {} } })
      const token = await gateway.addApiToken('panel', 'viewer', { namespace: 'plant' })
      const dashboard = await openDashboard(browser, gateway, 'clients')
      await signIn(dashboard, token)
      const pages = () => dashboard.page.$$eval('nav a', (links) => links.map((link) => link.textContent))
      await eventually(pages).toEqual([
        'Clients',
        'Topics',
        'Retained',
        'Queues',
        'Streams',
        'Bridges',
        'Drops',
        'Console',
        'Explain',
        'Trace',
      ])
      await dashboard.close()
    })
  })

  describe('on the other pages', () => {
    test('retained messages are found by a filter, read in full, and a branch of them deleted with a token', async () => {
      const gateway = await startGateway()
      for (const topic of ['plant/1/t', 'plant/2/t', 'home/t']) {
        await gateway.publish({ topic, payload: '{"t":1}', retain: true })
      }
      const dashboard = await openDashboard(browser, gateway, 'retained')
      const { page } = dashboard
      await page.getByRole('link', { name: 'home/t' }).click()
      await eventually(() => page.textContent('pre.value')).toBe('{\n  "t": 1\n}')
      await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
      await page.getByRole('button', { name: 'Delete', exact: true }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
      await page.getByText('Nothing is retained for this topic any more').waitFor()
      await page.getByLabel('Topic filter').fill('plant/#')
      await page.getByRole('link', { name: 'plant/2/t' }).waitFor()
      await eventually(() => page.url()).toContain('plant')
      await page.getByRole('button', { name: 'Delete all of these' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Delete all of these' }).click()
      await page.getByText('2 deleted.').waitFor()
      await page.getByText('Nothing is retained for “plant/#”').waitFor()
      await dashboard.close(/404/)
    })

    test('a bridge that is not connected says why, and is connected anew with a token only', async () => {
      const topics = [{ filter: 'plant/#', direction: 'out', remotePrefix: 'site7/' }] as const
      const url = 'mqtt://127.0.0.1:1'
      const gateway = await startGateway({ bridges: { cloud: { url, topics: [...topics], reconnectMs: 60_000 } } })
      await gateway.publish({ topic: 'plant/a', payload: 'x', qos: 1 })
      const dashboard = await openDashboard(browser, gateway, 'bridges')
      const { page } = dashboard
      await page.getByText('ECONNREFUSED').waitFor()
      await page.getByRole('link', { name: 'cloud', exact: true }).click()
      await page.getByRole('region', { name: 'Topics' }).getByText('site7/').waitFor()
      await page.getByText('Failed: connection').waitFor()
      expect(await page.getByRole('button', { name: 'Connect anew' }).isDisabled()).toBe(true)
      await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
      await page.getByRole('button', { name: 'Connect anew' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Connect anew' }).click()
      await page.getByText('It connects.').waitFor()
      await dashboard.close()
    })

    test('the console lists what arrives, sends, and keeps a message to be sent again', async () => {
      const gateway = await startGateway()
      const dashboard = await openDashboard(browser, gateway, 'console')
      const { page } = dashboard
      await page.waitForSelector('.live[data-state=connected]')
      await page.getByLabel('Topic', { exact: true }).fill('lamp/set')
      await page.getByLabel('Payload').fill('on')
      await page.getByRole('button', { name: 'Save' }).click()
      await page.getByRole('button', { name: 'Publish' }).click()
      await page.locator('.console-list li', { hasText: 'lamp/set' }).waitFor()
      await page.reload()
      await page.waitForSelector('.live[data-state=connected]')
      await page.getByRole('button', { name: 'lamp/set on' }).click()
      await eventually(() => page.getByLabel('Payload').inputValue()).toBe('on')
      await page.getByRole('button', { name: 'Remove the message to lamp/set' }).click()
      await page.getByText('Save keeps a message').waitFor()
      await dashboard.close()
    })

    test('a rule is explained, and a message followed to its recipient', async () => {
      const gateway = await startGateway({
        authorization: {
          rules: [
            { deny: 'publish', topic: 'plant/#' },
            { allow: 'all', topic: '#' },
          ],
        },
      })
      const device = await connectClient(gateway, { clientId: 'pump' })
      await device.mqtt.subscribeAsync('set/#', { qos: 1 })
      const dashboard = await openDashboard(browser, gateway, 'explain')
      const { page } = dashboard
      const rules = page.getByRole('region', { name: 'May a client?' })
      await rules.getByLabel('Topic').fill('plant/1')
      await rules.getByRole('button', { name: 'Explain' }).click()
      await rules.getByText('Refused:').waitFor()
      await signIn(dashboard, await gateway.addApiToken('panel', 'operator'))
      const message = page.getByRole('region', { name: 'What becomes of a message?' })
      await message.getByLabel('Topic').fill('set/speed')
      await message.getByRole('button', { name: 'Publish and explain' }).click()
      await message.getByRole('link', { name: 'pump' }).waitFor()
      await dashboard.close()
    })

    test('the configuration shows each option with where it comes from, and no secret', async () => {
      const secret = 'a-shared-secret-of-thirty-two-bytes!'
      const gateway = await startGateway({
        authentication: { jwt: { secret } },
        limits: { packetBytesMax: 4321 },
      })
      const dashboard = await openDashboard(browser, gateway, 'configuration')
      const { page } = dashboard
      await page.getByLabel('Token').fill(await gateway.addApiToken('panel', 'viewer'))
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByRole('row', { name: 'limits.packetBytesMax 4321' }).waitFor()
      await page.getByRole('row', { name: 'authentication.jwt.secret ***' }).waitFor()
      expect(await page.textContent('main')).not.toContain(secret)
      await dashboard.close(/401/)
    })
  })

  test.each(['light', 'dark'] as const)(
    'every page is usable with a screen reader and by keys (axe-core), %s',
    async (colorScheme) => {
      const gateway = await startGateway({ ...smallQueue, namespaces: { plant: {} } })
      await leaveFullQueue(gateway, 'worker')
      await connectClient(gateway, { clientId: 'device' })
      await gateway.publish({ topic: 'home/t', payload: '{"t":21.5}', retain: true })
      const dashboard = await openDashboard(browser, gateway, '', { colorScheme })
      await dashboard.page.locator('.plot canvas').first().waitFor()
      expect(await faultsOfAccess(dashboard), 'Overview').toEqual([])
      for (const name of [
        'Clients',
        'Topics',
        'Retained',
        'Queues',
        'Streams',
        'Bridges',
        'Drops',
        'Console',
        'Explain',
        'Listeners',
        'Configuration',
      ]) {
        await dashboard.goTo(name)
        await dashboard.page.locator('table, .live[data-state=connected], form').first().waitFor()
        expect(await faultsOfAccess(dashboard), name).toEqual([])
      }
      await dashboard.close()
    },
    60_000,
  )

  test('it speaks the language of the browser, and another one where that is chosen', async () => {
    const gateway = await startGateway()
    const dashboard = await openDashboard(browser, gateway, 'clients', { locale: 'de-AT' })
    const { page } = dashboard
    await page.getByRole('link', { name: 'Überblick' }).waitFor()
    await page.getByRole('button', { name: 'Alle Sitzungen' }).click()
    expect(await page.getAttribute('html', 'lang')).toBe('de')
    await page.getByLabel('Sprache').selectOption('简体中文')
    await page.getByRole('link', { name: '概览' }).waitFor()
    expect(await page.getAttribute('html', 'lang')).toBe('zh')
    await page.getByLabel('语言').selectOption('English')
    await page.getByRole('link', { name: 'Overview' }).waitFor()
    await dashboard.close()
  })

  test('on a phone no page is wider than the screen', async () => {
    const gateway = await startGateway(smallQueue)
    await leaveFullQueue(gateway, `a-client-with-a-very-long-name-${'x'.repeat(100)}`)
    await gateway.publish({ topic: `very/long/${'y'.repeat(120)}`, payload: 'z'.repeat(300), retain: true })
    const dashboard = await openDashboard(browser, gateway, '', { viewport: { width: 390, height: 844 } })
    await dashboard.page.locator('.plot canvas').first().waitFor()
    for (const name of [
      'Overview',
      'Clients',
      'Topics',
      'Retained',
      'Queues',
      'Streams',
      'Drops',
      'Console',
      'Explain',
      'Trace',
      'Listeners',
    ]) {
      await dashboard.goTo(name)
      expect(await dashboard.page.evaluate('document.documentElement.scrollWidth'), name).toBeLessThanOrEqual(390)
    }
    await dashboard.close()
  }, 60_000)
})
