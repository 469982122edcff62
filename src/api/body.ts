/** Bodies of calls: JSON, bounded in bytes and in depth before anything looks at it. */
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { createMiddleware } from 'hono/factory'
import { depthOf } from '../json/depth.ts'
import type { ApiEnvironment } from './environment.ts'
import { Problem } from './problem.ts'

export const bodyBytesMax = 1024 * 1024
export const bodyDepthMax = 16

export const boundedJson = createMiddleware<ApiEnvironment>(async (context, next) => {
  const { incoming, outgoing } = context.env
  if (!/^application\/json\s*(;|$)/i.test(incoming.headers['content-type'] ?? '')) {
    throw new Problem(415, 'expected a body with Content-Type: application/json')
  }
  if (Number(incoming.headers['content-length'] ?? 0) > bodyBytesMax) throw tooLarge()
  if (incoming.headers.expect !== undefined) outgoing.writeContinue()
  const text = await readText(incoming)
  if (depthOf(text) > bodyDepthMax) {
    throw new Problem(400, `the body is nested deeper than ${bodyDepthMax} levels`)
  }
  try {
    // Where validation looks for it.
    context.req.bodyCache.json = Promise.resolve(JSON.parse(text))
  } catch {
    throw new Problem(400, 'the body is not JSON')
  }
  await next()
})

async function readText(incoming: IncomingMessage | Http2ServerRequest): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // The socket stays: it has an answer to take.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bodyBytesMax) throw tooLarge()
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new Problem(400, 'the body is not UTF-8')
  }
}

function tooLarge(): Problem {
  return new Problem(413, `a body has at most ${bodyBytesMax} bytes`)
}
