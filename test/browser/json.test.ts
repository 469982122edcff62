/** Chromium without a library: the JSON WebSocket in a plain page, and EventSource in one of the gateway's own. */

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { startGateway } from '../e2e/gateway.ts'
import { describePeer } from '../peers.ts'
import { quiet } from './flags.ts'

/** The page that docs/browser.md tells to save, for this gateway. */
function snippet(gateway: Gateway): string {
  const text = readFileSync(new URL('../../docs/browser.md', import.meta.url), 'utf8')
  const [, html] = /```html\n(.*?)```/s.exec(text) ?? []
  return html!.replace('127.0.0.1:8083', `127.0.0.1:${gateway.addresses.http!.port}`)
}

/** A page that keeps a session: it leaves when it is offline, and comes back to what it missed. */
const keeping = (gateway: Gateway) => `<!doctype html><script type="module">
  window.received = []
  let socket
  const connect = () => {
    socket = new WebSocket('ws://127.0.0.1:${gateway.addresses.http!.port}/ws', 'mqtide.v1.json')
    const send = (message) => socket.send(JSON.stringify(message))
    socket.onopen = () => {
      send({ op: 'connect', id: 1, clientId: 'keeping', sessionExpirySeconds: 300 })
    }
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      if (message.op === 'connected' && !message.sessionPresent) {
        send({ op: 'subscribe', id: 2, filters: [{ filter: 'n', qos: 1 }] })
      }
      if (message.op !== 'message') return
      window.received.push(message.payload)
      send({ op: 'ack', packet: message.packet })
    }
  }
  addEventListener('offline', () => socket.close())
  addEventListener('online', connect)
  connect()
</script>`

describePeer('a browser without a library', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: programs.chromium, headless: true, args: quiet })
  })
  afterAll(() => browser.close())

  /** Serves it as a server of this machine does. */
  async function open(html: string): Promise<{ page: Page; context: BrowserContext }> {
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' })
      response.end(html)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const context = await browser.newContext()
    onTestFinished(async () => {
      await context.close()
      server.closeAllConnections()
      server.close()
    })
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as { port: number }).port}/`)
    return { page, context }
  }

  test('the page that docs/browser.md tells to save shows what comes, markup as text', async () => {
    const gateway = await startGateway()
    await gateway.publish({ topic: 'home/kitchen', payload: '21', retain: true })
    const { page } = await open(snippet(gateway))
    const rows = () => page.$$eval('tr', (all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)))
    await eventually(rows).toContainEqual(['home/kitchen', '21'])
    await gateway.publish({ topic: 'home/<b>', payload: '<script>alert(1)</script>' })
    await gateway.publish({ topic: 'home/kitchen', payload: '22' })
    await eventually(rows).toEqual(
      expect.arrayContaining([
        ['home/kitchen', '22'],
        ['home/<b>', '<script>alert(1)</script>'],
      ]),
    )
  })

  test('a page that goes offline and comes back has lost nothing at QoS 1', async () => {
    const gateway = await startGateway()
    const { page, context } = await open(keeping(gateway))
    const received = () => page.evaluate(() => (globalThis as unknown as { received: string[] }).received)
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(1)
    const expected: string[] = []
    for (let round = 0; round < 3; round++) {
      await eventually(() => gateway.metrics()['mqtt_connections']).toBe(1)
      for (const when of ['online', 'offline']) {
        if (when === 'offline') {
          // Before the network goes: an emulated one may keep the closing handshake back.
          await page.evaluate("dispatchEvent(new Event('offline'))")
          await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
          await context.setOffline(true)
        }
        for (let i = 0; i < 20; i++) {
          const payload = `${round} ${when} ${i}`
          expected.push(payload)
          await gateway.publish({ topic: 'n', payload, qos: 1 })
        }
      }
      await context.setOffline(false)
    }
    await eventually(async () => (await received()).length).toBeGreaterThanOrEqual(expected.length)
    // What was sent and not acknowledged when the page left comes again.
    expect([...new Set(await received())]).toEqual(expected)
    await eventually(() => gateway.metrics()['mqtt_inflight']).toBe(0)
  })

  test('EventSource brings retained and live messages to a page of the gateway', async () => {
    const gateway = await startGateway()
    await gateway.publish({ topic: 'a/1', payload: 'kept', retain: true })
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${gateway.addresses.http!.port}/`)
    await page.evaluate(() => {
      const own = globalThis as unknown as { events: unknown[] }
      own.events = []
      const source = new EventSource('/api/v1/stream?topic=a/%23')
      source.addEventListener('message', ({ data }) => own.events.push(JSON.parse(data)))
    })
    const events = () => page.evaluate(() => (globalThis as unknown as { events: { payload: string }[] }).events)
    await eventually(events).toMatchObject([{ topic: 'a/1', payload: 'kept', retain: true }])
    await gateway.publish({ topic: 'a/2', payload: 'live' })
    await eventually(events).toMatchObject([{ payload: 'kept' }, { topic: 'a/2', payload: 'live', retain: false }])
  })
})
