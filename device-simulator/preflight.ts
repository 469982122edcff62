/**
 * What would stop a run after it has begun, found before: too few file descriptors for the swarm, too few local ports
 * towards one broker address. Each finding says what to type.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { hostOf, portOf } from './client/stream.ts'
import type { Layout } from './layout.ts'

/** Files of the process itself: modules, pipes, timers, the outputs, the metrics port. */
const ownDescriptors = 64

export interface Machine {
  /** Open files this process may have; undefined when it can't be found out. */
  descriptors: number | undefined
  descriptorsHard: number | undefined
  /** Local ports for outgoing connections, [first, last]. */
  ports: readonly [number, number] | undefined
}

export function thisMachine(): Machine {
  let descriptors: number | undefined
  let descriptorsHard: number | undefined
  let ports: [number, number] | undefined
  try {
    const match = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    descriptors = numberOf(match?.[1])
    descriptorsHard = numberOf(match?.[2])
  } catch {
    descriptors = shellLimit()
  }
  try {
    const [first, last] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number)
    if (first !== undefined && last !== undefined) ports = [first, last]
  } catch {
    // Not Linux: the range is not asked for.
  }
  return { descriptors, descriptorsHard, ports }
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  return text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)
}

function shellLimit(): number | undefined {
  try {
    return numberOf(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim())
  } catch {
    return undefined
  }
}

export interface Reach {
  layout: Layout
  /** Broker name -> URL. */
  urls: ReadonlyMap<string, string>
  localAddresses: readonly string[] | undefined
}

/** The reasons why the run can't work here; none when it can. */
export function preflight(machine: Machine, { layout, urls, localAddresses }: Reach): string[] {
  const problems: string[] = []
  const needed = layout.deviceCount + ownDescriptors
  if (machine.descriptors !== undefined && needed > machine.descriptors) {
    const hard = machine.descriptorsHard ?? machine.descriptors
    const remedy =
      hard >= needed
        ? `run: ulimit -n ${needed}`
        : `the hard limit is ${hard}; run as root: ulimit -Hn ${needed} && ulimit -n ${needed}, ` +
          `or use ${Math.ceil(needed / hard)} processes with --devices and --start-number`
    problems.push(
      `${layout.deviceCount} devices need ${needed} open files, this process may have ${machine.descriptors}: ${remedy}`,
    )
  }
  if (machine.ports !== undefined) problems.push(...portProblems(machine.ports, layout, urls, localAddresses))
  return problems
}

function portProblems(
  [first, last]: readonly [number, number],
  layout: Layout,
  urls: ReadonlyMap<string, string>,
  localAddresses: readonly string[] | undefined,
): string[] {
  const perAddress = new Map<string, number>()
  for (const group of layout.groups) {
    const url = urls.get(layout.brokerOf(group))
    if (url === undefined) continue
    const address = `${hostOf(new URL(url))}:${portOf(new URL(url))}`
    perAddress.set(address, (perAddress.get(address) ?? 0) + group.spec.count)
  }
  const sources = localAddresses?.length ?? 1
  const available = (last - first + 1) * sources
  const problems: string[] = []
  for (const [address, devices] of perAddress) {
    if (devices <= available) continue
    const wanted = Math.ceil(devices / (last - first + 1))
    const loopback = Array.from({ length: wanted }, (_, i) => `127.0.0.${i + 1}`).join(', ')
    problems.push(
      `${devices} devices to ${address} need as many local ports, there are ${available} (${first}-${last}): ` +
        `run as root: sysctl -w net.ipv4.ip_local_port_range="1024 65535", ` +
        `or give the scenario more source addresses: localAddresses: [${loopback}]`,
    )
  }
  return problems
}
