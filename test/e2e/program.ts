/** The program `mqtide` as a user starts it: `bin/mqtide.js` in a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { runProgram as runInThisProcess } from '../../src/cli/program.ts'

export const bin = fileURLToPath(new URL('../../bin/mqtide.js', import.meta.url))

export interface Ended {
  exitCode: number | null
  stdout: Buffer
  stderr: string
}

export interface RunningProgram {
  process: ChildProcessWithoutNullStreams
  /** Resolves when standard output holds the text. */
  untilStdout(text: string): Promise<void>
  untilStderr(text: string): Promise<void>
  ended: Promise<Ended>
}

/** Variables that would configure the program under test are left out. */
function environment(variables: Record<string, string>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('MQTIDE_') && !name.startsWith('VITEST'),
  )
  return { ...Object.fromEntries(inherited), ...variables }
}

export function startProgram(words: readonly string[], variables: Record<string, string> = {}): RunningProgram {
  const child = spawn(process.execPath, [bin, ...words], { env: environment(variables) })
  const stdout: Buffer[] = []
  let stderr = ''
  const waiting = new Set<() => void>()
  child.stdout.on('data', (chunk: Buffer) => {
    stdout.push(chunk)
    for (const look of waiting) look()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
    for (const look of waiting) look()
  })
  child.stdin.on('error', () => {})
  let isOver = false
  const ended = once(child, 'close').then(([exitCode]): Ended => {
    isOver = true
    for (const look of waiting) look()
    return { exitCode: exitCode as number | null, stdout: Buffer.concat(stdout), stderr }
  })
  const until = (read: () => string, text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (read().includes(text)) resolve()
        else if (isOver) reject(new Error(`ended without "${text}":\n${read()}\n${stderr}`))
        else return
        waiting.delete(look)
      }
      waiting.add(look)
      look()
    })
  return {
    process: child,
    untilStdout: (text) => until(() => Buffer.concat(stdout).toString(), text),
    untilStderr: (text) => until(() => stderr, text),
    ended,
  }
}

/** Runs a command to its end within this process, which is much quicker; signals never come. */
export async function runCommand(words: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
  const outputs = [new PassThrough(), new PassThrough()] as const
  const collected = outputs.map(async (output) => {
    const chunks: Buffer[] = []
    for await (const chunk of output) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  })
  const exitCode = await runInThisProcess(words, {
    environment: {},
    pid: process.pid,
    stdin: Readable.from([Buffer.from(input)]),
    stdout: outputs[0],
    stderr: outputs[1],
    onSignal: () => () => {},
    exit: (code) => {
      throw new Error(`exit ${code}`)
    },
  })
  for (const output of outputs) output.end()
  const [stdout, stderr] = await Promise.all(collected)
  return { exitCode, stdout: stdout!, stderr: stderr!.toString() }
}

/** Runs it to its end, with `input` as its standard input. */
export function runProgram(words: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
  const running = startProgram(words)
  running.process.stdin.end(input)
  return running.ended
}

/** Runs any program to its end. */
export async function run(program: string, words: readonly string[], input: string | Uint8Array = ''): Promise<Ended> {
  const child = spawn(program, words)
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [exitCode] = (await once(child, 'close')) as [number | null]
  return { exitCode, stdout: Buffer.concat(stdout), stderr }
}
