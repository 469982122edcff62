/**
 * Strangers: connections beside the swarm that do what the broker must refuse, at a steady pace. A broker that closes or
 * refuses does as expected; one that goes on does not, and the swarm's verdict shows whether others were harmed.
 */
import type { Duplex } from 'node:stream'
import { openStream } from '../client/stream.ts'
import type { FaultOf } from '../scenario/fault-schema.ts'
import type { FaultCounts } from './disturb.ts'

type StrangerFault = FaultOf<'malformed'> | FaultOf<'oversize'> | FaultOf<'wrong-credentials'>

const answerTimeoutMs = 5000
const largestPacket = 268_435_455
const chunkBytes = 65_536
const chunksMax = 64

function connectBytes(clientId: string, credentials?: { username: string; password: string }): Buffer {
  const text = (value: string): Buffer =>
    Buffer.concat([Buffer.from([value.length >> 8, value.length & 0xff]), Buffer.from(value)])
  const body = Buffer.concat([
    text('MQTT'),
    Buffer.from([4, credentials === undefined ? 0x02 : 0xc2, 0, 30]),
    text(clientId),
    ...(credentials === undefined ? [] : [text(credentials.username), text(credentials.password)]),
  ])
  return Buffer.concat([Buffer.from([0x10, body.length]), body])
}

/** Each breaks one rule of MQTT 3.1.1; the name is the statement. */
export const malformedPackets: readonly { statement: string; bytes: Buffer; beforeConnect: boolean }[] = [
  { statement: '3.1.0-1', bytes: Buffer.from([0x30, 0x03, 0x00, 0x01, 0x61]), beforeConnect: true },
  { statement: '3.3.1-4', bytes: Buffer.from([0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01]), beforeConnect: false },
  { statement: '3.3.2-2', bytes: Buffer.from([0x30, 0x05, 0x00, 0x03, 0x61, 0x2f, 0x23]), beforeConnect: false },
  { statement: '1.5.3-1', bytes: Buffer.from([0x30, 0x04, 0x00, 0x02, 0xc0, 0xaf]), beforeConnect: false },
  { statement: '3.8.1-1', bytes: Buffer.from([0x80, 0x06, 0x00, 0x01, 0x00, 0x01, 0x61, 0x00]), beforeConnect: false },
  { statement: '2.2.3', bytes: Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), beforeConnect: false },
  { statement: '3.1.0-2', bytes: connectBytes('again'), beforeConnect: false },
]

export class Strangers {
  readonly counts: FaultCounts = { events: 0, asExpected: 0, unexpected: 0 }
  /** What the broker took that it should have refused, once each. */
  readonly accepted = new Set<string>()
  readonly #spec: StrangerFault
  readonly #url: () => URL | undefined
  readonly #timer: NodeJS.Timeout
  readonly #open = new Set<Duplex>()
  #count = 0

  constructor(spec: StrangerFault, url: () => URL | undefined) {
    this.#spec = spec
    this.#url = url
    this.#timer = setInterval(() => void this.#attempt(), spec.every)
    void this.#attempt()
  }

  stop(): void {
    clearInterval(this.#timer)
    for (const stream of this.#open) stream.destroy()
  }

  async #attempt(): Promise<void> {
    const url = this.#url()
    if (url === undefined) return
    const n = this.#count++
    this.counts.events += 1
    const stream = openStream({ url, subprotocol: 'mqtt' })
    this.#open.add(stream)
    const conversation = new Conversation(stream)
    try {
      const [name, outcome] = await this.#converse(conversation, n)
      if (outcome === 'refused') {
        this.counts.asExpected += 1
      } else if (outcome === 'accepted') {
        this.counts.unexpected += 1
        this.accepted.add(name)
      }
    } finally {
      stream.destroy()
      this.#open.delete(stream)
    }
  }

  async #converse(conversation: Conversation, n: number): Promise<[string, Outcome]> {
    const clientId = `stranger-${process.pid}-${n}`
    if (this.#spec.type === 'wrong-credentials') {
      conversation.write(connectBytes(clientId, { username: 'nobody', password: `wrong-${n}` }))
      const code = await conversation.connack()
      return ['wrong credentials', code === undefined ? 'refused' : code === 0 ? 'accepted' : 'refused']
    }
    const packet = malformedPackets[n % malformedPackets.length]!
    if (this.#spec.type === 'malformed' && packet.beforeConnect) {
      conversation.write(packet.bytes)
      return [packet.statement, await conversation.end()]
    }
    conversation.write(connectBytes(clientId))
    if ((await conversation.connack()) !== 0) return ['', 'unknown']
    if (this.#spec.type === 'malformed') {
      conversation.write(packet.bytes)
      return [packet.statement, await conversation.end()]
    }
    return ['oversize', await this.#oversize(conversation)]
  }

  /** Declares a packet of the size and sends up to 4 MiB of it: a broker with a limit closes at the header. */
  async #oversize(conversation: Conversation): Promise<Outcome> {
    const size = this.#spec.type === 'oversize' ? (this.#spec.size ?? largestPacket) : largestPacket
    const remaining = [
      (size & 0x7f) | 0x80,
      ((size >> 7) & 0x7f) | 0x80,
      ((size >> 14) & 0x7f) | 0x80,
      (size >> 21) & 0x7f,
    ]
    conversation.write(Buffer.from([0x30, ...remaining, 0x00, 0x01, 0x61]))
    const chunk = Buffer.alloc(chunkBytes)
    for (let i = 0; i < Math.min(chunksMax, size / chunkBytes) && !conversation.closed; i++) conversation.write(chunk)
    return conversation.end()
  }
}

type Outcome = 'refused' | 'accepted' | 'unknown'

class Conversation {
  closed = false
  readonly #stream: Duplex
  #received = Buffer.alloc(0)
  #wake: (() => void) | undefined

  constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake?.()
    })
    stream.on('error', () => {})
    stream.on('close', () => {
      this.closed = true
      this.#wake?.()
    })
    stream.on('end', () => {
      this.closed = true
      this.#wake?.()
    })
  }

  write(bytes: Buffer): void {
    if (!this.closed) this.#stream.write(bytes)
  }

  /** The return code, or undefined when there was none. */
  async connack(): Promise<number | undefined> {
    await this.#until(() => this.#received.length >= 4)
    return this.#received.length >= 4 ? this.#received[3] : undefined
  }

  /** `refused` when the broker closes; `accepted` when it still answers a PINGREQ, or does nothing at all. */
  async end(): Promise<Outcome> {
    this.write(Buffer.from([0xc0, 0x00]))
    const answered = (): boolean => this.#received.includes(Buffer.from([0xd0, 0x00]), 4)
    await this.#until(answered)
    return this.closed ? 'refused' : 'accepted'
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#wake = undefined
        resolve()
      }, answerTimeoutMs)
      this.#wake = () => {
        if (!condition() && !this.closed) return
        clearTimeout(timer)
        this.#wake = undefined
        resolve()
      }
      this.#wake()
    })
  }
}
