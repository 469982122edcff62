/**
 * The page's files by their path in the URL: our own from `page/`, MQTT.js's browser bundle from the installed package.
 *
 * Each is read when it's first asked for and then kept, plain and compressed; together they are below half a megabyte. A
 * browser keeps its copy too, but asks each time whether it still holds (ETag), so that an update shows at once.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

export interface AssetAnswer {
  status: 200 | 304
  headers: OutgoingHttpHeaders
  body: Buffer
}

export type Asset = (request: IncomingHttpHeaders) => Promise<AssetAnswer>

interface Loaded {
  plain: Buffer
  compressed: Buffer
  etag: string
}

const empty = Buffer.alloc(0)
const compress = promisify(gzip)

export function createAssets(): Map<string, Asset> {
  const page = (name: string) => new URL(`./page/${name}`, import.meta.url)
  return new Map([
    ['/', assetOf('text/html; charset=utf-8', () => page('index.html'))],
    ['/page.js', assetOf('text/javascript; charset=utf-8', () => page('page.js'))],
    ['/page.css', assetOf('text/css; charset=utf-8', () => page('page.css'))],
    ['/favicon.svg', assetOf('image/svg+xml', () => page('favicon.svg'))],
    ['/mqtt.min.js', assetOf('text/javascript; charset=utf-8', browserBundle)],
  ])
}

function browserBundle(): string {
  return createRequire(import.meta.url).resolve('mqtt/dist/mqtt.min')
}

function assetOf(contentType: string, locate: () => string | URL): Asset {
  let loading: Promise<Loaded> | undefined
  return async (request) => {
    loading ??= load(locate).catch((error: unknown) => {
      loading = undefined
      throw error
    })
    const { plain, compressed, etag } = await loading
    const headers: OutgoingHttpHeaders = {
      'content-type': contentType,
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
      etag,
    }
    if (matches(request['if-none-match'], etag)) return { status: 304, headers, body: empty }
    if (!/\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(request['accept-encoding'] ?? ''))) {
      return { status: 200, headers, body: plain }
    }
    return { status: 200, headers: { ...headers, 'content-encoding': 'gzip' }, body: compressed }
  }
}

async function load(locate: () => string | URL): Promise<Loaded> {
  const plain = await readFile(locate())
  const etag = `W/"${createHash('sha256').update(plain).digest('base64url').slice(0, 24)}"`
  return { plain, compressed: await compress(plain, { level: 9 }), etag }
}

function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  const weak = etag.replace(/^W\//, '')
  return ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === weak)
}
