/**
 * `mqtide/aedes`: the broker that the gateway is, under the names of aedes, for programs that embed one. docs/coming-from-aedes.md says
 * what is not the same, and why.
 */
import { Aedes } from './broker.ts'
import type { AedesOptions } from './options.ts'

export { Aedes } from './broker.ts'
export { AedesClient } from './client.ts'
export type { AedesOptions } from './options.ts'
export type {
  AckPacket,
  AedesPublishPacket,
  ConnackPacket,
  ConnectPacket,
  PublishPacket,
  Subscription,
} from './packets.ts'

/** As in aedes before 1.0: a broker at once. It takes streams at once, too, and serves them when its store is open. */
export function createBroker(options: AedesOptions = {}): Aedes {
  return new Aedes(options).begin()
}

/** What `require('aedes')` was before 1.0. */
const aedes = Object.assign((options: AedesOptions = {}) => createBroker(options), {
  Aedes,
  createBroker,
  Server: createBroker,
})

export { aedes as Server, aedes as 'module.exports' }
export default aedes
