/** Asks a listener's authentication who somebody is who does not connect yet, as CONNECT would. */
import type { IncomingMessage } from 'node:http'
import type { Engine } from '../engine/engine.ts'
import { clientOfRequest, type TrustedProxies } from './client-address.ts'
import { type ListenerWords, peerOf } from './peer.ts'

export interface Credentials {
  username?: string
  password?: string
  bearer?: string
}

const serverUnavailable = 0x88

/** Resolves with the reason code of the answer; with 0x88 where there is none in time. */
export function identify(
  engine: Engine,
  request: IncomingMessage,
  { words, proxies }: { words: ListenerWords; proxies: TrustedProxies | undefined },
  { username, password, bearer }: Credentials,
): Promise<number> {
  const { broker } = engine
  return new Promise((resolve) => {
    const client = clientOfRequest(request, proxies)
    const peer = { ...peerOf(request.socket, words, client), ...(bearer !== undefined && { bearer }) }
    const cancel = engine.after(broker.options.authenticationTimeoutMs, () => resolve(serverUnavailable))
    const packet = {
      ...({ version: 5, cleanStart: true, keepAlive: 0, clientId: broker.assignClientId(), properties: {} } as const),
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password: Buffer.from(password, 'utf8') }),
    }
    engine.run(() =>
      broker.authority.authenticate(packet, peer, ({ reasonCode }) => {
        cancel()
        resolve(reasonCode)
      }),
    )
  })
}
