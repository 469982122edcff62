/** Who can reach the gateway, and whether that was said: local by default. */
import type { ConfigIssue } from './config-error.ts'
import { type ListenerConfig, listenersOf, type OptionsWithListeners } from './listeners.ts'

interface AccessOptions extends OptionsWithListeners {
  allowAnonymous?: boolean | undefined
}

/** Without authentication only this machine gets in, unless the opposite is said in words. */
export function accessIssues(options: AccessOptions, authenticated: boolean): ConfigIssue[] {
  if (authenticated) return []
  if (options.allowAnonymous === false) {
    const message = 'false without any configured authentication would refuse every client'
    return [{ path: ['allowAnonymous'], message }]
  }
  if (options.allowAnonymous) return []
  const open = listenersOf(options).filter(({ kind, host }) => kind !== 'unix' && !isLoopback(host))
  const byPlace = new Map(open.map((listener) => [listener.places.host.join('.'), listener]))
  return [...byPlace.values()].map(openIssue)
}

function openIssue({ host, places }: ListenerConfig): ConfigIssue {
  const message =
    `${host} can be reached from other machines and no authentication is configured, so everyone could connect. ` +
    'Configure authentication, or listen on 127.0.0.1, or allow it with allowAnonymous: true (flag --allow-anonymous)'
  return { path: places.host, message }
}

/** 127.0.0.0/8, ::1 and localhost; any other name could resolve to anything. */
export function isLoopback(host: string): boolean {
  const address = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/^::ffff:(?=\d+\.)/, '')
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address)
}
