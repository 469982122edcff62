import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createAssets } from '../../src/http/assets.ts'
import { createHttpServer, type HttpSources } from '../../src/http/http.ts'

let server: Server
let port: number
let health: ReturnType<HttpSources['health']>
let metrics: () => Promise<string>

beforeEach(async () => {
  health = { ready: true, checks: { store: 'ok' } }
  metrics = async () => 'mqtt_connections 1\n'
  server = createHttpServer(
    { hostCheck: () => undefined, addressOf: () => '', listener: 'http', serveEvents() {}, identify: async () => 0 },
    { health: () => health, metrics: () => metrics(), version: '1.2.3' },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as { port: number }).port
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

function get(path: string, init?: RequestInit): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, init)
}

/** Sends bytes and gives everything that came until the server closed. */
async function raw(bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes)
  let answer = ''
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
  socket.on('error', () => {})
  await once(socket, 'close')
  return answer
}

describe('health and metrics', () => {
  test('/livez answers 200 with the version', async () => {
    const response = await get('/livez')
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ status: 'alive', version: '1.2.3' })
  })

  test('/readyz answers 200 when ready and 503 when not, with what was checked', async () => {
    expect((await get('/readyz')).status).toBe(200)
    health = { ready: false, checks: { store: 'ok', listeners: 'draining' } }
    const response = await get('/readyz')
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ status: 'not ready', checks: { listeners: 'draining' } })
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  test('/metrics answers in the text format of Prometheus', async () => {
    const response = await get('/metrics')
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await response.text()).toBe('mqtt_connections 1\n')
  })

  test('a source that fails gives 500, and the next request is answered', async () => {
    metrics = async () => {
      throw new Error('secret detail')
    }
    const response = await get('/metrics')
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('secret')
    health = undefined as never
    expect((await get('/readyz')).status).toBe(500)
    expect((await get('/livez')).status).toBe(200)
  })
})

/** As the dashboard's build has named them. */
const assets = [...createAssets().keys()]
const scriptPath = assets.find((path) => path.startsWith('/assets/') && path.endsWith('.js'))!
const stylePath = assets.find((path) => path.endsWith('.css'))!

describe('the dashboard', () => {
  test('its first view is below 100 KB as it goes over the network', async () => {
    const html = await (await get('/')).text()
    const references = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!)
    let bytes = gzipSync(html).length
    for (const reference of references) {
      const answer = await raw(
        `GET ${reference} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n`,
      )
      bytes += Number(/content-length: (\d+)/i.exec(answer)![1])
    }
    expect(bytes).toBeGreaterThan(10_000)
    expect(bytes).toBeLessThan(100_000)
  })

  test('a file with the hash of its content in its name is kept by browsers, the page itself asked for each time', async () => {
    expect((await get(scriptPath)).headers.get('cache-control')).toContain('immutable')
    expect((await get('/')).headers.get('cache-control')).toBe('no-cache')
  })

  test('where it was not built, the gateway says how', () => {
    expect([...createAssets(new URL('file:///nowhere/')).keys()]).toEqual(['/mqtt.min.js'])
  })

  test('/ and everything it refers to come from this server, without inline script or style', async () => {
    const html = await (await get('/')).text()
    const references = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!)
    expect(references.filter((reference) => reference.startsWith('/assets/')).length).toBeGreaterThan(1)
    for (const reference of references) {
      expect(reference).toMatch(/^\/[^/]/)
      expect((await get(reference)).status, reference).toBe(200)
    }
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i)
  })

  test.each([
    ['/', 'text/html; charset=utf-8'],
    [scriptPath, 'text/javascript; charset=utf-8'],
    [stylePath, 'text/css; charset=utf-8'],
    ['/mqtt.min.js', 'text/javascript; charset=utf-8'],
    ['/client.js', 'text/javascript; charset=utf-8'],
    ['/favicon.svg', 'image/svg+xml'],
  ])('%s is %s, and a browser may load nothing from elsewhere', async (path, type) => {
    const response = await get(path)
    expect(response.headers.get('content-type')).toBe(type)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    const policy = response.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/https?:|\*|unsafe/)
  })

  test('pages from elsewhere may load the client, and nothing else', async () => {
    const sharingOf = ({ headers }: Response) => [
      headers.get('access-control-allow-origin'),
      headers.get('cross-origin-resource-policy'),
    ]
    expect(sharingOf(await get('/client.js'))).toEqual(['*', 'cross-origin'])
    for (const path of ['/', '/mqtt.min.js', '/livez'])
      expect(sharingOf(await get(path))).toEqual([null, 'same-origin'])
  })

  test('a browser that has the file already gets 304, after a change of the tag 200', async () => {
    const first = await get(stylePath)
    const tag = first.headers.get('etag')!
    const again = await get(stylePath, { headers: { 'if-none-match': `"other", ${tag}` } })
    expect(again.status).toBe(304)
    expect(await again.text()).toBe('')
    expect((await get(stylePath, { headers: { 'if-none-match': '"other"' } })).status).toBe(200)
  })

  test('a compressed answer holds the same bytes as a plain one', async () => {
    const plain = await raw(`GET ${scriptPath} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    const packed = await raw(
      `GET ${scriptPath} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip\r\nConnection: close\r\n\r\n`,
    )
    const bodyOf = (answer: string) => Buffer.from(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'latin1')
    expect(packed).toMatch(/content-encoding: gzip/)
    expect(plain).not.toMatch(/content-encoding/)
    expect(gunzipSync(bodyOf(packed))).toEqual(bodyOf(plain))
  })
})

describe('what is refused', () => {
  test('HEAD gives the headers of GET and no body', async () => {
    const response = await get('/livez', { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(10)
    expect(await response.text()).toBe('')
  })

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is 405 and says what is allowed', async (method) => {
    const response = await get('/', { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('GET, HEAD')
  })

  test.each([
    '/nope',
    '/index.html',
    '/built-from.txt',
    '/../../../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/assets/../http.ts',
    '//etc/passwd',
    '/constructor',
    '/__proto__',
    'http://other.example/mqtt.min.js',
  ])('%s is 404', async (path) => {
    expect(await raw(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 404 /)
  })

  test('a query does not change what is found', async () => {
    expect((await get('/livez?x=../..')).status).toBe(200)
  })

  test('a request body is not read: the answer comes at once and the connection closes', async () => {
    const answer = await raw('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nfirst bytes')
    expect(answer).toMatch(/^HTTP\/1.1 405 /)
    expect(answer).toMatch(/connection: close/i)
  })

  test('the client is not told to send the body that it announces', async () => {
    const answer = await raw('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
    expect(answer).toMatch(/^HTTP\/1.1 405 /)
  })

  test('headers beyond 16 KiB are refused', async () => {
    const answer = await raw(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1.1 431 /)
  })

  test('bytes that are no HTTP, such as an MQTT CONNECT, are refused and others are still answered', async () => {
    expect(await raw('\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00')).toMatch(/^HTTP\/1.1 400 /)
    expect((await get('/livez')).status).toBe(200)
  })

  test('slow requests and silent connections have a time limit', () => {
    expect(server.headersTimeout).toBeGreaterThan(0)
    expect(server.headersTimeout).toBeLessThanOrEqual(10_000)
    expect(server.requestTimeout).toBeGreaterThan(0)
    expect(server.requestTimeout).toBeLessThanOrEqual(15_000)
    expect(server.keepAliveTimeout).toBeLessThanOrEqual(5_000)
    expect(server.timeout).toBeGreaterThan(0)
  })
})
