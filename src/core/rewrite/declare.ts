/** Puts rules of rewriting in force, at the start and at a reload: for the next message and the next SUBSCRIBE. */
import type { Broker } from '../broker.ts'
import { Rewrites } from './rewrites.ts'
import type { RewriteRule } from './rules.ts'

/** @param rules by namespace, without faults */
export function declareRewrites(broker: Broker, rules: Readonly<Record<string, readonly RewriteRule[]>>): void {
  for (const namespace of broker.namespaces.values()) {
    const wanted = rules[namespace.name] ?? []
    if (JSON.stringify(wanted) === JSON.stringify(namespace.rewrites.rules)) continue
    namespace.rewrites = new Rewrites(wanted)
    broker.topics.forget(namespace)
  }
}
