/** The options of listeners behind a proxy: whom they believe who the client is. */
import { z } from 'zod'
import { networkList } from '../auth/rule.ts'
import type { ConfigIssue } from './config-error.ts'
import { flag, oneOf, text } from './fields.ts'

const proxiesMax = 1000

export const proxyFields = {
  proxyProtocol: flag()
    .optional()
    .describe('Each connection has to begin with a PROXY header (version 1 or 2), from trustedProxies only.'),
  trustedProxies: z
    .array(text(64), 'expected a list of addresses and networks such as 10.0.0.0/8')
    .min(1, 'expected an address at least')
    .max(proxiesMax)
    .optional()
    .describe('Addresses and networks of proxies that are believed who the client is.'),
  forwardedHeader: oneOf('X-Forwarded-For', 'Forwarded')
    .optional()
    .describe('Header in which trustedProxies name the client of HTTP and WebSocket. Unset, X-Forwarded-For.'),
}

export type ProxyOptions = z.output<ReturnType<typeof z.strictObject<typeof proxyFields>>>

const httpKinds: readonly string[] = ['ws', 'wss', 'http', 'https']

/** Faults of one listener. `at`: its place in the configuration. */
export function proxyIssues(kind: string, options: ProxyOptions, at: readonly PropertyKey[]): ConfigIssue[] {
  const { proxyProtocol = false, trustedProxies, forwardedHeader } = options
  const issues: ConfigIssue[] = []
  const add = (name: keyof ProxyOptions, message: string) => issues.push({ path: [...at, name], message })
  if (kind === 'unix') {
    if (trustedProxies !== undefined) add('trustedProxies', 'says nothing of a socket in the file system')
  } else if (proxyProtocol && trustedProxies === undefined) {
    add(
      'trustedProxies',
      'missing: proxyProtocol needs the addresses of the proxies, since anyone could pretend to be anyone',
    )
  }
  if (httpKinds.includes(kind)) {
    if (forwardedHeader !== undefined && trustedProxies === undefined) {
      add('forwardedHeader', 'says nothing without trustedProxies')
    }
  } else {
    if (forwardedHeader !== undefined)
      add('forwardedHeader', `belongs to a listener of kind ${httpKinds.join(', ')} only`)
    if (trustedProxies !== undefined && !proxyProtocol && kind !== 'unix') {
      add('trustedProxies', 'says nothing without proxyProtocol: true')
    }
  }
  for (const [index, address] of (trustedProxies ?? []).entries()) {
    try {
      networkList([address])
    } catch (error) {
      issues.push({ path: [...at, 'trustedProxies', index], message: (error as Error).message })
    }
  }
  return issues
}
