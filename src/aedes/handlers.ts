/** What a program that embeds aedes may decide, and what is decided where it does not. */
import type { AedesClient } from './client.ts'
import type { AedesPublishPacket, ConnectPacket, IncomingPublishPacket, Subscription } from './packets.ts'

export type AuthenticateError = Error & { returnCode?: number }
type Done = (error?: Error | null) => void

export interface Handlers {
  /** Before anything of CONNECT is looked at. */
  preConnect(
    client: AedesClient,
    packet: ConnectPacket,
    callback: (error: Error | null, success: boolean) => void,
  ): void
  authenticate(
    client: AedesClient,
    username: string | undefined,
    password: Buffer | undefined,
    callback: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void
  /** May change the packet. `client`: null for a will whose client is gone. */
  authorizePublish(client: AedesClient | null, packet: IncomingPublishPacket, callback: Done): void
  /** May answer with another subscription, or with none. */
  authorizeSubscribe(
    client: AedesClient,
    subscription: Subscription,
    callback: (error: Error | null, subscription?: Subscription | null) => void,
  ): void
  /** Answers with the packet, which it may change, or with nothing. */
  authorizeForward(client: AedesClient, packet: AedesPublishPacket): AedesPublishPacket | null | undefined
  /** Of clients, and of the program: then `client` is null. */
  published(packet: AedesPublishPacket, client: AedesClient | null, callback: Done): void
}

export const systemPrefix = '$SYS/'

export const defaultHandlers: Handlers = {
  preConnect: (_client, _packet, callback) => callback(null, true),
  authenticate: (_client, _username, _password, callback) => callback(null, true),
  authorizePublish(_client, { topic }, callback) {
    callback(topic.startsWith(systemPrefix) ? new Error(`${systemPrefix} topic is reserved`) : null)
  },
  authorizeSubscribe: (_client, subscription, callback) => callback(null, subscription),
  authorizeForward: (_client, packet) => packet,
  published: (_packet, _client, callback) => callback(null),
}
