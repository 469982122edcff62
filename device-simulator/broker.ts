/**
 * The broker of a run: one that is there, or one that the simulator starts as a child process and may kill and restart.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hostOf, portOf } from './client/stream.ts'
import type { BrokerSpec } from './scenario/schema.ts'

const startTimeoutMs = 15_000

export interface Broker {
  readonly name: string
  readonly url: string
  /** Whether the simulator started it, and so may restart it. */
  readonly isOwn: boolean
  readonly description: string
  /** Kills it; resolves when the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again on the same address; resolves when it answers. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** Resolves to undefined when something accepts connections, else to the reason. */
export function unreachable(url: string, timeoutMs = 3000): Promise<string | undefined> {
  const { hostname } = new URL(url)
  const port = portOf(new URL(url))
  return new Promise((resolve) => {
    const socket = connect({ host: hostOf(new URL(url)), port })
    const done = (reason: string | undefined): void => {
      socket.destroy()
      resolve(reason)
    }
    socket.setTimeout(timeoutMs, () => done(`no answer from ${hostname}:${port} within ${timeoutMs / 1000} s`))
    socket.once('connect', () => done(undefined))
    socket.once('error', (error) => done((error as NodeJS.ErrnoException).code ?? error.message))
  })
}

export async function openBroker(name: string, spec: BrokerSpec, needsDisk: boolean): Promise<Broker> {
  if ('gateway' in spec) return startGateway(name, spec.gateway, needsDisk)
  if ('command' in spec) return startCommand(name, spec.command, spec.url)
  const nothing = async (): Promise<void> => {
    throw new Error(`the broker ${name} at ${spec.url} was not started by the simulator`)
  }
  return {
    name,
    url: spec.url,
    isOwn: false,
    description: spec.url,
    kill: nothing,
    restart: nothing,
    close: async () => {},
  }
}

interface Child {
  process: ChildProcess
  exited: Promise<void>
}

function launch(command: readonly string[], stdout: 'pipe' | 'ignore'): Child {
  const [file, ...parameters] = command
  // A group of its own: Ctrl-C is for the simulator, which ends its broker itself.
  const child = spawn(file!, parameters, { stdio: ['ignore', stdout, 'pipe'], detached: true })
  const onExit = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', onExit)
  child.once('exit', () => process.off('exit', onExit))
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  return { process: child, exited }
}

async function stop({ process: child, exited }: Child, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal)
  await exited
}

/** The gateway's program, from a checkout or from the installed package. */
function gatewayProgram(): string {
  const places = ['../bin/mqtide.js', '../../bin/mqtide.js'].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  )
  const found = places.find((place) => existsSync(place))
  if (found === undefined)
    throw new Error('the gateway is not installed beside the simulator; name a broker with --broker URL')
  return found
}

type GatewaySpec = Extract<BrokerSpec, { gateway: object }>['gateway']

/** @param needsDisk whether its state has to survive a restart */
async function startGateway(
  name: string,
  { arguments: extra, options }: GatewaySpec,
  needsDisk: boolean,
): Promise<Broker> {
  const program = gatewayProgram()
  const folder = needsDisk || options !== undefined ? mkdtempSync(join(tmpdir(), 'mqtide-simulator-')) : undefined
  const storage = needsDisk ? ['--data-dir', join(folder!, 'data')] : ['--in-memory']
  if (options !== undefined) {
    const file = join(folder!, 'mqtide.yaml')
    writeFileSync(file, JSON.stringify(options))
    storage.push('--config', file)
  }
  const command = (port: number): string[] => [
    process.execPath,
    program,
    'start',
    ...storage,
    '--mqtt-port',
    String(port),
    '--http-port',
    '0',
    '--log-level',
    'warn',
    ...extra,
  ]
  let child = launch(command(0), 'pipe')
  const url = await readyUrl(child)
  return {
    name,
    url,
    isOwn: true,
    description: `${url} (a gateway started for this run, ${needsDisk ? 'on disk' : 'in memory'})`,
    kill: (signal) => stop(child, signal),
    async restart() {
      child = launch(command(portOf(new URL(url))), 'pipe')
      await readyUrl(child)
    },
    async close() {
      await stop(child, 'SIGTERM')
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The address in the gateway's ready line. */
function readyUrl({ process: child, exited }: Child): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    let errors = ''
    const timer = setTimeout(
      () => reject(new Error(`the gateway was not ready within ${startTimeoutMs / 1000} s`)),
      startTimeoutMs,
    )
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000)
    })
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const match = /MQTT (mqtt:\/\/[^,\s]+)/.exec(output)
      if (match === null) return
      clearTimeout(timer)
      resolve(match[1]!)
    })
    void exited.then(() => {
      clearTimeout(timer)
      reject(new Error(`the gateway ended before it was ready${errors === '' ? '' : `: ${errors.trim()}`}`))
    })
  })
}

async function startCommand(name: string, command: readonly string[], url: string): Promise<Broker> {
  let child = launch(command, 'ignore')
  await untilReachable(url, child)
  return {
    name,
    url,
    isOwn: true,
    description: `${url} (started: ${command.join(' ')})`,
    kill: (signal) => stop(child, signal),
    async restart() {
      child = launch(command, 'ignore')
      await untilReachable(url, child)
    },
    close: () => stop(child, 'SIGTERM'),
  }
}

async function untilReachable(url: string, { process: child, exited }: Child): Promise<void> {
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-2000)
  })
  const ended = exited.then(() => `the broker's command ended: ${errors.trim() || child.spawnargs.join(' ')}`)
  const deadline = Date.now() + startTimeoutMs
  for (;;) {
    const reason = await Promise.race([unreachable(url), ended])
    if (reason === undefined) return
    if (Date.now() > deadline || child.exitCode !== null || reason.startsWith('the broker'))
      throw new Error(`${url}: ${reason}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
