/** The streams for the API and the program (`ports/streams.ts`): views as copies, and what may be done with them beside MQTT. */
import type { Broker } from '../broker.ts'
import { groupKey, groupOf, placeOf } from '../logs/read-stream.ts'
import type { Stream } from '../logs/stream.ts'
import { streamGroupsMax } from '../logs/stream-definition.ts'
import type { StreamStart } from '../logs/stream-start.ts'
import { Walk, type Walker } from '../logs/stream-walk.ts'
import type { Lazy } from '../ports/inspection.ts'
import type {
  CursorOutcome,
  StreamGroupName,
  StreamGroupView,
  StreamMessageView,
  StreamName,
  StreamPart,
  StreamQuery,
  StreamReaderView,
  StreamState,
  Streams,
} from '../ports/streams.ts'
import { messageBytes } from '../publish/message.ts'
import { viewMessage } from './inspection.ts'

/** Messages that one call looks at, whether they match its filter or not. */
const lookedAtMax = 10_000

export class BrokerStreams implements Streams {
  readonly #broker: Broker

  constructor(broker: Broker) {
    this.#broker = broker
  }

  *list(): Lazy<StreamState> {
    for (const { streams } of this.#broker.namespaces.values()) {
      yield null
      for (const stream of streams.values()) yield viewState(stream)
    }
  }

  state(name: StreamName): StreamState | null {
    const stream = this.#find(name)
    return stream === undefined ? null : viewState(stream)
  }

  groups(name: StreamName): readonly StreamGroupView[] {
    const stream = this.#find(name)
    if (stream === undefined) return []
    return [...stream.groups.values()].map((group) => ({
      group: group.name,
      filter: group.filter,
      cursor: group.cursor,
      lag: lagOf(stream, group.cursor),
      inflight: group.openCount,
      settledAhead: group.settledAhead,
      members: group.members.length,
    }))
  }

  *readers(name: StreamName): Lazy<StreamReaderView> {
    const stream = this.#find(name)
    for (const { session, topicFilter, consumerGroup, cursor, loans, isStored } of stream?.readers ?? []) {
      yield {
        clientId: session.clientId,
        connected: session.client !== null,
        filter: topicFilter,
        group: consumerGroup?.name ?? null,
        cursor,
        lag: lagOf(stream!, cursor),
        inflight: loans.size,
        stored: isStored,
      }
    }
  }

  read(name: StreamName, query: StreamQuery, use: (part: StreamPart) => void): boolean {
    const stream = this.#find(name)
    if (stream === undefined) return false
    const { offset, notBefore } = placeOf(this.#broker, stream, query.from)
    const walk = new Walk(stream, query.filter, offset, notBefore)
    // Who only looks misses nothing that he was to get.
    walk.countsMissed = false
    stream.offer(new PartReader(walk, query, use))
    stream.run()
    return true
  }

  whenReady(name: StreamName, offset: number, notify: () => void): () => void {
    return this.#find(name)?.watch(offset, notify) ?? (() => {})
  }

  trim(name: StreamName, before: StreamStart): number | null {
    const stream = this.#find(name)
    return stream === undefined ? null : stream.trimTo(placeOf(this.#broker, stream, before).offset)
  }

  moveCursor(name: StreamName, { group, filter }: StreamGroupName, to: StreamStart): CursorOutcome {
    const stream = this.#find(name)
    if (stream === undefined) return 'unknown'
    if (!stream.groups.has(groupKey(group, filter)) && stream.groups.size >= streamGroupsMax) return 'busy'
    const { offset, notBefore } = placeOf(this.#broker, stream, to)
    groupOf(this.#broker, stream, group, filter).moveTo(offset, notBefore)
    stream.run()
    return 'done'
  }

  deleteCursor(name: StreamName, { group, filter }: StreamGroupName): CursorOutcome {
    const stream = this.#find(name)
    const found = stream?.groups.get(groupKey(group, filter))
    if (stream === undefined || found === undefined) return 'unknown'
    if (found.members.length > 0) return 'busy'
    found.delete()
    stream.groups.delete(groupKey(group, filter))
    return 'done'
  }

  #find({ namespace, name }: StreamName): Stream | undefined {
    return this.#broker.namespaces.get(namespace)?.streams.get(name)
  }
}

/** Reads a part once, over as many turns and pages as it takes. */
class PartReader implements Walker {
  readonly walk: Walk
  ended = false
  isCandidate = false
  readonly #query: StreamQuery
  readonly #use: (part: StreamPart) => void
  readonly #messages: StreamMessageView[] = []
  readonly #lookedAtEnd: number
  #bytes = 0
  #missed = 0

  constructor(walk: Walk, query: StreamQuery, use: (part: StreamPart) => void) {
    this.walk = walk
    this.#query = query
    this.#use = use
    this.#lookedAtEnd = Math.max(walk.next, walk.stream.firstOffset) + lookedAtMax
  }

  get #isFull(): boolean {
    const { messagesMax, bytesMax } = this.#query
    return this.#messages.length >= messagesMax || this.#bytes >= bytesMax || this.walk.next >= this.#lookedAtEnd
  }

  serve(): void {
    const { walk } = this
    while (!walk.atEnd && !this.#isFull) {
      const entry = walk.look(this)
      if (entry === null) {
        if (!walk.atEnd) return
        break
      }
      this.#missed += walk.missed
      this.#bytes += messageBytes(entry.message)
      const message = viewMessage(walk.stream.namespace.name, entry.message)
      this.#messages.push({ offset: entry.offset, at: entry.at, message })
      walk.pass()
    }
    this.ended = true
    walk.stream.dismiss(this)
    const missed = this.#missed + walk.missed
    this.#use({ messages: this.#messages, nextOffset: walk.next, atEnd: walk.atEnd, missed })
  }
}

/** What is gone is before nobody any more. */
function lagOf({ firstOffset, nextOffset }: Stream, cursor: number): number {
  return nextOffset - Math.max(firstOffset, cursor)
}

function viewState(stream: Stream): StreamState {
  const { name, namespace, definition, declared, firstOffset, nextOffset, segments, readers, groups, totals } = stream
  const { first, last } = segments
  return {
    namespace: namespace.name,
    name,
    filter: definition.filter,
    declared,
    firstOffset,
    nextOffset,
    messages: nextOffset - firstOffset,
    bytes: segments.bytes,
    // Of what was there when the process began, and is no whole segment, it is not known.
    oldestAt: first === null || first.firstAt === 0 ? null : first.firstAt,
    newestAt: last === null ? null : last.lastAt,
    readers: readers.size,
    groups: groups.size,
    totals: { ...totals },
  }
}
