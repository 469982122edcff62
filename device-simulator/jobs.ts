/**
 * A worker of a queue: takes jobs, works on them for a while, and says what became of each; sometimes that it failed, sometimes that nobody should
 * try again. What it did and what the broker confirmed goes into the queue's book.
 *
 * It speaks MQTT 5.0, and says verdicts by publishing them (`settle: explicit`), since only they are answered. Its session ends with its
 * connection, so that a job that it leaves behind goes to others.
 */
import type { IncomingMessage, OutgoingMessage, SubscriptionRequest } from './client/client.ts'
import type { Context } from './context.ts'
import { emptyEnvelope, findEnvelope, readEnvelope } from './payload/envelope.ts'
import type { Random } from './random.ts'
import type { ConsumerSpec } from './scenario/schema.ts'
import type { Held, JobBook, JobId, JobVerdict } from './verdict/job-book.ts'

const envelope = emptyEnvelope()
const utf8 = new TextEncoder()
const verbs = { done: '$ack', failed: '$nack', rejected: '$reject' } as const satisfies Record<JobVerdict, string>

type Publish = (message: OutgoingMessage, onAcknowledged: (code: number) => void) => void

export interface JobsOwner {
  clientId: string
  random: Random
  publish: Publish
}

export class Jobs {
  readonly request: SubscriptionRequest
  readonly #spec: ConsumerSpec
  readonly #context: Context
  readonly #owner: JobsOwner
  readonly #book: JobBook
  readonly #held = new Set<Held>()
  #connection = 0

  constructor(context: Context, spec: ConsumerSpec, owner: JobsOwner, book: JobBook) {
    this.#context = context
    this.#spec = spec
    this.#owner = owner
    this.#book = book
    this.request = {
      ...{ filter: `$queue/${spec.queue}`, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 },
      userProperties: { settle: 'explicit', prefetch: String(spec.prefetch) },
    }
  }

  /** Jobs that it has not said anything of. */
  get pending(): number {
    return this.#held.size
  }

  onClosed(): void {
    this.#connection += 1
    for (const held of this.#held) this.#book.lose(held)
    this.#held.clear()
  }

  /** False: it is no job. */
  onMessage({ payload, envelope: property, delivery }: IncomingMessage, nowMs: number): boolean {
    if (delivery === undefined) return false
    const { measures, identity } = this.#context
    measures.counters.received += 1
    measures.counters.receivedBytes += payload.length
    const at = property === undefined ? findEnvelope(payload) : 0
    const isRead =
      property === undefined
        ? at >= 0 && readEnvelope(payload, at, payload.subarray(0, at), envelope)
        : readEnvelope(utf8.encode(property), 0, payload, envelope)
    if (!isRead || envelope.run !== identity.run || !envelope.whole) {
      measures.counters[isRead && !envelope.whole ? 'corruptedSeen' : 'foreign'] += 1
      this.#say(delivery.id, 'done', () => {})
      return true
    }
    const { device, stream, sequence, intendedUs, lagUs } = envelope
    const job = { device, stream, sequence }
    const us = nowMs * 1000 - intendedUs
    measures.interval.record(us)
    if (measures.isMeasured(intendedUs / 1000)) {
      measures.latency.endToEnd.record(us)
      measures.latency.endToEndFromSend.record(us - lagUs)
    }
    if (this.#spec.deadLettersOf === undefined) this.#work(job, delivery)
    else this.#bury(job, delivery.id)
    return true
  }

  #bury(job: JobId, id: string): void {
    this.#book.bury(job)
    this.#say(id, 'done', () => {})
  }

  #work(job: JobId, { id, attempt }: { id: string; attempt: number }): void {
    const { random } = this.#owner
    const { work, fail, reject } = this.#spec
    const connection = this.#connection
    const held = this.#book.deliver(job, attempt, { id: this.#owner.clientId, connection })
    this.#held.add(held)
    const chance = random.next()
    const verdict = chance < reject ? 'rejected' : chance < reject + fail ? 'failed' : 'done'
    const end = () => {
      // Its connection is gone, and the job with it: a worker that died says nothing.
      if (!this.#held.delete(held)) return
      this.#book.say(held, verdict)
      this.#say(id, verdict, (code) => {
        if (code === 0) this.#book.confirm(held, connection === this.#connection)
      })
    }
    const waitMs = work === undefined ? 0 : Math.max(0, work.mean + work.deviation * random.normal())
    if (waitMs > 0) setTimeout(end, waitMs)
    else end()
  }

  #say(delivery: string, verdict: JobVerdict, onAnswer: (code: number) => void): void {
    const said = { delivery, ...(verdict === 'failed' ? { reason: 'as the scenario wants it' } : {}) }
    const payload = Buffer.from(JSON.stringify(said))
    const topic = `$queue/${this.#spec.queue}/${verbs[verdict]}`
    this.#owner.publish({ topic, payload, qos: 1, retain: false }, onAnswer)
  }
}
