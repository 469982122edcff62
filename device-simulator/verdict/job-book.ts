/**
 * What became of the jobs of one queue, as its workers saw it: each delivery, what was said of it, and what the broker confirmed.
 *
 * A verdict is confirmed when the PUBACK of its PUBLISH says 0x00. It is *firm* where that came on the connection on which the job had been
 * delivered: nobody else can have had the job meanwhile, so nothing that comes afterwards may contradict it. What was said before a connection
 * broke may have been heard or not, and a job that was with it may be with anybody.
 */
import { RangeSet } from './range-set.ts'
import { offendersMax, streamKey } from './receiver.ts'

export interface JobId {
  device: number
  stream: number
  sequence: number
}

export type JobVerdict = 'done' | 'failed' | 'rejected'

/** One delivery of a job to one worker. */
export interface Held {
  readonly job: JobId
  readonly attempt: number
  /** Of the worker, counted up by each connection. */
  readonly connection: number
  readonly worker: string
  said: JobVerdict | undefined
  lost: boolean
  /** Somebody got the job while this one had said nothing of it. */
  hasRival: boolean
}

interface StreamBook {
  readonly done: RangeSet
  /** Said to be done; whether that was heard is not known. */
  readonly saidDone: RangeSet
  readonly rejected: RangeSet
  readonly dead: RangeSet
  /** With a worker, or to come again. */
  readonly open: Map<number, { held: Held; failedAttempt: number }>
  highest: number
}

const newStream = (): StreamBook => ({
  done: new RangeSet(),
  saidDone: new RangeSet(),
  rejected: new RangeSet(),
  dead: new RangeSet(),
  open: new Map(),
  highest: -1,
})

export class JobBook {
  readonly #streams = new Map<number, StreamBook>()
  readonly #findings = { attemptsRepeated: 0, heldTwice: 0, outOfOrder: 0 }
  readonly #redone = new Map<number, RangeSet>()
  readonly #offenders: string[] = []
  deliveries = 0
  failures = 0

  readonly #isOrdered: boolean
  readonly #attemptsMax: number

  /**
   * @param isOrdered the queue promises the order of each stream, which is a topic
   * @param attemptsMax after so many failures a job is a dead letter
   */
  constructor(isOrdered: boolean, attemptsMax: number) {
    this.#isOrdered = isOrdered
    this.#attemptsMax = attemptsMax
  }

  deliver(job: JobId, attempt: number, worker: { id: string; connection: number }): Held {
    const stream = this.#stream(job)
    const held: Held = {
      job,
      attempt,
      worker: worker.id,
      connection: worker.connection,
      said: undefined,
      lost: false,
      hasRival: false,
    }
    this.deliveries += 1
    this.#judgeDelivery(stream, held)
    stream.open.set(job.sequence, { held, failedAttempt: stream.open.get(job.sequence)?.failedAttempt ?? 0 })
    stream.highest = Math.max(stream.highest, job.sequence)
    return held
  }

  #judgeDelivery(stream: StreamBook, held: Held): void {
    const { sequence } = held.job
    if (stream.done.has(sequence)) {
      const key = streamKey(held.job.device, held.job.stream)
      const redone = this.#redone.get(key) ?? new RangeSet()
      redone.add(sequence)
      this.#redone.set(key, redone)
    }
    const before = stream.open.get(sequence)
    if (before !== undefined) {
      // It may be that the first one's connection is gone and it does not know it yet: its verdict will tell.
      if (before.held.said === undefined && !before.held.lost) before.held.hasRival = true
      if (held.attempt <= before.failedAttempt) this.#find('attemptsRepeated', held)
    }
    if (this.#isOrdered) this.#judgeOrder(stream, held)
  }

  /** One of a stream at a time, and none after a later one. */
  #judgeOrder(stream: StreamBook, held: Held): void {
    const { sequence } = held.job
    const isFirst = stream.open.get(sequence) === undefined && !stream.done.has(sequence)
    if (isFirst && sequence < stream.highest && !stream.saidDone.has(sequence) && !stream.rejected.has(sequence)) {
      this.#find('outOfOrder', held)
      return
    }
    for (const [other, { held: earlier }] of stream.open) {
      if (other === sequence || this.#isOver(earlier)) continue
      this.#find('outOfOrder', held)
      return
    }
  }

  /** As far as its worker knows. */
  #isOver({ said, lost, attempt }: Held): boolean {
    if (said === 'done' || said === 'rejected') return true
    return (said === 'failed' || lost) && attempt >= this.#attemptsMax
  }

  say(held: Held, verdict: JobVerdict): void {
    held.said = verdict
    const { sequence } = held.job
    if (verdict === 'done') this.#stream(held.job).saidDone.add(sequence)
  }

  /** @param isFirm on the connection that it was delivered on */
  confirm(held: Held, isFirm: boolean): void {
    const stream = this.#stream(held.job)
    const { sequence } = held.job
    if (isFirm && held.hasRival) this.#find('heldTwice', held)
    if (held.said === 'failed') {
      this.failures += 1
      const open = stream.open.get(sequence)
      if (isFirm && open !== undefined) open.failedAttempt = Math.max(open.failedAttempt, held.attempt)
      return
    }
    if (isFirm && held.said === 'done') stream.done.add(sequence)
    if (held.said === 'rejected') stream.rejected.add(sequence)
    if (stream.open.get(sequence)?.held === held) stream.open.delete(sequence)
  }

  /** The worker's connection broke. */
  lose(held: Held): void {
    held.lost = true
  }

  /** It was found among the dead letters. */
  bury(job: JobId): void {
    const stream = this.#stream(job)
    stream.dead.add(job.sequence)
    stream.open.delete(job.sequence)
  }

  #find(what: keyof JobFindings, { job, worker, attempt }: Held): void {
    this.#findings[what] += 1
    if (this.#offenders.length >= offendersMax) return
    this.#offenders.push(
      `${wordsOf[what]}: device ${job.device} stream ${job.stream} #${job.sequence}, attempt ${attempt} -> ${worker}`,
    )
  }

  #stream({ device, stream }: JobId): StreamBook {
    const key = streamKey(device, stream)
    let book = this.#streams.get(key)
    if (book === undefined) {
      book = newStream()
      this.#streams.set(key, book)
    }
    return book
  }

  snapshot(): JobBookSnapshot {
    return {
      deliveries: this.deliveries,
      failures: this.failures,
      findings: { ...this.#findings },
      offenders: [...this.#offenders],
      streams: [...this.#streams].map(([key, { done, saidDone, rejected, dead }]) => ({
        key,
        done: done.toPairs(),
        saidDone: saidDone.toPairs(),
        rejected: rejected.toPairs(),
        dead: dead.toPairs(),
        redone: this.#redone.get(key)?.toPairs() ?? [],
      })),
    }
  }
}

const wordsOf = {
  attemptsRepeated: 'given out with an attempt that had failed',
  heldTwice: 'with two workers at a time',
  outOfOrder: 'job out of order',
} as const

export type JobFindings = Record<keyof typeof wordsOf, number>

/** Plain data, for another thread. */
export interface JobBookSnapshot {
  deliveries: number
  failures: number
  findings: JobFindings
  offenders: string[]
  streams: { key: number; done: number[]; saidDone: number[]; rejected: number[]; dead: number[]; redone: number[] }[]
}
