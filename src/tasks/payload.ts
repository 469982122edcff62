/**
 * What a job looks like on the wire: its data as JSON and nothing around it, so that any client can publish one, and a schedule of the
 * configuration too. What else there is to say stands in user properties.
 */

/** What the job is called; a job that another client published has none. */
export const taskIdProperty = 'task-id'

const decoder = new TextDecoder('utf-8', { fatal: true })

/** An empty payload is no data. @throws for what is no JSON */
export function readData(payload: Uint8Array): unknown {
  return payload.length === 0 ? undefined : JSON.parse(decoder.decode(payload))
}

/** @throws TypeError for what can't be JSON */
export function writeData(data: unknown): string {
  if (data === undefined) return ''
  const text = JSON.stringify(data) as string | undefined
  if (text === undefined) throw new TypeError(`${typeof data} can't be written as JSON`)
  return text
}
