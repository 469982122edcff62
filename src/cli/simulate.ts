/** `mqtide simulate`: starts the device simulator, a program of its own, with whatever follows. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import type { CliContext } from './context.ts'

const depth = import.meta.url.endsWith('.ts') ? '../..' : '../../..'
const simulator = fileURLToPath(new URL(`${depth}/bin/mqtide-simulator.js`, import.meta.url))

export function registerSimulate(program: Command, context: CliContext): void {
  program
    .command('simulate')
    .description('run the device simulator; `mqtide simulate --help` shows its own options')
    .helpOption(false)
    .allowUnknownOption()
    .argument('[words...]')
    .action(async (words: string[]) => {
      const child = spawn(process.execPath, [simulator, ...words], { stdio: 'inherit' })
      // A signal that reaches only this process is handed on; one to the whole group reaches the child by itself.
      const releases = [context.onSignal('SIGINT', () => {}), context.onSignal('SIGTERM', () => child.kill('SIGTERM'))]
      const [code] = (await once(child, 'exit')) as [number | null]
      for (const release of releases) release()
      if (code !== 0) context.exit(code ?? 1)
    })
}
