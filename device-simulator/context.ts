/** What all devices of one part of the swarm share. */
import type { StreamTarget, TlsFiles } from './client/stream.ts'
import type { GroupLayout, Layout } from './layout.ts'
import type { Measures } from './measure/measures.ts'
import type { PayloadFiles } from './payload/files.ts'
import type { Scenario } from './scenario/schema.ts'
import type { Schedule } from './schedule.ts'

export interface RunIdentity {
  seed: number
  /** 24 bits that tell this run's messages from another's. */
  run: number
  /** Where the run's clock has its zero, on the process's monotonic clock in milliseconds. */
  epochMs: number
  startNumber: number
}

export interface Context {
  readonly scenario: Scenario
  readonly layout: Layout
  readonly identity: RunIdentity
  readonly files: PayloadFiles
  readonly schedule: Schedule
  readonly measures: Measures
  /** Per stream, how many messages were sent; shared by all threads. */
  readonly ledger: Int32Array
  /** What the devices' clocks show at the start, Unix milliseconds. */
  readonly clockStartMs: number
  /** Milliseconds on the run's clock. */
  now(): number
  /** The rate of publications at present, 1 being the scenario's; 0 is none. */
  rate: number
  /** Where a broker listens at present. */
  address(broker: string): URL | undefined
  tls(group: string): TlsFiles | undefined
  /** Source addresses in turn. */
  localAddress(device: number): string | undefined
  /** Devices whose clients have gathered bytes in this turn. */
  readonly unflushed: Set<{ flush(): void }>
}

/** `performance.now()` counts from each thread's own start; hrtime is one clock for the whole process. */
const threadOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export function processNowMs(): number {
  return performance.now() + threadOffsetMs
}

/** Undefined while the group's broker has no address: it is being restarted. */
export function targetFor(
  context: Context,
  group: GroupLayout,
  device: number,
  isV31: boolean,
): StreamTarget | undefined {
  const url = context.address(context.layout.brokerOf(group))
  if (url === undefined) return undefined
  const tls = context.tls(group.name)
  const localAddress = context.localAddress(device)
  return {
    url,
    subprotocol: isV31 ? 'mqttv3.1' : 'mqtt',
    ...(tls === undefined ? {} : { tls }),
    ...(localAddress === undefined ? {} : { localAddress }),
  }
}
