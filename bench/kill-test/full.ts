/**
 * A queue that is full, and a disk that is full, with kills: a client that is away is sent more than there is room for, by one
 * publisher at QoS 1 and 5.0, who is told what is refused. What was acknowledged has to be there when the client comes.
 *
 * - queue, reject: nothing that was acknowledged is lost, since nothing is dropped
 * - queue, drop-oldest: the newest are there, as many as the queue takes
 * - disk: as for reject; the gateway never ends by itself, starts again while the disk is full, and once the client has taken
 *   everything it takes messages again. The disk is a small tmpfs, or where that can't be mounted a limit of
 *   `diskFreeBytesMin` that leaves as little room.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, statfsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Broker } from '../peers/broker.ts'
import { BrokerProcess } from './broker-process.ts'
import { DurablePublisher } from './publisher.ts'
import { Random } from './random.ts'
import { leaveSession, takeWaiting } from './visitors.ts'

export type FullCase = 'queue-reject' | 'queue-drop-oldest' | 'disk'

export interface FullResult {
  kills: number
  acknowledged: number
  refused: number
  lost: number
  /** Where a disk was full: what stood for it. */
  disk?: 'tmpfs' | 'diskFreeBytesMin'
  /** The gateway ended by itself, or did not take messages again. */
  fault?: string
}

const queueMessagesMax = 200
const diskBytes = 32 * 1024 * 1024
const diskFreeBytesMin = 4 * 1024 * 1024
const quietMs = 2000
const window = 20
const refusedTimeoutMs = 30_000

export async function fullTest(broker: Broker, which: FullCase, kills: number, seed: number): Promise<FullResult> {
  const setting = { env: {} as Record<string, string> }
  const withSetting: Broker = {
    ...broker,
    command: (place) => {
      const command = broker.command(place)
      return { ...command, env: { ...command.env, ...setting.env } }
    },
  }
  const process = await BrokerProcess.create(withSetting)
  let mounted = false
  try {
    if (which === 'disk') {
      mounted = mount(process.dataFolder)
      setting.env = diskSetting(mounted)
    } else {
      const policy = which === 'queue-reject' ? 'reject' : 'drop-oldest'
      setting.env = {
        MQTIDE_LIMITS__SESSION_QUEUE_MESSAGES_MAX: String(queueMessagesMax),
        MQTIDE_SESSION_QUEUE_FULL: policy,
      }
    }
    const result = await new FullRun(process, which, new Random(seed)).complete(kills)
    return which === 'disk' ? { ...result, disk: mounted ? 'tmpfs' : 'diskFreeBytesMin' } : result
  } finally {
    await process.kill()
    if (mounted) execFileSync('umount', [process.dataFolder])
    await process.dispose()
  }
}

function mount(folder: string): boolean {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function diskSetting(mounted: boolean): Record<string, string> {
  if (mounted) {
    return {
      MQTIDE_LIMITS__DISK_FREE_BYTES_MIN: String(diskFreeBytesMin),
      MQTIDE_LIMITS__BALLAST_BYTES: String(diskFreeBytesMin),
    }
  }
  const { bavail, bsize } = statfsSync('.')
  const freeBytesMin = Math.max(0, bavail * bsize - diskBytes)
  return { MQTIDE_LIMITS__DISK_FREE_BYTES_MIN: String(freeBytesMin), MQTIDE_LIMITS__BALLAST_BYTES: '0' }
}

class FullRun {
  readonly #process: BrokerProcess
  readonly #which: FullCase
  readonly #random: Random
  readonly #acknowledged = new Set<number>()
  readonly #received = new Set<number>()
  #sent = 0
  #refused = 0

  constructor(process: BrokerProcess, which: FullCase, random: Random) {
    this.#process = process
    this.#which = which
    this.#random = random
  }

  async complete(kills: number): Promise<Omit<FullResult, 'disk'>> {
    const { port } = this.#process
    await this.#process.start()
    await leaveSession(port, 'hoarder', 'full')
    const publisher = new DurablePublisher({ clientId: 'filler', version: 5, port, window, next: () => this.#next() })
    let fault: string | undefined
    try {
      for (let kill = 0; kill < kills && fault === undefined; kill++) fault = await this.#cycle(publisher, kill)
    } catch (error) {
      fault = (error as Error).message
    }
    publisher.publishing = false
    fault ??= await this.#end(publisher)
    publisher.stop()
    const { size: acknowledged } = this.#acknowledged
    const counts = { kills, acknowledged, refused: this.#refused, lost: this.#lost() }
    return fault === undefined ? counts : { ...counts, fault }
  }

  #next() {
    const number = ++this.#sent
    return {
      topic: 'full',
      payload: `${number} ${'x'.repeat(this.#which === 'disk' ? 20_000 : 100)}`,
      qos: 1 as const,
      retain: false,
      onSend: () => {},
      onAcknowledged: () => this.#acknowledged.add(number),
      onRefused: () => this.#refused++,
    }
  }

  /** Until it is full and a little longer; kill, start, and every third time somebody takes what there is. */
  async #cycle(publisher: DurablePublisher, kill: number): Promise<string | undefined> {
    const refused = this.#refused
    const acknowledged = this.#acknowledged.size
    const isFull = () =>
      this.#which === 'queue-drop-oldest'
        ? this.#acknowledged.size > acknowledged + 2 * queueMessagesMax
        : this.#refused > refused
    publisher.publishing = true
    for (const until = Date.now() + refusedTimeoutMs; !isFull(); await delay(5)) {
      if (this.#process.hasEnded) return 'the gateway ended by itself'
      if (Date.now() > until) return 'it never became full'
    }
    await delay(this.#random.between(0, 100))
    await this.#process.kill()
    publisher.publishing = false
    if (this.#random.chance(0.3)) await this.#process.breakStart(this.#random.between(0, 500))
    await this.#process.start()
    if (this.#which !== 'queue-drop-oldest' && kill % 3 === 2) await this.#take()
    return undefined
  }

  async #take(): Promise<void> {
    const taken = await takeWaiting(this.#process.port, { clientId: 'hoarder' }, '', quietMs)
    for (const payload of taken ?? []) this.#received.add(Number.parseInt(payload, 10))
  }

  /** Everything is taken; then there is room for more. */
  async #end(publisher: DurablePublisher): Promise<string | undefined> {
    await this.#take()
    const acknowledged = this.#acknowledged.size
    publisher.publishing = true
    for (const until = Date.now() + refusedTimeoutMs; this.#acknowledged.size < acknowledged + 1; await delay(5)) {
      if (this.#process.hasEnded) return 'the gateway ended by itself'
      if (Date.now() > until) return 'it took no messages again'
    }
    publisher.publishing = false
    for (let i = 0; i < 200 && !publisher.isIdle; i++) await delay(5)
    await this.#take()
    return undefined
  }

  /** Copies that were sent again after a kill take room too. */
  #lost(): number {
    const owed = [...this.#acknowledged].sort((a, b) => a - b)
    const newest = this.#which === 'queue-drop-oldest' ? owed.slice(-(queueMessagesMax - 2 * window)) : owed
    return newest.filter((number) => !this.#received.has(number)).length
  }
}
