/**
 * A client's own messages: kept until they are acknowledged, and sent again in order with DUP when the session is there
 * [MQTT-4.4.0-1].
 */
import { type Books, type Publication, payloadOf, type Qos } from './books.ts'
import type { Packet, Wire } from './wire.ts'

export interface PublishOptions {
  qos: Qos
  retain: boolean
  expirySeconds: number
  bytes: number
  /** An empty payload, which removes what is retained. */
  empty?: boolean
  /** Where it is sent, if that is not its topic. */
  address?: string
  scheduleId?: string | undefined
}

interface Outgoing {
  packetId: number
  payload: string
  publication: Publication
  released: boolean
  scheduleId: string | undefined
}

/** Few, so that each is used again soon. */
const packetIds = 50

export class Publishing {
  readonly #client: string
  readonly #books: Books
  readonly #now: () => number
  #sequence = 0
  #packetId = 0
  #unacknowledged: Outgoing[] = []
  /** Of which some bytes may not have arrived yet. */
  #onTheWay: Publication[] = []

  constructor(client: string, books: Books, now: () => number) {
    this.#client = client
    this.#books = books
    this.#now = now
  }

  get idle(): boolean {
    return this.#unacknowledged.length === 0
  }

  /** A packet identifier that is not in use. */
  nextPacketId(): number {
    do this.#packetId = (this.#packetId % packetIds) + 1
    while (this.#unacknowledged.some(({ packetId }) => packetId === this.#packetId))
    return this.#packetId
  }

  publish(
    wire: Wire,
    topic: string,
    { qos, retain, expirySeconds, bytes, empty = false, address = topic, scheduleId }: PublishOptions,
  ): Publication | undefined {
    if (this.#unacknowledged.length > 20) return undefined
    const sequence = this.#sequence++
    const publication: Publication = {
      id: `${this.#client}:${sequence}`,
      topic,
      address,
      qos,
      retain,
      publisher: this.#client,
      sequence,
      firstSent: this.#books.moment(),
      secondSent: Number.POSITIVE_INFINITY,
      firstSentMs: this.#now(),
      lastSentMs: 0,
      transmissions: 0,
      answered: Number.POSITIVE_INFINITY,
      refused: false,
      reasonCode: 0,
      expirySeconds,
      empty,
    }
    this.#books.publications.set(publication.id, publication)
    const packetId = qos === 0 ? 0 : this.nextPacketId()
    const payload = empty ? '' : payloadOf(publication.id, bytes)
    const one = { packetId, payload, publication, released: false, scheduleId }
    if (qos > 0) this.#unacknowledged.push(one)
    this.#send(wire, one, false)
    return publication
  }

  #send(wire: Wire, { packetId, payload, publication, scheduleId }: Outgoing, dup: boolean): void {
    const { id, address: topic, qos, retain, expirySeconds } = publication
    publication.lastSentMs = this.#now()
    this.#onTheWay.push(publication)
    publication.transmissions++
    if (publication.transmissions === 2) publication.secondSent = this.#books.moment()
    const properties = {
      ...(expirySeconds > 0 && { messageExpiryInterval: expirySeconds }),
      ...(scheduleId !== undefined && { userProperties: { 'schedule-id': scheduleId } }),
    }
    this.#books.note(`${this.#client} -> publish ${id} ${topic} qos ${qos} id ${packetId} dup ${dup}`)
    wire.send({
      cmd: 'publish',
      topic,
      payload,
      qos,
      retain,
      dup,
      ...(qos > 0 && { messageId: packetId }),
      ...(wire.version === 5 && { properties }),
    })
  }

  /** Time passes: the end of what was sent may still be on its way. */
  noteTime(wire: Wire | null): void {
    for (const publication of this.#onTheWay) publication.lastSentMs = this.#now()
    if (wire === null || wire.flushed) this.#onTheWay = []
  }

  resume(wire: Wire): void {
    for (const one of this.#unacknowledged) {
      if (one.released) wire.send({ cmd: 'pubrel', messageId: one.packetId })
      else this.#send(wire, one, true)
    }
  }

  /** The gateway wrote a PUBACK or PUBREC: it has taken the message over, or refused it. */
  onWritten(packetId: number, reasonCode: number): void {
    const one = this.#unacknowledged.find((other) => other.packetId === packetId)
    if (one === undefined) return
    const { publication } = one
    if (publication.answered === Number.POSITIVE_INFINITY) publication.reasonCode = reasonCode
    if (reasonCode >= 0x80) publication.refused = true
    else publication.answered = Math.min(publication.answered, this.#books.moment())
  }

  /** The client read it. */
  /** Nothing happens at packets that answer no message. */
  onAnswer(wire: Wire, packet: Packet): void {
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec' && packet.cmd !== 'pubcomp') return
    const one = this.#unacknowledged.find(({ packetId }) => packetId === packet.messageId)
    if (one === undefined) return
    if (packet.cmd === 'pubrec' && (packet.reasonCode ?? 0) < 0x80) {
      one.released = true
      wire.send({ cmd: 'pubrel', messageId: one.packetId })
    } else this.#unacknowledged = this.#unacknowledged.filter((other) => other !== one)
  }

  forget(): void {
    this.#unacknowledged = []
  }
}
