/** Chromium over wss, with an authority made by the test and tokens that expire: a new one is fetched and the session goes on. */
import { createHash, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, afterEach, expect, test } from 'vitest'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'
import { quiet } from './flags.ts'

const secret = 'a-shared-secret-of-thirty-two-bytes!'

/** What is used of MQTT.js in the page. */
const script = (url: string, firstToken: string) => `(async () => {
  window.seen = { connects: [], ends: [], texts: [] }
  const client = mqtt.connect('${url}', {
    protocolVersion: 5, clientId: 'browser', clean: false, properties: { sessionExpiryInterval: 300 },
    username: 'tina', password: '${firstToken}', reconnectPeriod: 100,
  })
  client.on('connect', ({ sessionPresent }) => seen.connects.push(sessionPresent))
  client.on('message', (topic, payload) => seen.texts.push(payload.toString()))
  client.on('disconnect', ({ reasonCode }) => seen.ends.push(reasonCode))
  // Before it comes again it has another token.
  client.on('close', async () => { client.options.password = await freshToken() })
  await client.subscribeAsync('own/tina/#', { qos: 1 })
  window.client = client
})()`

interface Seen {
  connects: boolean[]
  ends: number[]
  texts: string[]
}

describePeer('a browser over wss', ['chromium', 'openssl'], ({ chromium: executablePath, openssl }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const browsers: Browser[] = []
  afterEach(async () => {
    for (const browser of browsers.splice(0)) await browser.close()
  })

  async function launch(...more: string[]): Promise<Browser> {
    const browser = await chromium.launch({ executablePath, headless: true, args: [...quiet, ...more] })
    browsers.push(browser)
    return browser
  }

  const token = (expiresInSeconds: number) =>
    new SignJWT()
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('tina')
      .setExpirationTime(Math.floor(Date.now() / 1000) + expiresInSeconds)
      .sign(new TextEncoder().encode(secret))

  async function serve() {
    const issued = authority.issue({ commonName: 'localhost', names: ['DNS:localhost'] })
    // With the authority behind it, which the browser is told to trust.
    const cert = join(authority.folder, 'chain.crt')
    writeFileSync(cert, readFileSync(issued.cert, 'utf8') + readFileSync(authority.ca, 'utf8'))
    const gateway = await startGateway({
      mqttPort: undefined,
      httpPort: undefined,
      listeners: [
        { kind: 'https', port: 0, cert, key: issued.key },
        { kind: 'tcp', port: 0, authentication: false, authorization: false },
      ],
      authentication: { jwt: { secret, clockSkewSeconds: 0 } },
      authorization: { rules: [{ allow: 'all', topic: 'own/%u/#' }] },
    })
    return { gateway, home: `https://localhost:${gateway.addresses.http!.port}/` }
  }

  test('whose authority it does not know does not come in', async () => {
    const { gateway, home } = await serve()
    const page = await (await launch()).newPage()
    await expect(page.goto(home)).rejects.toThrow(/ERR_CERT_AUTHORITY_INVALID/)
    expect(gateway.metrics()['mqtt_connects_total{result="success"}'] ?? 0).toBe(0)
  })

  test('stays itself over the end of its token: it comes with a new one, and gets what came meanwhile', async () => {
    const { gateway, home } = await serve()
    const key = new X509Certificate(readFileSync(authority.ca)).publicKey.export({ type: 'spki', format: 'der' })
    const trusted = createHash('sha256').update(key).digest('base64')
    const page = await (await launch(`--ignore-certificate-errors-spki-list=${trusted}`)).newPage()
    const tokens: string[] = []
    // It waits until a message has been published that it has to get later.
    const { promise: published, resolve: onPublished } = Promise.withResolvers<void>()
    await page.exposeFunction('freshToken', async () => {
      await published
      tokens.push(await token(600))
      return tokens.at(-1)
    })
    await page.goto(home)
    await page.addScriptTag({ url: `${home}mqtt.min.js` })
    await page.evaluate(script(home.replace('https', 'wss').concat('mqtt'), await token(4)))
    const seen = () => page.evaluate('window.seen') as Promise<Seen>
    const device = await connectClient(gateway)
    await device.mqtt.publishAsync('own/tina/1', 'before', { qos: 1 })
    await eventually(async () => (await seen()).texts).toEqual(['before'])
    await expect.poll(async () => (await seen()).ends, { timeout: 15_000 }).toEqual([0xa0])
    await device.mqtt.publishAsync('own/tina/1', 'meanwhile', { qos: 1 })
    onPublished()
    await expect.poll(async () => (await seen()).texts, { timeout: 15_000 }).toEqual(['before', 'meanwhile'])
    const { connects } = await seen()
    expect(connects[0]).toBe(false)
    expect(connects.at(-1)).toBe(true)
    expect(tokens.length).toBeGreaterThan(0)
    await device.mqtt.publishAsync('own/tina/1', 'after', { qos: 1 })
    await eventually(async () => (await seen()).texts.at(-1)).toBe('after')
    await page.evaluate('client.endAsync(true)')
  })
})
