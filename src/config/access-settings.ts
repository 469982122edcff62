/** What access is made of, out of a configuration. */
import type { AccessSettings, ListenerAccessSettings } from '../auth/access-files.ts'
import type { RuleInput } from '../auth/rule.ts'
import { authenticates } from './access.ts'
import { stepsOf } from './authentication.ts'
import { type ListenerConfig, listenersOf } from './listeners.ts'
import { type GatewayConfig, isAuthenticated } from './schema.ts'

/** Undefined: neither authentication nor authorization is configured. */
export function accessSettings(
  config: GatewayConfig,
  listener?: Pick<ListenerConfig, 'name' | 'own'>,
): AccessSettings | undefined {
  const own = listener?.own ?? {}
  const authentication = own.authentication ?? config.authentication
  const authorization = own.authorization ?? config.authorization
  if (!authentication && !authorization) return undefined
  const steps = stepsOf(authentication || undefined)
  const hasUsers = steps.some(({ kind }) => kind === 'passwordFile')
  const { scram = false, stepTimeoutMs = 5000, rememberSeconds = 0, hashQueueMax = 0 } = authentication || {}
  return {
    steps,
    scram: scram && hasUsers,
    allowAnonymous: own.allowAnonymous ?? (own.authentication ? false : config.allowAnonymous),
    stepTimeoutMs,
    rememberMs: rememberSeconds * 1000,
    hashQueueMax,
    place: own.authorization ? `listeners.${listener!.name}.authorization` : 'authorization',
    authorization: authorization
      ? { ...authorization, rules: authorization.rules as RuleInput[] | undefined }
      : undefined,
  }
}

/** Of all listeners, those with something of their own apart. */
export function accessOfListeners(config: GatewayConfig): ListenerAccessSettings {
  const apart = listenersOf(config).filter(({ own }) => Object.values(own).some((one) => one !== undefined))
  return {
    common: accessSettings(config),
    own: new Map(apart.map((listener) => [listener.name, accessSettings(config, listener)])),
  }
}

/** Whether a client of any listener is asked who it is. */
export function authenticatesAnywhere(config: GatewayConfig): boolean {
  return isAuthenticated(config) || listenersOf(config).some(({ own }) => authenticates(own, false))
}
