/** The gateway of a checkout as a process that a case attacks: its ports, its log, its memory. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onCore } from '../running.ts'
import type { Case, Ports } from './cases.ts'

const slowSubscriberScript = fileURLToPath(new URL('slow-subscriber.ts', import.meta.url))
const startTimeoutMs = 30_000

/** What must not outlive us. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

export class GatewayProcess {
  readonly ports: Ports
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #openFiles: number[]

  private constructor(child: ChildProcess, ports: Ports, folder: string, openFiles: number[]) {
    this.#child = child
    this.ports = ports
    this.#folder = folder
    this.#openFiles = openFiles
  }

  /** Rejects when it doesn't get ready. */
  static async start(checkout: string, one: Case, heapMegabytesMax: number): Promise<GatewayProcess> {
    const ports = { mqtt: await freePort(), http: await freePort() }
    const folder = mkdtempSync(join(tmpdir(), 'overload-'))
    const store = one.store === 'memory' ? ['--in-memory'] : ['--data-dir', join(folder, 'data')]
    const listeners = ['--mqtt-port', String(ports.mqtt), '--http-port', String(ports.http)]
    const words = one.slowSubscriber
      ? [slowSubscriberScript, checkout, String(ports.mqtt), String(ports.http)]
      : [join(checkout, 'bin/mqtide.js'), 'start', ...store, ...listeners]
    const level = one.slowSubscriber ? [] : ['--log-level', one.log === undefined ? 'warn' : 'debug']
    const args = [`--max-old-space-size=${heapMegabytesMax}`, ...words, ...level]
    const [program, programArgs] = onCore('broker', process.execPath, args)
    const openFiles = logFiles(one, folder)
    const child = spawn(program, programArgs, { stdio: ['ignore', 'pipe', openFiles[0]!], cwd: checkout })
    running.add(child)
    child.once('exit', () => running.delete(child))
    const gateway = new GatewayProcess(child, ports, folder, openFiles)
    await gateway.#untilReady()
    return gateway
  }

  #untilReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the gateway did not start')), startTimeoutMs)
      this.#child.stdout!.on('data', (chunk: Buffer) => {
        if (!chunk.toString().includes('ready')) return
        clearTimeout(timer)
        resolve()
      })
      this.#child.once('exit', (code) => {
        clearTimeout(timer)
        reject(new Error(`the gateway ended with ${code}`))
      })
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Resident memory: now, and the most since `forgetPeak`. */
  memory(): { bytes: number; peakBytes: number } {
    if (this.ended) return { bytes: 0, peakBytes: 0 }
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1')
    const read = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
    return { bytes: read('VmRSS'), peakBytes: read('VmHWM') }
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5')
  }

  async stop(): Promise<void> {
    if (!this.ended) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve))
      this.#child.kill('SIGKILL')
      await exited
    }
    for (const file of this.#openFiles) closeSync(file)
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What standard error is, first; and what has to stay open for it. */
function logFiles({ log }: Case, folder: string): number[] {
  if (log === undefined) return [openSync(join(folder, 'log'), 'a')]
  if (log === 'full-disk') return [openSync('/dev/full', 'a')]
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return [openSync(path, constants.O_WRONLY), reader]
}
