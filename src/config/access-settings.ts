/** What access is made of, out of a configuration. */
import type { AccessSettings } from '../auth/access-files.ts'
import type { RuleInput } from '../auth/rule.ts'
import { stepsOf } from './authentication.ts'
import type { GatewayConfig } from './schema.ts'

/** Undefined: neither authentication nor authorization is configured. */
export function accessSettings(config: GatewayConfig): AccessSettings | undefined {
  const { authentication, authorization, allowAnonymous } = config
  if (authentication === undefined && authorization === undefined) return undefined
  const steps = stepsOf(authentication)
  const hasUsers = steps.some(({ kind }) => kind === 'passwordFile')
  const { scram = false, stepTimeoutMs = 5000, rememberSeconds = 0, hashQueueMax = 0 } = authentication ?? {}
  return {
    steps,
    scram: scram && hasUsers,
    allowAnonymous,
    stepTimeoutMs,
    rememberMs: rememberSeconds * 1000,
    hashQueueMax,
    authorization: authorization && { ...authorization, rules: authorization.rules as RuleInput[] | undefined },
  }
}

/** The same options with what nobody should read replaced by stars: shared secrets and the values of headers. */
export function withoutSecrets<T>(options: T): T {
  const hidden = (value: unknown, name: string): unknown => {
    if (name === 'secret' && typeof value === 'string') return '***'
    if (Array.isArray(value)) return value.map((item) => hidden(item, ''))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, name === 'headers' ? '***' : hidden(inner, key)]),
    )
  }
  return hidden(options, '') as T
}
