/** Messages and verdicts that are taken all or none, in the body of a call: the schema, and what a refusal becomes. */
import { z } from '@hono/zod-openapi'
import type { BundledVerdict, BundleRefusal } from '../core/ports/bundle.ts'
import type { QueueVerdict } from '../core/ports/queues.ts'
import { messageSchema } from './message-body.ts'
import { Problem, type ProblemStatus } from './problem.ts'
import { namespaceQuery } from './schemas.ts'

const itemsMax = 1000
const dayMs = 86_400_000
const verdicts = ['ack', 'nack', 'reject', 'release'] as const satisfies readonly QueueVerdict[]

const verdictSchema = z.strictObject({
  queue: z.string().min(1).max(1000),
  namespace: namespaceQuery,
  delivery: z.string().min(1).max(1000),
  verdict: z.enum(verdicts).default('ack').describe('As for settle.'),
  delayMs: z.number().int().min(0).max(dayMs).optional(),
  reason: z.string().max(1000).optional(),
})

export const bundleSchema = z
  .strictObject({
    messages: z.array(messageSchema).max(itemsMax).default([]),
    settle: z.array(verdictSchema).max(itemsMax).default([]).describe('Verdicts on messages that are leased.'),
    atomic: z.literal(true).describe('All of it in one commit, or nothing.'),
  })
  .refine(({ messages, settle }) => messages.length + settle.length > 0, { error: 'expected messages or verdicts' })
  .refine(({ messages, settle }) => messages.length + settle.length <= itemsMax, {
    error: `at most ${itemsMax} messages and verdicts together`,
  })
  .openapi('AtomicPublish')

export function bundledVerdict(
  { queue: name, delivery, verdict, delayMs, reason }: z.infer<typeof verdictSchema>,
  namespace: string,
): BundledVerdict {
  return { queue: { namespace, name }, delivery, verdict, delayMs, reason }
}

const statuses: Readonly<Record<BundleRefusal['reason'], ProblemStatus>> = {
  not_authorized: 403,
  malformed: 400,
  too_large: 413,
  no_room: 503,
  not_held: 409,
  unknown_queue: 404,
  unknown_namespace: 404,
}

/** Names the item. */
export function bundleProblem({ part, index, reason, text }: BundleRefusal): Problem {
  const path = `body.${part}.${index}`
  return new Problem(statuses[reason], `nothing was taken: ${path}: ${text}`, { errors: [{ path, message: text }] })
}
