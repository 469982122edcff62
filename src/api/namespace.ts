/**
 * Tokens of one namespace see and change that namespace and nothing else. Which one a call is about is asked here alone; calls
 * that do not ask are about the whole gateway and refused to such tokens (`requireRole`).
 */
import type { Context } from 'hono'
import type { Lazy } from '../core/ports/inspection.ts'
import type { ApiEnvironment } from './environment.ts'
import { Problem } from './problem.ts'
import type { ApiSources, Bearer } from './sources.ts'

type Call = Context<ApiEnvironment>

/** The namespace that the caller names, or its token's, or the default one. @throws Problem 403 for another than its token's */
export function namespaceOf(context: Call, asked: string | undefined): string {
  const { address } = context.get('caller')
  const asker = { bearer: context.get('bearer'), address, path: context.req.path }
  return placeOf(context.get('sources'), asker, asked)
}

/** Who asks, for the log. */
export interface Asker {
  bearer: Bearer | null
  address: string
  path: string
}

/** The same for whoever asks. */
export function placeOf(
  { auditRefusal }: Pick<ApiSources, 'auditRefusal'>,
  { bearer, address, path }: Asker,
  asked: string | undefined,
): string {
  const own = bearer?.namespace
  if (own === undefined) return asked ?? 'default'
  if (asked === undefined || asked === own) return own
  auditRefusal({ reason: 'namespace', token: bearer!.name, address, asked, path }, 'API call refused')
  throw new Problem(403, `the token ${bearer!.name} is for namespace ${own} only`)
}

/** Whose client or session a call is about. @throws Problem 403, as above */
export function ownerOf(context: Call, { clientId }: { clientId: string }, asked: { namespace?: string | undefined }) {
  return { namespace: namespaceOf(context, asked.namespace), clientId }
}

/** Of a list over all namespaces, what the caller may see. */
export function visible<Row extends { namespace: string }>(context: Call, rows: Lazy<Row>): Lazy<Row> {
  const own = context.get('bearer')?.namespace
  return own === undefined ? rows : within(rows, own)
}

/** What is left out is a step that brought nothing, so that the walk can still be cut. */
function* within<Row extends { namespace: string }>(rows: Lazy<Row>, namespace: string): Lazy<Row> {
  for (const row of rows) yield row !== null && row.namespace === namespace ? row : null
}
