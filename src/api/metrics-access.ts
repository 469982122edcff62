/**
 * Who may read `/metrics` where it takes a token (`metrics: token`): any token of the API, but for one of a single namespace, since
 * metrics are of the whole gateway. A wrong one is slowed down as in the API.
 */
import type { ApiSources } from './sources.ts'

export interface Refusal {
  status: number
  detail: string
  headers: Readonly<Record<string, string>>
}

/** Undefined: it may be read. */
export type MetricsRefusal = (authorization: string | undefined, address: string) => Promise<Refusal | undefined>

export function createMetricsRefusal(sources: ApiSources): MetricsRefusal {
  return async (authorization, address) => {
    // Loaded with the first call, as the API is.
    const [{ authenticate, refusalOf }, { Problem }] = await Promise.all([
      import('./access.ts'),
      import('./problem.ts'),
    ])
    try {
      const bearer = await authenticate(sources, { address, local: false }, authorization)
      const refusal = refusalOf(bearer!, { role: 'viewer' })
      return refusal && { status: 403, detail: refusal.text, headers: {} }
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      return { status: error.status, detail: error.message, headers: error.headers }
    }
  }
}
