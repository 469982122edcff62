/** The streams of all namespaces: as they are declared, and as the store knows them. */
import { parseTopicFilter } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import { defaultNamespaceName, type Namespace } from '../namespace.ts'
import type { RecoveredCursor, RecoveredSegment, RecoveredStream } from '../ports/recovered.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import { endReader, groupOf } from './read-stream.ts'
import { Stream } from './stream.ts'
import { type DeclaredStream, defaultStreamDefinition, type StreamDefinition } from './stream-definition.ts'
import { StreamReader } from './stream-reader.ts'

/** These streams there are from here on. What the others have is kept as it is, until they are declared again. */
export function declareStreams(broker: Broker, declared: readonly DeclaredStream[]): void {
  const wanted = new Map<Namespace, Set<string>>()
  for (const { namespace: place, name } of declared) {
    const namespace = broker.namespace(place)
    wanted.set(namespace, (wanted.get(namespace) ?? new Set()).add(name))
  }
  for (const namespace of broker.namespaces.values()) {
    for (const stream of namespace.streams.values()) {
      if (!wanted.get(namespace)?.has(stream.name)) withdraw(broker, stream)
    }
  }
  for (const { namespace, name, definition } of declared) declare(broker, broker.namespace(namespace), name, definition)
}

function declare(broker: Broker, namespace: Namespace, name: string, definition: StreamDefinition): void {
  let stream = namespace.streams.get(name)
  if (stream === undefined) {
    stream = new Stream(broker, namespace, name, definition)
    namespace.streams.set(name, stream)
  }
  stream.declared = true
  const captures = stream.subscription?.filter ?? null
  stream.redefine(definition)
  if (captures === definition.filter) return
  capture(stream, definition.filter)
  if (stream.stored && stream.number > 0) broker.journal.stream(stream)
}

function capture(stream: Stream, filter: string | null): void {
  const { namespace, subscription } = stream
  if (subscription !== null) namespace.removeOwn(subscription)
  stream.subscription = null
  const parsed = filter === null ? undefined : parseTopicFilter(filter)
  if (filter === null || parsed === undefined) return
  stream.subscription = new Subscription(stream, filter)
  stream.subscription.qos = 1
  namespace.addOwn(stream.subscription, parsed)
}

/** Nobody declares it any more: nothing comes in, nothing goes, nobody reads it. */
function withdraw(broker: Broker, stream: Stream): void {
  if (!stream.declared) return
  stream.declared = false
  capture(stream, null)
  for (const reader of [...stream.readers]) {
    const { session, filter } = reader
    endReader(broker, reader)
    session.subscriptions.delete(filter)
    if (session.stored) broker.journal.unsubscription(session, filter)
    broker.counters.subscriptionsRevoked++
  }
  stream.endWatches()
}

/** A stream in the store. */
export function recoverStream(broker: Broker, stored: RecoveredStream): void {
  const { number, name, filter, firstOffset } = stored
  const namespace = broker.namespace(stored.namespace || defaultNamespaceName)
  let stream = namespace.streams.get(name)
  if (stream === undefined) {
    stream = new Stream(broker, namespace, name, { ...defaultStreamDefinition, filter })
    stream.declared = false
    namespace.streams.set(name, stream)
  }
  stream.number = number
  stream.firstOffset = firstOffset
  broker.streamsByNumber.set(number, stream)
}

export function recoverSegment(broker: Broker, segment: RecoveredSegment): void {
  broker.streamsByNumber.get(segment.stream)?.recoverSegment(segment)
}

/** Comes behind the subscriptions: one of a session belongs to a reader that is there. */
export function recoverCursor(broker: Broker, cursor: RecoveredCursor): void {
  const { session: number, name, filter, position, notBefore, open } = cursor
  const stream = broker.streamsByNumber.get(cursor.stream)
  if (stream === undefined) return
  if (number === 0) {
    groupOf(broker, stream, name, filter === '' ? null : filter).recover(position, notBefore, open)
    return
  }
  const reader = broker.sessionsByNumber.get(number)?.subscriptions.get(filter)
  if (reader instanceof StreamReader && reader.stream === stream) reader.recover(position, notBefore)
}

/** Everything was handed over. */
export function endStreamRecovery(broker: Broker): void {
  for (const { streams } of broker.namespaces.values()) {
    for (const stream of streams.values()) if (stream.number > 0) stream.endRecovery(broker.now)
  }
}

/** What readers and groups acknowledged until now is known to the next process. */
export function writeCursors(broker: Broker): void {
  for (const { streams } of broker.namespaces.values()) {
    for (const { readers, groups } of streams.values()) {
      for (const reader of readers) reader.writeCursor()
      for (const group of groups.values()) group.writeCursor()
    }
  }
}
