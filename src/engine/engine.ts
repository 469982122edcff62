/**
 * The turn: what all sockets brought in one iteration of the event loop is decided by the core at once, then everything
 * that resulted leaves, one write per socket, and what must survive goes to the committer as one batch.
 *
 *     socket data ... -> core -> output gathered, records appended     (any number of times)
 *     end of the turn -> batch to the store if none is under way -> one write per dirty connection
 *     commit resolves -> held frames released, deliveries that waited go on -> end of a turn
 */
import type { Broker } from '../core/broker.ts'
import { turnStepsMax } from '../core/cost.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import type { Durability } from '../store/store.ts'
import { type Clock, wallOffset } from './clock.ts'
import type { Connection } from './connection.ts'
import { durabilityLevels, levelNone } from './durability.ts'
import { Room, type RoomLimits } from './room.ts'
import type { Tapper } from './tap.ts'

/** What the engine needs of whoever commits. */
export interface Commits {
  /** Every batch up to this number is committed. */
  readonly committed: number
  /** A commit failed: nothing more becomes safe. */
  readonly failed: boolean
  /** More waits for a commit than `pendingCommitBytesMax`. */
  readonly backlogged: boolean
  /** From here on nothing is handed to the store. */
  fail?(error: Error): void
  /** Hands the gathered records to the store unless a batch is under way. */
  endTurn(): void
}

export interface EngineOptions {
  outputBufferBytesMax: number
  /** For all listeners; absent: no limits. */
  roomLimits?: RoomLimits
  /** A fault of ours has stopped the engine: the process has to end. */
  onFault?: (error: Error, culprit: Culprit) => void
}

/** What a listener gives the connections that it accepts. */
export interface ListenerOptions {
  /** Its identity in the log and in metrics. */
  name: string
  room: Room
  /** What its clients' acknowledgements wait for. */
  durability: Durability
  /** Where its clients belong; undefined: it does not say. */
  namespace: string | undefined
}

/** Whose packet, or whose session's turn, a fault of ours came up in. */
export interface Culprit {
  /** Empty: unknown. */
  clientId: string
  /** Undefined: it was not let in yet. */
  namespace: string | undefined
  address: string
  /** The beginning of the packet; null: it was no packet. */
  packet: Uint8Array | null
}

/** The program asked for what can't be. */
export class RefusedError extends Error {
  override name = 'RefusedError'
}

export interface EngineLog {
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** The longest sleep between looks at what is due: far below setTimeout's limit. */
const sleepMsMax = 60_000

export class Engine {
  readonly broker: Broker
  readonly log: EngineLog
  readonly outputBufferBytesMax: number
  readonly connections = new Set<Connection>()
  /** Null: nobody looks at packets. */
  tapper: Tapper | null = null
  /** Of all listeners. */
  readonly room: Room
  readonly #clock: Clock
  readonly #commits: Commits
  #dirty: Connection[] = []
  #holding: Connection[] = []
  #pausedForCommit: Connection[] = []
  /** Connections whose packets took so many steps that others come first, in order. */
  #yielding: Connection[] = []
  #scheduled = false
  #cancelTimer: (() => void) | null = null
  #timerAt = Infinity
  #stopped = false
  readonly #onFault: (error: Error, culprit: Culprit) => void
  readonly #endTurn = (): void => this.endTurn()

  constructor(broker: Broker, commits: Commits, clock: Clock, log: EngineLog, options: EngineOptions) {
    this.broker = broker
    this.log = log
    this.outputBufferBytesMax = options.outputBufferBytesMax
    this.room = new Room(options.roomLimits ?? { connectionsMax: Infinity, handshakesMax: Infinity })
    this.#clock = clock
    this.#commits = commits
    this.#onFault = options.onFault ?? (() => {})
    broker.now = clock.now()
    broker.wallOffset = wallOffset(clock)
  }

  get committed(): number {
    return this.#commits.committed
  }

  get commitBacklogged(): boolean {
    return this.#commits.backlogged
  }

  /** Runs something later, as `run` does. Returns what cancels it. */
  after(ms: number, action: () => void): () => void {
    return this.#clock.after(ms, () => this.run(action))
  }

  /** To be called before the core is told anything: sets its time, and sees to it that the turn ends. */
  beginTurn(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.broker.now = this.#clock.now()
    setImmediate(this.#endTurn)
  }

  /** Runs something that is no socket's event within a turn. What goes wrong in it is our fault. */
  run(action: () => void): void {
    if (this.#stopped) return
    this.beginTurn()
    try {
      action()
    } catch (error) {
      this.fault(error)
    }
  }

  /** The same for what the program asks for: it is told what is wrong with its request. */
  call<T>(action: () => T): T {
    if (this.#stopped) throw new Error('the gateway has stopped')
    this.beginTurn()
    try {
      return action()
    } catch (error) {
      if (!(error instanceof RefusedError) && !(error instanceof ProtocolError)) this.fault(error)
      throw error
    }
  }

  dirty(connection: Connection): void {
    this.#dirty.push(connection)
    this.beginTurn()
  }

  /**
   * Whether a frame that batch `ticket` backs may leave on a connection of this level. At `none` it waits for nothing, as
   * long as the store takes what it is given.
   */
  mayLeave(ticket: number, level: number): boolean {
    return ticket <= this.#commits.committed || (level === levelNone && !this.#commits.failed)
  }

  /** Counts an acknowledgement to a publisher by what it waits for: nothing to store, or its listener's level. */
  countAcknowledgement(ticket: number, level: number): void {
    if (ticket === 0) this.broker.counters.acknowledgedAtOnce++
    else this.broker.counters.acknowledgements.add(durabilityLevels[level]!)
  }

  holding(connection: Connection): void {
    this.#holding.push(connection)
  }

  resumeAfterCommit(connection: Connection): void {
    this.#pausedForCommit.push(connection)
  }

  resumeNextTurn(connection: Connection): void {
    this.#yielding.push(connection)
  }

  /** As many as fit into one turn, in order; they may come to yield again. */
  #resumeYielding(): void {
    const { cost } = this.broker
    const stepsEnd = cost.steps + turnStepsMax
    const yielding = this.#yielding
    this.#yielding = []
    let next = 0
    while (next < yielding.length && cost.steps < stepsEnd) yielding[next++]!.resumeTurn()
    this.#yielding = [...yielding.slice(next), ...this.#yielding]
  }

  endTurn(): void {
    if (this.#stopped) return
    this.#scheduled = false
    try {
      const hasMore = this.#yielding.length > 0 || this.broker.turnWanted
      // The turn may have begun a while ago, when the last one left this over.
      if (hasMore) this.broker.now = this.#clock.now()
      if (this.#yielding.length > 0) this.#resumeYielding()
      if (this.broker.turnWanted) this.broker.onTurn()
      this.#commits.endTurn()
      this.#flush()
      this.#arm()
    } catch (error) {
      this.fault(error)
    }
    if (this.broker.turnWanted || this.#yielding.length > 0) this.beginTurn()
  }

  /** The committer's `committed` has moved on. */
  onCommit(): void {
    this.run(() => {
      const holding = this.#holding
      this.#holding = []
      for (const connection of holding) if (!connection.release()) this.#holding.push(connection)
      this.broker.onCommit()
      if (this.#commits.backlogged) return
      const paused = this.#pausedForCommit
      this.#pausedForCommit = []
      for (const connection of paused) connection.resumeAfterCommit()
    })
  }

  /**
   * An exception that nobody expected: what the core was about to change may be changed by half, and nothing that is said from
   * here on could be trusted. So nothing leaves any more, not even what this turn has gathered, and the process has to end.
   */
  fault(error: unknown, packet: Uint8Array | null = null): void {
    if (this.#stopped) return
    this.broker.counters.internalErrors++
    const client = this.broker.faultyClient
    const namespace = client?.isInNamespace === true ? client.namespace.name : undefined
    const culprit = { clientId: client?.clientId ?? '', namespace, address: client?.peer.address ?? '', packet }
    this.stop()
    for (const connection of [...this.connections]) connection.destroy()
    const fault = error instanceof Error ? error : new Error(String(error))
    this.#onFault(fault, culprit)
    // Not even the records of this turn: what they say may be half of it.
    this.#commits.fail?.(fault)
  }

  stop(): void {
    this.#stopped = true
    this.#cancelTimer?.()
  }

  #flush(): void {
    // A flush may end connections, whose clients' wills make others dirty: those leave in this turn too.
    while (this.#dirty.length > 0 && !this.#stopped) {
      const dirty = this.#dirty
      this.#dirty = []
      for (const connection of dirty) connection.flush()
    }
  }

  #arm(): void {
    const next = this.broker.deadlines.next
    if (this.#stopped || next === this.#timerAt) return
    // A later deadline than the timer's is found when that fires: connections move theirs all the time.
    if (this.#cancelTimer !== null && next > this.#timerAt) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#timerAt = next
    if (next === Infinity) return
    const delay = Math.min(Math.max(1, next - this.#clock.now()), sleepMsMax)
    this.#cancelTimer = this.#clock.after(delay, () => this.#onTimer())
  }

  #onTimer(): void {
    this.#cancelTimer = null
    this.#timerAt = Infinity
    this.beginTurn()
    try {
      this.broker.setWallOffset(wallOffset(this.#clock))
      this.broker.advance(this.#clock.now())
    } catch (error) {
      this.fault(error)
    }
    this.#arm()
  }
}
