/**
 * Starts and stops one broker at a time, pinned to a core of its own.
 *
 * Each start gets a fresh folder and ports that nothing uses; it counts as started once it answers an MQTT CONNECT.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectTcp, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Endpoint, Transport } from './generator/link.ts'
import { encodeConnect } from './generator/packets.ts'
import { writeAccess } from './peers/access.ts'
import { type Broker, type Capability, findProgram, type Place, type Ports } from './peers/broker.ts'
import { queuesFor, streamsFor } from './peers/queues.ts'
import { processTree } from './proc.ts'

const brokerCore = 0
const generatorCore = 1
const portMin = 22_000
const portMax = 22_999
const startTimeoutMs = 60_000
const seedSettleMs = 3000
/** For a profile to be written. */
const stopTimeoutMs = 10_000

const taskset = findProgram('taskset', process.env['PATH'])

/** Whether brokers and generator get a core each. */
export const pinned = taskset !== undefined && availableParallelism() >= 2

/** `program` with its arguments, pinned to a core where that is possible. */
export function onCore(role: 'broker' | 'generator', program: string, args: readonly string[]): [string, string[]] {
  if (!pinned) return [program, [...args]]
  const core = role === 'broker' ? brokerCore : generatorCore
  return [taskset!, ['-c', String(core), program, ...args]]
}

let nextPort = portMin

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function freePort(): Promise<number> {
  for (let tries = 0; tries <= portMax - portMin; tries++) {
    const port = nextPort
    nextPort = port === portMax ? portMin : port + 1
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${portMin} and ${portMax}`)
}

async function freePorts(): Promise<Ports> {
  return {
    mqtt: await freePort(),
    http: await freePort(),
    tls: await freePort(),
    spare: await freePort(),
    queue: await freePort(),
  }
}

/** A self-signed certificate for 127.0.0.1, or undefined where there is no openssl. */
function makeCertificate(folder: string): Place['certificate'] {
  const certificateFile = join(folder, 'certificate.pem')
  const keyFile = join(folder, 'key.pem')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile]
  const subject = ['-subj', '/CN=127.0.0.1', '-days', '2', '-out', certificateFile]
  const made = spawnSync('openssl', ['req', '-x509', ...key, ...subject], { stdio: 'ignore' })
  if (made.status !== 0) return undefined
  spawnSync('chmod', ['644', keyFile])
  return { certificateFile, keyFile }
}

/** Resolves with whether a CONNECT is answered on this port now; where users are configured it is refused. */
function answersConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1')
    const finish = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(2000, () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => finish(false))
    socket.on('connect', () => socket.write(encodeConnect({ version: 4, clientId: 'probe', durable: false })))
    socket.on('data', (bytes) => finish(bytes[0] === 0x20 && [0, 4, 5].includes(bytes[3]!)))
  })
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) endGroup(child)
})

/** A broker leads a process group, so that what it started ends with it however it ended itself. */
function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nothing of it is left.
  }
}

/** Folders with the files of first starts, by name. They go with the folder they are in, at the end of the bench. */
const seeds = new Map<string, Promise<string>>()

function firstStart(broker: Broker, parentFolder: string): Promise<string> {
  const seed = seeds.get(broker.name) ?? RunningBroker.seed(broker, parentFolder)
  seeds.set(broker.name, seed)
  return seed
}

export class RunningBroker {
  readonly broker: Broker
  readonly place: Place
  /** Seconds from the start of the process to the first accepted CONNECT. */
  readySeconds = 0
  #child: ChildProcess | undefined
  #pids: number[] = []

  private constructor(broker: Broker, place: Place) {
    this.broker = broker
    this.place = place
  }

  /** Starts `broker` with its files in a new folder under `parentFolder`. Rejects, with its output, when it does not get ready. */
  static async start(broker: Broker, parentFolder: string, needs: readonly Capability[]): Promise<RunningBroker> {
    const folder = mkdtempSync(join(parentFolder, `${broker.name}-`))
    const certificate = needs.includes('tls') ? makeCertificate(folder) : undefined
    const place: Place = { folder, ports: await freePorts() }
    if (certificate !== undefined) place.certificate = certificate
    if (needs.includes('password')) place.access = await writeAccess(folder)
    const queues = queuesFor(needs)
    if (queues !== undefined) place.queues = queues
    const streams = streamsFor(needs)
    if (streams !== undefined) place.streams = streams
    const one = new RunningBroker(broker, place)
    if (broker.startsSlowly === true) cpSync(await firstStart(broker, parentFolder), folder, { recursive: true })
    await one.#run()
    return one
  }

  /** Starts `broker` for the first time, ends it in order, and returns the folder with its files. */
  static async seed(broker: Broker, parentFolder: string): Promise<string> {
    const folder = mkdtempSync(join(parentFolder, `seed-${broker.name}-`))
    const one = new RunningBroker(broker, { folder, ports: await freePorts() })
    await one.#run()
    // It accepts connections before its start is complete, and what it writes until then is not enough to start from.
    await new Promise((resolve) => setTimeout(resolve, seedSettleMs))
    await one.#end('SIGTERM')
    return folder
  }

  async #run(): Promise<void> {
    const command = this.broker.command(this.place)
    const logFile = join(this.place.folder, 'output.log')
    const log = openSync(logFile, 'a')
    const [program, args] = onCore('broker', command.program, command.args)
    const started = performance.now()
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      cwd: command.folder ?? this.place.folder,
      env: { ...process.env, ...command.env },
      detached: true,
    })
    closeSync(log)
    this.#child = child
    running.add(child)
    child.once('error', () => running.delete(child))
    while (!(await answersConnect(this.place.ports.mqtt))) {
      const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined
      if (ended || performance.now() - started > startTimeoutMs) {
        await this.#end('SIGKILL')
        throw new Error(`${this.broker.label} did not start: ${lastLines(logFile)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    this.readySeconds = (performance.now() - started) / 1000
    this.#pids = processTree(child.pid!)
  }

  /** Where a broker that has metrics the bench reads shows them. */
  get metricsUrl(): string | undefined {
    const { metricsPath } = this.broker
    return metricsPath === undefined ? undefined : `http://127.0.0.1:${this.place.ports.http}${metricsPath}`
  }

  get pids(): readonly number[] {
    return this.#pids
  }

  endpoint(transport: Transport): Endpoint {
    const { mqtt, http, tls } = this.place.ports
    const port = transport === 'tcp' ? mqtt : transport === 'tls' ? tls : http
    return { host: '127.0.0.1', port, transport, path: this.broker.webSocketPath }
  }

  /** Stops it and starts it again on the same folder and ports. */
  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.#end(signal)
    await this.#run()
  }

  async stop(): Promise<void> {
    // Its files are deleted next, so what a broker does at its end (RabbitMQ takes seconds) would be in vain.
    await this.#end(this.broker.writesAtEnd === true ? 'SIGTERM' : 'SIGKILL')
    rmSync(this.place.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
      await ended
      clearTimeout(timer)
    }
    endGroup(child)
    running.delete(child)
  }
}

function lastLines(file: string): string {
  return readFileSync(file, 'utf8').trim().split('\n').slice(-5).join(' | ') || 'no output'
}
