/** A broker as a process on one folder and one port: started, killed with -9, started again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Broker, Place } from '../peers/broker.ts'
import { Link } from './link.ts'

const readyTimeoutMs = 30_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class BrokerProcess {
  readonly port: number
  readonly #broker: Broker
  readonly #place: Place
  readonly #logFile: string
  /** Where its data goes, if the broker says so by `--data-dir`. */
  readonly dataFolder: string
  #child: ChildProcess | undefined

  private constructor(broker: Broker, place: Place) {
    this.#broker = broker
    this.#place = place
    this.#logFile = join(place.folder, 'output.log')
    this.port = place.ports.mqtt
    this.dataFolder = join(place.folder, 'data')
  }

  static async create(broker: Broker): Promise<BrokerProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'kill-test-'))
    const [mqtt, http, tls, spare, queue] = (await freePorts()) as [number, number, number, number, number]
    return new BrokerProcess(broker, { folder, ports: { mqtt, http, tls, spare, queue } })
  }

  /** Resolves when it accepts a CONNECT. Rejects with its output if it ends instead: after a crash it must start again. */
  async start(): Promise<void> {
    const child = this.#spawn()
    const deadline = Date.now() + readyTimeoutMs
    while (!(await accepts(this.port))) {
      const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined
      if (!ended && Date.now() < deadline) continue
      await this.kill()
      const output = readFileSync(this.#logFile, 'utf8').trim().split('\n').slice(-5).join(' | ')
      throw new Error(`${this.#broker.label} did not start: ${output || 'no output'}`)
    }
  }

  /** Begins to start, and is killed. */
  async breakStart(afterMs: number): Promise<void> {
    this.#spawn()
    await delay(afterMs)
    await this.kill()
  }

  /** It ended, and not by us. */
  get hasEnded(): boolean {
    return this.#child !== undefined && (this.#child.exitCode !== null || this.#child.signalCode !== null)
  }

  #spawn(): ChildProcess {
    const { program, args, env, folder } = this.#broker.command(this.#place)
    const log = openSync(this.#logFile, 'a')
    const child = spawn(program, args, {
      stdio: ['ignore', log, log],
      cwd: folder ?? this.#place.folder,
      env: { ...process.env, ...env },
    })
    closeSync(log)
    this.#child = child
    running.add(child)
    child.once('exit', () => running.delete(child))
    return child
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  async dispose(): Promise<void> {
    await this.kill()
    rmSync(this.#place.folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function accepts(port: number): Promise<boolean> {
  const accepted = await new Promise<boolean>((resolve) => {
    const link = new Link(
      port,
      { clientId: 'kill-test-probe', clean: true },
      {
        onPacket: (packet) => {
          resolve(packet.cmd === 'connack' && packet.returnCode === 0)
          link.end()
        },
        onClose: () => resolve(false),
      },
    )
  })
  if (!accepted) await delay(20)
  return accepted
}

/** Ports stay the same across restarts, so none may be of the range that the system gives to clients' own ends. */
const portMin = 24_000
const portMax = 24_999

async function freePorts(): Promise<number[]> {
  const found: number[] = []
  // A run beside this one may have killed its broker just now: its ports look free and are not. So each starts elsewhere.
  const first = portMin + Math.floor(Math.random() * (portMax - portMin))
  for (let tries = 0; found.length < 5 && tries <= portMax - portMin; tries++) {
    const port = portMin + ((first - portMin + tries) % (portMax - portMin + 1))
    if (await isFree(port)) found.push(port)
  }
  if (found.length < 5) throw new Error(`no five free ports between ${portMin} and ${portMax}`)
  return found
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
