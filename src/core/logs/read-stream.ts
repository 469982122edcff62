/** SUBSCRIBE to a stream, and what a session's life means for what it reads. */
import type { Properties, Qos, SubscriptionRequest } from '../../mqtt/packet.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { parseTopicFilter, sharePrefix } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import { mayConsume } from '../ports/authority.ts'
import type { Session } from '../session/session.ts'
import { noIdentifiers } from '../subscriptions/subscription-index.ts'
import { streamPrefix } from './address.ts'
import { type ConsumeRefusal, refusal } from './consume.ts'
import { ConsumerGroup } from './consumer-group.ts'
import type { Stream } from './stream.ts'
import { streamGroupCharactersMax, streamGroupsMax } from './stream-definition.ts'
import { StreamReader } from './stream-reader.ts'
import { isStreamStart, type StreamStart, streamStartOf, streamStartWords } from './stream-start.ts'

/** What the filter of a subscription says of a stream. */
export interface StreamAddress {
  readonly name: string
  /** As `@<start>` says it; null: it does not. */
  readonly start: string | null
  /** Of the stream's topics; null: all. */
  readonly filter: string | null
  /** Null: the reader has a place of its own. */
  readonly group: string | null
}

/** Whether the filter is about a stream, of a group too. */
export function isStreamFilter(filter: string): boolean {
  if (filter.startsWith(streamPrefix)) return true
  return filter.startsWith(sharePrefix) && (parseTopicFilter(filter)?.filter.startsWith(streamPrefix) ?? false)
}

/** Of a valid filter that is about one. */
export function streamAddressOf(topicFilter: string): StreamAddress {
  const parsed = parseTopicFilter(topicFilter)!
  const text = parsed.filter.slice(streamPrefix.length)
  const slash = text.indexOf('/')
  const first = slash < 0 ? text : text.slice(0, slash)
  const at = first.indexOf('@')
  return {
    name: at < 0 ? first : first.slice(0, at),
    start: at < 0 ? null : first.slice(at + 1),
    filter: slash < 0 ? null : text.slice(slash + 1),
    group: parsed.shared?.group ?? null,
  }
}

/** The stream that it names; a text: why it names none. */
function streamOf({ namespace }: Session, { name, filter, group }: StreamAddress): Stream | string {
  const stream = namespace.streams.get(name)
  if (stream === undefined || !stream.declared) return `there is no stream ${name}`
  if (filter !== null && parseTopicFilter(filter) === undefined) return `${filter} is no topic filter`
  if (group !== null && group.length > streamGroupCharactersMax) return 'the name of the group is too long'
  return stream
}

/** The first user property of this name. */
function property({ userProperties = [] }: Properties, name: string): string | null {
  return userProperties.find(([key]) => key === name)?.[1] ?? null
}

/** Why the client may not; null: it may. Limits on subscriptions are the caller's. Nothing is changed yet. */
export function readRefusal(
  broker: Broker,
  session: Session,
  request: SubscriptionRequest,
  properties: Properties,
): ConsumeRefusal | null {
  const address = streamAddressOf(request.topicFilter)
  const stream = streamOf(session, address)
  if (typeof stream === 'string') return refusal(ReasonCode.topicFilterInvalid, stream)
  const { name, group, filter } = address
  if (group !== null && !broker.options.sharedSubscriptionAvailable) {
    return refusal(ReasonCode.sharedSubscriptionsNotSupported, 'shared subscriptions are not available')
  }
  if (!mayConsume(session.client?.grant ?? null, `${streamPrefix}${name}`, filter ?? stream.definition.filter, group)) {
    return refusal(ReasonCode.notAuthorized, `not authorized to read the stream ${name}`)
  }
  const starts = [address.start, property(properties, 'stream-offset'), property(properties, 'stream-seek')]
  if (starts.some((start) => start !== null && !isStreamStart(start))) {
    return refusal(ReasonCode.implementationSpecificError, `a stream is read from ${streamStartWords}`)
  }
  if (group === null || stream.groups.has(groupKey(group, filter)) || stream.groups.size < streamGroupsMax) return null
  return refusal(ReasonCode.quotaExceeded, `the stream ${name} has ${streamGroupsMax} groups`)
}

/** The session reads the stream from here on. Returns the granted QoS. */
export function read(broker: Broker, session: Session, request: SubscriptionRequest, properties: Properties): Qos {
  const { topicFilter } = request
  const address = streamAddressOf(topicFilter)
  const stream = streamOf(session, address) as Stream
  const start = property(properties, 'stream-offset') ?? address.start ?? stream.definition.startAt
  const known = session.subscriptions.get(topicFilter)
  const reader =
    known instanceof StreamReader ? known : newReader(broker, session, stream, { topicFilter, address, start })
  reader.qos = request.qos === 0 ? 0 : 1
  const identifier = properties.subscriptionIdentifiers?.[0] ?? 0
  reader.identifiers = identifier > 0 ? [identifier] : noIdentifiers
  const seek = property(properties, 'stream-seek')
  if (seek !== null) {
    const { offset, notBefore } = placeOf(broker, stream, streamStartOf(seek)!)
    if (reader.consumerGroup === null) reader.seek(offset, notBefore)
    else reader.consumerGroup.moveTo(offset, notBefore)
  }
  if (session.stored) {
    broker.journal.subscription(session, reader)
    reader.writeCursor()
  }
  stream.offer(reader.walker)
  return reader.qos
}

interface NewReader {
  readonly topicFilter: string
  readonly address: StreamAddress
  readonly start: string
}

function newReader(broker: Broker, session: Session, stream: Stream, { topicFilter, address, start }: NewReader) {
  const { filter, group: name } = address
  const { offset, notBefore } = placeOf(broker, stream, streamStartOf(start)!)
  let group: ConsumerGroup | null = null
  if (name !== null) {
    group = stream.groups.get(groupKey(name, filter)) ?? null
    if (group === null) {
      group = groupOf(broker, stream, name, filter)
      group.moveTo(offset, notBefore)
    }
  }
  const reader = readerOf(broker, session, stream, { topicFilter, filter, group })
  if (group === null) reader.walk.moveTo(offset, notBefore)
  return reader
}

/** The group of this name and filter, made where there is none. */
export function groupOf(broker: Broker, stream: Stream, name: string, filter: string | null): ConsumerGroup {
  const key = groupKey(name, filter)
  let group = stream.groups.get(key)
  if (group === undefined) {
    group = new ConsumerGroup(broker, stream, name, filter)
    stream.groups.set(key, group)
  }
  return group
}

export function groupKey(name: string, filter: string | null): string {
  return `${name}\0${filter ?? ''}`
}

/** A subscription to a stream, from its session's side. */
export function readerOf(
  broker: Broker,
  session: Session,
  stream: Stream,
  { topicFilter, filter, group }: { topicFilter: string; filter: string | null; group: ConsumerGroup | null },
): StreamReader {
  const reader = new StreamReader(broker, stream, session, topicFilter, { filter, group })
  session.subscriptions.set(topicFilter, reader)
  session.readers ??= new Set()
  session.readers.add(reader)
  session.namespace.countConsumer(1)
  stream.readers.add(reader)
  group?.join(reader)
  return reader
}

/** A stored subscription; a text: why there is none any more. */
export function recoverReader(broker: Broker, session: Session, topicFilter: string): StreamReader | string {
  const address = streamAddressOf(topicFilter)
  const stream = streamOf(session, address)
  if (typeof stream === 'string') return stream
  const { filter, group } = address
  const own = group === null ? null : groupOf(broker, stream, group, filter)
  return readerOf(broker, session, stream, { topicFilter, filter, group: own })
}

export interface StreamPlace {
  readonly offset: number
  /** In the time of `Broker.now`: what came before is not meant, though it stands behind the offset. */
  readonly notBefore: number
}

/** What the words stand for now. */
export function placeOf({ now, wallOffset }: Broker, stream: Stream, start: StreamStart): StreamPlace {
  const { firstOffset, nextOffset } = stream
  switch (start.kind) {
    case 'first':
      return { offset: firstOffset, notBefore: 0 }
    case 'next':
      return { offset: nextOffset, notBefore: 0 }
    case 'last':
      return { offset: Math.max(firstOffset, nextOffset - 1), notBefore: 0 }
    case 'offset':
      return { offset: Math.min(start.offset, nextOffset), notBefore: 0 }
    case 'time':
      return placeAt(stream, start.at - wallOffset)
    case 'ago':
      return placeAt(stream, now - start.ms)
    default:
      return start satisfies never
  }
}

function placeAt({ firstOffset, segments }: Stream, at: number): StreamPlace {
  const segment = segments.before(at)
  return { offset: Math.max(firstOffset, segment?.firstOffset ?? 0), notBefore: Math.max(0, Math.ceil(at)) }
}

/** It reads no more, though its session goes on. */
export function endReader(broker: Broker, reader: StreamReader): void {
  const { session, stream, filter } = reader
  if (reader.isStored) broker.journal.cursorEnd(stream, session.number, '', filter)
  forget(reader)
}

/** The session ends; its cursors go with it. */
export function endReaders(session: Session): void {
  if (session.readers === null) return
  for (const reader of session.readers) {
    session.subscriptions.delete(reader.filter)
    forget(reader)
  }
  session.readers = null
}

function forget(reader: StreamReader): void {
  const { session } = reader
  session.readers?.delete(reader)
  session.namespace.countConsumer(-1)
  reader.close()
}

/** The client says that it leaves: what it has need not wait for it. */
export function releaseReaders(session: Session): void {
  for (const reader of session.readers ?? []) reader.isLeaving = true
}

/** The connection is gone, and the session lives on. */
export function readersGone(session: Session): void {
  for (const reader of session.readers ?? []) reader.startGrace()
}

export function readersBack(session: Session): void {
  for (const reader of session.readers ?? []) reader.endGrace()
}

/** Its session may have room for messages. */
export function offerReaders(readers: ReadonlySet<StreamReader>): void {
  for (const reader of readers) {
    reader.stream.offer(reader.walker)
    reader.stream.run()
  }
}
