/** What the routes are made with: who may, which problems are possible, what an answer looks like. */
import { OpenAPIHono, type z } from '@hono/zod-openapi'
import type { Need } from './access.ts'
import { boundedJson } from './body.ts'
import type { ApiEnvironment } from './environment.ts'
import { type FieldFault, Problem, type ProblemStatus, problemContentType, problemStatuses } from './problem.ts'
import { requireRole } from './require-role.ts'
import { problemSchema } from './schemas.ts'

export type Api = OpenAPIHono<ApiEnvironment>

/** A request that fits its schema not is a problem that names each fault. */
export function createApp(): Api {
  return new OpenAPIHono<ApiEnvironment>({
    // With or without a slash at the end.
    strict: false,
    defaultHook: (result) => {
      if (result.success) return
      const errors = result.error.issues.flatMap(narrowed).map(({ path, message }): FieldFault => {
        return { path: [partOf[result.target] ?? result.target, ...path.map(String)].join('.'), message }
      })
      throw new Problem(400, `the request is not valid: ${errors[0]!.path}: ${errors[0]!.message}`, { errors })
    },
  })
}

type Issue = z.core.$ZodIssue

/** Of what fits none of several forms, what is wrong with it as the one that it is closest to. */
function narrowed(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const isOtherKind = ([first]: Issue[]) => first?.code === 'invalid_type' && first.path.length === 0
  const forms = issue.errors.filter((form) => form.length > 0 && !isOtherKind(form))
  const [closest = issue.errors[0]] = forms.sort((one, other) => one.length - other.length)
  return closest === undefined || closest.length === 0 ? [issue] : closest
}

const partOf: Readonly<Record<string, string>> = { param: 'path', json: 'body' }

/** Of a route: its middleware, and what the document says of it. */
export function needs(need: Need, options: { body?: true } = {}) {
  const open = need.open === true ? [{}] : []
  return {
    middleware: options.body === true ? [requireRole(need), boundedJson] : [requireRole(need)],
    security: [{ token: [] as string[] }, ...open],
    'x-role': need.role,
  }
}

export function json<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { content: { 'application/json': { schema } }, description }
}

type ProblemAnswers<Status extends ProblemStatus> = {
  [Key in Status]: { content: { [problemContentType]: { schema: typeof problemSchema } }; description: string }
}

/** Besides those that any call may meet. */
export function problems<Status extends ProblemStatus = never>(
  ...statuses: Status[]
): ProblemAnswers<Status | 401 | 429> {
  const all = [...statuses, 401, 429] as const
  const answers = all.map((status) => [
    status,
    { content: { [problemContentType]: { schema: problemSchema } }, description: problemStatuses[status] },
  ])
  return Object.fromEntries(answers) as ProblemAnswers<Status | 401 | 429>
}
