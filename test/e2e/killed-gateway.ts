/** The program on a data folder and ports that stay the same, so that it can be killed and started again under its clients. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningProgram, startProgram } from './program.ts'

export interface KilledGateway {
  http: string
  mqtt: string
  /** For calls of its API, of role admin. */
  token(): string
  kill(): Promise<void>
  start(): Promise<void>
  remove(): Promise<void>
}

export async function startToBeKilled(...words: string[]): Promise<KilledGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-killed-'))
  let ports = ['0', '0']
  let running: RunningProgram
  const start = async () => {
    const [mqtt, http] = ports as [string, string]
    running = startProgram(['start', '--data-dir', folder, '--mqtt-port', mqtt, '--http-port', http, ...words])
    let line = ''
    running.process.stdout.on('data', (chunk: Buffer) => (line += chunk.toString()))
    await running.untilStdout('\n')
    ports = [...line.matchAll(/\/\/127\.0\.0\.1:(\d+)/g)].map((match) => match[1]!)
  }
  const kill = async () => {
    const gone = once(running.process, 'exit')
    if (running.process.exitCode === null && running.process.signalCode === null) running.process.kill('SIGKILL')
    else return
    await gone
  }
  await start()
  const remove = async () => {
    await kill()
    rmSync(folder, { recursive: true, force: true })
  }
  const token = () => readFileSync(join(folder, 'api-token'), 'utf8').trim()
  return { token, mqtt: `mqtt://127.0.0.1:${ports[0]}`, http: `http://127.0.0.1:${ports[1]}`, kill, start, remove }
}
