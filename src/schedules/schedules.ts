/**
 * Messages that the configuration says are published again and again (`schedules`).
 *
 * The next occurrence of each is a delayed message like any other, with a date, stored; when it is due, the one after it takes its place
 * within the same commit. So nothing is forgotten over a restart, and nothing published twice. Its `schedule-id` ends in a digest of
 * what the configuration says: whoever changes that gets a new one, reckoned from now on.
 */
import { createHash } from 'node:crypto'
import type { Schedule } from '../config/schedules.ts'
import type { Broker } from '../core/broker.ts'
import type { DelayedMessage } from '../core/delayed/delayed-message.ts'
import { encodeUtf8 } from '../mqtt/utf8.ts'
import { nextOccurrence } from './cron.ts'

/** Up to here an occurrence is late, beyond it was missed. */
export const lateMsMax = 60_000
/** A clock that differs by more than this was set. */
const clockSetMs = 2_000

export class Schedules {
  readonly #broker: Broker
  readonly #log: (fields: object, text: string) => void
  /** By `schedule-id`. */
  #inForce = new Map<string, Schedule>()
  #wallOffset: number

  /** `log`: told of what was not published. */
  constructor(broker: Broker, log: (fields: object, text: string) => void) {
    this.#broker = broker
    this.#log = log
    this.#wallOffset = broker.wallOffset
    const { recurring } = broker.delayed
    recurring.onDue = (delayed) => this.#onDue(delayed)
    recurring.onCancelled = ({ scheduleId, dueAt }) => this.#begin(scheduleId, dueAt)
    recurring.onClock = () => this.#look()
  }

  /** Puts these in the place of those before; what did not change goes on as it was. Within a turn. */
  change(schedules: readonly Schedule[]): void {
    const { recurring } = this.#broker.delayed
    this.#inForce = new Map(schedules.map((schedule) => [idOf(schedule), schedule]))
    const waiting = new Set<string>()
    for (const { scheduleId, namespace } of recurring.all()) {
      if (this.#inForce.get(scheduleId)?.namespace === namespace.name) waiting.add(scheduleId)
      else recurring.end(namespace, scheduleId)
    }
    for (const scheduleId of this.#inForce.keys()) if (!waiting.has(scheduleId)) this.#begin(scheduleId, this.#wallNow)
  }

  /** When the clock of the system was put back, what lies between comes again. */
  #look(): void {
    const { wallOffset } = this.#broker
    const wasPutBack = wallOffset < this.#wallOffset - clockSetMs
    this.#wallOffset = wallOffset
    if (wasPutBack) for (const scheduleId of this.#inForce.keys()) this.#begin(scheduleId, this.#wallNow)
  }

  get #wallNow(): number {
    return this.#broker.now + this.#broker.wallOffset
  }

  /** The occurrence behind this time is the one that is waited for. */
  #begin(scheduleId: string, after: number): void {
    const schedule = this.#inForce.get(scheduleId)
    const dueAt = schedule === undefined ? null : nextOccurrence(schedule, after)
    if (schedule === undefined || dueAt === null) return
    const { now, delayed } = this.#broker
    const { topic: name, payload, qos, retain } = schedule
    const own = { id: 0, references: 0, holders: 0, publisher: '', publishedAt: now, expiresAt: Infinity }
    const bytes = { topic: encodeUtf8(name), payload: encodeUtf8(payload), forwardProperties: new Uint8Array(0) }
    const namespace = this.#broker.namespace(schedule.namespace)
    delayed.recurring.put({ namespace, scheduleId, dueAt, retain, message: { ...own, ...bytes, name, qos } })
  }

  /** Returns whether it is published. */
  #onDue({ scheduleId, dueAt, namespace }: DelayedMessage): boolean {
    const schedule = this.#inForce.get(scheduleId)
    if (schedule === undefined) return false
    const lateMs = this.#wallNow - dueAt
    this.#begin(scheduleId, Math.max(dueAt, this.#wallNow))
    const { traffic } = namespace
    if (lateMs <= lateMsMax) {
      traffic.schedulesPublished++
      return true
    }
    traffic.schedulesMissed++
    const published = schedule.missed === 'once'
    if (published) traffic.schedulesPublished++
    const since = new Date(dueAt).toISOString()
    this.#log({ schedule: schedule.name, since, published }, 'a schedule was missed')
    return published
  }
}

function idOf(schedule: Schedule): string {
  const { name, cron, timeZone, topic, payload, qos, retain, missed, namespace } = schedule
  const said = JSON.stringify([cron, timeZone, topic, payload, qos, retain, missed, namespace])
  return `${name}#${createHash('sha256').update(said).digest('hex').slice(0, 8)}`
}
