/** The dashboard's topics: what arrives, found in the tree, compared, plotted, answered. */
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { type Dashboard, launchBrowser, openDashboard } from './dashboard.ts'

describePeer('a browser', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchBrowser(programs.chromium)
  })
  afterAll(() => browser.close())

  const connected = ({ page }: Dashboard) => page.waitForSelector('.live[data-state=connected]')
  const rowsOf = ({ page }: Dashboard) =>
    page.$$eval('[role=treeitem]', (rows) =>
      rows.map((row) => [...row.children].map((part) => part.textContent).filter((text) => text !== '')),
    )

  async function openTopics(...[gateway, route = 'topics']: [Awaited<ReturnType<typeof startGateway>>, string?]) {
    const dashboard = await openDashboard(browser, gateway, route)
    await connected(dashboard)
    return dashboard
  }

  describe('on the topics page', () => {
    test('values published by a TCP client grow a tree, and change as they arrive', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { mqtt } = await connectClient(gateway)
      await mqtt.publishAsync('home/b', '21.4', { qos: 1 })
      await mqtt.publishAsync('home/a', 'on', { qos: 2, retain: true })
      await eventually(() => rowsOf(dashboard)).toEqual([
        ['▾', 'home', '2 topics, 2 messages'],
        ['a', 'on'],
        ['b', '21.4'],
      ])
      await mqtt.publishAsync('home/b', '21.5')
      await eventually(async () => (await rowsOf(dashboard))[2]).toEqual(['b', '21.5'])
      // What comes first to a new subscriber is what is retained.
      await dashboard.page.reload()
      await eventually(async () => (await rowsOf(dashboard))[1]).toEqual(['a', 'on', 'retained'])
      await dashboard.close()
    })

    test('a chosen topic shows its value, what changed, what it said before, and who gets it', async () => {
      const gateway = await startGateway()
      const subscriber = await connectClient(gateway)
      await subscriber.mqtt.subscribeAsync('home/#')
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      await gateway.publish({ topic: 'home/state', payload: '{"on":true,"level":3}' })
      await gateway.publish({ topic: 'home/state', payload: '{"on":true,"level":4}' })
      await page.getByRole('treeitem', { name: 'state' }).click()
      await eventually(() => page.textContent('pre.value')).toBe('{\n  "on": true,\n  "level": 4\n}')
      await page.getByRole('button', { name: 'Difference' }).click()
      await eventually(() => page.$$eval('.difference.gone', (lines) => lines.map((line) => line.textContent))).toEqual(
        ['− removed:   "level": 3\n'],
      )
      await page.getByRole('button', { name: 'History' }).click()
      await eventually(() => page.locator('.history li').count()).toBe(2)
      // The subscriber, and the page itself.
      await page.locator('dl.facts div', { hasText: 'Recipients' }).getByText('2').waitFor()
      await dashboard.close()
    })

    test('numbers are pinned as plots side by side, and stay pinned on another page and back', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      await gateway.publish({ topic: 'room', payload: '{"t":21.5,"rh":40}' })
      await page.getByRole('treeitem', { name: 'room' }).click()
      await page.getByRole('button', { name: 't', exact: true }).click()
      await page.getByRole('button', { name: 'rh', exact: true }).click()
      await gateway.publish({ topic: 'room', payload: '{"t":22.5,"rh":41}' })
      const values = () => page.$$eval('.pinned .legend b', (found) => found.map((one) => one.textContent))
      await eventually(values).toEqual(['22.5', '41'])
      expect(await page.locator('.pinned canvas').count()).toBe(2)
      await dashboard.goTo('Clients')
      await dashboard.goTo('Topics')
      await connected(dashboard)
      await gateway.publish({ topic: 'room', payload: '{"t":23.5,"rh":42}' })
      await eventually(values).toEqual(['23.5', '42'])
      await page.getByRole('button', { name: 'Remove the plot' }).first().click()
      await eventually(values).toEqual(['42'])
      await dashboard.close()
    })

    test('it publishes with QoS and retain to a TCP client, and says when nobody has subscribed', async () => {
      const gateway = await startGateway()
      const subscriber = await connectClient(gateway, { protocolVersion: 5 })
      await subscriber.mqtt.subscribeAsync('from/#', { qos: 2, rap: true })
      const dashboard = await openTopics(gateway, 'topics?filter=none')
      const { page } = dashboard
      await page.getByLabel('Topic', { exact: true }).fill('from/page')
      for (const qos of ['0', '1', '2']) {
        await page.getByLabel('Payload').fill(`grüße ${qos}`)
        await page.getByLabel('QoS').selectOption(qos)
        await page.getByLabel('Retain').setChecked(qos === '2')
        if (qos === '1') await page.getByLabel('Payload').press('Control+Enter')
        else await page.getByRole('button', { name: 'Publish' }).click()
        await subscriber.until(Number(qos) + 1)
      }
      expect(subscriber.received.map(({ payload, qos, retain }) => [payload.toString(), qos, retain])).toEqual([
        ['grüße 0', 0, false],
        ['grüße 1', 1, false],
        ['grüße 2', 2, true],
      ])
      await page.getByLabel('Topic', { exact: true }).fill('from/#')
      await page.getByRole('button', { name: 'Publish' }).click()
      await page.getByText('has no + and no #').waitFor()
      await page.getByLabel('Topic', { exact: true }).fill('elsewhere')
      await page.getByRole('button', { name: 'Publish' }).click()
      await page.getByText('nobody has subscribed to it').waitFor()
      await dashboard.close()
    })

    test('binary is hexadecimal, a large payload is cut and says its size, nothing becomes markup or turns the text', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      const { mqtt } = await connectClient(gateway)
      await mqtt.publishAsync('a', Buffer.from([0, 255, 16]), { qos: 1 })
      await mqtt.publishAsync('b', `${'ü'.repeat(600)}${'x'.repeat(1_000_000)}`, { qos: 1 })
      await mqtt.publishAsync('c<img src=x>', '<script>document.title = "broken"</script>', { qos: 1 })
      await mqtt.publishAsync('d', '', { qos: 1 })
      await mqtt.publishAsync('e\u202ef', 'x\u202ey', { qos: 1 })
      await eventually(() => rowsOf(dashboard).then((rows) => rows.length)).toBe(5)
      const [binary, large, markup, empty, turned] = await rowsOf(dashboard)
      expect(binary).toEqual(['a', '00 ff 10'])
      expect(large?.[1]).toMatch(/^ü{80}…$/)
      expect(markup).toEqual(['c<img src=x>', '<script>document.title = "broken"</script>'])
      expect(empty).toEqual(['d', 'empty'])
      expect(turned).toEqual(['e\\u202ef', 'x\\u202ey'])
      await page.getByRole('treeitem').nth(1).click()
      await page.getByText('1.0 MB, the beginning is shown').waitFor()
      expect(await page.$$('.tree img, .tree script')).toEqual([])
      expect(await page.title()).toBe('Topics · MQTide')
      await dashboard.close()
    })

    test('another filter replaces the subscription, stays in the address, and a bad one is explained', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      await page.getByLabel('Topic filter').fill('only/+')
      await page.getByRole('button', { name: 'Subscribe' }).click()
      await eventually(() => page.url()).toContain('filter=only%2F%2B')
      await page.waitForSelector('.live[data-state=connected][data-filter="only/+"]')
      await gateway.publish({ topic: 'other', payload: 'x' })
      await gateway.publish({ topic: 'only/this', payload: 'y' })
      await eventually(() => rowsOf(dashboard)).toEqual([
        ['▾', 'only', '1 topics, 1 messages'],
        ['this', 'y'],
      ])
      await page.getByLabel('Topic filter').fill('bad/#/filter')
      await page.getByRole('button', { name: 'Subscribe' }).click()
      await page.waitForSelector('.live[data-state=refused]')
      await dashboard.close(/400/)
      const again = await openTopics(gateway, 'topics?filter=only%2F%2B')
      expect(await again.page.getByLabel('Topic filter').inputValue()).toBe('only/+')
      await again.close()
    })

    test('10,000 messages are counted to the last one; 10,200 topics fill 10,000 places, of which few are in the page', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      const { mqtt } = await connectClient(gateway)
      for (let index = 0; index < 10_000; index++) mqtt.publish(`flood/${index % 100}`, String(index), { qos: 1 })
      await page.getByText('100 topics, 10,000 messages', { exact: true }).last().waitFor()
      await page.getByRole('button', { name: 'Clear' }).click()
      for (let index = 0; index < 10_200; index++) mqtt.publish(`many/${index}`, 'x', { qos: 1 })
      await page.getByText('Only the first 10,000 topics are shown; 200 messages').waitFor({ timeout: 25_000 })
      await page.getByRole('treeitem').first().locator('.twisty').click()
      await eventually(() => page.locator('[role=treeitem]').count()).toBeGreaterThan(10)
      expect(await page.locator('[role=treeitem]').count()).toBeLessThan(100)
      await dashboard.close()
    }, 60_000)

    test('it says that the connection is lost, and messages come again when the gateway is back', async () => {
      const first = await startGateway()
      const { port } = first.addresses.http!
      const dashboard = await openTopics(first)
      await first.close()
      await dashboard.page.waitForSelector('.live[data-state=offline], .live[data-state=connecting]')
      await dashboard.page.getByText('The gateway does not answer').waitFor()
      const second = await startGateway({ httpPort: port })
      await connected(dashboard)
      await second.publish({ topic: 'back', payload: 'again' })
      await eventually(() => rowsOf(dashboard)).toEqual([['back', 'again']])
      // Chromium itself reports that nothing listens for a while.
      await dashboard.close(/ERR_CONNECTION|ERR_INCOMPLETE|Failed to load resource/)
    })

    test('Pause keeps the picture still, Resume shows the last state', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      await gateway.publish({ topic: 'p', payload: '1' })
      await eventually(() => rowsOf(dashboard)).toEqual([['p', '1']])
      await page.getByRole('button', { name: 'Pause' }).click()
      await gateway.publish({ topic: 'p', payload: '2' })
      await page.getByText('1 topics, 2 messages').waitFor()
      expect(await rowsOf(dashboard)).toEqual([['p', '1']])
      await page.getByRole('button', { name: 'Resume' }).click()
      await eventually(() => rowsOf(dashboard)).toEqual([['p', '2']])
      await dashboard.close()
    })

    test('the tree is walked, opened and chosen from by keys alone, and searched', async () => {
      const gateway = await startGateway()
      const dashboard = await openTopics(gateway)
      const { page } = dashboard
      await gateway.publish({ topic: 'plant/one/t', payload: '1' })
      await gateway.publish({ topic: 'plant/two/t', payload: '2' })
      const tree = page.getByRole('tree')
      await page.getByRole('treeitem', { name: 'two' }).waitFor()
      await tree.focus()
      for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowRight', 'Enter'])
        await tree.press(key)
      await page.getByRole('heading', { name: 'plant/two/t' }).waitFor()
      await page.getByLabel('Search in the topics').fill('one/')
      await eventually(() => rowsOf(dashboard).then((rows) => rows.map(([a, b]) => [a, b]))).toEqual([
        ['▾', 'plant'],
        ['▾', 'one'],
        ['t', '1'],
      ])
      await dashboard.close()
    })
  })
})
