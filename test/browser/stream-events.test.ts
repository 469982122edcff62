/** EventSource on a stream, in Chromium: it goes on behind the last event over kills of the gateway, without a line of code for that. */
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { startStreamGateway } from '../e2e/stream-gateway.ts'
import { describePeer } from '../peers.ts'
import { quiet } from './flags.ts'

interface Page {
  events: { id: string; payload: string }[]
}

describePeer('a browser', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: programs.chromium, headless: true, args: quiet })
  })
  afterAll(() => browser.close())

  test('reads a stream from an hour ago, and loses and repeats nothing when the gateway is killed', async () => {
    const gateway = await startStreamGateway()
    onTestFinished(() => gateway.remove())
    await gateway.publish(0, 10)
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    const page = await context.newPage()
    await page.goto(`${gateway.http}/`)
    await page.evaluate(() => {
      const own = globalThis as unknown as Page
      own.events = []
      const source = new EventSource('/api/v1/stream?topic=$stream/meters&from=-1h')
      source.onmessage = ({ lastEventId, data }) => {
        own.events.push({ id: lastEventId, payload: (JSON.parse(data) as { payload: string }).payload })
      }
    })
    const events = () => page.evaluate(() => (globalThis as unknown as Page).events)
    const expected = (to: number) => Array.from({ length: to }, (_, i) => ({ id: String(i), payload: String(i) }))
    await eventually(events).toEqual(expected(10))
    for (const round of [1, 2]) {
      await gateway.kill()
      await gateway.start()
      await gateway.publish(10 * round, 10 * (round + 1))
      await eventually(events).toEqual(expected(10 * (round + 1)))
    }
    expect(await events()).toHaveLength(30)
  })
})
