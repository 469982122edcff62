/** What is read at both ends of a measured span: counters, clocks, and the CPU time of generator and broker. */
import { performance } from 'node:perf_hooks'
import { cpuSeconds, machineBusySeconds, residentBytes } from '../proc.ts'
import type { Load } from './load.ts'

/** What counts messages. */
type Counts = Pick<Load, 'sent' | 'deliveredCount' | 'acknowledgedCount'>

interface Reading {
  seconds: number
  sent: number
  delivered: number
  acknowledged: number
  generatorCpuSeconds: number
  brokerCpuSeconds: number
  machineBusySeconds: number
}

export interface Measured {
  seconds: number
  deliveredPerSecond: number
  publishedPerSecond: number
  acknowledgedPerSecond: number
  /** Cores in use: 1 is one core all the time. */
  generatorBusy: number
  brokerBusy: number
  /** What else ran on the machine meanwhile. */
  othersBusy: number
  brokerMicrosecondsPerDelivery: number
  brokerResidentBytes: number
}

export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

export function read(load: Counts, brokerPids: readonly number[]): Reading {
  return {
    seconds: performance.now() / 1000,
    sent: load.sent,
    delivered: load.deliveredCount,
    acknowledged: load.acknowledgedCount,
    generatorCpuSeconds: ownCpuSeconds(),
    brokerCpuSeconds: cpuSeconds(brokerPids),
    machineBusySeconds: machineBusySeconds(),
  }
}

export function between(from: Reading, to: Reading, brokerPids: readonly number[]): Measured {
  const seconds = to.seconds - from.seconds
  const messages = to.delivered - from.delivered || to.acknowledged - from.acknowledged
  const brokerCpu = to.brokerCpuSeconds - from.brokerCpuSeconds
  const generatorCpu = to.generatorCpuSeconds - from.generatorCpuSeconds
  const machine = to.machineBusySeconds - from.machineBusySeconds
  return {
    seconds,
    deliveredPerSecond: (to.delivered - from.delivered) / seconds,
    publishedPerSecond: (to.sent - from.sent) / seconds,
    acknowledgedPerSecond: (to.acknowledged - from.acknowledged) / seconds,
    generatorBusy: generatorCpu / seconds,
    brokerBusy: brokerCpu / seconds,
    othersBusy: Math.max(0, (machine - brokerCpu - generatorCpu) / seconds),
    brokerMicrosecondsPerDelivery: messages === 0 ? 0 : (brokerCpu * 1e6) / messages,
    brokerResidentBytes: residentBytes(brokerPids),
  }
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Waits until nothing is outstanding any more. Gives up, returning false, when nothing has moved for `stallMs`. */
export async function settle(load: Load, stallMs: number): Promise<boolean> {
  let outstanding = load.outstanding
  let movedAt = performance.now()
  while (load.outstanding > 0) {
    await sleep(5)
    if (load.outstanding !== outstanding) {
      outstanding = load.outstanding
      movedAt = performance.now()
    } else if (load.failure !== undefined || performance.now() - movedAt > stallMs) {
      return false
    }
  }
  return true
}
