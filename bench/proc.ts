/** CPU time and memory of processes, read from Linux's /proc. */
import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks per second of /proc/PID/stat; 100 on every Linux Node runs on. */
const ticksPerSecond = 100

interface ProcessStat {
  parent: number
  cpuSeconds: number
}

/** Parses one line of /proc/PID/stat. The command name in it may contain spaces and parentheses. */
export function parseStat(line: string): ProcessStat {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return { parent: Number(fields[1]), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond }
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return undefined
  }
}

/** `root` and all its descendants, so that a broker started through a script is measured whole. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const parent = Number.isInteger(pid) ? readStat(pid)?.parent : undefined
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/** On-CPU nanoseconds of a process's living threads from the scheduler; undefined where the kernel does not keep them. */
function scheduledNanoseconds(pid: number): number | undefined {
  let sum = 0
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      sum += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0])
    }
  } catch {
    return undefined
  }
  return sum > 0 ? sum : undefined
}

/** User and system time of all threads of these processes, in seconds; to the nanosecond where the kernel says, else to the tick. */
export function cpuSeconds(pids: readonly number[]): number {
  let sum = 0
  for (const pid of pids) {
    const scheduled = scheduledNanoseconds(pid)
    sum += scheduled === undefined ? (readStat(pid)?.cpuSeconds ?? 0) : scheduled / 1e9
  }
  return sum
}

/** Resident memory of these processes, in bytes; 0 for one that ended. */
export function residentBytes(pids: readonly number[]): number {
  let sum = 0
  for (const pid of pids) {
    try {
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      sum += Number(kilobytes ?? 0) * 1024
    } catch {
      // The process is gone.
    }
  }
  return sum
}

/** Seconds all processors were busy since boot, time stolen by a hypervisor included. */
export function machineBusySeconds(): number {
  const fields = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.trim().split(/\s+/).slice(1).map(Number)
  // user nice system idle iowait irq softirq steal (guest time is part of user)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields
  return (user + nice + system + irq + softirq + steal) / ticksPerSecond
}
