/** What calls about queues and about streams have in common: which one, and answers that the store has a part in. */
import { z } from '@hono/zod-openapi'
import type { QueueName } from '../core/ports/queues.ts'
import { namespaceOf } from './namespace.ts'
import { Problem } from './problem.ts'
import type { ApiSources, Refused } from './sources.ts'

/** The command gives up after a minute. */
const storeTimeoutMs = 50_000

export const nameParam = z.object({
  name: z
    .string()
    .min(1)
    .max(200)
    .openapi({ param: { name: 'name', in: 'path' } }),
})

/** Those of the default namespace come first. */
export const identityOf = ({ namespace, name }: QueueName): string =>
  namespace === 'default' ? name : `${namespace}\u0000${name}`

type Call = Parameters<typeof namespaceOf>[0]

/** Which one a call is about. @throws Problem 403 for another namespace than the token's */
export function namedIn(
  context: Call,
  { name }: { name: string },
  asked: { namespace?: string | undefined },
): QueueName {
  return { namespace: namespaceOf(context, asked.namespace), name }
}

export type NamedKind = 'queue' | 'stream' | 'bridge'

/** @throws Problem 404 */
export function known<Found>(found: Found | undefined, kind: NamedKind): Found {
  if (found === undefined) throw new Problem(404, `there is no ${kind} of this name in this namespace`)
  return found
}

/** @throws Problem 404 where there is no such thing, 503 where somebody else was first */
export function begun<Found>(found: Found | Refused, kind: NamedKind): Found {
  if (found === 'busy') {
    const headers = { 'retry-after': '1' }
    throw new Problem(503, 'its messages are being read or moved for another call: try again', { headers })
  }
  return known(found === 'unknown' ? undefined : (found as Found), kind)
}

/** What the store is asked for may take long. @throws Problem 503 */
export async function inTime<Found>({ sleep }: ApiSources, asked: Promise<Found>): Promise<Found> {
  const late = Symbol()
  const found = await Promise.race([asked, sleep(storeTimeoutMs).then(() => late)])
  if (found !== late) return found as Found
  throw new Problem(503, 'the store has not answered in time', { headers: { 'retry-after': '1' } })
}
