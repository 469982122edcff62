/**
 * What the main figures were since the gateway started: asked for whole once, then only what is new. Counters come as they stand,
 * so what happened between two of them is their difference, divided by the time between.
 */
import { useEffect, useState } from 'preact/hooks'
import { ApiError, call } from './api.ts'

export type Step = '1s' | '1m'

export interface History {
  times: number[]
  series: Record<string, number[]>
}

/** As many as the gateway keeps. */
const samplesMax: Record<Step, number> = { '1s': 600, '1m': 1440 }
const intervalMs: Record<Step, number> = { '1s': 2000, '1m': 30_000 }

export function joined(before: History, news: History, max: number): History {
  const first = Math.max(0, before.times.length + news.times.length - max)
  const join = (old: readonly number[] = [], fresh: readonly number[] = []) => [...old, ...fresh].slice(first)
  const names = Object.keys(news.series)
  return {
    times: join(before.times, news.times),
    series: Object.fromEntries(names.map((name) => [name, join(before.series[name], news.series[name])])),
  }
}

/** Of a counter, per second; null where it is not known: at the beginning, and where it began anew. */
export function ratesOf(times: readonly number[], values: readonly number[] = []): (number | null)[] {
  return values.map((value, index) => {
    const before = values[index - 1]
    if (before === undefined || value < before) return null
    const seconds = (times[index]! - times[index - 1]!) / 1000
    return seconds <= 0 ? null : (value - before) / seconds
  })
}

/** What a commit took, of those that ended between two samples; null: there was none. */
export function commitMs({ times, series }: History): (number | null)[] {
  const { storage_commit_seconds_sum: sums = [], storage_commit_seconds_count: counts = [] } = series
  return times.map((_, index) => {
    const commits = (counts[index] ?? 0) - (counts[index - 1] ?? Infinity)
    return commits > 0 ? (((sums[index] ?? 0) - sums[index - 1]!) / commits) * 1000 : null
  })
}

export function useHistory(step: Step): History | undefined {
  const [history, setHistory] = useState<{ step: Step; history: History }>()
  useEffect(() => {
    const ending = new AbortController()
    let known: History = { times: [], series: {} }
    let timer: ReturnType<typeof setTimeout> | undefined
    const ask = async (): Promise<void> => {
      clearTimeout(timer)
      if (!document.hidden) {
        try {
          const query = { step, since: known.times.at(-1) ?? 0 }
          const news = await call<History>('/metrics/history', { query, signal: ending.signal })
          known = joined(known, news, samplesMax[step])
          if (!ending.signal.aborted) setHistory({ step, history: known })
        } catch (error) {
          if (ending.signal.aborted) return
          if (!(error instanceof ApiError)) throw error
        }
      }
      if (!ending.signal.aborted) timer = setTimeout(ask, intervalMs[step])
    }
    void ask()
    return () => {
      ending.abort()
      clearTimeout(timer)
    }
  }, [step])
  return history?.step === step ? history.history : undefined
}
