/** Records with something in every field, to be varied. */
import { type BatchRecords, BatchWriter } from '../../src/store/batch.ts'
import type {
  StoredDelayed,
  StoredMessage,
  StoredReference,
  StoredSession,
  StoredSubscription,
  StoredWill,
} from '../../src/store/store.ts'

export const session = (number: number, over: Partial<StoredSession> = {}): StoredSession => ({
  number,
  clientId: `client-${number}`,
  version: 5,
  expiryInterval: 3600,
  expiresAt: 1_800_000_000_123,
  connected: false,
  username: 'ümlaut',
  namespace: '',
  principal: 'user:ümlaut',
  ...over,
})

export const subscription = (
  owner: number,
  topicFilter: string,
  over: Partial<StoredSubscription> = {},
): StoredSubscription => ({
  session: owner,
  topicFilter,
  qos: 1,
  noLocal: false,
  retainAsPublished: true,
  retainHandling: 2,
  identifier: 268_435_455,
  ...over,
})

export const message = (id: number, over: Partial<StoredMessage> = {}): StoredMessage => ({
  id,
  topic: `plant/${id % 7}/temperature`,
  payload: new TextEncoder().encode(`payload ${id}`),
  properties: new Uint8Array([1, 0, 3, 0, 1, 120]),
  qos: 1,
  expiresAt: Number.POSITIVE_INFINITY,
  publisher: 'sensor',
  publishedAt: 1_700_000_000_000 + id,
  ...over,
})

export const reference = (
  owner: number,
  position: number,
  messageId: number,
  over: Partial<StoredReference> = {},
): StoredReference => ({
  session: owner,
  position,
  messageId,
  qos: 1,
  retain: false,
  sharedFilter: '',
  subscriptionIdentifiers: [],
  ...over,
})

export const will = (owner: number, over: Partial<StoredWill> = {}): StoredWill => ({
  session: owner,
  topic: 'plant/status',
  payload: new TextEncoder().encode('gone'),
  properties: new Uint8Array([1, 1]),
  qos: 2,
  retain: true,
  delayInterval: 30,
  messageExpiryInterval: -1,
  dueAt: Number.POSITIVE_INFINITY,
  ...over,
})

export const delayed = (id: number, over: Partial<StoredDelayed> = {}): StoredDelayed => ({
  id,
  namespace: '',
  clock: 'steady',
  dueAt: 1_800_000_000_000,
  retain: true,
  principal: 'user:ümlaut',
  scheduleId: 'lämp',
  expirySeconds: 30,
  topic: 'plant/lämp',
  payload: new Uint8Array([0, 255, 128]),
  properties: new Uint8Array([1, 0, 3, 0, 1, 120, 0]),
  qos: 2,
  publisher: 'sensor',
  publishedAt: 1_700_000_000_000,
  ...over,
})

export function batch(write: (records: BatchRecords) => void): ArrayBuffer {
  const writer = new BatchWriter()
  write(writer)
  return writer.take()
}
