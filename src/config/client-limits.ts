/** Limits that a client may have by the listener that it comes by: what `limits` says of all, and over that what the listener says. */
import type { ClientLimits } from '../auth/authenticator.ts'
import { clientLimitFields } from './client-limit-fields.ts'
import { listenersOf } from './listeners.ts'
import type { GatewayConfig } from './schema.ts'

type Name = keyof ClientLimits

const rates = Object.keys(clientLimitFields) as Name[]

/** By the name of a listener and that of a user, which is empty for nobody in particular. */
export function clientLimitsOf(config: GatewayConfig): (listener: string, user: string) => ClientLimits {
  const general = given(config.limits, rates)
  const own = new Map(listenersOf(config).map(({ name, limits }) => [name, { ...general, ...given(limits, rates) }]))
  const users = new Map<string, ClientLimits>()
  for (const { user, ...limits } of config.limits.users ?? []) {
    for (const name of typeof user === 'string' ? [user] : user) {
      if (!users.has(name)) users.set(name, given(limits, [...rates, 'sessionsMax', 'subscriptionsMax']))
    }
  }
  return (listener, user) => {
    const ofListener = own.get(listener) ?? general
    const ofUser = user === '' ? undefined : users.get(user)
    return ofUser === undefined ? ofListener : { ...ofListener, ...ofUser }
  }
}

function given(limits: ClientLimits, names: readonly Name[]): ClientLimits {
  return Object.fromEntries(names.flatMap((name) => (limits[name] === undefined ? [] : [[name, limits[name]]])))
}
