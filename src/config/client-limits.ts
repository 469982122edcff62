/** Limits that a client may have by the listener that it comes by: what `limits` says of all, and over that what the listener says. */
import type { ClientLimits } from '../auth/authenticator.ts'
import { clientLimitFields } from './client-limit-fields.ts'
import { listenersOf } from './listeners.ts'
import type { GatewayConfig } from './schema.ts'

const names = Object.keys(clientLimitFields) as (keyof typeof clientLimitFields)[]

/** By the name of a listener. */
export function clientLimitsOf(config: GatewayConfig): (listener: string) => ClientLimits {
  const general = given(config.limits)
  const own = new Map(listenersOf(config).map(({ name, limits }) => [name, { ...general, ...given(limits) }]))
  return (listener) => own.get(listener) ?? general
}

function given(limits: ClientLimits): ClientLimits {
  return Object.fromEntries(names.flatMap((name) => (limits[name] === undefined ? [] : [[name, limits[name]]])))
}
