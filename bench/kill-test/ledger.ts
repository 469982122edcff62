/**
 * The books of one run: what was sent, what the broker acknowledged, what each durable subscriber got.
 *
 * A stream is one publisher at one QoS; its messages are numbered from 1. A message counts as acknowledged from the PUBACK
 * (QoS 1) or the PUBREC (QoS 2) on: from then on the publisher may forget it. Whatever the broker says, a message that was
 * acknowledged and did not reach a durable subscriber is lost.
 */
export interface Findings {
  acknowledged: number
  /** Pairs of an acknowledged message and a subscriber that got it. */
  delivered: number
  lost: number
  /** QoS 2 messages that a subscriber got more than once. */
  duplicatedQos2: number
  /** Further copies at QoS 1, after a reconnect of either side: allowed. */
  duplicatedQos1: number
  /** Further copies at QoS 1 that no reconnect explains. */
  duplicatedWithoutCause: number
  /** QoS 1 messages that first arrived after a later one of their stream. */
  disordered: number
  /** Payloads that nobody sent. */
  foreign: number
}

interface Stream {
  name: string
  qos: 1 | 2
  /** By number, index 0 unused: times sent, and whether acknowledged. */
  attempts: number[]
  acknowledged: boolean[]
}

interface Received {
  copies: number[]
  /** The subscriber's connection that brought the first copy. */
  connection: number[]
  newest: number
}

export class Ledger {
  readonly #streams = new Map<string, Stream>()
  /** By subscriber, then by stream. */
  readonly #received = new Map<string, Map<string, Received>>()
  #duplicatedWithoutCause = 0
  #disordered = 0
  #foreign = 0
  /** Counts every change, for those who wait until nothing happens any more. */
  changes = 0

  addStream(name: string, qos: 1 | 2): void {
    this.#streams.set(name, { name, qos, attempts: [0], acknowledged: [false] })
  }

  addSubscriber(subscriber: string): void {
    this.#received.set(subscriber, new Map())
  }

  /** The payload of a stream's next message. */
  next(name: string): { number: number; payload: string } {
    const stream = this.#streams.get(name)!
    const number = stream.attempts.length
    stream.attempts.push(0)
    stream.acknowledged.push(false)
    return { number, payload: payloadOf(name, number) }
  }

  sent(name: string, number: number): void {
    this.#streams.get(name)!.attempts[number]!++
  }

  acknowledged(name: string, number: number): void {
    this.#streams.get(name)!.acknowledged[number] = true
    this.changes++
  }

  received(subscriber: string, payload: string, connection: number): void {
    this.changes++
    const [name = '', text = ''] = payload.split(' ', 2)
    const stream = this.#streams.get(name)
    const number = Number(text)
    if (!stream?.attempts[number] || payload !== payloadOf(name, number)) {
      this.#foreign++
      return
    }
    const received = this.#receivedOf(subscriber, name)
    const copies = received.copies[number] ?? 0
    received.copies[number] = copies + 1
    if (copies === 0) {
      received.connection[number] = connection
      if (number < received.newest && stream.qos === 1) this.#disordered++
      received.newest = Math.max(received.newest, number)
    } else if (stream.qos === 1 && received.connection[number] === connection && stream.attempts[number] === 1) {
      this.#duplicatedWithoutCause++
    }
  }

  #receivedOf(subscriber: string, name: string): Received {
    const streams = this.#received.get(subscriber)!
    const received = streams.get(name) ?? { copies: [], connection: [], newest: 0 }
    streams.set(name, received)
    return received
  }

  findings(): Findings {
    const found: Findings = {
      acknowledged: 0,
      delivered: 0,
      lost: 0,
      duplicatedQos2: 0,
      duplicatedQos1: 0,
      duplicatedWithoutCause: this.#duplicatedWithoutCause,
      disordered: this.#disordered,
      foreign: this.#foreign,
    }
    for (const stream of this.#streams.values()) {
      for (let number = 1; number < stream.attempts.length; number++) {
        if (stream.acknowledged[number]) found.acknowledged++
        for (const streams of this.#received.values()) {
          const copies = streams.get(stream.name)?.copies[number] ?? 0
          if (stream.acknowledged[number] && copies === 0) found.lost++
          if (stream.acknowledged[number] && copies > 0) found.delivered++
          if (copies > 1 && stream.qos === 2) found.duplicatedQos2++
          if (copies > 1 && stream.qos === 1) found.duplicatedQos1 += copies - 1
        }
      }
    }
    found.duplicatedQos1 -= found.duplicatedWithoutCause
    return found
  }
}

/** Of varying length, so that a mixed-up body shows. */
function payloadOf(name: string, number: number): string {
  return `${name} ${number} ${'x'.repeat((number * 37) % 200)}`
}

/** What retained topics may hold: nothing older than the last acknowledged change. */
export class RetainedLedger {
  /** By topic, the changes in order; undefined is a deletion. */
  readonly #changes = new Map<string, (string | undefined)[]>()
  /** By topic, the index of the last acknowledged change. */
  readonly #acknowledged = new Map<string, number>()

  change(topic: string, value: string | undefined): number {
    const changes = this.#changes.get(topic) ?? [undefined]
    changes.push(value)
    this.#changes.set(topic, changes)
    return changes.length - 1
  }

  acknowledged(topic: string, index: number): void {
    this.#acknowledged.set(topic, Math.max(index, this.#acknowledged.get(topic) ?? 0))
  }

  /** By topic, what it may hold from now on: the last acknowledged value, or any later one, undefined for none. */
  owed(): Map<string, () => (string | undefined)[]> {
    return new Map(
      [...this.#changes].map(([topic, changes]) => {
        const acknowledged = this.#acknowledged.get(topic) ?? 0
        return [topic, () => changes.slice(acknowledged)]
      }),
    )
  }
}
