/** Chromium on the gateway's own page, and on a page that uses MQTT.js by itself. */
import { createServer } from 'node:http'
import { connectAsync } from 'mqtt'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { quiet } from './flags.ts'

describePeer('a browser', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: programs.chromium, headless: true, args: quiet })
  })
  afterAll(() => browser.close())

  const home = (gateway: Gateway) => `http://127.0.0.1:${gateway.addresses.http!.port}/`

  let complaints: string[] = []

  /** The page, connected and subscribed. */
  async function openPage(gateway: Gateway, path = '', subscriptions = 1): Promise<Page> {
    const context = await browser.newContext()
    const page = await context.newPage()
    complaints = []
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.goto(`${home(gateway)}page.html${path}`)
    await page.waitForSelector('#connection[data-state=connected]')
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(subscriptions)
    return page
  }

  /** Closes a page and fails for any error that it wrote to its console, a refusal by the content security policy for one. */
  async function closePage(page: Page, expected?: RegExp): Promise<void> {
    await page.context().close()
    expect(complaints.filter((complaint) => !expected?.test(complaint))).toEqual([])
  }

  /** Topic, value, count and QoS of every row, from top to bottom. */
  const rowsOf = (page: Page) =>
    page.$$eval('#rows tr', (rows) => rows.map((row) => [...row.children].slice(0, 4).map((cell) => cell.textContent)))

  describe('on the page', () => {
    test('values published by a TCP client appear and change as they arrive', async () => {
      const gateway = await startGateway()
      const page = await openPage(gateway)
      const publisher = await connectClient(gateway)
      await publisher.mqtt.publishAsync('home/b', '21.4', { qos: 1 })
      await publisher.mqtt.publishAsync('home/a', 'on', { qos: 2, retain: true })
      await expect
        .poll(() => rowsOf(page))
        .toEqual([
          ['home/a', 'on', '1', '2retained'],
          ['home/b', '21.4', '1', '1'],
        ])
      await publisher.mqtt.publishAsync('home/b', '21.5')
      await eventually(() => rowsOf(page).then((rows) => rows[1])).toEqual(['home/b', '21.5', '2', '0'])
      await closePage(page)
    })

    test('it publishes with QoS and retain to a TCP client', async () => {
      const gateway = await startGateway()
      const subscriber = await connectClient(gateway, { protocolVersion: 5 })
      await subscriber.mqtt.subscribeAsync('from/#', { qos: 2, rap: true })
      const page = await openPage(gateway, '', 2)
      for (const qos of ['0', '1', '2']) {
        await page.fill('#topic', 'from/page')
        await page.fill('#payload', `grüße ${qos}`)
        await page.selectOption('#qos', qos)
        await page.setChecked('#retain', qos === '2')
        if (qos === '1') await page.press('#payload', 'Control+Enter')
        else await page.click('#publish button')
        await page
          .getByText(qos === '0' ? 'Published to from/page.' : 'Published to from/page, acknowledged.')
          .waitFor()
      }
      await subscriber.until(3)
      expect(subscriber.received.map(({ payload, qos, retain }) => [payload.toString(), qos, retain])).toEqual([
        ['grüße 0', 0, false],
        ['grüße 1', 1, false],
        ['grüße 2', 2, true],
      ])
      await page.fill('#topic', 'from/#')
      await page.click('#publish button')
      await page.getByText('has no + and no #').waitFor()
      await closePage(page)
    })

    test('binary payloads are hexadecimal, large ones clipped with their size, none can be markup', async () => {
      const gateway = await startGateway()
      const page = await openPage(gateway)
      const publisher = await connectClient(gateway)
      await publisher.mqtt.publishAsync('a', Buffer.from([0, 255, 16]), { qos: 1 })
      await publisher.mqtt.publishAsync('b', `${'ü'.repeat(600)}${'x'.repeat(2_000_000)}`, { qos: 1 })
      await publisher.mqtt.publishAsync('c<img src=x>', '<script>document.title = "broken"</script>', { qos: 1 })
      await publisher.mqtt.publishAsync('d', '', { qos: 1 })
      await eventually(() => rowsOf(page).then((rows) => rows.length)).toBe(4)
      const [binary, large, markup, empty] = await rowsOf(page)
      expect(binary?.[1]).toBe('00 ff 103 B')
      expect(large?.[1]).toBe(`${'ü'.repeat(512)}2.0 MB, beginning shown`)
      expect(markup?.slice(0, 2)).toEqual(['c<img src=x>', '<script>document.title = "broken"</script>'])
      expect(empty?.[1]).toBe('empty')
      expect(await page.title()).toBe('MQTide')
      expect(await page.$$('#rows img, #rows script')).toEqual([])
      await closePage(page)
    })

    test('another filter replaces the subscription, stays in the URL, and a bad one is explained', async () => {
      const gateway = await startGateway()
      const page = await openPage(gateway)
      await page.fill('#filter', 'only/+')
      await page.click('#subscribe button')
      expect(new URL(page.url()).searchParams.get('filter')).toBe('only/+')
      await eventually(() => gateway.metrics()['mqtt_packets_received_total{type="unsubscribe"}']).toBe(1)
      await eventually(() => gateway.metrics()['mqtt_packets_received_total{type="subscribe"}']).toBe(2)
      await gateway.publish({ topic: 'other', payload: 'x' })
      await gateway.publish({ topic: 'only/this', payload: 'y' })
      await eventually(() => rowsOf(page)).toEqual([['only/this', 'y', '1', '0']])
      await page.fill('#filter', 'bad/#/filter')
      await page.click('#subscribe button')
      await page.getByText('refused “bad/#/filter”').waitFor()
      await closePage(page)
      const again = await openPage(gateway, '?filter=only%2F%2B')
      expect(await again.inputValue('#filter')).toBe('only/+')
      await closePage(again)
    })

    test('10,000 messages on 100 topics are counted to the last one, and 1,200 topics fill 1,000 rows', async () => {
      const gateway = await startGateway()
      const page = await openPage(gateway)
      const publisher = await connectClient(gateway)
      for (let index = 0; index < 10_000; index++)
        publisher.mqtt.publish(`flood/${index % 100}`, String(index), { qos: 1 })
      await eventually(() => page.textContent('#message-count')).toBe('10,000')
      await eventually(() => rowsOf(page).then((rows) => rows.length)).toBe(100)
      await expect
        .poll(() =>
          rowsOf(page).then((rows) =>
            rows
              .map((row) => row[1])
              .sort()
              .at(-1),
          ),
        )
        .toBe('9999')
      await page.click('#clear')
      for (let index = 0; index < 1200; index++) publisher.mqtt.publish(`many/${index}`, 'x', { qos: 1 })
      await page.getByText('Only the first 1,000 topics are shown; 200 messages').waitFor()
      await eventually(() => rowsOf(page).then((rows) => rows.length)).toBe(1000)
      await closePage(page)
    })

    test('it says that the connection is lost, and is back with its subscription when the gateway is', async () => {
      const first = await startGateway()
      const { port } = first.addresses.http!
      const page = await openPage(first)
      await first.close()
      await page.waitForSelector('#connection[data-state=offline]')
      const second = await startGateway({ httpPort: port })
      await page.waitForSelector('#connection[data-state=connected]')
      await eventually(() => second.metrics()['mqtt_subscriptions']).toBe(1)
      await second.publish({ topic: 'back', payload: 'again' })
      await eventually(() => rowsOf(page)).toEqual([['back', 'again', '1', '0']])
      // Chromium itself reports that nothing listens for a while.
      await closePage(page, /WebSocket connection to/)
    })

    test('Pause keeps the picture still, Resume shows the last state', async () => {
      const gateway = await startGateway()
      const page = await openPage(gateway)
      await gateway.publish({ topic: 'p', payload: '1' })
      await eventually(() => rowsOf(page)).toEqual([['p', '1', '1', '0']])
      await page.click('#pause')
      await gateway.publish({ topic: 'p', payload: '2' })
      await eventually(() => page.textContent('#message-count')).toBe('2')
      expect(await rowsOf(page)).toEqual([['p', '1', '1', '0']])
      await page.click('#pause')
      await eventually(() => rowsOf(page)).toEqual([['p', '2', '2', '0']])
      await closePage(page)
    })

    test('every control has a label, and a topic chosen by keyboard goes into the form', async () => {
      const gateway = await startGateway()
      const page = await openPage(gateway)
      const unlabelled = await page.$$eval('input, select, textarea', (controls) =>
        controls
          .filter((control) => (control as unknown as { labels: ArrayLike<unknown> }).labels.length === 0)
          .map((control) => control.id),
      )
      expect(unlabelled).toEqual([])
      await gateway.publish({ topic: 'chosen', payload: '1' })
      await page.getByRole('button', { name: 'chosen' }).press('Enter')
      expect(await page.inputValue('#topic')).toBe('chosen')
      await closePage(page)
    })
  })

  test.each(['', '/mqtt'])(
    "MQTT.js in a page of one's own, from another origin, connects to ws://host:port%s",
    async (path) => {
      const gateway = await startGateway()
      const { port } = gateway.addresses.http!
      const bundle = await (await fetch(`${home(gateway)}mqtt.min.js`)).text()
      const site = createServer((request, response) => {
        const [type, body] =
          request.url === '/mqtt.js' ? ['text/javascript', bundle] : ['text/html', '<script src="/mqtt.js"></script>']
        response.setHeader('content-type', type).end(body)
      }).listen(0, '127.0.0.1')
      await new Promise((resolve) => site.once('listening', resolve))
      const page = await browser.newPage()
      await page.goto(`http://127.0.0.1:${(site.address() as { port: number }).port}/`)
      for (const protocolVersion of [3, 4, 5]) {
        const device = await connectAsync(`mqtt://127.0.0.1:${gateway.addresses.mqtt!.port}`)
        const answered = new Promise<string>((resolve) =>
          device.on('message', (_topic, payload) => resolve(payload.toString())),
        )
        await device.subscribeAsync('from/browser', { qos: 2 })
        const script = `(async () => {
        const client = await mqtt.connectAsync('ws://127.0.0.1:${port}${path}', {
          protocolVersion: ${protocolVersion}, protocolId: '${protocolVersion === 3 ? 'MQIsdp' : 'MQTT'}' })
        const message = new Promise((resolve) => client.on('message', (topic, payload) => resolve(payload.toString())))
        await client.subscribeAsync('to/browser', { qos: 2 })
        await client.publishAsync('from/browser', 'hello', { qos: 2 })
        const text = await message
        await client.endAsync()
        return text
      })()`
        const received = page.evaluate(script)
        expect(await answered).toBe('hello')
        await device.publishAsync('to/browser', `version ${protocolVersion}`, { qos: 2 })
        expect(await received).toBe(`version ${protocolVersion}`)
        await device.endAsync()
      }
      await page.close()
      site.closeAllConnections()
      await new Promise((resolve) => site.close(resolve))
    },
  )
})
