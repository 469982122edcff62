/**
 * Where a reader of a stream begins, in words: the user property `stream-offset`, `@<start>` behind a stream's name, `from` over HTTP.
 *
 *     earliest, first     the oldest message that is kept
 *     latest, next        what comes from now on
 *     last                the newest message there is
 *     1763800000000000    the first message since then: microseconds since 1970, as EMQX has it
 *     2026-11-22T01:00Z   the same, as a date of RFC 3339 or ISO 8601
 *     -90s, -15m, -1h, -7d   the same, reckoned back from now
 *     offset:123          the message of this number, or the first behind it
 *
 * Times are those at which the gateway took the messages in, by the clock of the system.
 */
export type StreamStart =
  | { readonly kind: 'first' | 'last' | 'next' }
  | { readonly kind: 'offset'; readonly offset: number }
  /** Milliseconds since 1970 on the system's clock. */
  | { readonly kind: 'time'; readonly at: number }
  | { readonly kind: 'ago'; readonly ms: number }

const words: Readonly<Record<string, StreamStart>> = {
  earliest: { kind: 'first' },
  first: { kind: 'first' },
  latest: { kind: 'next' },
  next: { kind: 'next' },
  last: { kind: 'last' },
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const agoPattern = /^-([0-9]{1,9})([smhd])$/
const offsetPattern = /^offset:([0-9]{1,15})$/
const microsecondsPattern = /^[0-9]{1,18}$/
const datePattern =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]{1,9})?))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))$/

export const streamStartWords = 'earliest, latest, first, last, next, offset:N, microseconds since 1970, a date, or -1h'

/** Null: it is none. */
export function streamStartOf(text: string): StreamStart | null {
  if (Object.hasOwn(words, text)) return words[text]!
  const ago = agoPattern.exec(text)
  if (ago !== null) return { kind: 'ago', ms: Number(ago[1]) * unitMs[ago[2]!]! }
  const offset = offsetPattern.exec(text)
  if (offset !== null) return { kind: 'offset', offset: Number(offset[1]) }
  if (microsecondsPattern.test(text)) return { kind: 'time', at: Number(text) / 1000 }
  const date = datePattern.exec(text)
  const at = date === null ? null : timeOf(date)
  return at === null ? null : { kind: 'time', at }
}

/** Milliseconds since 1970; null: there is no such day, or time of day. */
function timeOf(date: RegExpExecArray): number | null {
  const [year, month, day, hour, minute, second = 0] = date.slice(1, 7).map((text) => Number(text ?? 0))
  const [sign, offsetHour = 0, offsetMinute = 0] = [date[7], Number(date[8] ?? 0), Number(date[9] ?? 0)]
  if (month! < 1 || month! > 12 || day! < 1 || day! > daysOf(year!, month!)) return null
  if (hour! > 23 || minute! > 59 || second >= 60 || offsetHour > 23 || offsetMinute > 59) return null
  const offsetMinutes = (offsetHour * 60 + offsetMinute) * (sign === '-' ? -1 : 1)
  const minutes = (daysSince1970(year!, month!, day!) * 24 + hour!) * 60 + minute! - offsetMinutes
  return minutes * 60_000 + Math.round(second * 1000)
}

const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0

function daysOf(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}

/** By the Gregorian calendar, whose years are counted from March here: then the day of a leap year comes last. */
function daysSince1970(year: number, month: number, day: number): number {
  const years = month > 2 ? year : year - 1
  const months = (month + 9) % 12
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400)
  return 365 * years + leapDays + Math.floor((153 * months + 2) / 5) + day - 719_469
}

export function isStreamStart(text: string): boolean {
  return streamStartOf(text) !== null
}
