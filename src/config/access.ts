/** Who can reach the gateway, and whether that was said: local by default. */
import type { ConfigIssue } from './config-error.ts'
import { type ListenerConfig, listenersOf, type OptionsWithListeners } from './listeners.ts'

interface AccessOptions extends OptionsWithListeners {
  allowAnonymous?: boolean | undefined
}

/** Without authentication only this machine gets in, unless the opposite is said in words. */
export function accessIssues(options: AccessOptions, authenticated: boolean): ConfigIssue[] {
  const asking = listenersOf(options).filter(({ own }) => !authenticates(own, authenticated))
  const refusing = asking.filter(({ own }) => (own.allowAnonymous ?? options.allowAnonymous) === false)
  if (refusing.length > 0) return refusalIssues(refusing)
  const open = asking.filter(({ own }) => !(own.allowAnonymous ?? options.allowAnonymous)).filter(isReachable)
  const byPlace = new Map(open.map((listener) => [listener.places.host.join('.'), listener]))
  return [...byPlace.values()].map(openIssue)
}

const refusesEverybody = 'false without any configured authentication would refuse every client'

function refusalIssues(refusing: readonly ListenerConfig[]): ConfigIssue[] {
  const places = refusing.map(({ own, places: { port } }) => [
    ...(own.allowAnonymous === false ? port.slice(0, -1) : []),
    'allowAnonymous',
  ])
  const byPlace = new Map(places.map((path) => [path.join('.'), path]))
  return [...byPlace.values()].map((path) => ({ path, message: refusesEverybody }))
}

/** Whether a listener's clients are asked who they are. */
export function authenticates({ authentication }: ListenerConfig['own'], authenticated: boolean): boolean {
  return authentication === undefined ? authenticated : authentication !== false
}

/** From other machines. */
export function isReachable({ kind, host }: ListenerConfig): boolean {
  return kind !== 'unix' && !isLoopback(host)
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
