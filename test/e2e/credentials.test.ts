/** Every kind of credential over a real connection, and that none of them is to be seen anywhere afterwards. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { connect, type IClientOptions } from 'mqtt'
import type { IAuthPacket } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { connectClient, startGateway } from './gateway.ts'
import { runCommand, startProgram } from './program.ts'

const secret = 'a-shared-secret-of-thirty-two-bytes!'
const bytes = (text: string) => new TextEncoder().encode(text)
let folder: string
let users: string
let hook: Server
let hookUrl: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-credentials-'))
  users = join(folder, 'users')
  const lines = [
    `alice:${await newPasswordHash('sha512', bytes('alices-password'))}`,
    `sam:${await newPasswordHash('scram-sha-256', bytes('sams-password'))}`,
  ]
  writeFileSync(users, `${lines.join('\n')}\n`)
  hook = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { username, password } = JSON.parse(body) as Record<string, string>
    response.end(JSON.stringify({ result: username === 'hugo' && password === 'hugos-password' ? 'allow' : 'deny' }))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => hook.once('listening', resolve))
  hookUrl = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`
})
afterAll(() => {
  hook.close()
  rmSync(folder, { recursive: true })
})

const token = (claims: object, expiresInSeconds: number) =>
  new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('tina')
    .setExpirationTime(Math.floor(Date.now() / 1000) + expiresInSeconds)
    .sign(bytes(secret))

const chain = (): GatewayOptions => ({
  authentication: {
    jwt: { secret, clockSkewSeconds: 0 },
    passwordFile: users,
    passOnUnknownUsers: true,
    http: { url: hookUrl },
  },
  authorization: { rules: [{ allow: 'all', topic: 'own/%u/#' }] },
})

/** The reason code of a refusal; 0: let in. */
async function login(gateway: Gateway, options: IClientOptions): Promise<number> {
  return connectClient(gateway, { protocolVersion: 5, ...options }).then(
    () => 0,
    (error: { code?: number }) => error.code ?? -1,
  )
}

describe('a chain of a token, a password file and a hook', () => {
  it('lets each kind in and keeps the wrong ones out', async () => {
    const gateway = await startGateway(chain())
    expect(await login(gateway, { username: 'alice', password: 'alices-password' })).toBe(0)
    expect(await login(gateway, { username: 'sam', password: 'sams-password' })).toBe(0)
    expect(await login(gateway, { username: 'x', password: await token({}, 60) })).toBe(0)
    expect(await login(gateway, { username: 'hugo', password: 'hugos-password' })).toBe(0)
    expect(await login(gateway, { username: 'alice', password: 'hugos-password' })).toBe(0x86)
    expect(await login(gateway, { username: 'hugo', password: 'alices-password' })).toBe(0x86)
    expect(await login(gateway, { username: 'x', password: await token({}, -60) })).toBe(0x87)
    expect(await login(gateway, {})).toBe(0x87)
    expect(gateway.metrics()).toMatchObject({
      'mqtt_auth_total{result="yes"}': 4,
      'mqtt_auth_total{result="wrong_password"}': 1,
      'mqtt_auth_total{result="hook_refused"}': 1,
      'mqtt_auth_total{result="token_expired"}': 1,
      'mqtt_auth_total{result="no_credential"}': 1,
    })
  })

  it('gives a client the rights of the rules in its token, and ends its connection when the token ends', async () => {
    const gateway = await startGateway(chain())
    const password = await token({ acl: { pub: ['extra/#'] } }, 4)
    const client = await connectClient(gateway, { protocolVersion: 5, username: 'x', password })
    const ended = new Promise((resolve) => client.mqtt.once('disconnect', (packet) => resolve(packet.reasonCode)))
    await client.mqtt.publishAsync('extra/1', '', { qos: 1 })
    await client.mqtt.publishAsync('own/tina/1', '', { qos: 1 })
    await expect(client.mqtt.publishAsync('other', '', { qos: 1 })).rejects.toThrow(/[Nn]ot authorized/)
    expect(await ended).toBe(0xa0)
  })

  it('binds client ids to user names where that is configured', async () => {
    const gateway = await startGateway({ ...chain(), authorization: { clientId: '%u-*' } })
    const alice = { username: 'alice', password: 'alices-password' }
    expect(await login(gateway, { ...alice, clientId: 'alice-1' })).toBe(0)
    expect(await login(gateway, { ...alice, clientId: 'sam-1' })).toBe(0x85)
  })

  it('lets anonymous clients in by the rules where that is allowed, and never a client with wrong credentials', async () => {
    const gateway = await startGateway({
      ...chain(),
      allowAnonymous: true,
      authorization: { rules: [{ allow: 'publish', topic: 'public/#' }] },
    })
    const nobody = await connectClient(gateway, { protocolVersion: 5 })
    await nobody.mqtt.publishAsync('public/1', '', { qos: 1 })
    await expect(nobody.mqtt.publishAsync('own/1', '', { qos: 1 })).rejects.toThrow(/[Nn]ot authorized/)
    expect(await login(gateway, { username: 'alice', password: 'wrong' })).toBe(0x86)
    expect(await login(gateway, { username: 'alice' })).toBe(0x86)
  })
})

describe('SCRAM-SHA-256', () => {
  const header = 'n,,'
  const nonce = 'rOprNGfwEbeRWgbNEkqO'

  /** The client's final message, and what a server that knows the user answers. */
  function final(name: string, password: string, challenge: string): { message: string; answer: string } {
    const [r, s, i] = challenge.split(',').map((part) => part.slice(2)) as [string, string, string]
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest()
    const salted = pbkdf2Sync(password, Buffer.from(s, 'base64'), Number(i), 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const open = `c=${Buffer.from(header).toString('base64')},r=${r}`
    const all = `n=${name},r=${nonce},${challenge},${open}`
    const mask = hmac(createHash('sha256').update(clientKey).digest(), all)
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ mask[index]!)).toString('base64')
    return { message: `${open},p=${proof}`, answer: `v=${hmac(hmac(salted, 'Server Key'), all).toString('base64')}` }
  }

  async function exchange(gateway: Gateway, name: string, password: string) {
    let expected = ''
    const client = connect(`mqtt://127.0.0.1:${gateway.addresses.mqtt!.port}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      clientId: `scram-${name}`,
      properties: {
        authenticationMethod: 'SCRAM-SHA-256',
        authenticationData: Buffer.from(`${header}n=${name},r=${nonce}`),
      },
    })
    client.handleAuth = (packet: IAuthPacket, done) => {
      const { message, answer } = final(name, password, packet.properties!.authenticationData!.toString())
      expected = answer
      const properties = { authenticationMethod: 'SCRAM-SHA-256', authenticationData: Buffer.from(message) }
      done(undefined, { cmd: 'auth', reasonCode: 0x18, properties } as IAuthPacket)
    }
    const result = await new Promise<{ code: number; data: string }>((resolve) => {
      client.once('connect', ({ properties }) =>
        resolve({ code: 0, data: String(properties?.authenticationData ?? '') }),
      )
      client.once('error', (error: Error & { code?: number }) => resolve({ code: error.code ?? -1, data: '' }))
      client.once('close', () => resolve({ code: -2, data: '' }))
    })
    await client.endAsync(true)
    return { ...result, expected }
  }

  it('lets a user with a verifier in, and the server proves itself', async () => {
    const gateway = await startGateway(chain())
    const { code, data, expected } = await exchange(gateway, 'sam', 'sams-password')
    expect(code).toBe(0)
    expect(data).toBe(expected)
  })

  it('refuses a wrong password, an unknown user and one without a verifier alike', async () => {
    const gateway = await startGateway(chain())
    for (const [name, password] of [
      ['sam', 'wrong'],
      ['mallory', 'sams-password'],
      ['alice', 'alices-password'],
    ] as const) {
      expect((await exchange(gateway, name, password)).code).toBe(0x87)
    }
  })
})

/** Credentials in places of HTTP where some clients put them. */
async function bringInAddresses(httpPort: string): Promise<void> {
  for (const url of ['/mqtt?password=in-the-address', '/nowhere?password=in-the-address']) {
    const headers = { authorization: 'Basic aW4tdGhlLWhlYWRlcg==' }
    const socket = new WebSocket(`ws://127.0.0.1:${httpPort}${url}`, 'mqtt', { headers })
    socket.on('error', () => {})
    socket.on('open', () => socket.terminate())
    await new Promise((resolve) => socket.once('close', resolve))
  }
}

it('no credential is written to the log, the metrics or an error text, whatever clients bring', async () => {
  const config = join(folder, 'mqtide.yaml')
  const listeners = '[{ kind: tcp, port: 0 }, { kind: http, port: 0 }]'
  const hookOptions = `{ url: "${hookUrl}", headers: { x-key: hooks-key }, headersFile: headers }`
  writeFileSync(join(folder, 'headers'), 'authorization: Bearer filed-key\n')
  const write = (faulty = '', secretText = secret) => {
    const authentication = `{ jwt: { secret: ${secretText} }, passwordFile: users, http: ${hookOptions} }`
    writeFileSync(
      config,
      `inMemory: true\nlogLevel: trace\nlisteners: ${listeners}\nauthentication: ${authentication}\n${faulty}`,
    )
  }
  write()
  const program = startProgram(['start', '--config', config])
  let output = ''
  program.process.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  await program.untilStdout('pid')
  const [, mqttPort] = /mqtt:\/\/[^:]+:(\d+)/.exec(output)!
  const [, httpPort] = /http:\/\/[^:]+:(\d+)/.exec(output)!
  const good = await token({}, 60)
  const attempts: [string, string][] = [
    ['alice', 'alices-password'],
    ['alice', 'wrong-password'],
    ['hugo', 'hugos-password'],
    ['tina', good],
    ['tina', `${good.slice(0, -4)}AAAA`],
    ['eve', 'x'.repeat(60_000)],
    [good, 'token-as-user-name'],
  ]
  for (const [username, password] of attempts) {
    const client = connect(`mqtt://127.0.0.1:${mqttPort}`, { username, password, reconnectPeriod: 0 })
    client.on('error', () => {})
    await new Promise<void>((resolve) => {
      client.once('connect', () => resolve())
      client.once('close', () => resolve())
    })
    await client.endAsync(true)
  }
  await bringInAddresses(httpPort!)
  const printed = await runCommand(['check-config', '--print', config])
  for (const [faulty, secretText] of [
    ['mqttPort: 1\n', secret],
    ['', '{ nested: nested-key }'],
    ['', '1234567890123456789'],
  ] as const) {
    write(faulty, secretText)
    program.process.kill('SIGHUP')
    await program.untilStderr('not reloaded')
  }
  writeFileSync(join(folder, 'headers'), 'x-key filed-key\n')
  write()
  const refused = await runCommand(['check-config', config])
  expect(refused.stderr).toContain('headers:1: expected a header')
  const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text()
  program.process.kill('SIGTERM')
  const { stderr } = await program.ended
  const texts = [output, stderr, metrics, printed.stdout.toString(), printed.stderr, refused.stderr]
  for (const text of texts) {
    expect(text).not.toMatch(/alices-password|wrong-password|hugos-password|token-as-user-name|hooks-key|xxxxx/)
    expect(text).not.toMatch(/filed-key|in-the-address|aW4tdGhlLWhlYWRlcg|nested-key|1234567890123456/)
    expect(text).not.toContain(secret)
    expect(text).not.toContain(good.split('.')[2]!.slice(0, 20))
    expect(text).not.toContain('$6$')
  }
  expect(stderr).toContain('login refused')
})
