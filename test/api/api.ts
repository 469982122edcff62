/** The HTTP API of a gateway in this process, called over real sockets. */
import { afterEach, expect } from 'vitest'
import type { ApiRole } from '../../src/auth/api-tokens.ts'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { startGateway } from '../e2e/gateway.ts'

export interface Answer<Body = Record<string, unknown>> {
  status: number
  headers: Headers
  body: Body
}

export interface Call {
  method?: string
  /** Sent as JSON unless it is text. */
  body?: unknown
  token?: string | undefined
  headers?: Record<string, string>
}

/** Authentication that knows nobody: every call needs a token, and no client is let in. */
export const nobody: GatewayOptions = { authenticator: { authenticate: () => ({ reasonCode: 0 }) } }

export interface Api {
  gateway: Gateway
  url: string
  tokens: Record<ApiRole, string>
  /** Without a token unless one is given. */
  call<Body = Record<string, unknown>>(path: string, call?: Call): Promise<Answer<Body>>
  /** With a token of role admin. */
  admin<Body = Record<string, unknown>>(path: string, call?: Call): Promise<Answer<Body>>
}

const watchers = new Set<(method: string, path: string, answer: Answer) => void>()

/** Sees every answer until the test ends. */
export function watchAnswers(watcher: (method: string, path: string, answer: Answer) => void): void {
  watchers.add(watcher)
}
afterEach(() => watchers.clear())

export async function startApi(options: GatewayOptions = {}): Promise<Api> {
  return apiOf(await startGateway(options))
}

export function apiOf(gateway: Gateway): Api {
  const url = `http://127.0.0.1:${gateway.addresses.http!.port}/api/v1`
  const tokens = {
    viewer: gateway.addApiToken('v', 'viewer'),
    operator: gateway.addApiToken('o', 'operator'),
    admin: gateway.addApiToken('a', 'admin'),
  }
  const call = async <Body>(path: string, { method = 'GET', body, token, headers }: Call = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = text !== '' && response.headers.get('content-type')?.includes('json') === true
    const answer = {
      status: response.status,
      headers: response.headers,
      body: (isJson ? JSON.parse(text) : text) as Body,
    }
    for (const watcher of watchers) watcher(method, path, answer as Answer)
    return answer
  }
  return { gateway, url, tokens, call, admin: (path, given) => call(path, { token: tokens.admin, ...given }) }
}

export function expectProblem(answer: Answer, status: number): void {
  expect(answer).toMatchObject({ status, body: { type: 'about:blank', status } })
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
}

export interface Page<Item = Record<string, unknown>> {
  items: Item[]
  nextCursor: string | null
}

/** All pages of a list. */
export async function allPages<Item>(api: Api, path: string): Promise<Item[]> {
  const items: Item[] = []
  for (let cursor = ''; ; ) {
    const { status, body } = await api.admin<Page<Item>>(`${path}${cursor}`)
    expect(status).toBe(200)
    items.push(...body.items)
    if (body.nextCursor === null) return items
    cursor = `&cursor=${encodeURIComponent(body.nextCursor)}`
  }
}
