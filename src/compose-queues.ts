/** The part of the composition root that gives the HTTP API the queues: each call within a turn, each answer when it is committed. */
import type { ApiQueues, Refused } from './api/sources.ts'
import { queuesOf } from './config/queues.ts'
import type { GatewayConfig } from './config/schema.ts'
import type { Begun, QueuedMessageView, QueueName, Queues } from './core/ports/queues.ts'
import type { Committer } from './engine/committer.ts'
import type { Engine } from './engine/engine.ts'

interface Parts {
  queues: Queues
  engine: Engine
  committer: Committer
}

export function composeApiQueues(inForce: { readonly config: GatewayConfig }, parts: Parts): ApiQueues {
  const { queues, engine, committer } = parts
  /** The answer to what has begun may come later. */
  const later = <Found>(ask: (use: (found: Found) => void) => Begun): Promise<Found | Refused> =>
    new Promise((resolve) => {
      const begun = engine.call(() => ask(resolve))
      if (begun !== 'begun') resolve(begun)
    })
  const committed = async (count: number | Refused): Promise<number | Refused> => {
    if (typeof count === 'number') await committer.settled()
    return count
  }
  return {
    list: () => queues.list(),
    state: (queue) => queues.state(queue),
    consumers: (queue) => queues.consumers(queue),
    options: (queue) => optionsOf(inForce.config, queue, queues.state(queue)?.filter ?? null),
    peek: (queue, from, max) => later((use) => queues.peek(queue, from, max, use)),
    purge: async (queue, filter) => committed(await later((done) => queues.purge(queue, filter, done))),
    redrive: async (queue, max, filter) => committed(await later((done) => queues.redrive(queue, max, filter, done))),
    receive: (queue, { max, waitMs, leaseMs }, gone) => receive(parts, queue, { max, waitMs, leaseMs }, gone),
    async settle(queue, settlements) {
      if (queues.state(queue) === null) return undefined
      const outcomes = engine.call(() => queues.settle(queue, settlements))
      await committer.settled()
      return outcomes
    },
  }
}

function optionsOf(config: GatewayConfig, { namespace, name }: QueueName, filter: string | null) {
  const found = queuesOf(config).find((one) => one.namespace === namespace && one.name === name)
  return found === undefined ? undefined : { ...found.definition, filter }
}

interface Wanted {
  max: number
  waitMs: number
  leaseMs: number
}

/** What is ready now, or else the first that comes in time, for who is still there. Undefined: there is no such queue. */
async function receive(
  { queues, engine }: Parts,
  queue: QueueName,
  { max, waitMs, leaseMs }: Wanted,
  gone: AbortSignal,
): Promise<readonly QueuedMessageView[] | undefined> {
  const end = performance.now() + waitMs
  for (;;) {
    const found = engine.call(() => (gone.aborted ? [] : queues.receive(queue, max, leaseMs)))
    if (found === null) return undefined
    const leftMs = end - performance.now()
    if (found.length > 0 || leftMs <= 0 || gone.aborted) return found
    await ready({ queues, engine }, queue, leftMs, gone)
  }
}

function ready({ queues, engine }: Omit<Parts, 'committer'>, queue: QueueName, waitMs: number, gone: AbortSignal) {
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancel = engine.call(() => queues.whenReady(queue, resolve))
  const timer = setTimeout(resolve, waitMs)
  gone.addEventListener('abort', () => resolve(), { once: true })
  return promise.finally(() => {
    clearTimeout(timer)
    cancel()
  })
}
