/**
 * The books of one life: what was sent, subscribed and received, in the order in which it happened, kept by lists and judged
 * by walking them. Nothing of the broker's is used: topics are matched level by level.
 *
 * Whatever the gateway does is counted from the moment in which it wrote it: an acknowledgement that its client never read
 * was given all the same.
 */
export type Qos = 0 | 1 | 2

export interface Publication {
  readonly id: string
  readonly topic: string
  /** Where it was sent: `topic`, or an address that leads there. */
  readonly address: string
  readonly qos: Qos
  readonly retain: boolean
  readonly publisher: string
  /** Counts up per publisher. */
  readonly sequence: number
  readonly firstSent: number
  /** When it was sent for the second time, in moments. */
  secondSent: number
  /** When the last copy left its publisher, by the life's clock. */
  lastSentMs: number
  readonly firstSentMs: number
  transmissions: number
  /** When the gateway took it over: PUBACK, or PUBREC. */
  answered: number
  refused: boolean
  /** Of its first answer. */
  reasonCode: number
  readonly expirySeconds: number
  /** Its payload names nothing: whoever got it is not known. */
  readonly empty: boolean
}

/** A subscription from its SUBSCRIBE to its end. Between `sent` and `sure`, and `endSent` and `ended`, it may be there or not. */
export interface Span {
  readonly client: string
  readonly epoch: number
  readonly filter: string
  readonly group: string | undefined
  readonly qos: Qos
  readonly noLocal: boolean
  /** The client's session does not outlive its connection. */
  readonly fleeting: boolean
  readonly sent: number
  sure: number
  endSent: number
  ended: number
}

/** One PUBLISH that a client read; further copies of a QoS 2 delivery, which its identifier tells, are none. */
export interface Receipt {
  readonly client: string
  readonly epoch: number
  readonly id: string
  readonly topic: string
  readonly qos: Qos
  readonly retain: boolean
  readonly dup: boolean
  readonly connection: number
  readonly at: number
  /** The client's session does not outlive its connection. */
  readonly fleeting: boolean
  acknowledged: boolean
}

/** One PUBLISH that the gateway wrote to a client, read or not. */
export interface Written {
  readonly client: string
  readonly id: string
  readonly qos: Qos
  readonly dup: boolean
  readonly at: number
  /** The client's session does not outlive its connection. */
  readonly fleeting: boolean
}

export class Books {
  readonly publications = new Map<string, Publication>()
  readonly spans: Span[] = []
  readonly receipts: Receipt[] = []
  readonly written: Written[] = []
  /** When each client was connected, in moments. */
  readonly connections: { client: string; from: number; to: number }[] = []
  readonly faults: string[] = []
  /** What the gateway said to have dropped, by reason, over all processes. */
  readonly dropped = new Map<string, number>()
  /** What was acknowledged and need not come: replaced, cancelled, or not due yet. */
  readonly notOwed = new Set<string>()
  /** When the process died, in moments. */
  readonly crashes: number[] = []
  /** When times were no longer known: the clock was set between two processes. */
  readonly jumps: number[] = []
  #moment = 0

  /** Everything that happens has its own number. */
  moment(): number {
    return ++this.#moment
  }

  /** What happened last, for whoever looks into a failure. */
  readonly log: string[] = []

  note(text: string): void {
    this.log.push(`${this.#moment} ${text}`)
    if (this.log.length > 200_000) this.log.splice(0, 100_000)
  }

  fault(text: string): void {
    this.note(`FAULT ${text}`)
    if (this.faults.length < 20) this.faults.push(text)
  }

  collectDropped(counts: ReadonlyMap<string, number>): void {
    for (const [reason, count] of counts) this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + count)
  }

  crashedSince(moment: number): boolean {
    return (this.crashes.at(-1) ?? -1) > moment
  }
}

/** Section 4.7, level by level. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return true
    if (i >= levels.length || (wanted[i] !== '+' && wanted[i] !== levels[i])) return false
  }
  return wanted.length === levels.length
}

/** The payload that names its publication, of varying length, so that a mixed-up body shows. */
export function payloadOf(id: string, bytes: number): string {
  return `${id} ${'x'.repeat(bytes)}`
}

export function idOf(payload: string | Buffer): string {
  const text = String(payload)
  return text.slice(0, text.indexOf(' '))
}
