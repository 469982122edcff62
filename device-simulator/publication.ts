/**
 * One publication of one device: an entry of the open-loop schedule that makes the next payload and hands it over with
 * its intended time.
 */
import type { Qos } from './client/client.ts'
import type { Context } from './context.ts'
import type { GroupLayout, Identity } from './layout.ts'
import { envelopeBytes, sealEnvelope, sequencesMax, writeIdentity } from './payload/envelope.ts'
import type { GeneratorContext } from './payload/generators.ts'
import { createPayloadSource, type Payload, type PayloadSource } from './payload/payload.ts'
import type { Moment } from './payload/value.ts'
import { Random } from './random.ts'
import type { PublicationSpec } from './scenario/schema.ts'
import type { Entry } from './schedule.ts'
import type { Variables } from './template.ts'
import { SenderStream } from './verdict/sender.ts'

/** A message on its way from the schedule to the broker. */
export interface Letter {
  publication: Publication
  topic: string
  qos: Qos
  payload: Payload
  /** Undefined when the publication is not tracked. */
  stream: SenderStream | undefined
  sequence: number
  intendedMs: number
  /** The property's bytes when the envelope is not in the payload. */
  property: Uint8Array | undefined
}

export interface PublicationOwner {
  readonly number: number
  readonly variables: Variables
  clockMs(elapsedMs: number): number
  send(letter: Letter): void
  /** Sparkplug's seq, 0 to 255, shared by all messages of the device. */
  nextSparkplugSequence(): number
  readonly repeatProbability: number
}

export class Publication implements Entry {
  dueMs = Number.POSITIVE_INFINITY
  readonly spec: PublicationSpec
  readonly topic: string
  readonly identity: Identity
  readonly streams: (SenderStream | undefined)[] = [undefined, undefined, undefined]
  readonly #context: Context
  readonly #group: GroupLayout
  readonly #owner: PublicationOwner
  readonly #number: number
  readonly #source: PayloadSource
  readonly #gapRandom: Random
  readonly #qosRandom: Random
  readonly #intervalMs: number
  readonly #stepMs: number
  #isScheduled = false
  #isStopped = false
  #hasFailed = false
  #count = 0
  #baseMs = 0

  constructor(context: Context, group: GroupLayout, owner: PublicationOwner, number: number, identity: Identity) {
    const spec = group.spec.publications[number]!
    this.spec = spec
    this.identity = identity
    this.#context = context
    this.#group = group
    this.#owner = owner
    this.#number = number
    this.topic = context.layout.topicOf(group, spec, owner.variables)
    const path = [group.name, owner.number - group.firstDevice + context.identity.startNumber, number]
    const { seed } = context.identity
    const generators: GeneratorContext = {
      seed,
      path,
      variables: owner.variables,
      rows: context.files.rows,
      document: context.files.document,
      moduleFunction: context.files.moduleFunction,
    }
    const module = spec.payload.module
    const messages = module === undefined ? undefined : context.files.messageFunction(module, generators)
    this.#source = createPayloadSource(spec.payload, generators, identity === 'payload', messages)
    this.#gapRandom = new Random(seed, [...path, 'gap'])
    this.#qosRandom = new Random(seed, [...path, 'qos'])
    this.#intervalMs = spec.every ?? 1000 / spec.rate!
    this.#stepMs = spec.step ?? this.#intervalMs
  }

  get finished(): boolean {
    return this.#hasFailed || (this.spec.limit !== undefined && this.#count >= this.spec.limit)
  }

  /** Starts or goes on, at a random phase: devices that start together must not send together. */
  start(nowMs: number): void {
    this.#isStopped = false
    if (this.#isScheduled || this.finished || this.#context.rate === 0) return
    this.#isScheduled = true
    this.retime(nowMs)
    this.#context.schedule.add(this)
  }

  stop(): void {
    this.#isStopped = true
  }

  /** After a change of the rate; the schedule is rebuilt by whoever changes it. */
  retime(nowMs: number): void {
    if (!this.#isScheduled) return
    this.#baseMs = nowMs + this.#gapRandom.next() * this.#interval()
    this.dueMs = this.#baseMs
  }

  fire(nowMs: number): void {
    const intendedMs = this.dueMs
    if (this.finished || this.#isStopped || this.#context.rate === 0) {
      this.dueMs = Number.POSITIVE_INFINITY
      this.#isScheduled = false
      return
    }
    const { measures } = this.#context
    if (measures.isMeasured(intendedMs)) measures.latency.scheduling.record((nowMs - intendedMs) * 1000)
    this.dueMs = this.#next(intendedMs)
    let letter: Letter
    try {
      letter = this.#letter(intendedMs)
    } catch (error) {
      // A user's module, most likely: the publication ends, the run goes on and says so.
      measures.counters.failedPublications += 1
      measures.noteError(`${this.topic}: the payload can't be made: ${(error as Error).message}`)
      this.#hasFailed = true
      return
    }
    this.#owner.send(letter)
  }

  /** The latest values, for births. */
  values(): ReturnType<PayloadSource['values']> {
    return this.#source.values(this.#moment(this.#count))
  }

  moment(): Moment {
    return this.#moment(this.#count)
  }

  #interval(): number {
    const { rate } = this.#context
    return rate === 0 ? this.#intervalMs : this.#intervalMs / rate
  }

  #next(intendedMs: number): number {
    const interval = this.#interval()
    if (this.spec.arrivals === 'poisson') return intendedMs + this.#gapRandom.exponential(interval)
    if (this.spec.jitter === 0) return intendedMs + interval
    // Jitter is around a regular beat, so that it does not add up to a drift.
    this.#baseMs += interval
    return Math.max(intendedMs, this.#baseMs + this.spec.jitter * interval * this.#gapRandom.uniform(-0.5, 0.5))
  }

  #moment(n: number): Moment {
    const elapsedMs = n * this.#stepMs
    return { n, elapsedMs, stepMs: this.#stepMs, clockMs: this.#owner.clockMs(elapsedMs) }
  }

  #letter(intendedMs: number): Letter {
    const { spec } = this
    const seq = spec.payload.encoding === 'sparkplug' ? this.#owner.nextSparkplugSequence() : undefined
    const payload = this.#source.next(this.#moment(this.#count), seq)
    this.#count += 1
    const qos = this.#drawQos()
    const stream = this.identity === 'none' ? undefined : this.#stream(qos)
    return {
      publication: this,
      topic: payload.topic ?? this.topic,
      qos,
      payload,
      stream,
      sequence: -1,
      intendedMs,
      property: undefined,
    }
  }

  #drawQos(): Qos {
    const { qos } = this.spec
    if (typeof qos === 'number') return qos
    return this.#qosRandom.weighted([qos[0] ?? 0, qos[1] ?? 0, qos[2] ?? 0]) as Qos
  }

  #stream(qos: Qos): SenderStream {
    let stream = this.streams[qos]
    if (stream === undefined) {
      stream = new SenderStream(this.#owner.number, this.#number * 3 + qos, this.topic)
      this.streams[qos] = stream
    }
    return stream
  }

  /** Gives the letter its sequence: from now on it counts as sent. */
  number(letter: Letter): void {
    const { stream, payload } = letter
    if (stream === undefined) return
    letter.sequence = stream.sent++
    if (letter.sequence >= sequencesMax) throw new Error(`more than ${sequencesMax} messages in one stream`)
    this.#context.ledger[this.#context.layout.slotOf(this.#group, stream.device, stream.stream)] = stream.sent
    const inPayload = payload.envelopeAt >= 0
    if (!inPayload) letter.property = new Uint8Array(envelopeBytes)
    const bytes = letter.property ?? payload.bytes
    const offset = inPayload ? payload.envelopeAt : 0
    writeIdentity(bytes, offset, {
      run: this.#context.identity.run,
      device: stream.device,
      stream: stream.stream,
      sequence: letter.sequence,
      intendedUs: letter.intendedMs * 1000,
    })
  }

  /** To be called when the letter goes to the client. */
  seal(letter: Letter, nowMs: number): void {
    if (letter.stream === undefined) return
    const { payload, property } = letter
    sealEnvelope(
      property ?? payload.bytes,
      property === undefined ? payload.envelopeAt : 0,
      payload.bodyCheck,
      (nowMs - letter.intendedMs) * 1000,
    )
  }
}
