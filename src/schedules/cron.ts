/**
 * When a cron expression comes round: five fields (minute, hour, day, month, weekday) or six with seconds in front, or `@daily` and its like, in a time zone.
 *
 * Where clocks are put forward, a time of day that is left out comes at the moment of the change; where they are put back, one that comes twice
 * is taken once, the first time. Intervals (an hour field of `*`) go on evenly through both.
 */
import { Cron } from 'croner'

export interface Recurrence {
  readonly cron: string
  /** As IANA names it. */
  readonly timeZone: string
}

const fields = /^\s*(@[a-z]+|\S+(\s+\S+){4,5})\s*$/

/** Milliseconds since 1970, behind `after`. Null: it does not come any more. */
export function nextOccurrence({ cron, timeZone }: Recurrence, after: number): number | null {
  const next = new Cron(cron, { timezone: timeZone, paused: true }).nextRun(new Date(after))
  return next === null ? null : next.getTime()
}

/** What is wrong with it; undefined: nothing. */
export function recurrenceFault({ cron, timeZone }: Recurrence): { of: 'cron' | 'timeZone'; text: string } | undefined {
  if (!isTimeZone(timeZone))
    return { of: 'timeZone', text: `${timeZone} is no time zone; expected one such as Europe/Berlin or UTC` }
  if (!fields.test(cron))
    return { of: 'cron', text: 'expected five fields, minute hour day month weekday, or six with seconds in front' }
  try {
    if (nextOccurrence({ cron, timeZone }, 0) !== null) return undefined
    return { of: 'cron', text: 'it never comes: no day fits' }
  } catch (error) {
    return { of: 'cron', text: (error as Error).message.replace(/^CronPattern: /, '') }
  }
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
