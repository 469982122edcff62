/** The programs of `examples/` as a reader runs them, but for the gateway's address. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { bin } from '../e2e/program.ts'
import { describePeer } from '../peers.ts'
import { bundle } from './bundle.ts'
import { quiet } from './flags.ts'
import { type Site, serveSite } from './site.ts'

const fileOf = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url))
const httpOf = (gateway: Gateway) => `http://127.0.0.1:${gateway.addresses.http!.port}`
const example = (name: string, gateway: Gateway) =>
  readFileSync(fileOf(name), 'utf8').replaceAll('http://127.0.0.1:8083', httpOf(gateway))

const children: ChildProcess[] = []
const sites: Site[] = []
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  for (const site of sites.splice(0)) await site.close()
})

function run(...words: string[]): ChildProcess {
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

/** The Node program, with the sources in place of the built package. */
async function startThermostat(gateway: Gateway): Promise<ChildProcess> {
  const name = fileOf(`thermostat-${process.pid}.mjs`)
  const text = example('thermostat.mjs', gateway).replace("'mqtide/client'", "'../src/client/index.ts'")
  writeFileSync(name, text)
  const child = run(name, httpOf(gateway), 'kitchen')
  await once(child.stdout!, 'data')
  rmSync(name)
  return child
}

describePeer('the examples', ['chromium'], (programs) => {
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: programs.chromium, headless: true, args: quiet })
  })
  afterAll(() => browser?.close())

  async function open(files: Readonly<Record<string, string>>, path = '/'): Promise<Page> {
    const site = await serveSite(files)
    sites.push(site)
    const page = await browser.newPage()
    await page.goto(site.url + path)
    return page
  }

  test('one HTML file shows simulated vans moving, as in the README', async () => {
    const text = readFileSync(fileOf('vans.html'), 'utf8')
    expect(readFileSync(new URL('../../README.md', import.meta.url), 'utf8')).toContain(text)
    const gateway = await startGateway()
    const page = await open({ '/': example('vans.html', gateway) })
    const { port } = gateway.addresses.mqtt!
    run(bin, 'simulate', 'vehicle-fleet', '--devices', '5', '--broker', `mqtt://127.0.0.1:${port}`)
    await eventually(() => page.locator('b').count()).toBe(5)
    const script = '[...document.querySelectorAll("b")].map((van) => van.getAttribute("style"))'
    const places = () => page.evaluate(script) as Promise<string[]>
    const first = await places()
    await eventually(async () => (await places()).filter((place, index) => place !== first[index]).length).toBe(5)
    for (const place of first) expect(place).toMatch(/left: \d+(\.\d+)?%; top: \d+(\.\d+)?%/)
    await page.close()
  }, 90_000)

  test('the Node program reports, obeys and answers', async () => {
    const gateway = await startGateway()
    const program = await startThermostat(gateway)
    const { mqtt, received } = await connectClient(gateway, { protocolVersion: 5 })
    await mqtt.subscribeAsync(['home/kitchen/climate', 'answers'], { qos: 1 })
    const properties = { responseTopic: 'answers', correlationData: Buffer.from('1') }
    await eventually(() => gateway.metrics()['mqtt_subscriptions']).toBe(3)
    await mqtt.publishAsync('home/kitchen/target', '25', { qos: 1, properties })
    const payloads = (topic: string) =>
      received.filter((packet) => packet.topic === topic).map(({ payload }) => `${payload}`)
    await eventually(() => payloads('answers')).toEqual(['{"room":"kitchen","target":25}'])
    await eventually(() => payloads('home/kitchen/climate').at(-1)).toContain('"target":25')
    const ended = once(program, 'exit')
    program.kill('SIGINT')
    expect(await ended).toEqual([0, null])
  })

  test('the React app lists rooms and sets the one that is chosen, the program of Node being the room', async () => {
    const gateway = await startGateway()
    await startThermostat(gateway)
    const script = await bundle('examples/react-app/src/main.jsx')
    const html = readFileSync(fileOf('react-app/index.html'), 'utf8').replace('main.jsx', 'main.js')
    const page = await open({ '/': html, '/src/main.js': script }, `/?gateway=${encodeURIComponent(httpOf(gateway))}`)
    await page.getByRole('button', { name: 'kitchen' }).click()
    await page.getByText('heading for 21 °C').waitFor()
    await page.getByRole('button', { name: 'warmer' }).click()
    await page.getByText('heading for 22 °C').waitFor()
    await page.close()
  }, 90_000)
})
