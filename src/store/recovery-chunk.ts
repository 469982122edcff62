/**
 * What the store reads back, packed for the way from its thread to the engine's: recovery in chunks, queues in pages.
 *
 * Both are batches in the other direction (`batch.ts`), one transferred buffer for thousands of rows: a retained message is
 * a `messagePut` and its `retainedPut`, a queue's entry an `enqueueMessage`, or a `messagePut` and its `enqueue`. Counted queues, for which a batch
 * has no record, follow as a chunk of plain numbers, five for each.
 */
import { type BatchRecords, BatchWriter } from './batch.ts'
import { readBatch } from './batch-reader.ts'
import type {
  QueuePage,
  RecoveredDelayedCount,
  RecoveredDelayedName,
  Recovery,
  StoredAttempt,
  StoredCursor,
  StoredId,
  StoredLog,
  StoredMessage,
  StoredReference,
  StoredRetained,
  StoredSegment,
  StoredSequence,
  StoredSession,
  StoredStream,
  StoredSubscription,
  StoredWill,
} from './store.ts'

const chunkBytesMax = 1024 * 1024
const numbersPerQueue = 5
/** In a chunk. */
const delayedNamesMax = 5000

export type RecoveryChunk =
  | { kind: 'records'; packed: ArrayBuffer }
  | { kind: 'queues'; numbers: Float64Array<ArrayBuffer> }
  | { kind: 'delayed'; counts: RecoveredDelayedCount[]; names: RecoveredDelayedName[] }

/** What of it changes threads without a copy. */
export function transferable(chunk: RecoveryChunk): ArrayBuffer[] {
  if (chunk.kind === 'records') return [chunk.packed]
  return chunk.kind === 'queues' ? [chunk.numbers.buffer] : []
}

/** A `Recovery` that packs what it is told and sends it on, a chunk at a time. */
export class RecoveryPacker implements Recovery {
  readonly #records = new BatchWriter()
  readonly #send: (chunk: RecoveryChunk) => void
  #queues: number[] = []
  #delayedCounts: RecoveredDelayedCount[] = []
  #delayedNames: RecoveredDelayedName[] = []

  constructor(send: (chunk: RecoveryChunk) => void) {
    this.#send = send
  }

  onClock(time: number, wallOffset: number): void {
    this.#records.clock(time, wallOffset)
  }

  onSession(session: StoredSession): void {
    this.#records.sessionPut(session)
    this.#sendIfFull()
  }

  onSubscription(subscription: StoredSubscription): void {
    this.#records.subscriptionPut(subscription)
    this.#sendIfFull()
  }

  onRetained({ namespace, topic, version, message }: StoredRetained): void {
    this.#records.messagePut(message, 1)
    this.#records.retainedPut(topic, message.id, version, namespace)
    this.#sendIfFull()
  }

  onWill(will: StoredWill): void {
    this.#records.willPut(will)
    this.#sendIfFull()
  }

  onIncomingPacketId(session: number, packetId: number): void {
    this.#records.incomingPut(session, packetId)
    this.#sendIfFull()
  }

  onReleased(session: number, position: number): void {
    this.#records.release(session, position)
    this.#sendIfFull()
  }

  onSent(session: number, position: number): void {
    this.#records.sent(session, position)
    this.#sendIfFull()
  }

  onLog(log: StoredLog): void {
    this.#records.logPut(log)
    this.#sendIfFull()
  }

  onAttempt(attempt: StoredAttempt): void {
    this.#records.attemptPut(attempt)
    this.#sendIfFull()
  }

  onStream(stream: StoredStream): void {
    this.#records.streamPut(stream)
    this.#sendIfFull()
  }

  onSegment(segment: StoredSegment): void {
    this.#records.segmentPut(segment)
    this.#sendIfFull()
  }

  onCursor(cursor: StoredCursor): void {
    this.#records.cursorPut(cursor)
  }

  onSeen(id: StoredId): void {
    this.#records.seenPut(id)
    this.#sendIfFull()
  }

  onCounted(sequence: StoredSequence): void {
    this.#records.countedPut(sequence)
    this.#sendIfFull()
  }

  onQueue(session: number, messages: number, bytes: number, firstPosition: number, lastPosition: number): void {
    this.#queues.push(session, messages, bytes, firstPosition, lastPosition)
  }

  end(): void {
    if (this.#records.byteLength > 0) this.#send({ kind: 'records', packed: this.#records.take() })
    if (this.#queues.length > 0) this.#send({ kind: 'queues', numbers: Float64Array.from(this.#queues) })
    this.#queues = []
    this.#sendDelayed()
  }

  onDelayed(count: RecoveredDelayedCount): void {
    this.#delayedCounts.push(count)
  }

  onDelayedName(name: RecoveredDelayedName): void {
    this.#delayedNames.push(name)
    if (this.#delayedNames.length >= delayedNamesMax) this.#sendDelayed()
  }

  #sendDelayed(): void {
    const counts = this.#delayedCounts
    const names = this.#delayedNames
    if (counts.length > 0 || names.length > 0) this.#send({ kind: 'delayed', counts, names })
    this.#delayedCounts = []
    this.#delayedNames = []
  }

  #sendIfFull(): void {
    if (this.#records.byteLength >= chunkBytesMax) this.#send({ kind: 'records', packed: this.#records.take() })
  }
}

/** Hands a chunk's content to the recovery; what it is given stays valid. */
export function unpackRecovery(chunk: RecoveryChunk, recovery: Recovery): void {
  if (chunk.kind === 'records') {
    readBatch(chunk.packed, recoverySink(recovery))
    return
  }
  if (chunk.kind === 'delayed') {
    for (const count of chunk.counts) recovery.onDelayed(count)
    for (const name of chunk.names) recovery.onDelayedName(name)
    return
  }
  const numbers = chunk.numbers
  for (let i = 0; i + numbersPerQueue <= numbers.length; i += numbersPerQueue) {
    recovery.onQueue(numbers[i]!, numbers[i + 1]!, numbers[i + 2]!, numbers[i + 3]!, numbers[i + 4]!)
  }
}

function recoverySink(recovery: Recovery): BatchRecords {
  let message: StoredMessage | undefined
  return {
    ...refusingSink,
    clock: (time, wallOffset) => recovery.onClock?.(time, wallOffset),
    sessionPut: (session) => recovery.onSession(session),
    subscriptionPut: (subscription) => recovery.onSubscription(subscription),
    messagePut: (read) => {
      message = ownMessage(read)
    },
    retainedPut: (topic, _messageId, version, namespace = '') =>
      recovery.onRetained({ namespace, topic, version, message: message! }),
    willPut: (will) =>
      recovery.onWill({ ...will, payload: ownBytes(will.payload), properties: ownBytes(will.properties) }),
    incomingPut: (session, packetId) => recovery.onIncomingPacketId(session, packetId),
    release: (session, position) => recovery.onReleased(session, position),
    sent: (session, position) => recovery.onSent(session, position),
    logPut: (log) => recovery.onLog(log),
    attemptPut: (attempt) => recovery.onAttempt(attempt),
    streamPut: (stream) => recovery.onStream(stream),
    segmentPut: (segment) => recovery.onSegment(segment),
    cursorPut: (cursor) => recovery.onCursor(cursor),
    seenPut: (id) => recovery.onSeen(id),
    countedPut: (sequence) => recovery.onCounted(sequence),
  }
}

/** A page's entries from what `packEntry` wrote. Their bytes are views into the page: it lives as long as any of them. */
export function unpackPage(session: number, packed: ArrayBuffer, more: boolean): QueuePage {
  const entries: { reference: StoredReference; message: StoredMessage }[] = []
  let message: StoredMessage | undefined
  readBatch(packed, {
    ...refusingSink,
    messagePut: (read) => {
      message = { ...read }
    },
    enqueue: (reference) => entries.push({ reference: { ...reference }, message: message! }),
    enqueueMessage: (reference, read) => entries.push({ reference: { ...reference }, message: { ...read } }),
  })
  return { session, entries, more }
}

export function packEntry(page: BatchWriter, reference: StoredReference, message: StoredMessage): void {
  if (message.id === 0) page.enqueueMessage(reference, message)
  else {
    page.messagePut(message, 1)
    page.enqueue(reference)
  }
}

/** A retained message lives for months; as a view it would keep its whole chunk. */
function ownMessage(read: StoredMessage): StoredMessage {
  return { ...read, payload: ownBytes(read.payload), properties: ownBytes(read.properties) }
}

function ownBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

const refuse = (): never => {
  throw new Error('not a record that the store sends')
}

const refusingSink: BatchRecords = {
  clock: refuse,
  sessionPut: refuse,
  sessionDelete: refuse,
  subscriptionPut: refuse,
  subscriptionDelete: refuse,
  messagePut: refuse,
  enqueue: refuse,
  enqueueMessage: refuse,
  dequeue: refuse,
  release: refuse,
  complete: refuse,
  move: refuse,
  sent: refuse,
  incomingPut: refuse,
  incomingDelete: refuse,
  retainedPut: refuse,
  retainedDelete: refuse,
  willPut: refuse,
  willDelete: refuse,
  logPut: refuse,
  attemptPut: refuse,
  attemptDelete: refuse,
  delayedPut: refuse,
  delayedDelete: refuse,
  streamPut: refuse,
  streamTrim: refuse,
  segmentPut: refuse,
  cursorPut: refuse,
  cursorDelete: refuse,
  seenPut: refuse,
  seenDelete: refuse,
  seenForget: refuse,
  countedPut: refuse,
  countedDelete: refuse,
}
