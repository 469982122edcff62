/**
 * Answers that go on: one JSON value on each line (application/x-ndjson) as things happen, until so many have come, the time is over or
 * the caller goes. An empty line every few seconds says that nobody is lost.
 *
 * A caller who does not read as fast holds up nobody: what does not fit into his buffer is left out, and the next line that does says
 * how many those were.
 */
import { z } from '@hono/zod-openapi'

export const lineBufferBytesMax = 1024 * 1024
const heartbeatMs = 10_000

export const secondsQuery = z.coerce
  .number()
  .int()
  .min(1)
  .max(3600)
  .default(600)
  .describe('How long; then the answer ends.')

export const countQuery = z.coerce
  .number()
  .int()
  .min(1)
  .max(1_000_000)
  .optional()
  .describe('How many lines; then the answer ends.')

export const lineContent = 'application/x-ndjson'

export interface Lines {
  /** `leftOut`: lines before this one that had no room. False: it has none either. */
  write(line: (leftOut: number) => object): boolean
  end(): void
}

interface Asked {
  seconds: number
  count: number | undefined
}

/** `open` begins what brings lines, and returns what ends it. */
export function streamLines({ seconds, count }: Asked, open: (lines: Lines) => () => void): never {
  let stop = (): void => {}
  const stream = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let left = count ?? Number.POSITIVE_INFINITY
        let leftOut = 0
        let ended = false
        const heartbeat = setInterval(() => {
          if (controller.desiredSize! > 0) controller.enqueue(Buffer.from('\n'))
        }, heartbeatMs)
        const end = (): void => {
          if (ended) return
          stop()
          controller.close()
        }
        const timer = setTimeout(end, seconds * 1000)
        const close = open({
          write(line) {
            if (ended) return false
            if (controller.desiredSize! <= 0) {
              leftOut++
              return false
            }
            controller.enqueue(Buffer.from(`${JSON.stringify(line(leftOut))}\n`))
            leftOut = 0
            if (--left <= 0) end()
            return true
          },
          end,
        })
        stop = () => {
          ended = true
          clearInterval(heartbeat)
          clearTimeout(timer)
          close()
        }
        if (left <= 0) stop()
      },
      cancel() {
        stop()
      },
    },
    { highWaterMark: lineBufferBytesMax, size: (chunk) => chunk!.byteLength },
  )
  // To the router's types, whatever has json in its name is one JSON value.
  return new Response(stream, { headers: { 'content-type': lineContent, 'cache-control': 'no-store' } }) as never
}
