/** Chromium on a page of somebody's own that uses MQTT.js. */
import { createServer } from 'node:http'
import { connectAsync } from 'mqtt'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { homeOf, launchBrowser } from './dashboard.ts'

describePeer('a browser', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await launchBrowser(programs.chromium)
  })
  afterAll(() => browser.close())

  test.each(['', '/mqtt'])(
    "MQTT.js in a page of one's own, from another origin, connects to ws://host:port%s",
    async (path) => {
      const gateway = await startGateway()
      const { port } = gateway.addresses.http!
      const bundle = await (await fetch(`${homeOf(gateway)}mqtt.min.js`)).text()
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
