/** `mqtide passwd`: what it makes of a file, and that other programs read it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parsePasswordFile } from '../../src/auth/password-file.ts'
import { fits } from '../../src/auth/password-hash.ts'
import { startMosquitto } from '../e2e/mosquitto.ts'
import { run, runCommand } from '../e2e/program.ts'
import { describePeer } from '../peers.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-passwd-'))
  file = join(folder, 'users')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function passwd(words: readonly string[], input = '') {
  const { exitCode, stderr } = await runCommand(['passwd', ...words], input)
  return { exitCode, stderr }
}

async function knows(user: string, password: string): Promise<boolean> {
  const entry = parsePasswordFile(readFileSync(file, 'utf8'), file).get(user)
  return entry !== undefined && fits(entry.hash, new TextEncoder().encode(password))
}

describe('mqtide passwd', () => {
  it('makes a file that its owner alone may read, adds, changes and deletes users', async () => {
    expect(await passwd(['-c', '-b', file, 'alice', 'one'])).toEqual({ exitCode: 0, stderr: '' })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(await passwd(['-b', file, 'bob', 'two'])).toMatchObject({ exitCode: 0 })
    expect(await passwd(['-b', file, 'alice', 'three'])).toMatchObject({ exitCode: 0 })
    expect([await knows('alice', 'one'), await knows('alice', 'three'), await knows('bob', 'two')]).toEqual([
      false,
      true,
      true,
    ])
    expect(readFileSync(file, 'utf8')).toMatch(/^alice:\$scrypt\$ln=14,r=8,p=1\$\S+\nbob:\$scrypt\$\S+\n$/)
    expect(await passwd(['-D', file, 'alice'])).toMatchObject({ exitCode: 0 })
    expect([...parsePasswordFile(readFileSync(file, 'utf8'), file).keys()]).toEqual(['bob'])
    expect(readdirSync(folder)).toEqual(['users'])
  })

  it('loses nothing where several are added at once', async () => {
    await passwd(['-c', '-b', file, 'gone', 'x'])
    const names = ['a', 'b', 'c', 'd']
    const adding = names.map((name) => passwd(['-b', file, name, 'pw']))
    await Promise.all([passwd(['-D', file, 'gone']), ...adding])
    expect([...parsePasswordFile(readFileSync(file, 'utf8'), file).keys()].sort()).toEqual(names)
  })

  it('keeps comments and the lines of others as they stand, and follows a link', async () => {
    const other =
      'carol:$6$Xqt+vBLWy7b+Ga4I$5VYe2+IzTyRYJF+0rMbIthx1Kb1O287vAwnAsLG/GrHxN12eEmamrPYFX1IPe5d8uvbUbprzy8TPFT8BmTx6aQ=='
    writeFileSync(file, `# people\n\n${other}\n`)
    const link = join(folder, 'link')
    symlinkSync(file, link)
    expect(await passwd(['-b', link, 'alice', 'one'])).toMatchObject({ exitCode: 0 })
    expect(readFileSync(file, 'utf8').startsWith(`# people\n\n${other}\nalice:`)).toBe(true)
    expect(await knows('carol', 'hunter2')).toBe(true)
  })

  it('asks twice, where no password is given', async () => {
    expect(await passwd(['-c', file, 'alice'], 'one\none\n')).toMatchObject({
      exitCode: 0,
      stderr: 'Password: Reenter password: ',
    })
    expect(await knows('alice', 'one')).toBe(true)
    expect(await passwd([file, 'alice'], 'two\ntoo\n')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('do not match'),
    })
    expect(await passwd([file, 'alice'], '')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no password'),
    })
    expect(await passwd([file, 'alice'], '\n\n')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('empty'),
    })
    expect(await knows('alice', 'one')).toBe(true)
  })

  it('stores SCRAM verifiers', async () => {
    await passwd(['-c', '-b', '--scram', file, 'alice', 'one'])
    expect(readFileSync(file, 'utf8')).toMatch(/^alice:SCRAM-SHA-256\$4096:/)
    expect(await knows('alice', 'one')).toBe(true)
  })

  it('hashes the plain passwords of a file, and what is hashed stays', async () => {
    await passwd(['-c', '-b', file, 'bob', 'two'])
    const hashed = readFileSync(file, 'utf8')
    writeFileSync(file, `alice:one\n${hashed}`)
    expect(await passwd(['-U', file])).toEqual({ exitCode: 0, stderr: '' })
    expect([await knows('alice', 'one'), await knows('bob', 'two')]).toEqual([true, true])
    expect(readFileSync(file, 'utf8').endsWith(hashed)).toBe(true)
  })

  it.each([
    ['a file that is not there', ['-b', 'FILE', 'alice', 'x'], 1, /-c makes a new one/],
    ['a name with a colon', ['-c', '-b', 'FILE', 'a:b', 'x'], 2, /colon/],
    ['an empty password', ['-c', '-b', 'FILE', 'alice', ''], 1, /empty/],
    ['a password without -b', ['-c', 'FILE', 'alice', 'x'], 2, /-b/],
    ['-b without a password', ['-c', '-b', 'FILE', 'alice'], 2, /-b needs/],
    ['no user', ['-c', 'FILE'], 2, /user name/],
    ['-c with -D', ['-c', '-D', 'FILE', 'alice'], 2, /exclude/],
  ])('refuses %s', async (_what, words, exitCode, message) => {
    const ended = await passwd(words.map((word) => (word === 'FILE' ? file : word)))
    expect(ended).toMatchObject({ exitCode, stderr: expect.stringMatching(message) })
  })

  it('leaves a file alone that has faults, and names them', async () => {
    writeFileSync(file, 'alice:plain\n')
    expect(await passwd(['-b', file, 'bob', 'x'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining(`${file}:1: `),
    })
    expect(readFileSync(file, 'utf8')).toBe('alice:plain\n')
    writeFileSync(file, '')
    expect(await passwd(['-D', file, 'bob'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no user bob'),
    })
  })
})

describePeer('Mosquitto', ['mosquitto', 'mosquitto_pub'], ({ mosquitto, mosquitto_pub: pub }) => {
  it('reads files of mqtide passwd -H sha512-pbkdf2', async () => {
    await passwd(['-c', '-b', '-H', 'sha512-pbkdf2', file, 'alice', 'one'])
    // Debian's Mosquitto gives its rights up before it reads the file.
    const broker = await startMosquitto(mosquitto, ['user root', `password_file ${file}`])
    const publish = (password: string) =>
      run(pub, ['-p', String(broker.port), '-u', 'alice', '-P', password, '-t', 'a', '-m', 'x'])
    expect((await publish('one')).exitCode).toBe(0)
    expect((await publish('two')).exitCode).not.toBe(0)
    await broker.stop()
  })
})
