/** Answers of the API that go on: read line by line while things happen. */
import type { Api } from './api.ts'

export interface LineReader<Line> {
  response: Response
  /** The next line; undefined: the answer has ended. */
  next(): Promise<Line | undefined>
  close(): Promise<void>
}

export async function readLines<Line>({ url, tokens }: Api, path: string): Promise<LineReader<Line>> {
  const response = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${tokens.operator}` } })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  const next = async (): Promise<Line | undefined> => {
    for (;;) {
      const end = rest.indexOf('\n')
      if (end >= 0) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 1)
        if (line !== '') return JSON.parse(line) as Line
        continue
      }
      const { value, done } = await reader.read()
      if (done) return undefined
      rest += value
    }
  }
  return { response, next, close: () => reader.cancel() }
}
