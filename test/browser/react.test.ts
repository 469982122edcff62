/** The hooks of `mqtide/react` in Chromium, under StrictMode, over a gateway that the test plays. */
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { describePeer } from '../peers.ts'
import { bundle } from './bundle.ts'
import { quiet } from './flags.ts'

describePeer('React components', ['chromium'], (programs) => {
  let browser: Browser
  let script: string
  let page: Page
  const complaints: string[] = []

  beforeAll(async () => {
    script = await bundle('test/browser/react-app.jsx')
    browser = await chromium.launch({ executablePath: programs.chromium, headless: true, args: quiet })
  }, 120_000)
  afterAll(() => browser?.close())

  beforeEach(async () => {
    complaints.length = 0
    page = await browser.newPage()
    page.on('pageerror', (error) => complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    await page.setContent('<!doctype html><title>app</title>')
    await page.addScriptTag({ content: script, type: 'module' })
    await run('app.mount()')
    await eventually(() => run('app.gateway.sockets.length')).toBe(1)
    await run('app.gateway.accept()')
    await shown('#state', 'connected')
    return async () => {
      await page.close()
      expect(complaints).toEqual([])
    }
  })

  const run = (text: string) =>
    page.evaluate(`(() => { const it = ${text}; return it === Object(it) && !Array.isArray(it) ? null : it })()`)
  const say = (topic: string, text: string) => run(`app.gateway.last.message('${topic}', '${text}')`)
  const shown = (selector: string, text: string) => eventually(() => page.textContent(selector)).toBe(text)

  test('show the last message of a topic and of each topic that a filter matches', async () => {
    await shown('#temperature', 'none')
    await say('device/a', '20')
    await say('device/b', '30')
    await say('device/a', '21')
    await shown('#temperature', '21')
    await eventually(() => page.locator('li').allTextContents()).toEqual(['device/b 30', 'device/a 21'])
    for (const name of ['c', 'd']) await say(`device/${name}`, '1')
    await eventually(() => page.locator('li').allTextContents()).toEqual(['device/a 21', 'device/c 1', 'device/d 1'])
  })

  test('subscribe once under StrictMode, follow a changed topic, and leave nothing behind', async () => {
    expect(await run('app.subscribed()')).toEqual(['device/#', 'device/a'])
    await say('device/a', '20')
    await shown('#temperature', '20')
    await page.click('#other')
    await shown('#temperature', 'none')
    expect(await run('app.subscribed()')).toEqual(['device/#', 'device/b'])
    // What came for a component that is gone changes nothing and is no error.
    await run(`[app.gateway.last.message('device/b', '1'), app.unmount()]`)
    await eventually(() => run('app.subscribed()')).toEqual([])
    await run('app.mount()')
    await eventually(() => run('app.subscribed()')).toEqual(['device/#', 'device/a'])
  })

  test('publish, and say how the connection stands', async () => {
    await page.click('#publish')
    await eventually(() => run(`app.gateway.last.ofKind('publish').map(({ payload }) => payload)`)).toEqual([
      '{"on":true}',
    ])
    await run(`app.gateway.last.drop(1001, 'going away')`)
    await shown('#state', 'waiting: going away')
    await eventually(() => run('app.gateway.sockets.length')).toBe(2)
    await run('app.gateway.accept()')
    await shown('#state', 'connected')
  })

  test('render a burst together', async () => {
    const before = (await run('app.renders')) as number
    await run(`Array.from({ length: 1000 }, (_, index) => app.gateway.last.message('device/a', String(index)))`)
    await shown('#temperature', '999')
    expect(((await run('app.renders')) as number) - before).toBeLessThan(20)
  })
})
