/** The record of a bench run: everything the tables and plots are made of, and what is needed to run it again. */
import { spawnSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import type { Figures } from './generator/job.ts'
import { pinned } from './running.ts'
import type { Figure, Group, GrowthPoint } from './scenarios/scenario.ts'

export interface Run {
  round: number
  /** Wall time of the whole run: start of the broker, set-up, measurement, stop. */
  seconds: number
  figures: Figures
  /** Reasons why this run does not count. */
  faults: string[]
}

export interface BrokerResult {
  label: string
  runs: Run[]
  /** Why the scenario does not apply to this broker. */
  unavailable?: string
}

export interface ScenarioResult {
  name: string
  title: string
  group: Group
  figures: readonly Figure[]
  growth?: GrowthPoint
  series?: string
  rounds: number
  brokers: BrokerResult[]
}

export interface Machine {
  processor: string
  cores: number
  memoryBytes: number
  kernel: string
  node: string
  pinned: boolean
  /** Type of the file system durable scenarios wrote to. */
  dataFileSystem: string
}

export interface Results {
  date: string
  commit: string
  /** Of the scenarios that have most. */
  rounds: number
  quick: boolean
  machine: Machine
  /** Label of the broker that ratios are taken for. */
  subject: string
  /** How each broker was started. */
  brokers: { label: string; version: string; configuration: string }[]
  missing: string[]
  /** More than `scenarios` has: the run was interrupted. */
  scenariosPlanned?: number
  scenarios: ScenarioResult[]
}

const fileSystems: Record<number, string> = {
  61267: 'ext4',
  16914836: 'tmpfs',
  2435016766: 'btrfs',
  1481003842: 'xfs',
  2035054128: 'overlay',
}

export function machine(dataFolder: string): Machine {
  const type = statfsSync(dataFolder).type
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    pinned,
    dataFileSystem: fileSystems[type] ?? `type 0x${type.toString(16)}`,
  }
}

/** The commit of the checkout in `folder`, with `-modified` when files differ from it. */
export function commitOf(folder: string): string {
  const git = (...args: string[]): string =>
    spawnSync('git', args, { cwd: folder, encoding: 'utf8' }).stdout?.trim() ?? ''
  const commit = git('rev-parse', '--short=9', 'HEAD') || 'unversioned'
  return git('status', '--porcelain', '--untracked-files=no') === '' ? commit : `${commit}-modified`
}

/** At this use of its core the generator may have been what limited the figure. */
const generatorBusyMax = 0.9
/** A broker that uses this much of its core limits the figure itself. */
const brokerBusyEnough = 0.95
/** More than this from other programs disturbs a run on two cores. */
const othersBusyMax = 0.15

/** The generator was at its limit while the broker was not: the figure is a lower bound for the broker. */
export function isSaturated(figures: Figures): boolean {
  const { generatorBusy = 0, brokerBusy = 0 } = figures
  return generatorBusy > generatorBusyMax && brokerBusy < brokerBusyEnough
}

export function isDisturbed(figures: Figures): boolean {
  return (figures['othersBusy'] ?? 0) > othersBusyMax
}

/** Below this use of both cores, neither broker nor generator set the pace. */
const waitingBusyMax = 0.85

/** Neither side used its core fully though the machine was theirs: the disk, the window or a queue in the kernel set the pace. */
export function isWaiting(figures: Figures): boolean {
  const { generatorBusy, brokerBusy } = figures
  if (generatorBusy === undefined || brokerBusy === undefined || isDisturbed(figures)) return false
  return generatorBusy < waitingBusyMax && brokerBusy < waitingBusyMax
}
