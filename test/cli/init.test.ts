/** `mqtide init`, and what an operator does after it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { run, runCommand, startProgram } from '../e2e/program.ts'
import { describePeer } from '../peers.ts'

let folder: string
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'mqtide-init-')), 'conf')
})
afterEach(() => rmSync(join(folder, '..'), { recursive: true }))

const at = (name: string): string => join(folder, name)
const init = (...more: string[]) => runCommand(['init', '--directory', folder, ...more])

describe('mqtide init', () => {
  test('writes a configuration that check-config accepts, with nobody in the file of users', async () => {
    const { exitCode, stdout } = await init()
    expect(exitCode).toBe(0)
    expect(stdout.toString()).toContain(`wrote ${at('mqtide.yaml')}\nwrote ${at('users')}\n`)
    expect(stdout.toString()).toContain(`mqtide passwd ${at('users')} alice`)
    expect(statSync(at('users')).mode & 0o777).toBe(0o600)
    expect(await runCommand(['check-config', at('mqtide.yaml')])).toMatchObject({ exitCode: 0, stderr: '' })
    const { config } = loadConfig({ file: at('mqtide.yaml') })
    expect(config.listeners?.map(({ host }) => host)).toEqual(['127.0.0.1', '127.0.0.1'])
    expect(config.allowAnonymous).toBe(false)
  })

  test('writes options behind comments that hold when the comment is taken away', async () => {
    await init()
    const text = readFileSync(at('mqtide.yaml'), 'utf8')
    const options = text.replace(/^( *)# (?=(- )?[{a-zA-Z]+: )(?!aclFile)/gm, '$1').replace(/^( *)# (?=- \{)/gm, '$1')
    expect(options).toMatch(/^allowedHosts: /m)
    expect(options).toMatch(/^ {2}- \{ name: tls/m)
    writeFileSync(at('mqtide.yaml'), options)
    for (const name of ['server.crt', 'server.key']) writeFileSync(at(name), '')
    expect(() => loadConfig({ file: at('mqtide.yaml') })).not.toThrow()
  })

  test('says so at once where no folder can be made', async () => {
    const refused = await runCommand(['init', '--directory', '/proc/nobody/conf'])
    expect([refused.exitCode, refused.stderr]).toEqual([
      1,
      expect.stringContaining("ENOENT: no such file or directory, mkdir '/proc/nobody'"),
    ])
    mkdirSync(folder)
    writeFileSync(at('file'), '')
    expect(await runCommand(['init', '--directory', at('file/conf')])).toMatchObject({ exitCode: 1 })
    expect(await runCommand(['init', '--directory', at('a/b/c')])).toMatchObject({ exitCode: 0 })
  })

  test('replaces no configuration without --force, and never users', async () => {
    await init()
    writeFileSync(at('mqtide.yaml'), 'mine')
    writeFileSync(at('users'), '# mine\n')
    expect(await init()).toMatchObject({
      exitCode: 1,
      stderr: `mqtide: ${at('mqtide.yaml')} exists; --force replaces it\n`,
    })
    expect(readFileSync(at('mqtide.yaml'), 'utf8')).toBe('mine')
    expect(await init('--force')).toMatchObject({ exitCode: 0 })
    expect(readFileSync(at('mqtide.yaml'), 'utf8')).toContain('listeners:')
    expect(readFileSync(at('users'), 'utf8')).toBe('# mine\n')
  })

  test('says in words what the system refuses', async () => {
    writeFileSync(folder, '')
    const { exitCode, stderr } = await init()
    expect(exitCode).toBe(1)
    expect(stderr).toMatch(/^mqtide: EEXIST.*\n$/)
  })
})

test('mqtide init --tls writes no configuration for a certificate without its key, nor touches it', async () => {
  mkdirSync(folder)
  writeFileSync(at('server.crt'), 'mine')
  expect(await init('--tls')).toMatchObject({
    exitCode: 1,
    stderr: `mqtide: ${at('server.crt')} is there without ${at('server.key')}\n`,
  })
  expect(existsSync(at('mqtide.yaml'))).toBe(false)
  expect(readFileSync(at('server.crt'), 'utf8')).toBe('mine')
})

describePeer('mqtide init --tls', ['openssl', 'mosquitto_pub'], ({ mosquitto_pub }) => {
  test('makes a certificate with which a user comes in, as the printed lines say', async () => {
    expect(await init('--tls')).toMatchObject({ exitCode: 0, stderr: '' })
    expect(statSync(at('server.key')).mode & 0o777).toBe(0o600)
    const before = readFileSync(at('server.key'), 'utf8')
    expect(await init('--tls', '--force')).toMatchObject({ exitCode: 0, stderr: '' })
    expect(readFileSync(at('server.key'), 'utf8')).toBe(before)
    expect(await runCommand(['passwd', '-b', at('users'), 'alice', 'wonder'])).toMatchObject({ exitCode: 0 })
    const text = readFileSync(at('mqtide.yaml'), 'utf8').replace(/port: \d+/g, 'port: 0')
    writeFileSync(at('mqtide.yaml'), `${text}\ninMemory: true\n`)
    const program = startProgram(['start', '--config', at('mqtide.yaml')])
    let output = ''
    program.process.stdout.on('data', (chunk) => (output += chunk))
    await program.untilStdout('ready')
    const port = /mqtts:\/\/0\.0\.0\.0:(\d+)/.exec(output)![1]!
    const words = ['-h', 'localhost', '-p', port, '--cafile', at('server.crt'), '-q', '1', '-V', '5', '-m', 'x']
    const as = (password: string, topic: string) =>
      run(mosquitto_pub, [...words, '-u', 'alice', '-P', password, '-t', topic])
    expect(await as('wonder', 'users/alice/x')).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await as('wonder', 'users/bob/x')).stderr).toMatch(/Not authorized/i)
    expect((await as('wrong', 'users/alice/x')).exitCode).not.toBe(0)
    program.process.kill('SIGTERM')
    expect((await program.ended).exitCode).toBe(0)
  })

  test('leaves the listeners commented out where openssl is missing', async () => {
    const path = process.env['PATH']
    process.env['PATH'] = '/nonexistent'
    try {
      expect((await init('--tls')).stderr).toMatch(/openssl is not there/)
    } finally {
      process.env['PATH'] = path
    }
    expect(existsSync(at('server.key'))).toBe(false)
    expect(await runCommand(['check-config', at('mqtide.yaml')])).toMatchObject({ exitCode: 0 })
  })
})
