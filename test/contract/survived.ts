/** What a store gives back when it's opened: collected, in comparable form. */
import type {
  RecoveredDelayedCount,
  RecoveredDelayedName,
  RecoveredNumbers,
  Recovery,
  Store,
  StoredAttempt,
  StoredCursor,
  StoredId,
  StoredLog,
  StoredRetained,
  StoredSegment,
  StoredSequence,
  StoredSession,
  StoredStream,
  StoredSubscription,
  StoredWill,
} from '../../src/store/store.ts'

export interface Survived {
  numbers: RecoveredNumbers
  sessions: StoredSession[]
  subscriptions: StoredSubscription[]
  retained: StoredRetained[]
  wills: StoredWill[]
  incoming: [session: number, packetId: number][]
  released: [session: number, position: number][]
  sent: [session: number, position: number][]
  logs: StoredLog[]
  attempts: StoredAttempt[]
  streams: StoredStream[]
  segments: StoredSegment[]
  cursors: StoredCursor[]
  seen: StoredId[]
  counted: StoredSequence[]
  queues: { session: number; messages: number; bytes: number; firstPosition: number; lastPosition: number }[]
  delayed: RecoveredDelayedCount[]
  delayedNames: RecoveredDelayedName[]
  /** Absent where none was stored. */
  clock?: [time: number, wallOffset: number]
  /** The methods called, without repetitions: the order of the groups. */
  order: string[]
}

export async function open(store: Store): Promise<Survived> {
  const survived: Survived = {
    numbers: { nextSessionNumber: 0, nextMessageId: 0, retainedVersion: 0 },
    sessions: [],
    subscriptions: [],
    retained: [],
    wills: [],
    incoming: [],
    released: [],
    sent: [],
    logs: [],
    attempts: [],
    streams: [],
    segments: [],
    cursors: [],
    seen: [],
    counted: [],
    queues: [],
    delayed: [],
    delayedNames: [],
    order: [],
  }
  const seen = (name: string) => {
    if (survived.order.at(-1) !== name) survived.order.push(name)
  }
  const recovery: Recovery = {
    onClock: (time, wallOffset) => {
      seen('clock')
      survived.clock = [time, wallOffset]
    },
    onSession: (session) => seen('session') ?? survived.sessions.push(session),
    onSubscription: (subscription) => seen('subscription') ?? survived.subscriptions.push(subscription),
    onRetained: ({ message, ...retained }) =>
      seen('retained') ??
      survived.retained.push({
        ...retained,
        message: { ...message, payload: plain(message.payload), properties: plain(message.properties) },
      }),
    onWill: (will) =>
      seen('will') ??
      survived.wills.push({ ...will, payload: plain(will.payload), properties: plain(will.properties) }),
    onIncomingPacketId: (session, packetId) => seen('incoming') ?? survived.incoming.push([session, packetId]),
    onReleased: (session, position) => seen('released') ?? survived.released.push([session, position]),
    onSent: (session, position) => seen('sent') ?? survived.sent.push([session, position]),
    onLog: (log) => seen('log') ?? survived.logs.push(log),
    onAttempt: (attempt) => seen('attempt') ?? survived.attempts.push(attempt),
    onStream: (stream) => seen('stream') ?? survived.streams.push(stream),
    onSegment: (segment) => seen('segment') ?? survived.segments.push(segment),
    onCursor: (cursor) => seen('cursor') ?? survived.cursors.push(cursor),
    onSeen: (id) => seen('seen') ?? survived.seen.push(id),
    onCounted: (sequence) => seen('counted') ?? survived.counted.push(sequence),
    onQueue: (session, messages, bytes, firstPosition, lastPosition) =>
      seen('queue') ?? survived.queues.push({ session, messages, bytes, firstPosition, lastPosition }),
    onDelayed: (count) => seen('delayed') ?? survived.delayed.push(count),
    onDelayedName: (name) => seen('delayed') ?? survived.delayedNames.push(name),
  }
  survived.numbers = await store.open(recovery)
  sort(survived)
  return survived
}

/** What stores may tell in any order. */
function sort(survived: Survived): void {
  const text = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
  survived.sessions.sort((a, b) => a.number - b.number)
  survived.subscriptions.sort((a, b) => a.session - b.session || text(a.topicFilter, b.topicFilter))
  survived.retained.sort((a, b) => text(a.topic, b.topic))
  survived.wills.sort((a, b) => a.session - b.session)
  survived.incoming.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  survived.released.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  survived.sent.sort((a, b) => a[0] - b[0])
  survived.logs.sort((a, b) => a.number - b.number)
  survived.attempts.sort((a, b) => a.log - b.log || a.position - b.position)
  survived.streams.sort((a, b) => a.number - b.number)
  survived.cursors.sort((a, b) => a.session - b.session || text(a.filter, b.filter))
  survived.queues.sort((a, b) => a.session - b.session)
}

/** Buffers and views of buffers as plain arrays, which compare by content. */
export function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}
