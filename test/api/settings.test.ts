/** Settings through the API of a gateway that runs as a program: configuration, log level, backup; and why something is refused. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import { type RunningProgram, runCommand, startProgram } from '../e2e/program.ts'

let folder: string
let program: RunningProgram | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-settings-'))
})
afterEach(async () => {
  program?.process.kill('SIGTERM')
  await program?.ended
  program = undefined
  rmSync(folder, { recursive: true })
})

const file = (name: string) => join(folder, name)

const plain = `dataDir: data
listeners:
  - { name: plain, kind: tcp, port: 0 }
  - { name: web, kind: http, port: 0 }
`

/** Starts it and gives how to call it, with the first token. */
async function start(config: string) {
  writeFileSync(file('mqtide.yaml'), config)
  program = startProgram(['start', '--config', file('mqtide.yaml'), '--data-dir', file('data')])
  let output = ''
  program.process.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  await program.untilStdout('pid')
  const port = /http:\/\/[^:]+:(\d+)/.exec(output)![1]!
  const token = readFileSync(file('data/api-token'), 'utf8').trim()
  return async (method: string, path: string, body?: unknown, bearer = token) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${bearer}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
}

describe('POST /reload', () => {
  it('puts a changed configuration in force as SIGHUP does, and says what needs a restart', async () => {
    const call = await start(plain)
    expect(await call('POST', '/reload')).toEqual({ status: 200, body: { needRestart: [], warnings: [] } })
    writeFileSync(file('mqtide.yaml'), `${plain}  - { name: second, kind: tcp, port: 0 }\ndrainMs: 1\n`)
    expect(await call('POST', '/reload')).toEqual({ status: 200, body: { needRestart: ['drainMs'], warnings: [] } })
    expect((await call('GET', '/listeners')).body['items']).toMatchObject([
      { name: 'plain' },
      { name: 'web' },
      { name: 'second' },
    ])
  })

  it('says of a faulty one what is wrong, and where; nothing has changed then', async () => {
    const call = await start(plain)
    writeFileSync(file('mqtide.yaml'), `${plain}logLevel: loud\nlistenerz: []\n`)
    const { status, body } = await call('POST', '/reload')
    expect(status).toBe(409)
    expect(JSON.stringify(body['errors'])).toMatch(/logLevel.*listenerz|listenerz.*logLevel/)
    expect((await call('GET', '/listeners')).body['items']).toHaveLength(2)
  })

  it('that begins to ask clients who they are asks the API’s callers too, from then on', async () => {
    const call = await start(plain)
    writeFileSync(file('users'), `alice:${await newPasswordHash('sha512', new TextEncoder().encode('secret'))}\n`)
    const anonymous = () => call('GET', '/clients', undefined, '')
    writeFileSync(file('mqtide.yaml'), `${plain}authentication: { passwordFile: users }\n`)
    expect((await call('POST', '/reload')).status).toBe(200)
    expect((await anonymous()).status).toBe(401)
    expect((await call('GET', '/clients')).status).toBe(200)
  })
})

describe('the log level', () => {
  it('is set at once', async () => {
    const call = await start(plain)
    expect((await call('GET', '/log-level')).body).toEqual({ level: 'info' })
    expect(await call('PUT', '/log-level', { level: 'debug' })).toEqual({ status: 200, body: { level: 'debug' } })
    expect((await call('GET', '/log-level')).body).toEqual({ level: 'debug' })
    expect((await call('PUT', '/log-level', { level: 'loud' })).status).toBe(400)
    await program!.untilStderr('log level set through the API')
  })
})

describe('a backup', () => {
  it('is written below the data folder, whole, and can be restored', async () => {
    const call = await start(plain)
    await call('POST', '/publish', { topic: 'a', payload: 'kept', retain: true, qos: 1 })
    const { status, body } = await call('POST', '/backup', { name: 'night.db' })
    expect({ status, file: body['file'] }).toEqual({ status: 200, file: file('data/backups/night.db') })
    expect(statSync(file('data/backups/night.db'))).toMatchObject({ size: body['bytes'] })
    const again = await call('POST', '/backup', { name: 'night.db' })
    expect([again.status, again.body['detail']]).toEqual([
      409,
      expect.stringMatching(/night\.db exists: choose another name$/),
    ])
    const restored = await runCommand(['restore', file('data/backups/night.db'), '--data-dir', file('other')])
    expect(restored.exitCode).toBe(0)
  })

  it.each(['../x', '/etc/x', '', '.x', 'a/b', 'x\u0000'])('is not written to %j', async (name) => {
    const call = await start(plain)
    expect((await call('POST', '/backup', { name })).status).toBe(400)
    expect(existsSync(file('data/backups'))).toBe(false)
  })
})

describe('POST /explain', () => {
  it('says which rule in force decides', async () => {
    writeFileSync(file('users'), 'alice:x\n')
    writeFileSync(file('users'), `alice:${await newPasswordHash('sha512', new TextEncoder().encode('secret'))}\n`)
    writeFileSync(file('acl'), 'user alice\ntopic write plant/#\n')
    const call = await start(`${plain}authentication: { passwordFile: users }\nauthorization: { aclFile: acl }\n`)
    const explain = async (question: object) => (await call('POST', '/explain', question)).body
    expect(await explain({ user: 'alice', publish: 'plant/1' })).toMatchObject({ allowed: true })
    expect(await explain({ user: 'bob', publish: 'plant/1' })).toMatchObject({ allowed: false })
    writeFileSync(file('acl'), 'user alice\ntopic read plant/#\n')
    expect((await call('POST', '/reload')).status).toBe(200)
    expect(await explain({ user: 'alice', publish: 'plant/1' })).toMatchObject({ allowed: false })
    expect((await call('POST', '/explain', { user: 'alice' })).status).toBe(400)
  })

  it('knows what nobody may whatever the rules say: publish what is read only, be in a namespace that is not there', async () => {
    const exported = "namespaces: { plant: { exports: [{ filter: '#', to: default, prefix: plant/ }] } }\n"
    const call = await start(plain + exported)
    const explain = async (question: object) => (await call('POST', '/explain', question)).body
    expect(await explain({ publish: 'plant/1' })).toMatchObject({ allowed: false })
    expect(await explain({ publish: '$SYS/broker/x' })).toMatchObject({ allowed: false })
    expect(await explain({ publish: 'plant/1', namespace: 'plant' })).toMatchObject({ allowed: true })
    expect(await explain({ publish: 'a', namespace: 'nowhere' })).toMatchObject({ allowed: false })
  })

  it('knows queues: a subscription to one is judged as consuming it', async () => {
    const rules = "authorization: { rules: [{ allow: subscribe, topic: 'shop/#' }] }\n"
    const call = await start(`${plain}${rules}queues: { orders: { filter: shop/+/orders }, all: { filter: '#' } }\n`)
    const explain = async (subscribe: string) => (await call('POST', '/explain', { subscribe })).body
    expect(await explain('$queue/orders')).toMatchObject({ allowed: true })
    expect(await explain('$queue/all')).toMatchObject({ allowed: false })
    expect(await explain('$queue/other')).toMatchObject({ allowed: false, because: 'no queue is called other' })
    expect(await explain('$share/g/$queue/orders')).toMatchObject({ allowed: false })
  })

  it('takes one question at a time', async () => {
    const call = await start(plain)
    expect((await call('POST', '/explain', { user: 'alice' })).status).toBe(400)
    expect((await call('POST', '/explain', { publish: 'a', receive: 'a' })).status).toBe(400)
  })
})
