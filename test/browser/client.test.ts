/** `/client.js` in Chromium, on a page from elsewhere, against a gateway that is killed while the page is offline. */
import { connectAsync } from 'mqtt'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { startToBeKilled } from '../e2e/killed-gateway.ts'
import { describePeer } from '../peers.ts'
import { quiet } from './flags.ts'
import { serveSite } from './site.ts'

describePeer('the client in a page', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: programs.chromium, headless: true, args: quiet })
  })
  afterAll(() => browser?.close())

  test('misses nothing at QoS 1 while it is offline and the gateway is killed, and loses nothing of its own', async () => {
    const gateway = await startToBeKilled()
    const html = `<!doctype html><title>page</title><script type="module">
      import { connect } from '${gateway.http}/client.js'
      window.states = []
      window.got = []
      window.connection = connect('${gateway.http}', { backOff: { firstMs: 100, mostMs: 60000 } })
      connection.on('state', (state, { resumed }) => states.push(resumed === undefined ? state : state + ' ' + resumed))
      await connection.subscribe('to/page', ({ text }) => got.push(text), { qos: 1 }).ready
      window.isReady = true
    </script>`
    const site = await serveSite({ '/': html })
    const context = await browser.newContext()
    const device = await connectAsync(gateway.mqtt, { reconnectPeriod: 50, clientId: 'device', clean: false })
    try {
      const atDevice = new Set<string>()
      device.on('message', (_topic, payload) => atDevice.add(payload.toString()))
      await device.subscribeAsync('from/page', { qos: 1 })
      const page = await context.newPage()
      await page.goto(site.url)
      await page.waitForFunction('window.isReady')
      const got = () => page.evaluate('[...new Set(got)]') as Promise<string[]>
      const numbers = (from: number, to: number) =>
        Array.from({ length: to - from }, (_, index) => String(from + index))
      for (const text of numbers(0, 50)) await device.publishAsync('to/page', text, { qos: 1 })
      await eventually(got).toEqual(numbers(0, 50))

      await context.setOffline(true)
      await gateway.kill()
      await page.waitForFunction('connection.state !== "connected"')
      await page.evaluate(`window.published = Promise.all(
        Array.from({ length: 50 }, (_, index) => connection.publish('from/page', String(index)))); null`)
      await gateway.start()
      for (const text of numbers(50, 100)) await device.publishAsync('to/page', text, { qos: 1 })
      expect((await got()).length).toBe(50)

      await context.setOffline(false)
      await eventually(got).toEqual(numbers(0, 100))
      await page.evaluate('published')
      await eventually(() => atDevice.size).toBe(50)
      const states = (await page.evaluate('states')) as string[]
      expect([states[0], states.at(-1)]).toEqual(['connected false', 'connected true'])
    } finally {
      await context.close()
      await device.endAsync(true)
      await site.close()
      await gateway.remove()
    }
  }, 120_000)
})
