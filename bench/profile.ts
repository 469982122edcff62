/** Reads what `node --cpu-prof` wrote: which functions the processor time went to. */

interface CallFrame {
  functionName: string
  url: string
  lineNumber: number
}

export interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame }[]
  samples: number[]
  /** Microseconds before each sample. */
  timeDeltas: number[]
}

export interface FunctionShare {
  /** Function and file with line, or V8's own word in parentheses. */
  name: string
  /** Share of the time that was not idle, 0 to 1. */
  share: number
}

/** Functions by their own time, largest first, in the last `fromShare` of the profile (warm-up left out). */
export function ownTime(profile: CpuProfile, fromShare = 0.5): FunctionShare[] {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  const times = new Map<string, number>()
  let total = 0
  for (let i = Math.floor(profile.samples.length * fromShare); i < profile.samples.length; i++) {
    const name = names.get(profile.samples[i]!) ?? '(unknown)'
    if (name === '(idle)') continue
    const time = profile.timeDeltas[i]!
    total += time
    times.set(name, (times.get(name) ?? 0) + time)
  }
  return [...times].map(([name, time]) => ({ name, share: time / total })).sort((a, b) => b.share - a.share)
}

function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  const file = url.split('/').slice(-2).join('/')
  return file === '' ? functionName : `${functionName || '(anonymous)'} ${file}:${lineNumber + 1}`
}

/** The first `count` lines of a profile as text. */
export function renderOwnTime(shares: readonly FunctionShare[], count: number): string {
  return shares
    .slice(0, count)
    .map(({ name, share }) => `${(share * 100).toFixed(1).padStart(6)} %  ${name}`)
    .join('\n')
}
