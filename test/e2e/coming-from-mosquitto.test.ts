/** The evening of docs/coming-from-mosquitto.md: an installation with a hundred clients moves over, with Mosquitto's own programs. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describePeer } from '../peers.ts'
import { freePort } from './mosquitto.ts'
import { run, runCommand, startProgram } from './program.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-evening-'))
  chmodSync(folder, 0o755)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const clients = Array.from({ length: 100 }, (_, n) => `meter-${n}`)

/** As many at a time as a busy machine likes. */
async function forAll<Result>(work: (clientId: string) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (let at = 0; at < clients.length; at += 10)
    results.push(...(await Promise.all(clients.slice(at, at + 10).map(work))))
  return results
}

const programs = ['mosquitto', 'mosquitto_pub', 'mosquitto_sub', 'mosquitto_passwd'] as const

describePeer(
  'a Mosquitto with a hundred clients',
  programs,
  ({ mosquitto, mosquitto_pub, mosquitto_sub, mosquitto_passwd }) => {
    const users = () => join(folder, 'passwd')
    const acl = () => join(folder, 'acl')

    async function configured(port: number): Promise<string> {
      await run(mosquitto_passwd, ['-c', '-b', users(), 'meters', 'secret'])
      await run(mosquitto_passwd, ['-b', users(), 'office', 'other'])
      writeFileSync(
        acl(),
        'user meters\ntopic read orders/#\ntopic readwrite meters/#\n\nuser office\ntopic readwrite #\n',
      )
      const lines = [
        ...[`listener ${port} 127.0.0.1`, 'allow_anonymous false', `password_file ${users()}`, `acl_file ${acl()}`],
        ...['persistence true', `persistence_location ${folder}/`, 'user root', ''],
      ]
      writeFileSync(join(folder, 'mosquitto.conf'), lines.join('\n'))
      return join(folder, 'mosquitto.conf')
    }

    const meter = (port: number, clientId: string) => [
      '-p',
      String(port),
      '-u',
      'meters',
      '-P',
      'secret',
      '-i',
      clientId,
      '-c',
      '-q',
      '1',
    ]
    const office = (port: number, words: string[]) =>
      run(mosquitto_pub, ['-p', String(port), '-u', 'office', '-P', 'other', '-q', '1', ...words])

    async function startOld(port: number) {
      const broker = spawn(mosquitto, ['-v', '-c', await configured(port)], { stdio: ['ignore', 'ignore', 'pipe'] })
      let output = ''
      await new Promise<void>((resolve) => {
        broker.stderr.on('data', (chunk: Buffer) => {
          output += chunk.toString()
          if (output.includes(' running')) resolve()
        })
      })
      const ended = once(broker, 'exit')
      const stop = () => {
        broker.kill()
        return ended
      }
      return { stop }
    }

    it('moves over with its users, rules, sessions, what waits for them and retained messages', async () => {
      const port = await freePort()
      const old = await startOld(port)
      await forAll((clientId) =>
        run(mosquitto_sub, [...meter(port, clientId), '-t', `orders/${clientId}`, '-t', 'orders/all', '-E']),
      )
      await forAll((clientId) => office(port, ['-t', `orders/${clientId}`, '-m', `for ${clientId}`]))
      await office(port, ['-t', 'orders/all', '-m', 'for all'])
      await office(port, ['-t', 'meters/plan', '-r', '-m', 'the plan'])
      await old.stop()

      const config = join(folder, 'mqtide.yaml')
      const listener = `{ kind: tcp, host: 127.0.0.1, port: ${port} }`
      writeFileSync(
        config,
        `dataDir: ${folder}/data\nlisteners: [${listener}]\nauthentication: { passwordFile: ${users()} }\nauthorization: { aclFile: ${acl()} }\n`,
      )
      const words = ['import', join(folder, 'mosquitto.db'), '--config', config, '--owners']
      expect(await runCommand(words)).toMatchObject({ exitCode: 0, stderr: '' })
      const gateway = startProgram(['start', '--config', config])
      await gateway.untilStdout('\n')

      const got = await forAll(async (clientId) => {
        const { stdout } = await run(mosquitto_sub, [
          ...meter(port, clientId),
          '-t',
          `orders/${clientId}`,
          '-C',
          '2',
          '-W',
          '60',
        ])
        return stdout.toString()
      })
      expect(got).toEqual(clients.map((clientId) => `for ${clientId}\nfor all\n`))
      const kept = await run(mosquitto_sub, [...meter(port, 'meter-0'), '-t', 'meters/plan', '-C', '1', '-W', '60'])
      expect(kept.stdout.toString()).toBe('the plan\n')
      const stranger = await run(mosquitto_sub, [
        '-p',
        String(port),
        '-u',
        'office',
        '-P',
        'other',
        '-i',
        'meter-1',
        '-t',
        'a',
        '-W',
        '5',
      ])
      expect(stranger.stderr).toContain('identifier rejected')
      gateway.process.kill('SIGTERM')
      expect(await gateway.ended).toMatchObject({ exitCode: 0 })
    })
  },
)
