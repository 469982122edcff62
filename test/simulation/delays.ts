/**
 * Delayed messages in a life: a client of its own publishes to `$delayed/<n>/d/…` in seconds and with dates, replaces and cancels by
 * name; the watcher reads what comes. When one may come, and must have come, is reckoned from what was said on the wires: not before
 * its seconds have passed since it was sent, and not long after they have passed since it was acknowledged.
 *
 * What is named is sent only when all before it is acknowledged, so that it is known which message has the name.
 */
import type { Books, Publication } from './books.ts'
import { Client } from './client.ts'
import type { FakeClock } from './fake-clock.ts'
import type { Process } from './process.ts'
import { Random } from './random.ts'
import type { Surroundings, Wish } from './surroundings.ts'

/** How late one may be: the system's clock is looked at each minute, a full disk every five seconds. */
const graceMs = 62_000
const never = Number.POSITIVE_INFINITY
const names = ['n0', 'n1', 'n2'] as const

interface Delayed {
  readonly publication: Publication
  readonly isDate: boolean
  /** Seconds from when it was sent, or the date. */
  readonly delayMs: number
  /** expected: it comes when due. maybe: it need not. over: it must not come. */
  state: 'expected' | 'maybe' | 'over'
  /** Nobody set the clock between two processes since it was sent. */
  isKnown: boolean
  /** When its acknowledgement was seen. */
  answeredMs: number
  /** The latest that the clock of the system has said since it was sent. */
  wallMaxMs: number
  /** In moments. */
  written: number
}

/** What replaces or cancels, unanswered. */
interface Change {
  readonly publication: Publication
  readonly name: string
  readonly by: Delayed | undefined
}

export class Delays {
  /** Some lives have none, so that those of before are what they were. */
  readonly isThere: boolean
  readonly watching: readonly Wish[]
  /** Who publishes them. */
  readonly clients: readonly Client[]
  readonly #books: Books
  readonly #clock: FakeClock
  readonly #random: Random
  readonly #all = new Map<string, Delayed>()
  /** What may have a name now. */
  readonly #named = new Map<string, Delayed[]>()
  #change: Change | undefined
  /** Since when nobody has set a clock, filled the disk or ended the process. */
  #calmSinceMs = 0
  #wasSet = false
  #isOver = false
  /** A queue that is full may drop some. */
  readonly #limited: boolean

  constructor(seed: number, life: Surroundings, clock: FakeClock, limited: boolean) {
    this.#random = new Random(seed ^ 0xde1a)
    this.#books = life.books
    this.#clock = clock
    this.#limited = limited
    this.isThere = this.#random.chance(0.6)
    this.watching = this.isThere ? [{ filter: 'd/#', qos: 2, noLocal: false }] : []
    const version = this.#random.pick([4, 5, 5] as const)
    const lasting = { sessionSeconds: 0xffffffff, keepAliveSeconds: 0, hasWill: false, wishes: [] } as const
    this.clients = this.isThere ? [new Client({ id: 'planner', version, ...lasting }, life)] : []
  }

  get published(): number {
    return [...this.#all.values()].filter(({ written }) => written < never).length
  }

  /** At the end of each turn. */
  act(): void {
    this.#noteAnswers()
    const [client] = this.clients
    if (client === undefined) return
    const random = this.#random
    if (!client.isConnected) {
      if (this.#isOver || random.chance(0.3)) client.connect(false)
      return
    }
    if (this.#isOver || random.chance(0.6)) client.answerAll()
    if (this.#isOver || !random.chance(0.08)) return
    if (random.chance(0.1)) client.drop()
    else if (client.options.version === 5 && client.idle && random.chance(0.5)) this.#changeNamed(client)
    else this.#delay(client, undefined)
  }

  #delay(client: Client, scheduleId: string | undefined): Delayed | undefined {
    const random = this.#random
    const isDate = random.chance(0.3)
    const seconds = random.pick([0, 1, 5, 5, 60, 60, 600, 4000])
    const n = isDate ? Math.floor(this.#clock.wall() / 1000) + seconds : seconds
    const topic = `d/${random.below(2)}`
    const options = { qos: random.pick([1, 2] as const), retain: false, expirySeconds: 0, bytes: random.below(60) }
    const publication = client.publish(topic, { ...options, address: `$delayed/${n}/${topic}`, scheduleId })
    if (publication === undefined) return undefined
    const times = { answeredMs: never, wallMaxMs: this.#clock.wall(), written: never }
    const delayed: Delayed = { publication, isDate, delayMs: n * 1000, state: 'expected', isKnown: true, ...times }
    this.#all.set(publication.id, delayed)
    return delayed
  }

  /** One comes in the place of what has the name, or that is taken back. */
  #changeNamed(client: Client): void {
    const random = this.#random
    const name = random.pick(names)
    if (random.chance(0.3)) {
      const options = { qos: random.pick([1, 2] as const), retain: false, expirySeconds: 0, bytes: 0 }
      const publication = client.publish(`$delayed/cancel/${name}`, options)
      if (publication !== undefined) this.#change = { publication, name, by: undefined }
    } else {
      const by = this.#delay(client, name)
      if (by !== undefined) this.#change = { publication: by.publication, name, by }
    }
  }

  #noteAnswers(): void {
    const now = this.#clock.now()
    for (const one of this.#all.values()) {
      if (one.answeredMs === never && one.publication.answered < never) one.answeredMs = now
    }
    const change = this.#change
    if (change === undefined) return
    const { answered, transmissions, reasonCode } = change.publication
    // A refusal that its client never read is followed by another copy.
    if (answered === never && !this.clients[0]!.idle) return
    const refused = answered === never
    this.#change = undefined
    const before = this.#named.get(change.name) ?? []
    const isCertain = transmissions === 1
    // It was not there, or was left alone: it has been published then, or will be.
    if (isCertain && (refused || reasonCode === 0x10)) return
    for (const one of before) one.state = !refused && isCertain && !this.#mayBeDue(one) ? 'over' : 'maybe'
    const stays = refused ? before : []
    this.#named.set(change.name, change.by === undefined ? stays : [...stays, change.by])
  }

  #mayBeDue(one: Delayed): boolean {
    const { publication, isDate, delayMs, isKnown, wallMaxMs } = one
    if (isDate) return Math.max(wallMaxMs, this.#clock.wall()) >= delayMs
    return !isKnown || this.#clock.now() >= publication.firstSentMs + delayMs
  }

  /** The gateway wrote it to the watcher. */
  written(id: string): void {
    const one = this.#all.get(id)
    if (one === undefined || one.written < never) return
    one.written = this.#books.moment()
    const said = `delayed ${id} came at ${this.#clock.now()} (${this.#clock.wall()})`
    if (!this.#mayBeDue(one)) this.#books.fault(`${said}, before it was due: ${JSON.stringify(one)}`)
    if (one.state === 'over') this.#books.fault(`${said}, and was replaced or cancelled`)
  }

  /** A process ended, or the disk became full or has room again. */
  disturbed(): void {
    this.#calmSinceMs = this.#clock.now()
  }

  /** Before somebody sets the clock of the system, which is noticed within a minute. */
  clockSet(): void {
    this.disturbed()
    this.#wasSet = true
    const wall = this.#clock.wall() + graceMs
    for (const one of this.#all.values()) one.wallMaxMs = Math.max(one.wallMaxMs, wall)
  }

  /** The next process begins at another time: of seconds only the order is known. */
  jumped(): void {
    for (const one of this.#all.values()) one.isKnown = false
  }

  #isWaiting({ state, written, answeredMs, publication }: Delayed): boolean {
    const mayBeReplaced =
      this.#change !== undefined && this.#named.get(this.#change.name)?.some((one) => one.publication === publication)
    return state === 'expected' && written === never && answeredMs < never && mayBeReplaced !== true
  }

  /** By when it must have come, from now on; unknown: never. */
  #lateInMs({ isDate, isKnown, delayMs, answeredMs }: Delayed): number {
    if (isDate) return delayMs + graceMs - this.#clock.wall()
    return isKnown ? answeredMs + delayMs + graceMs - this.#clock.now() : never
  }

  /** To be asked when nothing is under way. */
  check(): void {
    if (this.#limited || this.#clock.now() < this.#calmSinceMs + graceMs) return
    for (const one of this.#all.values()) {
      if (!this.#isWaiting(one) || this.#lateInMs(one) >= 0) continue
      this.#books.fault(`delayed ${one.publication.id} should be there: ${JSON.stringify(one)}`)
      one.state = 'maybe'
    }
  }

  /** It publishes no more. */
  rest(): void {
    this.#isOver = true
  }

  /** Until nothing is due within some hours; then what has not come is still there. `pass`: the time goes on. */
  async finish(process: Process, pass: () => Promise<void>): Promise<void> {
    if (!this.isThere) return
    const open = () => [...this.#all.values()].filter((one) => this.#isWaiting(one))
    await pass()
    for (let rounds = 0; rounds < 15 && open().some((one) => this.#lateInMs(one) < 5_000_000); rounds++) await pass()
    if (this.#books.faults.length > 0) return
    const later = open().filter((one) => this.#lateInMs(one) >= 0)
    const waiting = process.delayedMessages
    if (!this.#limited && later.length > waiting) {
      this.#books.fault(`delayed: ${later.length} have not come, ${waiting} wait; first ${later[0]!.publication.id}`)
    }
    if (!this.#wasSet && waiting > 0) this.#books.fault(`delayed: ${waiting} wait for nothing`)
    for (const one of this.#all.values()) {
      if (one.written === never && (one.state !== 'expected' || later.includes(one)))
        this.#books.notOwed.add(one.publication.id)
    }
    if (!this.#limited) this.#judgeOrder()
  }

  /** What was certainly due earlier came earlier. */
  #judgeOrder(): void {
    const came = [...this.#all.values()].filter(
      ({ written, isDate, isKnown }) => written < never && (isDate ? !this.#wasSet : isKnown),
    )
    for (const one of came) {
      const from = one.delayMs + (one.isDate ? 0 : one.publication.firstSentMs)
      const late = came.find((other) => {
        if (other.publication.qos !== one.publication.qos || other.written < one.written) return false
        // What was past when it was sent was due at once.
        const to = other.isDate ? Math.max(other.delayMs, other.answeredMs) : other.answeredMs + other.delayMs
        return to < from
      })
      if (late !== undefined) this.#books.fault(`delayed ${late.publication.id} came after ${one.publication.id}`)
    }
  }
}
