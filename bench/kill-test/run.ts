/**
 * One broker through the kill test: publishers and durable subscribers at work, kill -9 at random moments, start, repeat.
 *
 * Nothing is timed. After the last cycle the publishers finish what is in flight, the subscribers stay connected, and the
 * books are closed once every acknowledged message has arrived, or nothing has happened for `quietMs`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Broker } from '../peers/broker.ts'
import { BrokerProcess } from './broker-process.ts'
import { type Findings, Ledger, RetainedLedger } from './ledger.ts'
import { DurablePublisher, type Outgoing } from './publisher.ts'
import { Random } from './random.ts'
import { DurableSubscriber } from './subscriber.ts'
import {
  askForSession,
  leavePolitely,
  leaveSession,
  leaveWill,
  publishExpiring,
  readRetained,
  takeWaiting,
  wipeSession,
} from './visitors.ts'

export interface KillTestResult extends Findings {
  cycles: number
  sessionsLost: number
  /** Retained topics that held an older value than the last acknowledged one. */
  retainedStale: number
  /** Sessions that came back after a clean start had been acknowledged. */
  sessionsRisen: number
  /** `unwanted`: published though their clients had left with a DISCONNECT. */
  wills: { left: number; published: number; unwanted: number }
  /** What the members of a share group got, together; their order is not judged. */
  group: Findings
  /** Sessions that were left two messages, one that expires: which were there, and which should not have been. */
  expiry: { left: number; kept: number; risen: number }
  /** Kills while the broker was starting. */
  startsBroken: number
  /** Why the run ended early, for example a broker that did not start again. */
  aborted: string | undefined
}

export interface KillTestOptions {
  cycles: number
  seed: number
  onCycle?: (cycle: number) => void
  /** Ends the run early, in order: what was done until then is settled and counted. */
  signal?: AbortSignal
  /** With acknowledged messages still missing, how long nothing must happen until they count as lost. */
  quietMs?: number
}

/** Longer than the 30 s after which nats-server sends again. */
const defaultQuietMs = 40_000
const publisherCount = 3
const subscriberCount = 3
const retainedTopics = 12
const window = 20
/** How long a started broker may take until a crashed client's will is out. */
const willGraceMs = 5000
const memberCount = 2
const expirySeconds = 1
const foreverSeconds = 36_000
const clockToleranceMs = 500

export async function killTest(broker: Broker, options: KillTestOptions): Promise<KillTestResult> {
  const run = new Run(await BrokerProcess.create(broker), broker, options)
  try {
    return await run.complete()
  } finally {
    await run.dispose()
  }
}

class Run {
  readonly #process: BrokerProcess
  readonly #options: KillTestOptions
  readonly #random: Random
  readonly #ledger = new Ledger()
  readonly #retained = new RetainedLedger()
  readonly #publishers: DurablePublisher[] = []
  readonly #subscribers: DurableSubscriber[] = []
  readonly #hasVersion5: boolean
  readonly #qos: readonly (1 | 2)[]
  readonly #wills = { left: 0, published: 0, unwanted: 0 }
  readonly #expiry = { left: 0, kept: 0, risen: 0 }
  readonly #group = new Ledger()
  readonly #hasGroups: boolean
  #startsBroken = 0
  #retainedStale = 0
  #sessionsRisen = 0

  constructor(process: BrokerProcess, broker: Broker, options: KillTestOptions) {
    this.#process = process
    this.#options = options
    this.#random = new Random(options.seed)
    this.#hasVersion5 = broker.capabilities.has('mqtt5')
    this.#hasGroups = broker.capabilities.has('shared')
    this.#qos = broker.capabilities.has('qos2') ? [1, 2] : [1]
  }

  async complete(): Promise<KillTestResult> {
    await this.#process.start()
    await this.#begin()
    let aborted: string | undefined
    let cycles = 0
    try {
      for (; cycles < this.#options.cycles && this.#options.signal?.aborted !== true; cycles++) {
        this.#options.onCycle?.(cycles + 1)
        await this.#cycle(cycles)
      }
    } catch (error) {
      aborted = (error as Error).message
    }
    if (aborted === undefined) await this.#settle()
    return {
      ...this.#ledger.findings(),
      cycles,
      sessionsLost: [...this.#publishers, ...this.#subscribers].reduce((sum, one) => sum + one.sessionsLost, 0),
      retainedStale: this.#retainedStale,
      sessionsRisen: this.#sessionsRisen,
      wills: this.#wills,
      group: { ...this.#group.findings(), disordered: 0 },
      expiry: this.#expiry,
      startsBroken: this.#startsBroken,
      aborted,
    }
  }

  async dispose(): Promise<void> {
    for (const client of [...this.#publishers, ...this.#subscribers]) client.stop()
    await this.#process.dispose()
  }

  /** Subscriptions first: only what is published after their SUBACK is owed to them. */
  async #begin(): Promise<void> {
    const port = this.#process.port
    for (let i = 1; i <= subscriberCount; i++) {
      const clientId = `subscriber-${i}`
      this.#ledger.addSubscriber(clientId)
      this.#subscribe(clientId, this.#versionOf(i), 'kill/+', (payload, connection) =>
        this.#ledger.received(clientId, payload, connection),
      )
    }
    this.#group.addSubscriber('group')
    for (let i = 1; i <= memberCount && this.#hasGroups; i++) {
      // Connections of all members count on together: a copy that another member got is one after a reconnect.
      this.#subscribe(`member-${i}`, this.#versionOf(2), '$share/group/grouped/+', (payload, connection) =>
        this.#group.received('group', payload, connection * memberCount + i),
      )
    }
    await Promise.all(this.#subscribers.map(({ subscribed }) => subscribed))
    for (let i = 1; i <= publisherCount; i++) {
      for (const qos of this.#qos) {
        const clientId = `publisher-${i}-qos${qos}`
        this.#ledger.addStream(clientId, qos)
        const next = () => this.#nextOf(this.#ledger, `kill/${clientId}`, clientId, qos)
        this.#publishers.push(new DurablePublisher({ clientId, version: this.#versionOf(i), port, window, next }))
      }
    }
    for (const qos of this.#hasGroups ? this.#qos : []) {
      const clientId = `group-publisher-qos${qos}`
      this.#group.addStream(clientId, qos)
      const next = () => this.#nextOf(this.#group, `grouped/${clientId}`, clientId, qos)
      this.#publishers.push(new DurablePublisher({ clientId, version: 4, port, window, next }))
    }
    const next = () => this.#nextRetained()
    this.#publishers.push(new DurablePublisher({ clientId: 'retainer', version: 4, port, window: 5, next }))
    this.#publish(true)
  }

  /** Every second client speaks 5.0 where the broker does. */
  #versionOf(index: number): 4 | 5 {
    return this.#hasVersion5 && index % 2 === 0 ? 5 : 4
  }

  #subscribe(
    clientId: string,
    version: 4 | 5,
    topicFilter: string,
    onMessage: (payload: string, connection: number) => void,
  ): void {
    const qos = this.#qos.includes(2) ? 2 : 1
    const { port } = this.#process
    this.#subscribers.push(
      new DurableSubscriber({ clientId, version, port, topicFilter, qos, random: this.#random, onMessage }),
    )
  }

  #nextOf(ledger: Ledger, topic: string, stream: string, qos: 1 | 2): Outgoing {
    const { number, payload } = ledger.next(stream)
    return {
      topic,
      payload,
      qos,
      retain: false,
      onSend: () => ledger.sent(stream, number),
      onAcknowledged: () => ledger.acknowledged(stream, number),
    }
  }

  #retainedChanges = 0

  /** Every ninth change deletes. */
  #nextRetained(): Outgoing {
    const change = ++this.#retainedChanges
    const topic = `retained/${Math.floor(this.#random.next() * retainedTopics)}`
    const value = change % 9 === 0 ? undefined : `value ${change}`
    const index = this.#retained.change(topic, value)
    return {
      topic,
      payload: value ?? '',
      qos: 1,
      retain: true,
      onSend: () => {},
      onAcknowledged: () => this.#retained.acknowledged(topic, index),
    }
  }

  async #cycle(cycle: number): Promise<void> {
    const port = this.#process.port
    const wiped = `wiped-${cycle}`
    const task = this.#visit(wiped, cycle)
    const sleeper = this.#hasVersion5 && cycle % 5 === 0 ? await this.#leaveExpiring(cycle) : undefined
    if (cycle % 5 === 0) await Promise.race([leavePolitely(port, 'polite', `polite/${cycle}`), delay(2000)])
    await delay(this.#random.between(150, 900))
    const visited = await Promise.race([task, delay(50, undefined)])
    const willing = await Promise.race([leaveWill(port, 'willing', `will/${cycle}`, 'gone'), delay(2000, undefined)])
    await this.#process.kill()
    this.#publish(false)
    for (; this.#random.chance(0.3); this.#startsBroken++) await this.#process.breakStart(this.#random.between(0, 500))
    await this.#process.start()
    await this.#checkRetained()
    if (visited === true && (await askForSession(port, wiped)) === true) this.#sessionsRisen++
    if (willing !== undefined && cycle % 5 === 0) await this.#checkWill(`will/${cycle}`)
    if (sleeper !== undefined) await this.#checkExpiring(sleeper)
    this.#publish(true)
  }

  /** True if the broker acknowledged the end of a session: every cycle has one, before or after its death. */
  async #visit(clientId: string, cycle: number): Promise<boolean> {
    const port = this.#process.port
    if ((await leaveSession(port, clientId, `other/${cycle}`)) === undefined) return false
    return (await wipeSession(port, clientId)) !== undefined
  }

  async #checkRetained(): Promise<void> {
    // What is acknowledged while the reader reads may have come after its snapshot.
    const owed = this.#retained.owed()
    const found = await readRetained(this.#process.port, 'retained/#', [...owed.keys()], 400)
    for (const [topic, values] of owed) if (!values().includes(found.get(topic))) this.#retainedStale++
  }

  /** The client that left it died with the broker's connection and does not come back. */
  async #checkWill(topic: string): Promise<void> {
    this.#wills.left++
    for (const deadline = Date.now() + willGraceMs; Date.now() < deadline; ) {
      const found = await readRetained(this.#process.port, topic, [topic], 100)
      if (!found.has(topic)) continue
      this.#wills.published++
      return
    }
  }

  /** A session with two messages, of which one has expired when it is looked at. Returns its client id. */
  async #leaveExpiring(cycle: number): Promise<{ clientId: string; expiresAt: number } | undefined> {
    const { port } = this.#process
    const clientId = `sleeper-${cycle}`
    if ((await leaveSession(port, clientId, `expiring/${cycle}`, 5)) === undefined) return undefined
    if (!(await publishExpiring(port, `expiring/${cycle}`, [expirySeconds, foreverSeconds]))) return undefined
    this.#expiry.left++
    return { clientId, expiresAt: Date.now() + expirySeconds * 1000 }
  }

  async #checkExpiring({ clientId, expiresAt }: { clientId: string; expiresAt: number }): Promise<void> {
    // The broker's clock begins again a little later than where it ended, and says when.
    await delay(Math.max(0, expiresAt + clockToleranceMs - Date.now()))
    const connect = { clientId, protocolVersion: 5 } as const
    const taken = await takeWaiting(this.#process.port, connect, String(foreverSeconds), 1000)
    if (taken?.includes(String(foreverSeconds)) === true) this.#expiry.kept++
    if (taken?.includes(String(expirySeconds)) === true) this.#expiry.risen++
  }

  #publish(publishing: boolean): void {
    for (const publisher of this.#publishers) publisher.publishing = publishing
  }

  async #settle(): Promise<void> {
    this.#publish(false)
    for (const subscriber of this.#subscribers) subscriber.settle()
    const { quietMs = defaultQuietMs } = this.#options
    let changes = -1
    for (let quietSince = Date.now(); Date.now() - quietSince < quietMs; await delay(50)) {
      const sum = this.#ledger.changes + this.#group.changes
      if (sum !== changes) quietSince = Date.now()
      changes = sum
      const lost = this.#ledger.findings().lost + this.#group.findings().lost
      // A little longer than needed: what comes after the last one due is a duplicate, and counts.
      if (lost === 0 && this.#publishers.every(({ isIdle }) => isIdle) && Date.now() - quietSince > 700) break
    }
    await this.#checkRetained()
    // By now every will is out that a crash left behind.
    this.#wills.unwanted = (await readRetained(this.#process.port, 'polite/+', ['never'], 400)).size
  }
}
