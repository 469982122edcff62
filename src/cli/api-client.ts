/** Calls of a gateway's HTTP API for commands: where it is, with which token, and what its problems look like on a terminal. */
import { existsSync, readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { firstTokenPath } from '../auth/api-tokens.ts'
import { isLoopback } from '../config/access.ts'
import { listenersOf } from '../config/listeners.ts'
import { loadConfig } from '../config/load.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'

export interface ApiFlags {
  url?: string
  tokenFile?: string
  config?: string
  dataDir?: string
  json?: boolean
}

/** Options of every command that asks a gateway. */
export function withApiOptions(command: Command): Command {
  return command
    .option('--url <url>', 'where the gateway answers (default: its http listener, http://127.0.0.1:8083)')
    .option(
      '--token-file <file>',
      'file with a token (default: api-token in the data folder, for a gateway of this machine)',
    )
    .option(
      '--config <file>',
      'configuration file of the gateway, for its listener and its data folder (MQTIDE_CONFIG)',
    )
    .option('--data-dir <folder>', 'data folder of the gateway (default ./data)')
    .option('--json', 'as JSON')
}

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  query?: Readonly<Record<string, string | number | undefined>>
  body?: unknown
}

const callTimeoutMs = 60_000

export class ApiClient {
  readonly #url: string
  readonly #token: string | undefined

  constructor(flags: ApiFlags, { environment }: Pick<CliContext, 'environment'>) {
    const options = flags.dataDir === undefined ? {} : { dataDir: flags.dataDir }
    const { config } = loadConfig({
      file: flags.config,
      environment,
      flags: { options, names: { dataDir: '--data-dir' } },
    })
    this.#url = flags.url === undefined ? urlOf(config) : checkedUrl(flags.url)
    // The token of this data folder is no other machine's business.
    const isOwn = flags.url === undefined || isLoopback(new URL(this.#url).hostname)
    this.#token = tokenIn(flags.tokenFile, isOwn ? firstTokenPath(config.dataDir) : undefined)
  }

  /** @throws CliError with what the gateway says is wrong */
  async call<Body>(path: string, call: Call = {}): Promise<Body> {
    const response = await this.#send(path, call, AbortSignal.timeout(callTimeoutMs))
    return bodyOf<Body>(await response.text(), this.#url)
  }

  /** The values of an answer that goes on, line by line. @throws CliError as `call` */
  async *lines<Value>(path: string, query: NonNullable<Call['query']>): AsyncGenerator<Value> {
    const response = await this.#send(path, { query }, undefined)
    let rest = ''
    const decoder = new TextDecoder()
    try {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
        rest = lines.pop()!
        for (const line of lines) if (line !== '') yield bodyOf<Value>(line, this.#url)
      }
    } catch (error) {
      if (error instanceof CliError) throw error
      throw new CliError(`the gateway at ${this.#url} is gone: ${(error as Error).message}`)
    }
  }

  async #send(
    path: string,
    { method = 'GET', query = {}, body }: Call,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const url = new URL(`${this.#url}/api/v1${path}`)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const headers = {
      ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) }
    const response = await fetch(url, { ...init, ...(signal && { signal }) }).catch((error: Error) => {
      const cause = (error.cause ?? error) as NodeJS.ErrnoException
      throw new CliError(`no gateway answers at ${this.#url}: ${cause.message || cause.code}`)
    })
    if (!response.ok) throw new CliError(problemText(response.status, await response.text()))
    return response
  }

  /** Rows of a list, page after page, until there are so many. */
  async list<Row>(path: string, query: Call['query'], rowsMax: number): Promise<{ rows: Row[]; more: boolean }> {
    const rows: Row[] = []
    let cursor: string | undefined
    do {
      const limit = Math.min(1000, rowsMax - rows.length)
      const page = await this.call<{ items: Row[]; nextCursor: string | null }>(path, {
        query: { ...query, limit, cursor },
      })
      rows.push(...page.items)
      cursor = page.nextCursor ?? undefined
    } while (cursor !== undefined && rows.length < rowsMax)
    return { rows, more: cursor !== undefined }
  }
}

function bodyOf<Body>(text: string, url: string): Body {
  try {
    return (text === '' ? undefined : JSON.parse(text)) as Body
  } catch {
    throw new CliError(`what answers at ${url} is no gateway of this version: ${text.slice(0, 60).trim()}`)
  }
}

/** A client id or a topic as a level of a path. */
export function inPath(name: string): string {
  // These alone are taken for steps within the path, also percent-encoded (docs/api.md).
  return encodeURIComponent(/^~*\.\.?$/.test(name) ? `~${name}` : name)
}

function urlOf(config: Parameters<typeof listenersOf>[0]): string {
  const found = listenersOf(config).find(({ kind }) => kind === 'http' || kind === 'https')
  if (found === undefined || found.port === 0) {
    throw new CliError(
      'where does the gateway answer? Its configuration has no http listener of a known port: use --url',
      ExitCode.usage,
    )
  }
  const { kind, host, port } = found
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `${kind}://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

function checkedUrl(url: string): string {
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new CliError(`${url} is no URL such as http://127.0.0.1:8083`, ExitCode.usage)
  }
  const { origin, pathname } = new URL(url)
  // Of a gateway behind a proxy that serves it below a path.
  return `${origin}${pathname.replace(/\/+$/, '')}`
}

function tokenIn(given: string | undefined, first: string | undefined): string | undefined {
  const file = given ?? first
  if (file === undefined || (given === undefined && !existsSync(file))) return undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    // Somebody else's file: what needs no token goes without.
    if (given === undefined) return undefined
    throw new CliError((error as Error).message, ExitCode.usage)
  }
}

/** Of a problem document; whatever else answers may be anything. */
function problemText(status: number, text: string): string {
  try {
    const { detail, errors = [] } = JSON.parse(text) as { detail: string; errors?: { path: string; message: string }[] }
    const faults = errors.map(({ path, message }) => `\n  ${path}: ${message}`)
    return `${detail} (${status})${faults.length > 1 ? faults.join('') : ''}`
  } catch {
    return `answered ${status}: ${text.slice(0, 200).trim()}`
  }
}
