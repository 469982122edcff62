/** A Mosquitto broker of one's own, on a free port. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Mosquitto {
  port: number
  stop(): Promise<void>
}

/**
 * `lines` are added to its configuration; anonymous clients are allowed. By default it drops what is beyond a thousand messages for a
 * client, which a busy test reaches; with 0, no limit, a client is sent nothing more at times.
 */
export async function startMosquitto(program: string, lines: readonly string[] = []): Promise<Mosquitto> {
  const folder = await mkdtemp(join(tmpdir(), 'mqtide-mosquitto-'))
  const port = await freePort()
  const config = join(folder, 'mosquitto.conf')
  await writeFile(
    config,
    [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 1000000', ...lines, ''].join('\n'),
  )
  const broker = spawn(program, ['-v', '-c', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  await new Promise<void>((resolve, reject) => {
    let output = ''
    broker.stderr.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4096)
      if (output.includes(' running')) resolve()
    })
    broker.once('exit', () => reject(new Error(`mosquitto ended: ${output}`)))
  })
  return {
    port,
    stop: async () => {
      const ended = once(broker, 'exit')
      broker.kill()
      await ended
      await rm(folder, { recursive: true })
    },
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
