/** What a worker tells whoever asked for a result: how far it is, what came out, that it failed. */
import type { Incoming, Outgoing } from './broker.ts'
import { readData, writeData } from './payload.ts'

/** `failed`: and is tried again; `dead`: and is not. */
export type Status = 'progress' | 'done' | 'failed' | 'dead'

const statuses: readonly string[] = ['progress', 'done', 'failed', 'dead'] satisfies Status[]

const statusProperty = 'task-status'

export function answerTo({ correlationData }: Incoming, status: Status, value: unknown): Outgoing {
  return {
    payload: writeData(value),
    contentType: 'application/json',
    userProperties: [[statusProperty, status]],
    ...(correlationData === undefined ? {} : { correlationData }),
  }
}

/** Undefined: it is none of ours. An answer without status, as of a worker that is no program of this library, is the result. */
export function readAnswer(answer: Incoming): { status: Status; value: unknown } | undefined {
  const status = answer.property(statusProperty) ?? 'done'
  if (!statuses.includes(status)) return undefined
  try {
    return { status: status as Status, value: readData(answer.payload) }
  } catch {
    return undefined
  }
}
