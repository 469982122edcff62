/**
 * The dashboard's files by their path in the URL, as they were built from `src/dashboard/`, the client for pages (`client.js`)
 * beside them, and MQTT.js's browser bundle from the installed package. What there is, is read once from the folder: no part of a URL leads to a file.
 *
 * Each is read when it's first asked for and then kept, plain and compressed; together they are below half a megabyte. A
 * browser keeps its copy too, but asks each time whether it still holds (ETag), so that an update shows at once; what has a
 * hash of its content in its name it need not ask for again.
 */
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
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

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** Beside the program in the package, where the checkout's build puts it else. */
export const dashboardFolder = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/dashboard/' : '../../dashboard/',
  import.meta.url,
)

export function createAssets(folder = dashboardFolder): Map<string, Asset> {
  const assets = new Map([['/mqtt.min.js', assetOf({ contentType: types['js']!, lasting: false }, browserBundle)]])
  for (const name of namesIn(folder)) {
    const contentType = types[name.slice(name.lastIndexOf('.') + 1)]
    if (contentType === undefined) continue
    const path = name === 'index.html' ? '/' : `/${name}`
    assets.set(
      path,
      assetOf(
        { contentType, lasting: name.startsWith('assets/'), shared: name === 'client.js' },
        () => new URL(name, folder),
      ),
    )
  }
  return assets
}

/** With `/` between folder and file; none where nothing was built. */
function namesIn(folder: URL): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => name.replaceAll('\\', '/'))
  } catch {
    return []
  }
}

function browserBundle(): string {
  return createRequire(import.meta.url).resolve('mqtt/dist/mqtt.min')
}

/** `lasting`: what is at this path never changes. `shared`: pages from elsewhere may load it as a module. */
function assetOf(
  { contentType, lasting, shared = false }: { contentType: string; lasting: boolean; shared?: boolean },
  locate: () => string | URL,
): Asset {
  let loading: Promise<Loaded> | undefined
  return async (request) => {
    loading ??= load(locate).catch((error: unknown) => {
      loading = undefined
      throw error
    })
    const { plain, compressed, etag } = await loading
    const headers: OutgoingHttpHeaders = {
      'content-type': contentType,
      'cache-control': lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
      vary: 'accept-encoding',
      etag,
      ...(shared ? { 'access-control-allow-origin': '*', 'cross-origin-resource-policy': 'cross-origin' } : {}),
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
