/**
 * Durations and sizes as people write them: `250ms`, `30s`, `5m`, `1h30m`, `1d`; a bare number is seconds in durations
 * and bytes in sizes. The parsers answer undefined for anything else; the schema turns that into a message.
 */

const durationUnits: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits: Record<string, number> = { B: 1, kB: 1000, KiB: 1024, MB: 1_000_000, MiB: 1024 * 1024 }

export const durationPattern = /^(\d+(\.\d+)?(ms|s|m|h|d))+$/
export const sizePattern = /^(\d+(?:\.\d+)?)\s*(B|kB|KiB|MB|MiB)?$/

/** Milliseconds, or undefined. */
export function parseDurationMs(text: string | number): number | undefined {
  if (typeof text === 'number') return text >= 0 && Number.isFinite(text) ? text * 1000 : undefined
  const trimmed = text.trim()
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000
  if (!durationPattern.test(trimmed)) return undefined
  let total = 0
  for (const part of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    total += Number(part[1]) * durationUnits[part[2]!]!
  return total
}

/** Bytes, or undefined. */
export function parseSizeBytes(text: string | number): number | undefined {
  if (typeof text === 'number') return Number.isInteger(text) && text >= 0 ? text : undefined
  const trimmed = text.trim()
  const match = sizePattern.exec(trimmed)
  return match === null ? undefined : Math.floor(Number(match[1]) * sizeUnits[match[2] ?? 'B']!)
}

export function formatDuration(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`
  if (ms < 100) return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`
  if (ms < 1000) return `${ms.toFixed(0)} ms`
  if (ms < 120_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US').replaceAll(',', ' ')
}
