/** Whole runs against real brokers: the project's gateway and Debian's mosquitto, with both clients. */
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { describePeer } from '../../test/peers.ts'
import { type Broker, openBroker } from '../broker.ts'
import { CannotRun } from '../run.ts'
import { runTimeoutMs, simulate } from './simulate.ts'

const stages = (holdSeconds: number): string =>
  `stages: [{ type: ramp, duration: 500ms }, { type: hold, duration: ${holdSeconds}s }, { type: drain, duration: 10s }]\n`

const mixed = `${stages(2)}
groups:
  sensors:
    count: 12
    protocol: [3.1, 3.1.1, 5.0]
    session: durable
    publications:
      - { topic: "t/{clientId}/json", rate: 20, qos: { 0: 1, 1: 1, 2: 1 }, payload: { fields: { v: { type: counter } } } }
      - { topic: "t/{clientId}/cbor", rate: 10, qos: 2, payload: { encoding: cbor, fields: { v: 1.5 } } }
      - { topic: "t/{clientId}/raw", rate: 10, qos: 1, payload: { encoding: number, value: { type: uniform, min: 0, max: 9 } } }
      - { topic: "t/{clientId}/bytes", rate: 10, qos: 1, retain: true, payload: { encoding: binary, size: { min: 32, max: 2000 } } }
  consumers: { count: 2, session: durable, protocol: [3.1.1, 5.0], subscriptions: [{ filter: t/#, qos: 2 }] }
  workers: { count: 3, session: durable, subscriptions: [{ filter: $share/w/t/+/json, qos: 1, work: { mean: 1ms } }] }
`

async function freePort(): Promise<number> {
  const free = createServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const { port } = free.address() as { port: number }
  await new Promise((resolve) => free.close(resolve))
  return port
}

let gateway: Broker

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

beforeAll(async () => {
  gateway = await openBroker('gateway', { gateway: { arguments: [] } }, false)
})
afterAll(() => gateway.close())

describe('a run against the gateway', () => {
  test.each(['mqttjs', 'lean'] as const)(
    'all encodings, QoS and versions, with %s: everything arrives once, in order',
    async (client) => {
      const { verdict, retained, counters, problems, exitCode } = await simulate(gateway.url, mixed, { client })
      expect(problems).toEqual([])
      expect(verdict.offenders).toEqual([])
      expect(verdict).toMatchObject({ violations: 0, lostAllowed: 0, unacknowledged: 0, refused: 0, corrupted: 0 })
      expect(verdict.expected).toBeGreaterThan(1000)
      expect(verdict.received).toBe(verdict.expected)
      expect(verdict.rows.some(({ receiverSession }) => receiverSession === 'shared')).toBe(true)
      expect(retained).toMatchObject({ checked: 12, wrong: 0 })
      // Raw numbers of 3.x devices have no place for the envelope.
      expect(counters.untracked).toBeGreaterThan(0)
      expect(exitCode).toBe(0)
    },
  )

  test('commands are answered in both manners, and a device that fails to answer is counted', async () => {
    const { counters, latency } = await simulate(
      gateway.url,
      `${stages(2)}
groups:
  modern: { count: 3, commands: [{ style: request-response, filter: "dev/{clientId}/ask" }] }
  plugs: { count: 3, protocol: 3.1.1, commands: [{ style: tasmota, filter: "cmnd/{clientId}/+" }] }
  mute: { count: 1, commands: [{ style: request-response, filter: "mute/{clientId}", fail: 1 }] }
  app:
    requests:
      - { style: request-response, to: modern, topic: "dev/{clientId}/ask", rate: 20 }
      - { style: tasmota, to: plugs, topic: "cmnd/{clientId}/POWER", rate: 20 }
      - { style: request-response, to: mute, topic: "mute/{clientId}", rate: 5, timeout: 500ms }
`,
    )
    expect(counters.commandsAnswered).toBeGreaterThan(40)
    expect(counters.unansweredCommands).toBeGreaterThan(3)
    expect(counters.commandsSent).toBe(counters.commandsAnswered + counters.unansweredCommands)
    expect(latency.command.count).toBe(counters.commandsAnswered)
  })

  test('the same seed sends the same bytes, whatever the number of devices and their rate', async () => {
    const hashes = async (count: number, rate: number, client: 'mqttjs' | 'lean'): Promise<Map<string, string>> => {
      const prefix = `same/${count}-${rate}-${client}`
      const watcher = await connectAsync(gateway.url)
      const bodies = new Map<string, string[]>()
      await watcher.subscribeAsync(`${prefix}/#`)
      watcher.on('message', (topic, payload) => {
        const device = topic.split('/').at(-1)!
        bodies.set(device, [...(bodies.get(device) ?? []), payload.subarray(0, payload.length - 34).toString('hex')])
      })
      await simulate(
        gateway.url,
        `${stages(20)}
groups:
  s:
    count: ${count}
    clientId: "${count}-${rate}-${client}-{index}"
    publications:
      - topic: ${prefix}/{index}
        rate: ${rate}
        step: 1s
        limit: 20
        qos: 1
        payload: { fields: { a: { type: random-walk, step: 1 }, at: { type: timestamp }, id: { type: uuid } }, size: { min: 150, max: 400 } }
`,
        { client, seed: 77 },
      )
      await watcher.endAsync()
      return new Map(
        [...bodies].map(([device, list]) => [device, createHash('sha256').update(list.join('\n')).digest('hex')]),
      )
    }
    const [few, many, lean] = await Promise.all([
      hashes(3, 20, 'mqttjs'),
      hashes(6, 50, 'mqttjs'),
      hashes(5, 100, 'lean'),
    ])
    expect(few.size).toBe(3)
    expect(new Set(few.values()).size).toBe(3)
    for (const [device, hash] of few) {
      expect(many.get(device)).toBe(hash)
      expect(lean.get(device)).toBe(hash)
    }
  })

  test('an interrupted run ends with exit code 130 and the summary of what happened so far', async () => {
    const interruption = new AbortController()
    const running = simulate(gateway.url, mixed.replace('duration: 2s', 'duration: 600s'), {
      signal: interruption.signal,
      onNote: () => setTimeout(() => interruption.abort(), 2500),
    })
    const summary = await running
    expect(summary).toMatchObject({ exitCode: 130, interrupted: true })
    expect(summary.counters.sent).toBeGreaterThan(0)
  })

  test('a threshold that is not met ends with exit code 99', async () => {
    const summary = await simulate(
      gateway.url,
      `${stages(1)}thresholds: ["sent > 1000000", "lost == 0"]
groups: { s: { publications: [{ topic: x, rate: 10, payload: { fields: {} } }] } }
`,
    )
    expect(summary.exitCode).toBe(99)
    expect(summary.thresholds.map(({ passed }) => passed)).toEqual([false, true])
  })

  test('a broker that refuses the consumers ends the run with that problem', async () => {
    const refusing = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', () => socket.end(Uint8Array.of(0x20, 2, 0, 5)))
    })
    await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve))
    const { port } = refusing.address() as { port: number }
    const summary = await simulate(
      `mqtt://127.0.0.1:${port}`,
      `${stages(1)}groups: { c: { protocol: 3.1.1, subscriptions: [{ filter: x }] } }`,
    )
    refusing.close()
    expect(summary.exitCode).toBe(99)
    expect(summary.problems.join()).toMatch(/refuses every connection: check the credentials/)
  })

  test('devices that are refused all the time are a problem of the run, with the reason', async () => {
    const port = await freePort()
    const picky = createServer((socket) => {
      socket.on('error', () => {})
      // 3.1.1 is let in, 5.0 refused: Unsupported Protocol Version.
      socket.once('data', (chunk) =>
        socket.write(chunk[8] === 4 ? Uint8Array.of(0x20, 2, 0, 0) : Uint8Array.of(0x20, 3, 0, 0x84, 0)),
      )
    })
    await new Promise<void>((resolve) => picky.listen(port, '127.0.0.1', resolve))
    const publications = '[{ topic: x, rate: 5, payload: { fields: {} } }]'
    const summary = await simulate(
      `mqtt://127.0.0.1:${port}`,
      `${stages(1)}groups:
  old: { count: 2, protocol: 3.1.1, publications: ${publications} }
  new: { count: 3, protocol: 5.0, publications: ${publications} }
`,
    )
    picky.close()
    expect(summary.problems).toEqual(['group new: 3 of 3 devices never got a connection'])
    expect(summary.errors['CONNACK with code 0x84']).toBeGreaterThanOrEqual(3)
    expect(summary.exitCode).toBe(99)
  })

  test('a broker that is not there stops the run before it starts', async () => {
    const port = await freePort()
    const running = simulate(`mqtt://127.0.0.1:${port}`, 'groups: { s: {} }')
    await expect(running).rejects.toThrow(CannotRun)
    await expect(running).rejects.toThrow(/can't be reached \(ECONNREFUSED\): start it, or name another/)
  })
})

describePeer('a run against mosquitto', ['mosquitto'], ({ mosquitto }) => {
  let broker: Broker
  beforeAll(async () => {
    const port = await freePort()
    broker = await openBroker(
      'mosquitto',
      { command: [mosquitto, '-p', String(port)], url: `mqtt://127.0.0.1:${port}` },
      false,
    )
  })
  afterAll(() => broker.close())

  test.each(['mqttjs', 'lean'] as const)('everything arrives once, in order, with %s', async (client) => {
    const { verdict, retained } = await simulate(broker.url, mixed, { client })
    expect(verdict.offenders).toEqual([])
    expect(verdict).toMatchObject({ violations: 0, lostAllowed: 0 })
    expect(verdict.received).toBe(verdict.expected)
    expect(retained.wrong).toBe(0)
  })

  test('a kill without persistence loses messages, and the verdict says so', async () => {
    const port = await freePort()
    const summary = await simulate(
      undefined,
      `brokers: { main: { command: ["${mosquitto}", -p, "${port}"], url: "mqtt://127.0.0.1:${port}" } }
stages: [{ type: ramp, duration: 500ms }, { type: hold, duration: 4s, faults: [{ type: broker-restart, at: 1s, down: 500ms }] }, { type: drain, duration: 10s }]
groups:
  s: { count: 5, session: durable, reconnect: { min: 50ms, max: 100ms }, publications: [{ topic: "x/{index}", rate: 20, qos: 1, payload: { fields: {} } }] }
  c: { session: durable, reconnect: { min: 2500ms, max: 2500ms, jitter: 0 }, subscriptions: [{ filter: x/#, qos: 1 }] }
`,
    )
    expect(summary.verdict.lost).toBeGreaterThan(0)
    expect(summary.verdict.sessionsLost).toBe(1)
    expect(summary.verdict.offenders[0]).toMatch(/^lost: s-\d x\/\d QoS 1 #\d+ -> c-0$/)
    expect(summary.exitCode).toBe(99)
  })
})
