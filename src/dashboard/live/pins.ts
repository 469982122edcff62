/** Numbers that are plotted: which ones, kept by the browser until the tab is closed, and their last values. */
import { numbersIn } from '../shown.ts'
import type { Arrival } from './topic-tree.ts'

export interface Pin {
  topic: string
  /** Of a field in JSON; empty: the payload is the number. */
  path: string
}

export interface Series {
  times: number[]
  values: number[]
}

/** By `pinKey`. */
export type Points = Map<string, Series>

export const pinsMax = 12
const pointsMax = 600
const pinsKey = 'mqtide-pins'

export function pinKey({ topic, path }: Pin): string {
  return `${topic}\n${path}`
}

export function addPoints(points: Points, pins: readonly Pin[], arrival: Arrival): void {
  let numbers: Map<string, number> | undefined
  for (const pin of pins) {
    if (pin.topic !== arrival.topic) continue
    numbers ??= numbersIn(arrival)
    const value = numbers.get(pin.path)
    if (value === undefined) continue
    const key = pinKey(pin)
    const series = points.get(key) ?? { times: [], values: [] }
    points.set(key, series)
    series.times.push(arrival.at)
    series.values.push(value)
    if (series.times.length > pointsMax) {
      series.times.shift()
      series.values.shift()
    }
  }
}

export function storedPins(): Pin[] {
  try {
    const stored = JSON.parse(sessionStorage.getItem(pinsKey) ?? '[]') as unknown
    if (Array.isArray(stored)) return stored.filter(isPin).slice(0, pinsMax)
  } catch {}
  return []
}

function isPin(value: unknown): value is Pin {
  const { topic, path } = (value ?? {}) as Partial<Pin>
  return typeof topic === 'string' && typeof path === 'string'
}

export function storePins(pins: readonly Pin[]): void {
  sessionStorage.setItem(pinsKey, JSON.stringify(pins))
}
