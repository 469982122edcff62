/**
 * `npm run kill-test -- [--broker NAME] [--cycles N] [--seed S]`: does this broker keep what it acknowledged?
 *
 * Exit code 0 if nothing was lost, 1 if something was, 2 for bad usage or a broker that is not installed.
 */
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Broker } from '../peers/broker.ts'
import { gateway } from '../peers/mqtide.ts'
import { findPeers } from '../peers/registry.ts'
import { type FullCase, type FullResult, fullTest } from './full.ts'
import { type KillTestResult, killTest } from './run.ts'

const names = ['mqtide', 'mosquitto', 'aedes', 'nats']

const usage = `npm run kill-test -- [--broker ${names.join('|')}] [--cycles N] [--seed S]

Publishers (QoS 1 and 2), durable subscribers and share groups whose members come and go, retained updates, clean starts, messages
that expire, wills; kill -9 at random moments, also while it starts, start again, repeat. For mqtide then a full queue and a full disk, with kills. Defaults: mqtide, 20 cycles, a random seed that is printed. Ctrl + C ends it early, with a
report.
`

/** The durable settings of a broker, or all it has. */
export function brokersOf(name: string): Broker[] {
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
  const brokers =
    name === 'mqtide' ? gateway({ folder: root, name: 'mqtide', version: 'this checkout' }).map(impatient) : peers(name)
  const durable = brokers.filter(({ settings }) => settings !== 'memory')
  return durable.length > 0 ? durable : brokers
}

function peers(name: string): Broker[] {
  const { brokers, missing } = findPeers([{ name }])
  for (const line of missing) process.stderr.write(`kill-test: ${line}\n`)
  return brokers
}

/** The wills of clients that do not come back after a crash wait 30 s by default. */
function impatient(broker: Broker): Broker {
  return {
    ...broker,
    command: (place) => {
      const command = broker.command(place)
      return {
        ...command,
        env: { ...command.env, MQTIDE_LIMITS__RESTART_WILL_GRACE_MS: '500', MQTIDE_LOG_LEVEL: 'warn' },
      }
    },
  }
}

/** Whether the broker broke a promise of MQTT about what it had acknowledged. */
export function hasLost(result: KillTestResult): boolean {
  return (
    result.lost +
      result.duplicatedQos2 +
      result.duplicatedWithoutCause +
      result.disordered +
      result.foreign +
      result.sessionsLost +
      result.retainedStale +
      result.sessionsRisen >
      0 ||
    result.group.lost + result.group.duplicatedQos2 + result.group.foreign > 0 ||
    result.expiry.kept < result.expiry.left ||
    result.expiry.risen > 0 ||
    result.wills.unwanted > 0 ||
    result.wills.published < result.wills.left ||
    result.aborted !== undefined
  )
}

function report({ label, version }: Broker, result: KillTestResult, seed: number): string {
  const lines: [string, number | string][] = [
    ['acknowledged to publishers', result.acknowledged],
    ['delivered to durable subscribers', result.delivered],
    ['LOST', result.lost],
    ['QoS 2 duplicated', result.duplicatedQos2],
    ['QoS 1 duplicated without a reconnect', result.duplicatedWithoutCause],
    ['QoS 1 out of order', result.disordered],
    ['foreign payloads', result.foreign],
    ['sessions lost', result.sessionsLost],
    ['retained values too old', result.retainedStale],
    ['sessions risen after a clean start', result.sessionsRisen],
    ['wills of clients that died with it', `${result.wills.published} of ${result.wills.left} published`],
    ['wills of clients that had left in order', result.wills.unwanted],
    ['acknowledged to publishers for a share group', result.group.acknowledged],
    ['  of these LOST', result.group.lost],
    ['  QoS 2 that came twice, to whichever member', result.group.duplicatedQos2],
    ['messages that waited with one that expires', `${result.expiry.kept} of ${result.expiry.left} kept`],
    ['  expired and delivered', result.expiry.risen],
    ['kills while it started', result.startsBroken],
    ['QoS 1 duplicated after a reconnect (allowed)', result.duplicatedQos1],
  ]
  const verdict = result.aborted ?? (hasLost(result) ? 'broke its acknowledgements' : 'kept everything it acknowledged')
  return [
    `${label} ${version}: ${result.cycles} kills, seed ${seed}: ${verdict}`,
    ...lines.map(([name, value]) => `  ${name.padEnd(46)}${value}`),
    '',
  ].join('\n')
}

const fullCases: readonly FullCase[] = ['queue-reject', 'queue-drop-oldest', 'disk']

function reportOfFull(which: FullCase, { kills, acknowledged, refused, lost, disk, fault }: FullResult): string {
  const on =
    disk === undefined
      ? ''
      : ` (${disk === 'tmpfs' ? 'a small tmpfs' : 'no mount here: diskFreeBytesMin stood for it'})`
  return (
    `a full ${which.replace('-', ', ')}${on}: ${kills} kills, ${acknowledged} acknowledged, ${refused} refused, ` +
    `${lost} LOST${fault === undefined ? '' : `; ${fault}`}\n`
  )
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      broker: { type: 'string', default: 'mqtide' },
      cycles: { type: 'string', default: '20' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      help: { type: 'boolean', default: false },
    },
  })
  const cycles = Number(values.cycles)
  const seed = Number(values.seed)
  if (values.help || !names.includes(values.broker) || !(cycles >= 1) || !Number.isInteger(seed)) {
    process.stderr.write(usage)
    return values.help ? 0 : 2
  }
  const brokers = brokersOf(values.broker)
  if (brokers.length === 0) return 2
  let exitCode = 0
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  process.once('SIGTERM', () => process.exit(143))
  for (const broker of brokers) {
    process.stderr.write(`${broker.label} ${broker.version}, ${cycles} cycles, seed ${seed}\n`)
    const onCycle = (cycle: number) => process.stderr.write(`\rcycle ${cycle}`)
    const result = await killTest(broker, { cycles, seed, onCycle, signal: interrupted.signal })
    process.stderr.write('\r')
    process.stdout.write(report(broker, result, seed))
    if (hasLost(result)) exitCode = 1
    if (values.broker !== 'mqtide' || interrupted.signal.aborted) continue
    for (const which of fullCases) {
      const full = await fullTest(broker, which, Math.ceil(cycles / 4), seed)
      process.stdout.write(reportOfFull(which, full))
      if (full.lost > 0 || full.fault !== undefined) exitCode = 1
    }
  }
  return exitCode
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main().catch((error: Error) => {
    process.stderr.write(`kill-test: ${error.message}\n\n${usage}`)
    return 2
  })
}
