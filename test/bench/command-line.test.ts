import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gaveUp, generate, participants, plannedRuns, tooSlowIn, unavailability } from '../../bench/experiment.ts'
import { defaultLoad } from '../../bench/generator/load.ts'
import { parseOptions, parsePeers, UsageError } from '../../bench/options.ts'
import { type Broker, type Capability, fillTemplate, type Settings } from '../../bench/peers/broker.ts'
import { isBefore210 } from '../../bench/peers/nats.ts'
import { isBefore313, rabbitmq } from '../../bench/peers/rabbitmq.ts'
import { findPeers, peers } from '../../bench/peers/registry.ts'
import { RunningBroker } from '../../bench/running.ts'
import { scenarios } from '../../bench/scenarios/all.ts'
import { targetOf } from '../../bench/scenarios/scenario.ts'
import { describePeer } from '../peers.ts'

const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-test-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
}

describe('npm run bench', () => {
  test('refuses an unknown scenario with exit code 2 and says how to see them all', () => {
    const { status, stderr } = bench('qos9-pair')
    expect([status, stderr.split('\n')[0]]).toEqual([2, 'unknown scenario "qos9-pair"; --list prints all'])
  })

  test('refuses an unknown option with exit code 2 and prints the usage', () => {
    const { status, stderr } = bench('--fast')
    expect(status).toBe(2)
    expect(stderr).toContain('--fast')
    expect(stderr).toContain('Usage: npm run bench')
  })

  test('lists every scenario once', () => {
    const names = bench('--list').stdout.trim().split('\n')
    expect(names).toHaveLength(scenarios.length)
    expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length)
  })

  test('refuses an unknown base revision before anything is started', () => {
    const { status, stderr } = bench('qos0-pair', '--base', 'no-such-revision', '--results', folder)
    expect([status, stderr.trim()]).toEqual([1, 'bench: --base no-such-revision: no such revision'])
  })
})

describe('options', () => {
  function run(...argv: string[]) {
    const parsed = parseOptions(argv, scenarios)
    if (parsed.action !== 'run') throw new Error('not a run')
    return parsed.options
  }

  test('patterns and groups select scenarios, in the order of the tables', () => {
    expect(run('qos1-pair', 'qos0-pair').scenarios.map(({ name }) => name)).toEqual(['qos0-pair', 'qos1-pair'])
    expect(run('fan-out-*-websocket').scenarios).toHaveLength(5)
    expect(run('latency').scenarios.every(({ group }) => group === 'latency')).toBe(true)
  })

  test('without names all run, with --quick one round of a selection', () => {
    expect(run().scenarios).toEqual(scenarios)
    expect([run().rounds, run('--rounds', '5').rounds, run('--quick', '--rounds', '2').rounds]).toEqual([
      undefined,
      5,
      2,
    ])
    expect([run().everything, run('qos0-pair').everything, run('--quick').everything]).toEqual([true, false, false])
    const quick = run('--quick')
    expect(quick.rounds).toBe(1)
    expect(quick.scenarios.length).toBeLessThan(scenarios.length / 2)
  })

  test('a base is compared without peers unless they are asked for', () => {
    expect(run('--base', 'HEAD').peers).toEqual([])
    expect(run('--base', 'HEAD', '--peers', 'mosquitto').peers).toEqual([{ name: 'mosquitto' }])
    expect(run().peers.map(({ name }) => name)).toEqual(peers.map(({ name }) => name))
  })

  test('a peer may come with a path; an unknown one must', () => {
    expect(parsePeers('mosquitto,flashmq=/opt/f=1')).toEqual([
      { name: 'mosquitto' },
      { name: 'flashmq', path: '/opt/f=1' },
    ])
    expect(() => parsePeers('hivemq')).toThrow(UsageError)
    expect(parsePeers('hivemq=/opt/start')).toEqual([{ name: 'hivemq', path: '/opt/start' }])
    expect(() => parsePeers('flashmq=')).toThrow('the path is empty')
  })

  test('rounds must be a whole number', () => {
    expect(() => run('--rounds', '0')).toThrow(UsageError)
    expect(() => run('--rounds', 'x')).toThrow(UsageError)
  })
})

describe('peers', () => {
  test('a missing one is named with what installs it', () => {
    const path = join(folder, 'nothing-here')
    expect(findPeers([{ name: 'hivemq', path }])).toEqual({
      brokers: [],
      missing: [`hivemq at ${path}: give its path: --peers hivemq=PATH`],
    })
    for (const { install } of peers) expect(install).not.toBe('')
  })

  const place = (at: string) => ({
    folder: at,
    ports: { mqtt: 22_001, http: 22_002, tls: 22_003, spare: 22_004, queue: 22_005 },
    certificate: { certificateFile: '/c.pem', keyFile: '/k.pem' },
  })

  test.each(peers.map((peer) => [peer.name, peer] as const))('%s has complete configurations', (name, peer) => {
    const at = join(folder, name)
    mkdirSync(at)
    // Any executable will do as the program: only the configuration is looked at.
    const brokers = peer.brokers(process.execPath)
    expect(brokers.length).toBeGreaterThan(0)
    for (const broker of brokers) {
      const command = broker.command(place(at))
      const texts = readdirSync(at).map((file) => readFileSync(join(at, file), 'utf8'))
      const all = [...texts, ...command.args, ...Object.values(command.env ?? {})].join('\n')
      expect(all).toContain('22001')
      expect(all).not.toContain('$' + '{')
      expect(broker.configuration).not.toBe('')
    }
  })

  test('a template needs a value for each name in it', () => {
    expect(fillTemplate(`port \${port}`, { port: 1 })).toBe('port 1')
    expect(() => fillTemplate(`port \${prot}`, { port: 1 })).toThrow(`no value for \${prot}`)
  })

  test('nats-server syncs every message from 2.10 on', () => {
    expect(['2.9.10', '2.10.0', '2.12.3', '3.0.0', '1.4.1'].map(isBefore210)).toEqual([true, false, false, false, true])
  })

  test('RabbitMQ knows MQTT 5 from 3.13 on', () => {
    const versions = ['3.10.8-1.1+deb12u1', '3.13.0', '4.0.5-6', 'unknown version']
    expect(versions.map(isBefore313)).toEqual([true, false, false, true])
  })

  const broker = (settings: Settings, ...capabilities: Capability[]): Broker => {
    const common = { name: 'x', label: 'x', version: '1', configuration: '', webSocketPath: '/' }
    return { ...common, settings, capabilities: new Set(capabilities), command: () => ({ program: '', args: [] }) }
  }
  const named = (name: string) => scenarios.find((one) => one.name === name)!

  test('a broker takes part where its settings and abilities fit', () => {
    expect(unavailability(named('qos2-pair'), broker('memory', 'qos2'), '')).toBeUndefined()
    expect(unavailability(named('qos2-pair'), broker('memory'), '')).toBe('has no qos2')
    expect(unavailability(named('qos0-pair'), broker('safest'), '')).toBe('not-meant')
    expect(unavailability(named('durable-qos1-online'), broker('memory'), '')).toBeUndefined()
    expect(unavailability(named('durable-qos1-online'), broker('memory'), 'x')).toBe('not-meant')
    expect(unavailability(named('queue-1m-restart'), broker('memory'), '')).toBe('not-meant')
  })

  test('a broker says in its own words why it lacks something', () => {
    const [one] = rabbitmq.brokers(process.execPath)
    expect(unavailability(named('qos2-pair'), one!, '')).toBe('delivers QoS 2 as QoS 1')
    expect(unavailability(named('shared'), one!, '')).toBe('has no shared')
  })

  test('what keeps durable sessions on disk anyway has no column in memory beside them', () => {
    const always = { ...broker('memory'), alwaysDurable: true }
    expect(unavailability(named('durable-qos1-online'), always, '')).toBe('not-meant')
    expect(unavailability(named('qos0-pair'), always, '')).toBeUndefined()
  })

  test('the gateway alone is compared with itself in memory', () => {
    const brokers = [broker('memory'), broker('default'), { ...broker('memory'), name: 'y', label: 'y' }]
    const alone = participants(named('qos1-no-durable-recipient'), { brokers, subjects: ['x'], everything: true })
    expect(alone.map(({ label }) => label)).toEqual(['x, in memory', 'x'])
  })

  test('slow starters are left out of variations when everything runs, and only then', () => {
    const brokers = [{ ...broker('memory'), startsSlowly: true }]
    const unavailable = (name: string, everything: boolean) =>
      participants(named(name), { brokers, subjects: [], everything })[0]?.unavailable
    expect(unavailable('fan-out-10', true)).toContain('left out: slow to start')
    expect(unavailable('fan-out-10', false)).toBeUndefined()
    expect(unavailable('fan-out-500', true)).toBeUndefined()
  })
})

describe('runs', () => {
  const fields = { webSocketPath: '/', configuration: '', version: '1', settings: 'memory' } as const
  const capabilities = new Set<Capability>()
  const one: Broker = { ...fields, name: 'x', label: 'x', capabilities, command: () => ({ program: '', args: [] }) }
  const chosen = scenarios.filter(({ name }) => ['qos0-pair', 'qos2-pair', 'payload-4kb'].includes(name))
  const plan = { brokers: [one], subjects: [], quick: false, everything: true, dataFolder: '', onRun: () => undefined }

  test('are planned as often as the scenario says, or the command line, for brokers that have a part', () => {
    const names = (rounds?: number) => plannedRuns(chosen, { ...plan, rounds }).map(({ scenario }) => scenario)
    expect(names()).toEqual(['qos0-pair', 'qos0-pair', 'qos0-pair', 'payload-4kb'])
    expect(names(1)).toEqual(['qos0-pair', 'payload-4kb'])
  })

  const failed = (seconds: number) => ({ round: 1, seconds, figures: {}, faults: ['not in time'] })

  test('are not repeated when one failed slowly', () => {
    expect(gaveUp({ label: 'x', runs: [failed(60)] })).toBe(true)
    expect(gaveUp({ label: 'x', runs: [failed(2)] })).toBe(false)
    expect(gaveUp({ label: 'x', runs: [{ ...failed(60), faults: [] }] })).toBe(false)
  })

  test('of the same series are left out for the broker that was too slow, and for no other', () => {
    const [small, large] = scenarios.filter(({ series }) => series === 'subscriptions')
    const brokers = [
      { label: 'slow', runs: [failed(60)] },
      { label: 'quick', runs: [{ ...failed(60), faults: [] }] },
    ]
    const before = [{ ...small!, brokers }]
    expect(tooSlowIn(large!, 'slow', before)).toBe('subscriptions-1k')
    expect(tooSlowIn(large!, 'quick', before)).toBeUndefined()
    expect(tooSlowIn(named('qos0-pair'), 'slow', before)).toBeUndefined()
  })

  const named = (name: string) => scenarios.find((scenario) => scenario.name === name)!
})

async function startAndCarry(broker: Broker): Promise<void> {
  const running = await RunningBroker.start(broker, folder, [])
  try {
    const timed = { warmupMs: 50, measureMs: 100 }
    const job = { kind: 'throughput', spec: defaultLoad, crowdSubscriptions: 0, ...timed } as const
    const answer = await generate({ ...job, target: targetOf(running, 'tcp'), connectTimeoutMs: 10_000 })
    expect(answer.faults).toEqual([])
    expect(answer.figures['delivered']).toBeGreaterThan(0)
    expect(answer.figures['brokerResidentBytes']).toBeGreaterThan(1e6)
  } finally {
    await running.stop()
  }
  expect(readdirSync(folder).filter((name) => name.startsWith(`${broker.name}-`))).toEqual([])
}

describe('a peer starts, carries messages and leaves nothing behind', () => {
  test('aedes', () => startAndCarry(findPeers([{ name: 'aedes' }]).brokers[0]!))

  describePeer('Mosquitto', ['mosquitto'], ({ mosquitto }) => {
    test.each(['memory', 'default', 'safest'])('with its %s settings', (settings) => {
      const { brokers } = findPeers([{ name: 'mosquitto', path: mosquitto }])
      return startAndCarry(brokers.find((broker) => broker.settings === settings)!)
    })
  })

  describePeer('nats-server', ['nats-server'], ({ 'nats-server': path }) => {
    test.each(['memory', 'default'])('with its %s settings', (settings) => {
      const { brokers } = findPeers([{ name: 'nats', path }])
      return startAndCarry(brokers.find((broker) => broker.settings === settings)!)
    })
  })

  test('a program that ends at once is reported with its output', async () => {
    const failing: Broker = {
      ...findPeers([{ name: 'aedes' }]).brokers[0]!,
      label: 'Failing',
      command: () => ({ program: process.execPath, args: ['-e', 'console.error("no licence"); process.exit(1)'] }),
    }
    await expect(RunningBroker.start(failing, folder, [])).rejects.toThrow('Failing did not start: no licence')
  })
})
