import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const checkout = fileURLToPath(new URL('../..', import.meta.url))

describe('npm start', () => {
  it('ends with the gateway, and with 0, when npm gets SIGTERM', async () => {
    const flags = ['--in-memory', '--mqtt-port', '0', '--http-port', '0', '--log-level', 'error']
    const npm = spawn('npm', ['start', '--', ...flags], { cwd: checkout, stdio: ['ignore', 'pipe', 'inherit'] })
    const exit = once(npm, 'exit')
    let pid = 0
    try {
      pid = await gatewayPid(createInterface({ input: npm.stdout }))
      expect(() => process.kill(pid, 0)).not.toThrow()
      npm.kill('SIGTERM')
      expect(await exit).toEqual([0, null])
      // Without `exec` in the script, npm's shell would die and leave the gateway running.
      expect(() => process.kill(pid, 0)).toThrow()
    } finally {
      npm.kill('SIGKILL')
      endIfRunning(pid)
    }
  })
})

function endIfRunning(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended, as it should have.
  }
}

async function gatewayPid(lines: AsyncIterable<string>): Promise<number> {
  for await (const line of lines) {
    const found = /^mqtide \S+ ready: .*, pid (\d+)$/.exec(line)
    if (found) return Number(found[1])
  }
  throw new Error('npm start ended without a start line')
}
