/** Every error of the API is a problem document (RFC 9457): what is wrong in words, and for a faulty request where. */
import type { ContentfulStatusCode } from 'hono/utils/http-status'

export const problemStatuses = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
} as const satisfies Partial<Record<ContentfulStatusCode, string>>
export type ProblemStatus = keyof typeof problemStatuses

export interface FieldFault {
  /** Of the request: `query.limit`, `body.topic`. */
  path: string
  message: string
}

/** Ends a call with that document. */
export class Problem extends Error {
  readonly status: ProblemStatus
  readonly errors: readonly FieldFault[]
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: ProblemStatus,
    detail: string,
    more: { errors?: readonly FieldFault[]; headers?: Record<string, string> } = {},
  ) {
    super(detail)
    this.status = status
    this.errors = more.errors ?? []
    this.headers = more.headers ?? {}
  }
}

export const problemContentType = 'application/problem+json'

export function problemAnswer(problem: Problem): Response {
  const headers = { ...problem.headers, 'content-type': problemContentType, 'cache-control': 'no-store' }
  return new Response(problemText(problem), { status: problem.status, headers })
}

export function problemText({ status, message, errors }: Pick<Problem, 'status' | 'message' | 'errors'>): string {
  const faults = errors.length === 0 ? {} : { errors }
  const document = { type: 'about:blank', title: problemStatuses[status], status, detail: message, ...faults }
  return `${JSON.stringify(document)}\n`
}
