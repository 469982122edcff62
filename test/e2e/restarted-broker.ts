/** Another broker on a port and in a folder that stay the same, so that it can be ended and started again under a bridge. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './mosquitto.ts'

export interface RestartedBroker {
  readonly port: number
  readonly url: string
  start(): Promise<void>
  /** Resolves when it has ended. */
  end(signal: NodeJS.Signals): Promise<void>
  signal(signal: NodeJS.Signals): void
  remove(): Promise<void>
}

/** `configuration`: the file's text, of a port and the folder. */
async function restarted(
  program: string,
  words: (file: string) => string[],
  configuration: (port: number, folder: string) => string,
): Promise<RestartedBroker> {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-peer-'))
  const port = await freePort()
  const file = join(folder, 'broker.conf')
  writeFileSync(file, configuration(port, folder))
  let child: ChildProcess | undefined
  const end = async (signal: NodeJS.Signals) => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    start: async () => {
      child = spawn(program, words(file), { stdio: 'ignore' })
      await answers(port)
    },
    end,
    signal: (signal) => void child?.kill(signal),
    remove: async () => {
      child?.kill('SIGCONT')
      await end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Resolves when somebody listens there. */
async function answers(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const found = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
    socket.destroy()
    if (found) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Keeps sessions and messages when it is ended by SIGTERM. */
export function restartedMosquitto(program: string, lines: readonly string[] = []): Promise<RestartedBroker> {
  const configuration = (port: number, folder: string) =>
    [
      ...(process.getuid?.() === 0 ? ['user root'] : []),
      ...[`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 1000000'],
      ...['persistence true', `persistence_location ${folder}/`, ...lines, ''],
    ].join('\n')
  return restarted(program, (file) => ['-c', file], configuration)
}

/** With JetStream, without which it speaks no MQTT. */
export async function restartedNats(program: string): Promise<RestartedBroker> {
  const own = await freePort()
  const configuration = (port: number, folder: string) =>
    [
      `server_name: peer`,
      `listen: 127.0.0.1:${own}`,
      `jetstream { store_dir: ${JSON.stringify(folder)} }`,
      `mqtt { listen: 127.0.0.1:${port} }`,
      '',
    ].join('\n')
  return restarted(program, (file) => ['-c', file], configuration)
}
