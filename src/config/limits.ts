/** The limits among the options: for one client, and over all of them. */
import { z } from 'zod'
import { budgetLimits, changeableLimits, defaultBrokerOptions as core } from '../core/options.ts'
import { arrivalLimitFields, clientLimitFields, userLimitsSchema } from './client-limit-fields.ts'
import { GiB, KiB, MiB, wholeNumber } from './fields.ts'

/** Those that a running gateway takes. */
export const reloadedLimits: readonly string[] = [
  ...['connectionsMax', 'handshakesMax', 'users'],
  ...Object.keys({ ...arrivalLimitFields, ...clientLimitFields }),
  ...[...changeableLimits, ...Object.values(budgetLimits)],
]

/** The largest remaining length there is, and the five bytes of the fixed header before it (2.1.4). */
const packetBytesOfProtocolMax = 268_435_455 + 5

export const limitsSchema = z.strictObject(
  {
    packetBytesMax: wholeNumber(16, packetBytesOfProtocolMax)
      .default(core.packetBytesMax)
      .describe('Largest packet accepted from a client; announced to MQTT 5.0 clients as Maximum Packet Size.'),
    jsonMessageBytesMax: wholeNumber(1024, 64 * MiB)
      .default(core.jsonMessageBytesMax)
      .describe('Longest message accepted on the JSON WebSocket; a longer one ends its connection (close code 4149).'),
    connectTimeoutMs: wholeNumber(10, 3_600_000)
      .default(core.connectTimeoutMs)
      .describe('How long a new connection may take until its CONNECT packet is complete.'),
    authenticationTimeoutMs: wholeNumber(10, 3_600_000)
      .default(core.authenticationTimeoutMs)
      .describe('How long an authenticator may take to answer; then the client is refused (0x88).'),
    receiveMaximum: wholeNumber(1, 65_535)
      .default(core.receiveMaximum)
      .describe('QoS 1 and 2 messages that a client may have in flight towards the gateway.'),
    topicAliasMaximum: wholeNumber(0, 65_535)
      .default(core.topicAliasMaximum)
      .describe('Topic aliases that an MQTT 5.0 client may use towards the gateway.'),
    inflightMessagesMax: wholeNumber(1, 65_535)
      .default(core.inflightMessagesMax)
      .describe("QoS 1 and 2 messages in flight towards a client; the client's Receive Maximum may lower it."),
    outputBufferBytesMax: wholeNumber(1, 4 * GiB)
      .default(4 * MiB)
      .describe('Bytes that wait for a slow connection; QoS 0 messages beyond it are dropped and counted.'),
    sessionQueueMessagesMax: wholeNumber(1, 1_000_000_000)
      .default(core.sessionQueueMessagesMax)
      .describe('Messages that wait for one session.'),
    sessionQueueBytesMax: wholeNumber(1, 1024 * GiB)
      .default(core.sessionQueueBytesMax)
      .describe('Bytes of messages that wait for one session.'),
    sessionExpirySecondsMax: wholeNumber(0, 0xffff_ffff)
      .default(core.sessionExpirySecondsMax)
      .describe('Longest session expiry; 4294967295 lets sessions that ask for it live for ever.'),
    connectionsMax: wholeNumber(1, 10_000_000)
      .default(100_000)
      .describe(
        'Clients at the same time; beyond it CONNECT is refused (0x97), but for a client that takes over its own connection.',
      ),
    handshakesMax: wholeNumber(1, 10_000_000)
      .default(5_000)
      .describe(
        'Connections whose CONNECT is not accepted yet; beyond it a new one displaces the one that has waited longest.',
      ),
    httpSocketsMax: wholeNumber(1, 10_000_000)
      .default(1_000)
      .describe('HTTP connections, WebSockets aside; beyond it a new one displaces the one that has waited longest.'),
    subscriptionsPerSessionMax: wholeNumber(1, 10_000_000)
      .default(core.subscriptionsPerSessionMax)
      .describe('Subscriptions of one session.'),
    topicLevelsMax: wholeNumber(1, 1000)
      .default(core.topicLevelsMax)
      .describe('Levels of a topic name or filter; one with more is refused (0x90, 0x8F).'),
    filtersPerSubscribeMax: wholeNumber(1, 1_000_000)
      .default(10_000)
      .describe('Topic filters of one SUBSCRIBE or UNSUBSCRIBE; one with more ends its connection (0x97).'),
    propertiesPerPacketMax: wholeNumber(30, 1_000_000)
      .default(1000)
      .describe(
        'MQTT 5.0 properties of one packet, user properties among them; one with more ends its connection (0x97).',
      ),
    clientIdBytesMax: wholeNumber(23, 65_535)
      .default(1024)
      .describe(
        'Longest client identifier; a longer one is refused (0x85), since every stored message names its publisher.',
      ),
    routeCacheEntriesMax: wholeNumber(1, 10_000_000)
      .default(core.routeCacheEntriesMax)
      .describe('Topics whose recipients are kept resolved.'),
    routeCacheBytesMax: wholeNumber(64 * KiB, 64 * GiB)
      .default(core.routeCacheBytesMax)
      .describe('Bytes of topics and their resolved recipients; beyond it the least used give way.'),
    sessionsMax: wholeNumber(1, 100_000_000)
      .default(core.sessionsMax)
      .describe('Sessions, connected or not; a client that would need one more is refused (0x97; 3 in MQTT 3.x).'),
    anonymousSessionsMax: wholeNumber(0, 100_000_000)
      .default(core.anonymousSessionsMax)
      .describe('Sessions that belong to no principal; refused alike.'),
    subscriptionsMax: wholeNumber(1, 1_000_000_000)
      .default(core.subscriptionsMax)
      .describe('Subscriptions of all sessions; one more is answered 0x97 (0x80 in MQTT 3.1.1).'),
    subscriptionBytesMax: wholeNumber(MiB, 1024 * GiB)
      .default(core.subscriptionBytesMax)
      .describe('Bytes that subscriptions and their filters take, about; one beyond it is answered 0x97.'),
    sharedGroupsPerFilterMax: wholeNumber(1, 1_000_000)
      .default(core.sharedGroupsPerFilterMax)
      .describe('Share groups of one filter, each of which gets a copy of every message; one more is answered 0x97.'),
    retainedBytesMax: wholeNumber(0, 1024 * GiB)
      .default(core.retainedBytesMax)
      .describe(
        'Bytes that retained messages and their topics take in memory; beyond it as beyond retainedMessagesMax.',
      ),
    willBytesMax: wholeNumber(0, 1024 * GiB)
      .default(core.willBytesMax)
      .describe('Bytes of wills; a CONNECT whose will goes beyond it is refused (0x97; 3 in MQTT 3.x).'),
    residentBytesMax: wholeNumber(MiB, 1024 * GiB)
      .default(core.residentBytesMax)
      .describe(
        'Bytes of messages that wait in memory; beyond it stored sessions wait in the store alone, and the others have room for 64 KiB each.',
      ),
    residentBytesPerSessionMax: wholeNumber(64 * KiB, 64 * GiB)
      .default(core.residentBytesPerSessionMax)
      .describe(
        'Bytes of messages in memory for one session whose queue is stored; what goes beyond is in the store alone.',
      ),
    handshakeBytesMax: wholeNumber(MiB, 64 * GiB)
      .default(core.handshakeBytesMax)
      .describe('Bytes of CONNECT packets that are not whole yet; beyond it the connection that adds to them ends.'),
    partialPacketBytesMax: wholeNumber(MiB, 1024 * GiB)
      .default(core.partialPacketBytesMax)
      .describe('The same for other packets; 5.0 clients get 0x97.'),
    outputBytesMax: wholeNumber(MiB, 1024 * GiB)
      .default(core.outputBytesMax)
      .describe('Bytes of output that peers do not read; beyond it the output of each is full at 64 KiB.'),
    delayedMessagesMax: wholeNumber(0, 1_000_000_000)
      .default(core.delayedMessagesMax)
      .describe('Messages that wait until they are due; one more is refused (0x97).'),
    delayedBytesMax: wholeNumber(0, 1024 * GiB)
      .default(core.delayedBytesMax)
      .describe(
        'Bytes of messages that wait until they are due, 500 for each included; beyond it as beyond delayedMessagesMax.',
      ),
    ...arrivalLimitFields,
    connectWaitMsMax: wholeNumber(0, 600_000)
      .default(core.connectWaitMsMax)
      .describe('Longest time that a connection waits for its turn where connectsPerSecondMax is set.'),
    ...clientLimitFields,
    users: z
      .array(userLimitsSchema, 'expected a list of users and their limits')
      .max(100_000)
      .optional()
      .describe(
        'Limits of single users, in place of those of all and of their listener; of several about one user the first holds.',
      ),
    ratePauseMsMax: wholeNumber(10, 600_000)
      .default(core.ratePauseMsMax)
      .describe(
        'Longest time that nothing is read from a client which publishes too fast; beyond it the client is disconnected (0x96).',
      ),
    retainedMessagesMax: wholeNumber(0, 1_000_000_000).default(core.retainedMessagesMax).describe('Retained messages.'),
    pendingCommitBytesMax: wholeNumber(1, 4 * GiB)
      .default(64 * MiB)
      .describe('Bytes that wait for a commit; at it, publishes that need the store are no longer read.'),
    restartWillGraceMs: wholeNumber(0, 86_400_000)
      .default(core.restartWillGraceMs)
      .describe('After a restart or a crash, how long clients may take to come back before their wills are published.'),
    diskFreeBytesMin: wholeNumber(0, 1024 * GiB)
      .default(64 * MiB)
      .describe(
        'Room on the disk below which nothing new is accepted that would have to be stored; 5.0 clients get 0x97.',
      ),
    ballastBytes: wholeNumber(0, 64 * GiB)
      .default(16 * MiB)
      .describe(
        'A file beside the database that is deleted when the disk is full, so that removals have room. 0: none.',
      ),
  },
  'expected the limits as names and values',
)
