/** `allowedHosts` and `allowedOrigins`: entries that could never match what a browser sends are mistakes, and said. */
import type { ConfigIssue } from './config-error.ts'

export interface HostOptions {
  allowedHosts: readonly string[]
  allowedOrigins: readonly string[]
}

export function hostIssues({ allowedHosts, allowedOrigins }: HostOptions): ConfigIssue[] {
  return [
    ...allowedHosts.flatMap((host, index) => issueAt(['allowedHosts', index], hostFault(host))),
    ...originIssues(allowedOrigins),
  ]
}

/** `at`: of whose `allowedOrigins` they are. */
export function originIssues(origins: readonly string[], at: readonly PropertyKey[] = []): ConfigIssue[] {
  return origins.flatMap((origin, index) => issueAt([...at, 'allowedOrigins', index], originFault(origin)))
}

function issueAt(path: PropertyKey[], message: string | undefined): ConfigIssue[] {
  return message === undefined ? [] : [{ path, message }]
}

/** Addresses need no entry. */
function hostFault(host: string): string | undefined {
  if (host === '*' || /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host)) return undefined
  return `expected a host's name without scheme, port and path, such as panel.example, got ${JSON.stringify(host)}`
}

function originFault(origin: string): string | undefined {
  // Browsers send null for pages from files and for sandboxed ones.
  if (origin === '*' || origin === 'null') return undefined
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\/[^/?#@\s]+$/.exec(origin) ?? []
  const url = URL.canParse(origin) ? new URL(origin) : undefined
  if (scheme !== undefined && scheme !== 'ws' && scheme !== 'wss') {
    // Pages of apps have schemes of their own, whose form is not ours to know.
    if (!/^https?$/.test(scheme) || url?.origin === origin) return undefined
  }
  const meant = meantOrigin(origin, url)
  const advice = meant === undefined ? 'expected one such as https://panel.example' : `did you mean ${meant}?`
  return `no browser sends ${JSON.stringify(origin)} as an origin; ${advice}`
}

function meantOrigin(origin: string, url: URL | undefined): string | undefined {
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url.origin
  if (url !== undefined && /^wss?:$/.test(url.protocol)) return `${url.protocol.replace('ws', 'http')}//${url.host}`
  const guess = `https://${origin}`
  return /^[\w.-]+(:\d+)?$/.test(origin) && URL.canParse(guess) ? new URL(guess).origin : undefined
}
