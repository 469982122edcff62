/** Numbers, sizes and times as the page writes them: the same everywhere, in digits of one width, aligned to the right. */

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 })
const oneDigit = new Intl.NumberFormat('en-GB', { minimumFractionDigits: 1, maximumFractionDigits: 1 })
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' })

export function count(value: number): string {
  return whole.format(value)
}

/** Per second: a digit behind the point where there are few. */
export function rate(value: number): string {
  return value > 0 && value < 10 ? oneDigit.format(value) : whole.format(value)
}

const steps = ['B', 'kB', 'MB', 'GB', 'TB']

export function bytes(value: number): string {
  let step = 0
  let left = value
  while (left >= 1000 && step < steps.length - 1) {
    left /= 1000
    step++
  }
  return `${step === 0 ? whole.format(left) : oneDigit.format(left)} ${steps[step]}`
}

/** Without a digit behind the point where it says nothing, for the axis of a plot. */
export function bytesInShort(value: number): string {
  return bytes(value).replace('.0 ', ' ')
}

/** Two digits that count, however short. */
export function milliseconds(value: number): string {
  return `${value >= 100 ? whole.format(value) : trimmed(Number(value.toPrecision(2)))} ms`
}

/** For the axis of a plot. */
export function compact(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e9) return `${trimmed(value / 1e9)}G`
  if (size >= 1e6) return `${trimmed(value / 1e6)}M`
  if (size >= 1e4) return `${trimmed(value / 1e3)}k`
  return trimmed(value)
}

function trimmed(value: number): string {
  return String(Math.round(value * 1000) / 1000)
}

export function time(at: number | string): string {
  return clock.format(new Date(at))
}

/** The day too, unless it is today. */
export function moment(at: number | string, now = Date.now()): string {
  const date = new Date(at)
  const today = day.format(now) === day.format(date)
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`
}

const units: readonly [string, number][] = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
]

/** The two greatest units: 3 d 4 h. */
export function duration(seconds: number): string {
  let left = Math.max(0, Math.round(seconds))
  const parts: string[] = []
  for (const [unit, size] of units) {
    const many = Math.floor(left / size)
    if (many === 0 && (parts.length > 0 || size > 1)) {
      if (parts.length > 0) break
      continue
    }
    parts.push(`${many} ${unit}`)
    left -= many * size
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

export function since(at: number | string, now = Date.now()): string {
  return duration((now - new Date(at).getTime()) / 1000)
}
