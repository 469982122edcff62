/**
 * `mqtide/client`: live messages in a page or a Node program, over the gateway's JSON WebSocket.
 *
 *     const connection = connect('http://127.0.0.1:8083')
 *     connection.subscribe('sensors/#', ({ topic, text }) => console.log(topic, text))
 *     await connection.publish('sensors/kitchen', { temperature: 21.5 })
 */
import { Connection, type ConnectOptions } from './connection.ts'

export type { BackOffLimits } from './back-off.ts'
export type { Connection, ConnectOptions, Events, PublishOptions, RequestOptions, State } from './connection.ts'
export { type ConsumeOptions, type Consumer, type Job, JobError, type JobHandler } from './consumer.ts'
export { type ErrorCode, MqtideError } from './errors.ts'
export type { SocketConstructor, SocketLike } from './link.ts'
export type { Message } from './message.ts'
export type { OutboxLimits } from './outbox.ts'
export type { StreamCallback, StreamOptions, StreamReader } from './stream-reader.ts'
export type { MessageCallback, SubscribeOptions, Subscription } from './subscription.ts'
export type { Qos } from './wire.ts'

/** Starts to connect and returns at once; what is subscribed and published meanwhile follows. In a page the URL may be left out. */
export function connect(url?: string | URL, options: ConnectOptions = {}): Connection {
  return new Connection(url, options)
}
