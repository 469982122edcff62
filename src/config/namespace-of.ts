/** In which namespace a client is, by the words of the configuration, and what it can't do there whatever the rules say. */
import type { ListenerConfig } from './listeners.ts'
import { exportsOf, namespacesOfUsers } from './namespaces.ts'
import { presenceOf } from './presence.ts'
import type { GatewayConfig } from './schema.ts'

export interface Asked {
  /** Undefined: nobody in particular. */
  user: string | undefined
  /** What a token says. */
  namespace: string | undefined
  listener: ListenerConfig | undefined
}

export interface Place {
  name: string
  /** Why the client is not let in there; undefined: it is. */
  refusal: string | undefined
}

export function namespaceOf({ namespaces }: GatewayConfig, { user, namespace, listener }: Asked): Place {
  const ofUser = user === undefined ? undefined : namespacesOfUsers(namespaces).get(user)
  const said = namespace ?? ofUser
  const name = said ?? listener?.namespace ?? 'default'
  if (name !== 'default' && !Object.hasOwn(namespaces, name)) {
    return { name, refusal: `no namespace is called ${name}` }
  }
  if (listener?.namespace === undefined || listener.namespace === name) return { name, refusal: undefined }
  return {
    name,
    refusal: `the client is of the namespace ${name}, the listener ${listener.name} of ${listener.namespace}`,
  }
}

/** Why nobody may publish to a topic there; undefined: the rules decide. */
export function readOnlyBecause(config: GatewayConfig, namespace: string, topic: string): string | undefined {
  const { namespaces } = config
  if (topic.startsWith('$SYS/')) return 'what stands below $SYS is the gateway’s own, to be read only'
  const prefix = presenceOf(config)[namespace]
  if (prefix !== undefined && topic.startsWith(prefix))
    return `presence: what stands below ${prefix} is the gateway’s own, to be read only`
  const found = exportsOf(namespaces).find(({ to, prefix }) => to === namespace && topic.startsWith(prefix))
  return (
    found && `namespaces.${found.from}.exports: what stands below ${found.prefix} is ${found.from}'s, to be read only`
  )
}
