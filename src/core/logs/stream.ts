/**
 * A stream: what is published to its filter, in order, each message under an offset that counts up from 0, kept for as long as the
 * retention says, and read by whoever wants from wherever he wants. It takes in messages as one more destination of their routes.
 *
 *     publish ──> append ──(commit)──> readers that are at the end
 *                   │
 *          log in the store, retention from the front ──> readers that are behind, page by page
 *
 * Readers pull: each gets what its connection and its window have room for. Nothing is sent before its commit, so that no offset ever
 * stands for two messages. What is in memory is in `stream-memory.ts`, places that move over it in `stream-walk.ts`, readers in
 * `stream-reader.ts` and `consumer-group.ts`.
 */
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import type { Namespace } from '../namespace.ts'
import type { LogOwner } from '../ports/journal.ts'
import type { RecoveredPage, RecoveredSegment } from '../ports/recovered.ts'
import type { StreamTotals } from '../ports/streams.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import type { Publication } from '../publish/publication.ts'
import type { Destination } from '../subscriptions/destination.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import type { ConsumerGroup } from './consumer-group.ts'
import { Segments } from './segments.ts'
import type { StreamDefinition } from './stream-definition.ts'
import { StreamEntry } from './stream-entry.ts'
import { StreamMemory, takenInAt } from './stream-memory.ts'
import type { StreamReader } from './stream-reader.ts'
import type { Walker } from './stream-walk.ts'

/** Steps that its readers may take at a commit, of which many streams hear, and in a turn of theirs, which they share. */
const stepsAtOnceMax = 500
const stepsPerTurnMax = 5000
/** Pages that nobody has asked for so long go. */
const pagesUnusedMs = 10_000

export class Stream implements Destination, LogOwner {
  readonly name: string
  readonly namespace: Namespace
  definition: StreamDefinition
  /** False: the store has it, and nobody declares it any more. */
  declared = true
  /** Of its log in the store; 0: it has none yet. */
  number = 0
  /** Which captures for it; null: none does. */
  subscription: Subscription | null = null
  readonly readers = new Set<StreamReader>()
  /** By name and filter. */
  readonly groups = new Map<string, ConsumerGroup>()
  readonly segments = new Segments()
  readonly memory: StreamMemory
  readonly totals: StreamTotals = { appended: 0, refused: 0, delivered: 0, trimmed: 0, gaps: 0, missed: 0 }
  firstOffset = 0
  nextOffset = 0
  /** What comes before it is committed, and may be read. */
  end = 0
  matchNumber = 0
  matchSlot = 0
  readonly link = null
  readonly online = true
  readonly ready = true
  readonly durable = true
  readonly hasRoom = true
  readonly refuses = false
  readonly ownPolicy = false
  readonly load = 0
  readonly #broker: Broker
  #candidates: Walker[] = []
  #atEnd: Walker[] = []
  #awaitingPage: Walker[] = []
  readonly #watchers = new Set<{ readonly offset: number; readonly notify: () => void }>()
  readonly #ageing = new Deadline(() => this.#retainByAge())
  readonly #forgetPages: Deadline
  readonly #turn = { pump: () => this.run(stepsPerTurnMax) }
  #isWaiting = false
  #isServing = false

  constructor(broker: Broker, namespace: Namespace, name: string, definition: StreamDefinition) {
    this.#broker = broker
    this.namespace = namespace
    this.name = name
    this.definition = definition
    const { queueBytes } = namespace.budgets
    this.memory = new StreamMemory(queueBytes, this.segments, (from) => broker.journal.requestPage(this, from))
    this.#forgetPages = new Deadline(() => this.memory.dropPages())
  }

  get stored(): boolean {
    return this.#broker.journal.durable
  }

  mayReceive(): boolean {
    return true
  }

  /** The store knows it from here on, if there is one. */
  register(): void {
    const broker = this.#broker
    if (this.number > 0) return
    this.number = broker.nextSessionNumber++
    broker.streamsByNumber.set(this.number, this)
    if (this.stored) broker.journal.stream(this)
  }

  accept(broker: Broker, publication: Publication): void {
    // At QoS 1 and 2 it is refused as a whole before.
    if (this.stored && broker.storeFull) {
      this.totals.refused++
      drop(publication.topicName, 'store_full', this.namespace)
    } else this.append(publication.message)
  }

  append(published: Message): void {
    const { journal, now } = this.#broker
    this.register()
    const message = takenInAt(published, now)
    const entry = new StreamEntry(this.nextOffset++, message)
    this.memory.push(entry)
    if (this.stored) journal.enqueue(this, entry.offset, entry)
    this.totals.appended++
    const { ageMs } = this.definition.retention
    this.#close(this.segments.closeAged(now, ageMs))
    this.#close(this.segments.add(entry.offset, now, messageBytes(message)))
    this.#retain()
    if (ageMs > 0 && this.#ageing.index < 0) this.#armAgeing()
    if (!this.stored) this.pump()
    else if (!this.#isWaiting) {
      this.#isWaiting = true
      this.#broker.awaitCommit(this)
    }
  }

  #close(segment: ReturnType<Segments['add']>): void {
    if (segment !== null && this.stored) this.#broker.journal.segment(this, segment)
  }

  /** Whole segments go from the front, as long as what is left is as much as is to be kept. */
  #retain(): void {
    const { segments, definition } = this
    const { messagesMax, bytesMax } = definition.retention
    for (let second = segments.secondOffset; second !== null; second = segments.secondOffset) {
      const first = segments.first!
      const tooMany = messagesMax > 0 && segments.messages - first.messages >= messagesMax
      const tooLarge = bytesMax > 0 && segments.bytes - first.bytes >= bytesMax
      if (!tooMany && !tooLarge && !this.#isMemoryShort) return
      this.trimTo(second)
    }
  }

  /** What the store does not hold too has nowhere else to go. */
  get #isMemoryShort(): boolean {
    return !this.stored && this.#broker.budgets.queueBytes.exceeded
  }

  #retainByAge(): void {
    const { segments, definition } = this
    const { ageMs } = definition.retention
    if (ageMs === 0 || !this.declared) return
    const { now } = this.#broker
    this.#close(segments.closeAged(now, ageMs))
    for (let { first } = segments; first !== null && first.lastAt + ageMs <= now; first = segments.first) {
      this.trimTo(segments.secondOffset ?? this.nextOffset)
    }
    this.#armAgeing()
  }

  #armAgeing(): void {
    const { first } = this.segments
    const { deadlines, now } = this.#broker
    const { ageMs } = this.definition.retention
    if (ageMs === 0 || first === null) deadlines.clear(this.#ageing)
    else deadlines.set(this.#ageing, Math.max(now + 1, first.lastAt + ageMs))
  }

  /** Everything before this offset goes. Returns how many messages. */
  trimTo(offset: number): number {
    const to = Math.min(offset, this.nextOffset)
    const count = to - this.firstOffset
    if (count <= 0) return 0
    this.firstOffset = to
    this.end = Math.max(this.end, to)
    this.totals.trimmed += count
    const { segments } = this
    while (segments.count > 0 && (segments.secondOffset ?? this.nextOffset) <= to) segments.shift()
    this.memory.dropBefore(to)
    if (this.stored) this.#broker.journal.trim(this, to)
    return count
  }

  /** The definition is another one. */
  redefine(definition: StreamDefinition): void {
    this.definition = definition
    this.#retain()
    this.#retainByAge()
  }

  /** Something is committed, or there is a turn for it. */
  pump(): void {
    this.#isWaiting = false
    const { journal } = this.#broker
    const before = this.end
    while (this.end < this.nextOffset && this.#isCommitted(journal.committed)) this.end++
    if (this.end < this.nextOffset) {
      this.#isWaiting = true
      this.#broker.awaitCommit(this)
    }
    if (this.end > before) this.#wakeAtEnd()
    this.run()
  }

  #isCommitted(committed: number): boolean {
    return !this.stored || this.memory.newest(this.end).ticket <= committed
  }

  #wakeAtEnd(): void {
    const waiting = this.#atEnd
    this.#atEnd = []
    for (const walker of waiting) {
      walker.walk.isWaiting = false
      this.offer(walker)
    }
    for (const watcher of [...this.#watchers]) {
      if (watcher.offset >= this.end) continue
      this.#watchers.delete(watcher)
      watcher.notify()
    }
  }

  /** It may have room, or something to get. */
  offer(walker: Walker): void {
    if (walker.isCandidate || walker.ended) return
    walker.isCandidate = true
    this.#candidates.push(walker)
  }

  waitAtEnd(walker: Walker): void {
    if (!walker.walk.isWaiting) this.#atEnd.push(walker)
    walker.walk.isWaiting = true
  }

  /** It has what it wanted, and need not be told of what comes. */
  dismiss(walker: Walker): void {
    if (walker.walk.isWaiting) this.#atEnd = this.#atEnd.filter((one) => one !== walker)
  }

  get waitingAtEnd(): number {
    return this.#atEnd.length
  }

  waitForPage(walker: Walker, offset: number): void {
    this.memory.request(offset)
    if (!walker.walk.waitsForPage) this.#awaitingPage.push(walker)
    walker.walk.waitsForPage = true
  }

  goOnInNextTurn(walker: Walker): void {
    this.offer(walker)
    this.#broker.awaitTurn(this.#turn)
  }

  countLook(): void {
    this.#broker.cost.steps++
  }

  onPage(page: RecoveredPage): void {
    this.memory.onPage(page)
    const waiting = this.#awaitingPage
    this.#awaitingPage = []
    for (const walker of waiting) {
      walker.walk.waitsForPage = false
      this.offer(walker)
    }
    this.run()
  }

  /** Serves who may get something, for a few steps; what is left has its turn. */
  run(stepsMax = stepsAtOnceMax): void {
    if (this.#isServing) return
    this.#isServing = true
    const { cost, now, deadlines } = this.#broker
    const stepsEnd = cost.steps + stepsMax
    while (this.#candidates.length > 0 && cost.steps < stepsEnd) this.#serveUntil(stepsEnd)
    this.#isServing = false
    if (this.stored) this.memory.shorten(this.end)
    if (this.memory.hasPages) deadlines.set(this.#forgetPages, now + pagesUnusedMs)
    if (this.#candidates.length > 0) this.#broker.awaitTurn(this.#turn)
  }

  #serveUntil(stepsEnd: number): void {
    const { cost } = this.#broker
    const served = this.#candidates
    this.#candidates = []
    for (const [index, walker] of served.entries()) {
      if (cost.steps >= stepsEnd) {
        this.#candidates.push(...served.slice(index))
        return
      }
      walker.isCandidate = false
      if (!walker.ended) walker.serve()
    }
  }

  /** Calls back once, when there is something at this offset or behind it. */
  watch(offset: number, notify: () => void): () => void {
    if (offset < this.end) {
      notify()
      return () => {}
    }
    const watcher = { offset, notify }
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** Nobody declares it any more. */
  endWatches(): void {
    for (const { notify } of this.#watchers) notify()
    this.#watchers.clear()
  }

  recoverSegment({ firstOffset, firstAt, lastAt, messages, bytes }: RecoveredSegment): void {
    this.segments.recover({ firstOffset, firstAt, lastAt, messages, bytes })
  }

  /** What the store counted: messages from the first to before `nextOffset`, segments or not. */
  recover(firstOffset: number, nextOffset: number, bytes: number): void {
    this.firstOffset = Math.max(this.firstOffset, firstOffset)
    this.nextOffset = Math.max(this.nextOffset, nextOffset)
    this.#storedBytes = bytes
  }

  #storedBytes = 0

  /** Everything was handed over. */
  endRecovery(now: number): void {
    const { segments } = this
    const { last } = segments
    this.nextOffset = Math.max(this.nextOffset, this.firstOffset)
    const openFrom = last === null ? this.firstOffset : Math.max(this.firstOffset, last.firstOffset + last.messages)
    const messages = this.nextOffset - openFrom
    if (messages > 0) {
      const bytes = Math.max(0, this.#storedBytes - segments.bytes)
      segments.recoverOpen({ firstOffset: openFrom, firstAt: last?.lastAt ?? 0, lastAt: now, messages, bytes })
    }
    this.end = this.nextOffset
    this.memory.startAt(this.nextOffset)
    if (this.declared) this.redefine(this.definition)
  }
}
