/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util'
import { type PeerRequest, peers } from './peers/registry.ts'
import type { Scenario } from './scenarios/scenario.ts'

export const usage = `Usage: npm run bench [-- SCENARIO…] [options]

  SCENARIO               names, or patterns such as 'fan-out-*'; none: all of them (with --quick: a short selection)
  --list                 print the scenarios and end
  --peers NAME[=PATH],…  brokers to compare with: ${peers.map((peer) => peer.name).join(', ')}, or any NAME=PATH; "none" for none
  --quick                one short round of small sizes: for a look, not for a record
  --rounds N             rounds of the alternation in every scenario (1 to 3, as --list says; with --quick 1)
  --base REV             compare with another revision of this repository, peers only if asked for
  --data-folder DIR      where durable scenarios keep their files (default: a folder beside the results)
  --results DIR          where results are written (bench/results)
  --profile              write a CPU profile of each run of the gateway beside the results and print its top functions
  --help                 print this`

export interface BenchOptions {
  scenarios: Scenario[]
  /** No scenario was named, and it is no quick look. */
  everything: boolean
  peers: PeerRequest[]
  quick: boolean
  /** For all scenarios; undefined: each has its own. */
  rounds: number | undefined
  base: string | undefined
  dataFolder: string | undefined
  results: string
  profile: boolean
}

export type Parsed = { action: 'run'; options: BenchOptions } | { action: 'help' } | { action: 'list' }

/** A command line that can't be run; the message says what to do about it. */
export class UsageError extends Error {}

const flags = {
  list: { type: 'boolean' },
  peers: { type: 'string' },
  quick: { type: 'boolean' },
  rounds: { type: 'string' },
  base: { type: 'string' },
  'data-folder': { type: 'string' },
  results: { type: 'string' },
  profile: { type: 'boolean' },
  help: { type: 'boolean' },
} as const

function readFlags(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: flags, allowPositionals: true })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** Throws UsageError. */
export function parseOptions(argv: readonly string[], all: readonly Scenario[]): Parsed {
  const { values, positionals } = readFlags(argv)
  if (values.help) return { action: 'help' }
  if (values.list) return { action: 'list' }
  const quick = values.quick ?? false
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
  if (rounds !== undefined && (!Number.isInteger(rounds) || rounds < 1))
    throw new UsageError(`--rounds must be a whole number of at least 1`)
  const known = peers.map((peer) => peer.name).join(',')
  const options: BenchOptions = {
    scenarios: selectScenarios(positionals, all, quick),
    everything: positionals.length === 0 && !quick,
    peers: parsePeers(values.peers ?? (values.base === undefined ? known : 'none')),
    quick,
    rounds: rounds ?? (quick ? 1 : undefined),
    base: values.base,
    dataFolder: values['data-folder'],
    results: values.results ?? 'bench/results',
    profile: values.profile ?? false,
  }
  return { action: 'run', options }
}

/** `mosquitto,flashmq=/opt/flashmq` as requests. Throws UsageError for an unknown name without a path. */
export function parsePeers(text: string): PeerRequest[] {
  if (text === 'none' || text === '') return []
  return text.split(',').map((item) => {
    const equals = item.indexOf('=')
    const name = equals < 0 ? item : item.slice(0, equals)
    const path = equals < 0 ? undefined : item.slice(equals + 1)
    if (path === '') throw new UsageError(`--peers ${item}: the path is empty`)
    if (path !== undefined) return { name, path }
    if (peers.some((peer) => peer.name === name)) return { name }
    const known = peers.map((peer) => peer.name).join(', ')
    throw new UsageError(`unknown peer "${name}": known are ${known}; any other broker needs its path: ${name}=PATH`)
  })
}

function selectScenarios(patterns: readonly string[], all: readonly Scenario[], quick: boolean): Scenario[] {
  if (patterns.length === 0) return all.filter((scenario) => !quick || scenario.quick)
  const chosen = new Set<Scenario>()
  for (const pattern of patterns) {
    const expression = new RegExp(`^${pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`)
    const matching = all.filter((scenario) => expression.test(scenario.name) || expression.test(scenario.group))
    if (matching.length === 0) throw new UsageError(`unknown scenario "${pattern}"; --list prints all`)
    for (const scenario of matching) chosen.add(scenario)
  }
  return all.filter((scenario) => chosen.has(scenario))
}
