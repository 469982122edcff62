/** What each retained topic may hold: the last acknowledged change, or any later one. Each topic has one publisher. */
import { type Books, idOf, type Publication } from './books.ts'
import type { Packet, Wire } from './wire.ts'

interface Times {
  nowMs: number
  timesKnownSince: number
}

export class RetainedBook {
  readonly #books: Books
  readonly #refuses: boolean
  readonly #changes = new Map<string, Publication[]>()
  audited = 0

  /** `refuses`: the gateway may refuse messages for want of room. */
  constructor(books: Books, refuses: boolean) {
    this.#books = books
    this.#refuses = refuses
  }

  changed(publication: Publication): void {
    const { topic } = publication
    this.#changes.set(topic, [...(this.#changes.get(topic) ?? []), publication])
  }

  /** As a stranger would. */
  ask(wire: Wire): void {
    wire.sendWhole({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: 'auditor',
      clean: true,
      keepalive: 0,
    })
    wire.sendWhole({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/#', qos: 0 }] })
  }

  /** `inbox`: all that a new subscriber was sent, with nothing under way. */
  audit(inbox: readonly Packet[], nowMs: number, timesKnownSince: number): void {
    const found = new Map<string, string>()
    for (const packet of inbox) {
      if (packet.cmd === 'publish' && packet.retain) found.set(packet.topic, idOf(packet.payload as Buffer))
    }
    for (const [topic, changes] of this.#changes)
      this.#check(topic, changes, found.get(topic), { nowMs, timesKnownSince })
  }

  #check(topic: string, changes: Publication[], found: string | undefined, times: Times): void {
    this.audited++
    const last = changes.findLastIndex(({ answered }) => answered < Number.POSITIVE_INFINITY)
    // A QoS 1 change that was sent again came again, after those at QoS 2 that did not; and so may one whose refusal was lost.
    const comesAgain = ({ qos, transmissions }: Publication) => transmissions > 1 && (qos === 1 || this.#refuses)
    const again = changes.slice(0, Math.max(last, 0)).filter(comesAgain)
    const allowed = [...again, ...changes.slice(Math.max(last, 0))]
    if (found === undefined) {
      // Nothing was acknowledged, or what may be there has expired.
      const { nowMs, timesKnownSince } = times
      const expires = ({ expirySeconds, firstSent, firstSentMs }: Publication) =>
        expirySeconds > 0 && (firstSent < timesKnownSince || firstSentMs + expirySeconds * 1000 <= nowMs)
      if (last >= 0 && !allowed.some((one) => one.empty || expires(one)))
        this.#books.fault(`${topic}: its retained message is gone`)
      return
    }
    if (!allowed.some(({ id }) => id === found)) {
      this.#books.fault(`${topic}: ${found} is retained, the last acknowledged change was ${changes[last]?.id}`)
    }
  }
}
