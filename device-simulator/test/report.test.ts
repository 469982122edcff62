/** The HTML report opened in a browser: it loads nothing, its plots have their lines, its words say the verdict. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { quiet } from '../../test/browser/flags.ts'
import { describePeer } from '../../test/peers.ts'
import { Histogram } from '../measure/histogram.ts'
import { emptyCounters, latencyKinds } from '../measure/measures.ts'
import { htmlReport } from '../report/html.ts'
import { niceStep } from '../report/plot.ts'
import { conclude, type Summary } from '../report/summary.ts'
import { parseThreshold, type Threshold } from '../scenario/threshold.ts'
import { judge, type VerdictRow } from '../verdict/judge.ts'

function sample(lost: number): Summary {
  const latency = new Histogram()
  for (let i = 1; i <= 1000; i++) latency.record(i * 100)
  const row: VerdictRow = {
    ...{ from: 'sensors', to: 'consumers', publishedQos: 1, deliveredQos: 1, promise: 'at least once', flows: 100 },
    ...{ senderSession: 'durable', receiverSession: 'durable', expected: 60_000, received: 60_000 - lost, lost },
    ...{
      undelivered: 0,
      lostAllowed: 0,
      excused: 0,
      duplicates: 0,
      duplicatesAllowed: 0,
      outOfOrder: 0,
      offenders: [],
    },
  }
  const offenders = lost > 0 ? ['lost: <b>device</b> #3'] : []
  const verdict = { ...judge([], []), rows: [row], received: row.received, lost, violations: lost, offenders }
  return conclude(
    {
      name: 'a <script> & "name"',
      version: 1,
      seed: 7,
      run: 'abc',
      client: 'mqttjs',
      workers: 0,
      brokers: { main: 'mqtt://127.0.0.1:1' },
      devices: 100,
      startedAt: '2026-01-01T00:00:00.000Z',
      durationSeconds: 60,
      stages: [
        { name: 'ramp', type: 'ramp', fromSeconds: 0, toSeconds: 10, measured: false },
        { name: 'hold', type: 'hold', fromSeconds: 10, toSeconds: 60, measured: true },
      ],
      faults: [
        { type: 'flaky-wifi', fromSeconds: 20, toSeconds: 40, events: 12, asExpected: 0, unexpected: 0, note: '' },
      ],
      counters: { ...emptyCounters(), sent: 60_000, received: 60_000 - lost },
      errors: {},
      sentPerSecond: 1000,
      receivedPerSecond: 1000,
      latency: Object.fromEntries(latencyKinds.map((kind) => [kind, latency.figures()])) as Summary['latency'],
      verdict,
      retained: { checked: 0, wrong: 0, offenders: [] },
      generator: { schedulingP99: 1, schedulingLimit: 100, lagged: false },
      memory: { residentBytes: 1e8, perDeviceBytes: 40_000 },
      problems: [],
      interrupted: false,
      series: Array.from({ length: 60 }, (_, i) => ({
        seconds: i + 1,
        stage: i < 10 ? 'ramp' : 'hold',
        online: Math.min(100, i * 10),
        sentPerSecond: Math.min(1000, i * 100),
        receivedPerSecond: i > 20 && i < 40 ? 600 : Math.min(1000, i * 100),
        pending: i > 20 && i < 40 ? 80 : 2,
        p50: 5,
        p99: i > 20 && i < 40 ? 900 : 30,
        faults: i > 20 && i < 40 ? ['flaky-wifi'] : [],
      })),
    },
    [parseThreshold('lost == 0') as Threshold],
  )
}

describe('the report', () => {
  test('axes have round steps', () => {
    expect([niceStep(1000, 4), niceStep(7, 4), niceStep(0.3, 4), niceStep(41, 4)]).toEqual([500, 2, 0.1, 20])
  })

  test('names cannot become markup, and nothing is loaded from elsewhere', () => {
    const html = htmlReport(sample(3))
    expect(html).toContain('a &lt;script&gt; &amp; &quot;name&quot;')
    expect(html).not.toMatch(/<script|<b>device|src=|href=|url\(/)
  })
})

/** Source for the page: how many pixels of a screenshot have the colours of the two lines. */
function countColours(png: string): string {
  return `(async () => {
    const image = new Image()
    image.src = 'data:image/png;base64,${png}'
    await image.decode()
    const canvas = document.createElement('canvas')
    canvas.width = image.width
    canvas.height = image.height
    const context = canvas.getContext('2d')
    context.drawImage(image, 0, 0)
    const { data } = context.getImageData(0, 0, image.width, image.height)
    let blue = 0
    let orange = 0
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] < 80 && data[i + 1] < 130 && data[i + 2] > 170) blue += 1
      if (data[i] > 190 && data[i + 1] > 90 && data[i + 1] < 150 && data[i + 2] < 70) orange += 1
    }
    return { blue, orange }
  })()`
}

describePeer('the report in a browser', ['chromium'], ({ chromium: executablePath }) => {
  let browser: Browser
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mqtide-report-'))
    browser = await chromium.launch({
      executablePath,
      args: quiet,
    })
  })
  afterAll(async () => {
    await browser?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  test.each([
    [0, 'Contract kept', false],
    [3, 'Contract broken 3 times: 3 lost', true],
  ] as const)('with %i lost it says "%s" and draws three plots with both lines', async (lost, words, isBad) => {
    const file = join(folder, `report-${lost}.html`)
    writeFileSync(file, htmlReport(sample(lost)))
    const page = await browser.newPage({ viewport: { width: 1000, height: 1600 } })
    const problems: string[] = []
    page.on('console', (message) => problems.push(message.text()))
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('request', (request) => {
      if (!request.url().startsWith('file:')) problems.push(request.url())
    })
    await page.goto(pathToFileURL(file).href)
    const banner = page.locator('.verdict')
    expect(await banner.innerText()).toContain(words)
    expect((await banner.getAttribute('class'))?.includes('bad')).toBe(isBad)
    // Each line covers the plot's width and is really drawn: its box has an extent and the stroke has a colour.
    const lines = page.locator('svg polyline')
    expect(await lines.count()).toBe(6)
    for (const line of await lines.all()) expect((await line.boundingBox())!.width).toBeGreaterThan(700)
    const strokes: string[] = await page.evaluate(
      "[...document.querySelectorAll('svg polyline')].map((line) => getComputedStyle(line).stroke)",
    )
    expect(strokes.every((stroke) => stroke.startsWith('rgb('))).toBe(true)
    expect(await page.locator('svg rect.shade').count()).toBe(3)
    // The screenshot holds the colours of both lines and of the shade, so the plots are on it.
    const shot = await page.screenshot({ fullPage: true })
    const colours: { blue: number; orange: number } = await page.evaluate(countColours(shot.toString('base64')))
    expect(colours.blue).toBeGreaterThan(500)
    expect(colours.orange).toBeGreaterThan(500)
    expect(problems).toEqual([])
    await page.close()
  })
})
