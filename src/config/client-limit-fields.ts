/** Options that limit what one client, or one user, may do: of all listeners and of each. */
import { z } from 'zod'
import { GiB, text, wholeNumber } from './fields.ts'

const perSecond = () => wholeNumber(1, 1_000_000_000).optional()
const bytesPerSecond = () => wholeNumber(1, 1024 * GiB).optional()

/** The same for connections. */
export const arrivalLimitFields = {
  connectionsPerAddressMax: wholeNumber(1, 10_000_000)
    .optional()
    .describe(
      'Clients from one address (IPv6: one network of 64 bits) at the same time, this machine itself aside; beyond it CONNECT is refused (0x97).',
    ),
  connectsPerSecondMax: wholeNumber(1, 1_000_000)
    .optional()
    .describe(
      'Connections let in each second; the others wait in order, up to limits.connectWaitMsMax, then 0x9F (3 in MQTT 3.x).',
    ),
}

/** Unset, there is no such limit. In `limits` and in a listener's. */
export const clientLimitFields = {
  publishesPerSecondMax: perSecond().describe(
    'PUBLISH packets per second of one connection. Who sends more is told once (0x97, 5.0 at QoS 1 and 2) and then read more slowly.',
  ),
  publishesBurstMax: perSecond().describe('PUBLISH packets at once after a pause; unset, those of a second.'),
  publishBytesPerSecondMax: bytesPerSecond().describe('Bytes of PUBLISH packets per second of one connection, alike.'),
  publishBytesBurstMax: bytesPerSecond().describe('Such bytes at once after a pause; unset, those of a second.'),
  userPublishesPerSecondMax: perSecond().describe(
    'PUBLISH packets per second of all connections of one user together.',
  ),
  userPublishesBurstMax: perSecond().describe('Such packets at once after a pause; unset, those of a second.'),
  userPublishBytesPerSecondMax: bytesPerSecond().describe('Bytes of such packets per second.'),
  userPublishBytesBurstMax: bytesPerSecond().describe('Such bytes at once after a pause; unset, those of a second.'),
}

/** What a user may have, besides how fast its connections are. */
export const userLimitsSchema = z.strictObject(
  {
    user: z
      .union([text(1024), z.array(text(1024)).min(1)], 'expected a user name or a list of them')
      .describe('Names of users.'),
    sessionsMax: wholeNumber(1, 100_000_000)
      .optional()
      .describe('Sessions of the user, connected or not; CONNECT for one more is refused (0x97; 3 in MQTT 3.x).'),
    subscriptionsMax: wholeNumber(1, 10_000_000)
      .optional()
      .describe('Subscriptions of each of its sessions, in place of limits.subscriptionsPerSessionMax.'),
    ...clientLimitFields,
  },
  'expected a user and its limits, for example `user: alice` and `sessionsMax: 5`',
)
