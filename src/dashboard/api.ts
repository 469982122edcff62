/**
 * The gateway's HTTP API, as everybody else may use it (docs/api.md): calls by the login's cookie, answers typed by the schemas that the
 * gateway answers by, and faults as the problem documents say them.
 */
import type { z } from '@hono/zod-openapi'
import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import type {
  budgetSchema,
  clientSchema,
  dropSchema,
  explanationSchema,
  Identity,
  listenerSchema,
  optionSchema,
  queuedSchema,
  retainedSchema,
  routeSchema,
  sessionSchema,
  subscriptionSchema,
} from '../api/schemas.ts'

export type Client = z.infer<typeof clientSchema>
export type Session = z.infer<typeof sessionSchema>
export type Subscription = z.infer<typeof subscriptionSchema>
export type Queued = z.infer<typeof queuedSchema>
export type Retained = z.infer<typeof retainedSchema>
export type Drop = z.infer<typeof dropSchema>
export type Listener = z.infer<typeof listenerSchema>
export type Budget = z.infer<typeof budgetSchema>
export type Explanation = z.infer<typeof explanationSchema>
export type Option = z.infer<typeof optionSchema>
export type TopicRoute = z.infer<typeof routeSchema>

export interface Page<Item> {
  items: Item[]
  nextCursor: string | null
}

export class ApiError extends Error {
  readonly status: number

  constructor(status: number, detail: string) {
    super(detail)
    this.status = status
  }
}

/** Of the login that the browser's cookie stands for: whatever changes something brings it along. Empty: there is no login. */
let csrfToken = ''

/** The page has the token for as long as it takes to ask for the cookie, which it can't read itself. */
export const login = {
  async begin(token: string): Promise<void> {
    login.noticed(await call<Identity>('/login', { method: 'POST', token }))
  },
  async end(): Promise<void> {
    await call('/login', { method: 'DELETE' })
    csrfToken = ''
  },
  noticed(identity: Pick<Identity, 'csrfToken'>): void {
    csrfToken = identity.csrfToken ?? ''
  },
}

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  query?: Readonly<Record<string, string | number | undefined>>
  body?: unknown
  signal?: AbortSignal
  /** In place of the login. */
  token?: string
}

/** Parts of a path, each of them encoded. */
export function pathOf(...parts: string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part)}`).join('')
}

/** @throws ApiError for whatever the gateway refuses; status 0: it can't be reached */
export async function call<Answer>(path: string, { method = 'GET', query = {}, body, signal, token }: Call = {}) {
  const words = Object.entries(query).flatMap(([key, value]) =>
    value === undefined || value === '' ? [] : [[key, String(value)]],
  )
  const search = words.length === 0 ? '' : `?${new URLSearchParams(words)}`
  const headers: Record<string, string> = {}
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`
  else if (csrfToken !== '' && method !== 'GET') headers['x-csrf-token'] = csrfToken
  if (body !== undefined) headers['content-type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(`/api/v1${path}${search}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error
    throw new ApiError(0, 'unreachable')
  }
  if (!response.ok) throw new ApiError(response.status, await detailOf(response))
  return (response.status === 204 ? undefined : await response.json()) as Answer
}

/** What a refusal says. */
export async function detailOf(response: Response): Promise<string> {
  try {
    const { detail, title } = (await response.json()) as { detail?: string; title?: string }
    return detail ?? title ?? String(response.status)
  } catch {
    return `${response.status} ${response.statusText}`
  }
}

export interface Polled<Answer> {
  /** The last one; it stays while the gateway can't be asked. */
  data: Answer | undefined
  error: ApiError | undefined
  /** It answers the question before this one: another page, another order. */
  stale: boolean
  refresh(): void
}

interface Asked<Answer> {
  key: string
  path: string | null
  data?: Answer
  error?: ApiError
}

/** Asks now and again, not while the tab is hidden. A null path asks nothing. */
export function usePolled<Answer>(
  path: string | null,
  query: Readonly<Record<string, string | number | undefined>>,
  intervalMs: number,
): Polled<Answer> {
  const [state, setState] = useState<Asked<Answer>>({ key: '', path: null })
  const key = JSON.stringify([path, query])
  const again = useRef(() => {})
  useEffect(() => {
    if (path === null) return
    const ending = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = async (): Promise<void> => {
      clearTimeout(timer)
      if (!document.hidden) await askOnce()
      if (!ending.signal.aborted) timer = setTimeout(ask, intervalMs)
    }
    const askOnce = async (): Promise<void> => {
      try {
        const data = await call<Answer>(path, { query, signal: ending.signal })
        if (!ending.signal.aborted) setState({ key, path, data })
      } catch (error) {
        if (ending.signal.aborted) return
        if (!(error instanceof ApiError)) throw error
        setState((before) => (before.path === path ? { ...before, key, error } : { key, path, error }))
      }
    }
    again.current = () => void ask()
    const onVisible = () => document.hidden || void ask()
    document.addEventListener('visibilitychange', onVisible)
    void ask()
    return () => {
      ending.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', onVisible)
    }
  }, [key, intervalMs])
  const refresh = useCallback(() => again.current(), [])
  const { data, error }: Partial<Asked<Answer>> = state.path === path ? state : {}
  return { data, error: state.key === key ? error : undefined, stale: state.key !== key, refresh }
}
