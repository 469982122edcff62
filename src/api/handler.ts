/** The API as a function of Node's request and response. What it is made of is loaded with the first call. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Problem, problemAnswer } from './problem.ts'
import type { ApiSources, Caller } from './sources.ts'

export type ApiHandler = (request: IncomingMessage, response: ServerResponse, caller: Caller) => void

type Listener = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export function createApiHandler(sources: ApiSources): ApiHandler {
  const callers = new WeakMap<IncomingMessage, Caller>()
  let loading: Promise<Listener> | undefined
  const load = async (): Promise<Listener> => {
    const [{ getRequestListener, RequestError }, { createApi }] = await Promise.all([
      import('@hono/node-server'),
      import('./app.ts'),
    ])
    const api = createApi(sources)
    const onError = (error: unknown) => {
      if (error instanceof RequestError) {
        return problemAnswer(new Problem(400, 'Host and path of this request are no URL'))
      }
      sources.onError(error)
      return problemAnswer(new Problem(500, 'the gateway failed to answer this call'))
    }
    const listener = getRequestListener(
      (request, bindings) => {
        const { incoming, outgoing } = bindings as { incoming: IncomingMessage; outgoing: ServerResponse }
        return api.fetch(request, { incoming, outgoing, caller: callers.get(incoming)! } as never)
      },
      // HTTP/1.0 needs no Host.
      { overrideGlobalObjects: false, errorHandler: onError, hostname: 'localhost' },
    )
    return (request, response) => Promise.resolve(listener(request, response))
  }
  return (request, response, caller) => {
    callers.set(request, caller)
    response.once('finish', () => sources.onStatus(response.statusCode))
    loading ??= load()
    loading
      .then((listener) => listener(request, response))
      .catch((error: unknown) => {
        sources.onError(error)
        response.destroy()
      })
  }
}
