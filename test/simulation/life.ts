/**
 * One life of the gateway, chosen by a seed: clients that come and go, subscribers inside the process, sessions and messages that expire,
 * wills, shared subscriptions, hostile peers, a store that is slow, full or fails, and processes that die between any two steps. In the end every
 * promise is judged by the books (`books.ts`, `judge.ts`, `wills.ts`, `sessions.ts`), which know nothing of the broker.
 */
import { quarantineStore } from '../../src/store/quarantine.ts'
import { Books } from './books.ts'
import { restartWillGraceMs, stepWeights, type World, worldOf } from './cast.ts'
import type { Client } from './client.ts'
import { Company, type Stage } from './company.ts'
import { type Disk, FileDisk, MemoryDisk } from './disk.ts'
import { judgeExpired } from './expiry.ts'
import { FakeClock } from './fake-clock.ts'
import { judge } from './judge.ts'
import { PatientStore } from './patient-store.ts'
import { Process } from './process.ts'
import { Random } from './random.ts'
import { type LifeReport, reportOf } from './report.ts'
import { RetainedBook } from './retained-book.ts'
import { Sessions } from './sessions.ts'
import { Wills } from './wills.ts'
import { Wire } from './wire.ts'

export class Life implements Stage {
  readonly books = new Books()
  readonly random: Random
  readonly wills = new Wills(this.books, restartWillGraceMs)
  readonly sessions = new Sessions(this.books)
  readonly clock = new FakeClock(1_700_000_000_000)
  readonly retained: RetainedBook
  readonly refusesNew: boolean
  readonly #company: Company
  readonly #world: World
  #disk: Disk
  #store: PatientStore
  #process: Process | undefined
  /** The life ends there: what was lost is not known. */
  #salvaged = false
  #filled = 0

  constructor(seed: number, onFiles: boolean) {
    this.random = new Random(seed)
    const { random } = this
    this.#disk = onFiles ? new FileDisk() : new MemoryDisk()
    this.#store = new PatientStore(this.#disk.store())
    this.#world = worldOf(random, onFiles)
    this.refusesNew = this.#world.fills
    this.retained = new RetainedBook(this.books, this.#world.refuses || this.#world.fills)
    this.#company = new Company(seed, this.#world, this)
  }

  now(): number {
    return this.clock.now()
  }

  open(wire: Wire): void {
    wire.attach((stream) => this.#process!.accept(stream))
  }

  onPublishWritten(client: Client, id: string, dup: boolean, firstTime: boolean): void {
    const { watcher, delays } = this.#company
    if (client === watcher) this.wills.written(id, this.now())
    if (client === watcher) delays.written(id)
    judgeExpired(this.books, client, { id, dup, firstTime }, this.now())
  }

  async live(steps: number): Promise<LifeReport> {
    try {
      await this.#start()
      this.#company.connectAll()
      await this.#settle()
      for (let step = 0; step < steps && this.books.faults.length === 0 && !this.#salvaged; step++) await this.#step()
      if (!this.#salvaged) await this.#finish()
    } catch (error) {
      this.books.fault(`thrown: ${(error as Error).stack}`)
    }
    this.#process?.stop()
    await this.#disk.dispose()
    return this.#report(steps)
  }

  async #start(): Promise<void> {
    this.#process = await Process.start(this.#store, this.clock, this.#world.process)
    this.books.note(`START at ${this.now()}`)
    this.wills.restarted(this.now())
    this.sessions.restarted(this.now())
    this.#company.watcher.connect(false)
  }

  async #step(): Promise<void> {
    const { random } = this
    const client = random.pick(this.#company.clients)
    const step = random.weighted(stepWeights)
    if (this.#company.act(step, client, this.#process!)) return
    switch (step) {
      case 'turn':
        await this.#turn()
        break
      case 'serve':
        await this.#serve()
        break
      case 'wait':
        await this.#wait()
        break
      case 'crash':
        await this.#crash()
        break
      case 'settle':
        await this.#settle()
        if (random.chance(0.3)) await this.#audit()
        break
      case 'setClock':
        this.#setClock()
        break
      case 'fill':
        if (this.#world.fills) this.#fill(!this.#store.full)
        break
    }
  }

  /** The end of a turn: what was on the way arrives first. */
  async #turn(): Promise<void> {
    for (const client of this.#company.everybody) if (this.random.chance(0.7)) client.wire?.flush()
    await this.#endTurn()
  }

  async #endTurn(): Promise<void> {
    await this.#process!.turn()
    this.#company.onTurn(this.#process!)
    const { fault } = this.#process!
    if (fault !== undefined) this.books.fault(fault)
  }

  async #serve(): Promise<void> {
    await this.#store.serve()
    await this.#endTurn()
  }

  async #wait(): Promise<void> {
    await this.#endTurn()
    const ms = Number(this.random.weighted({ '2': 20, '700': 6, '15000': 2, '400000': 1 }))
    // The store is slow, but not that slow: frames that are held are old when they leave.
    while (ms > 2 && this.#store.waiting > 0 && !this.#store.full) await this.#serve()
    await this.clock.advance(ms, () => this.#endTurn())
    await this.#endTurn()
  }

  #setClock(): void {
    const { random } = this
    const hours = random.pick([0.01, 1, 24, 24 * 365])
    if (!this.#world.jumps) return
    this.#company.delays.clockSet()
    this.clock.setWall(Math.round(hours * 3_600_000) * random.pick([1, -1]))
  }

  /** The disk becomes full, or has room again. What would have to be stored is refused or waits, for so long that times say nothing. */
  #fill(full: boolean): void {
    if (this.#store.full === full) return
    this.books.note(full ? 'FULL' : 'ROOM again')
    if (full) this.#filled++
    this.#store.full = full
    this.#process!.fill(full)
    this.#company.delays.disturbed()
    this.#timesUnknown()
  }

  #timesUnknown(): void {
    this.wills.timesUnknown()
    this.sessions.timesUnknown()
    this.books.jumps.push(this.books.moment())
  }

  async #crash(): Promise<void> {
    const { random } = this
    this.books.note(`CRASH at ${this.now()}`)
    this.books.collectDropped(this.#process!.dropped)
    this.#fill(false)
    this.#company.inside.end()
    this.#process!.stop()
    const fails = random.chance(0.2) ? this.#store.failCommit() : undefined
    const underWay = this.#store.abandon() ?? fails
    this.#company.onCrash()
    this.books.crashes.push(this.books.moment())
    this.wills.crashed()
    this.sessions.crashed(this.now())
    // What the dead process still has to do, it does to nobody.
    await new Promise((resolve) => setImmediate(resolve))
    this.#disk = await this.#disk.afterCrash(underWay, random)
    if (this.clock.restart() !== 0) {
      // Of what was to happen when, only the order is certain.
      this.#timesUnknown()
      this.#company.delays.jumped()
      this.books.note(`JUMPED to ${this.now()}`)
    }
    await this.clock.advance(random.pick([0, 0, 1000, 30_000]), async () => {})
    const damaged = random.chance(this.#world.flips) && this.#disk.flipBit(random)
    this.#store = new PatientStore(this.#disk.store())
    if (damaged) this.books.note('FLIPPED a bit')
    if (damaged) await this.#startDamaged()
    else await this.#start()
  }

  /** A flipped bit in what was committed: the store has to refuse, and a salvage to begin with what is left. */
  async #startDamaged(): Promise<void> {
    try {
      await this.#start()
    } catch (error) {
      if ((error as { kind?: string }).kind !== 'corrupt') throw error
      this.#salvaged = true
      quarantineStore(this.#disk.folder!)
      this.#store = new PatientStore(this.#disk.store())
      await this.#start()
    }
  }

  /** Until nothing is under way: what the gateway knows is in its store then. */
  async #settle(): Promise<void> {
    this.#fill(false)
    for (let quiet = 0, rounds = 0; quiet < 3; rounds++) {
      if (rounds > 10_000) this.books.fault('it does not come to rest')
      const before = this.#process!.appended + this.books.written.length
      for (const client of this.#company.everybody) client.wire?.flush()
      this.#company.hostile.flush()
      await this.#endTurn()
      await this.clock.advance(2, () => this.#endTurn())
      while (this.#store.waiting > 0) await this.#serve()
      await this.#endTurn()
      quiet = this.#process!.appended + this.books.written.length === before ? quiet + 1 : 0
      if (this.books.faults.length > 0) return
    }
    this.books.note(`settled at ${this.now()}`)
    this.wills.committed()
    this.sessions.committed()
    this.#company.delays.check()
    // A watcher whose queue was full may have missed one.
    if (!this.#world.limited) this.wills.check(this.now())
  }

  /** Asks for everything that is retained, as a stranger would. */
  async #audit(): Promise<void> {
    const wire = new Wire(5, this.random)
    this.open(wire)
    this.retained.ask(wire)
    await this.#settle()
    this.retained.audit(wire.inbox, this.now(), this.books.jumps.at(-1) ?? 0)
    wire.drop()
    await this.#settle()
  }

  /** Everybody comes back, and everything is said to the end. */
  async #finish(): Promise<void> {
    const company = this.#company
    company.unblock()
    company.hostile.leave((wire) => this.open(wire))
    await this.#settle()
    company.delays.rest()
    // A hand-over that found no room is tried again after a second.
    await this.clock.advance(1500, () => this.#endTurn())
    await company.rest(() => this.#settle())
    await company.work.finish(this.#process!, () => this.#settle())
    await company.reading.finish(this.#process!, () => this.#settle())
    await company.delays.finish(this.#process!, async () => {
      await this.clock.advance(400_000, () => this.#endTurn())
      await this.#settle()
    })
    this.books.collectDropped(this.#process!.dropped)
    if (this.books.faults.length > 0) return
    const epochs = new Map([...company.everybody, company.inside].map(({ id, epoch }) => [id, epoch]))
    const { limited, refuses, fills } = this.#world
    const { dropped } = this.books
    judge(this.books, epochs, { dropped, limited, refuses: refuses || fills, through: company.inside.id })
  }

  #report(steps: number): LifeReport {
    return reportOf(this.books, this.books.dropped, {
      steps,
      crashes: this.books.crashes.length,
      drops: this.#company.drops,
      wills: this.wills.published,
      delayed: this.#company.delays.published,
      retained: this.retained.audited,
      filled: this.#filled,
      salvaged: this.#salvaged ? 1 : 0,
    })
  }
}
