/** Tokens for the HTTP API: in the data folder, through the command, and in a gateway that runs. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ApiTokens, tokensPath } from '../../src/auth/api-tokens.ts'
import { startGateway } from '../e2e/gateway.ts'
import { runCommand } from '../e2e/program.ts'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-tokens-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

const read = (name: string) => readFileSync(join(dataDir, name), 'utf8')
const start = () => startGateway({ inMemory: false, dataDir })

async function apiToken(...words: string[]) {
  const { exitCode, stdout, stderr } = await runCommand(['api-token', ...words, '--data-dir', dataDir])
  return { exitCode, stderr, text: stdout.toString().trim() }
}

async function statusOf(port: number, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/retained?filter=nothing`, { method: 'DELETE', headers })
  return response.status
}

describe('the first start in a data folder', () => {
  it('writes one token of role admin, for its owner alone; the next start leaves it as it is', async () => {
    const gateway = await start()
    const token = read('api-token').trim()
    for (const name of ['api-token', 'api-tokens.json']) expect(statSync(join(dataDir, name)).mode & 0o777).toBe(0o600)
    expect(read('api-tokens.json')).not.toContain(token)
    expect(await statusOf(gateway.addresses.http!.port, token)).toBe(200)
    await gateway.close()
    const again = await start()
    expect(read('api-token').trim()).toBe(token)
    expect(await statusOf(again.addresses.http!.port, token)).toBe(200)
  })

  it('makes no other first token after all were removed', async () => {
    await (await start()).close()
    expect((await apiToken('remove', 'first')).exitCode).toBe(0)
    rmSync(join(dataDir, 'api-token'))
    await (await start()).close()
    expect(readdirSync(dataDir)).not.toContain('api-token')
    expect((await apiToken('list')).text).toBe('name  role  namespace  createdAt')
  })

  it('is refused where the file is none of tokens', async () => {
    await (await start()).close()
    writeFileSync(tokensPath(dataDir), '{"tokens":[{"name":"x"}]}')
    await expect(start()).rejects.toThrow('api-tokens.json: not a file of API tokens')
  })
})

describe('mqtide api-token', () => {
  it('adds, lists and removes tokens of a gateway that runs', async () => {
    const { port } = (await start()).addresses.http!
    const { text: token } = await apiToken('add', 'panel', '--role', 'operator')
    expect(token).toMatch(/^mqtide_[\w-]{43}$/)
    expect(await statusOf(port, token)).toBe(200)
    expect((await apiToken('list')).text).toMatch(
      /^name +role +namespace +createdAt\nfirst +admin +- +\S+\npanel +operator +- +\S+$/,
    )
    expect(JSON.parse((await apiToken('list', '--json')).text)).toMatchObject([
      { name: 'first' },
      { name: 'panel', role: 'operator' },
    ])
    expect((await apiToken('remove', 'panel')).exitCode).toBe(0)
    expect(await statusOf(port, token)).toBe(401)
  })

  it('loses nothing where several are added and removed at once', async () => {
    await (await start()).close()
    await apiToken('add', 'leaked')
    const names = ['a', 'b', 'c', 'd', 'e']
    await Promise.all([apiToken('remove', 'leaked'), ...names.map((name) => apiToken('add', name))])
    const listed = JSON.parse((await apiToken('list', '--json')).text) as { name: string }[]
    expect(listed.map(({ name }) => name).sort()).toEqual([...names, 'first'])
    expect(readdirSync(dataDir)).not.toContain('api-tokens.json.lock')
  })

  it('takes a lock that a killed process left behind as none', async () => {
    await (await start()).close()
    const lock = `${tokensPath(dataDir)}.lock`
    writeFileSync(lock, '')
    utimesSync(lock, 0, 0)
    expect((await apiToken('add', 'panel')).exitCode).toBe(0)
  })

  it('says what is wrong', async () => {
    await (await start()).close()
    expect(await apiToken('add', 'first')).toMatchObject({
      exitCode: 2,
      stderr: 'mqtide: there is a token named first already\n',
    })
    expect(await apiToken('add', 'a\nb')).toMatchObject({ exitCode: 2 })
    expect(await apiToken('add', 'a', '--role', 'king')).toMatchObject({ exitCode: 2 })
    expect(await apiToken('remove', 'nobody')).toMatchObject({
      exitCode: 1,
      stderr: 'mqtide: there is no token named nobody\n',
    })
    rmSync(dataDir, { recursive: true })
    expect((await apiToken('list')).stderr).toContain('does not exist')
  })
})

describe('a file of tokens', () => {
  it('that is damaged while the gateway runs changes nothing, and is told once', async () => {
    await (await start()).close()
    const token = read('api-token').trim()
    const errors: string[] = []
    const tokens = new ApiTokens(tokensPath(dataDir), (error) => errors.push(error.message))
    writeFileSync(tokensPath(dataDir), '{')
    expect(tokens.find(token)).toEqual({ name: 'first', role: 'admin' })
    expect(tokens.find('mqtide_other')).toBeUndefined()
    expect(errors).toHaveLength(1)
    rmSync(tokensPath(dataDir))
    expect(tokens.find(token)).toBeUndefined()
  })
})
