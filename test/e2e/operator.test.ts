/**
 * The walk of a new operator by docs/security.md: init, users, TLS, rules, a tenant; who comes in and who does not, and why; then rules and
 * certificates are changed under traffic of which nothing is lost.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { type RunningProgram, run, runCommand, startProgram } from './program.ts'

const passwords = { alice: 'wonder', bob: 'builder', carol: 'christmas' } as const
type User = keyof typeof passwords

const rules = `authorization:
  groups: { operators: [alice] }
  rules:
    - { deny: all, topic: 'plant/secret/#', user: bob }
    - { allow: all, topic: 'plant/#', group: operators }
    - { allow: subscribe, topic: 'plant/+/temperature' }
    - { allow: all, topic: 'users/%u/#' }
`
const programs = ['openssl', 'mosquitto_pub', 'mosquitto_sub'] as const

describePeer('a new operator', programs, ({ openssl, mosquitto_pub, mosquitto_sub }) => {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-operator-'))
  const at = (name: string): string => join(folder, name)
  let program: RunningProgram
  let log = ''
  let port = ''
  const clients: MqttClient[] = []

  beforeAll(async () => {
    expect(await runCommand(['init', '--directory', folder, '--tls'])).toMatchObject({ exitCode: 0 })
    for (const [user, password] of Object.entries(passwords)) {
      expect(await runCommand(['passwd', '-b', at('users'), user, password])).toMatchObject({ exitCode: 0 })
    }
    const written = readFileSync(at('mqtide.yaml'), 'utf8').replace(/port: \d+/g, 'port: 0')
    const tenant = 'namespaces: { lab: { users: [carol] } }\ninMemory: true\n'
    writeFileSync(at('mqtide.yaml'), written.replace(/^authorization:\n(?:(?: .*)?\n)*/m, rules) + tenant)
    expect(await runCommand(['check-config', at('mqtide.yaml')])).toMatchObject({ exitCode: 0, stderr: '' })
    program = startProgram(['start', '--config', at('mqtide.yaml')])
    let output = ''
    program.process.stdout.on('data', (chunk) => (output += chunk))
    program.process.stderr.on('data', (chunk) => (log += chunk))
    await program.untilStdout('ready')
    port = /mqtts:\/\/0\.0\.0\.0:(\d+)/.exec(output)![1]!
  })
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.endAsync(true)
  })
  afterAll(async () => {
    program.process.kill('SIGTERM')
    expect((await program.ended).exitCode).toBe(0)
    rmSync(folder, { recursive: true })
  })

  const words = (user: User, ca = at('server.crt')) => {
    const where = ['-h', 'localhost', '-p', port, '--cafile', ca, '-V', '5', '-q', '1']
    return [...where, '-u', user, '-P', passwords[user]]
  }
  const publish = (user: User, topic: string, ca?: string) =>
    run(mosquitto_pub, [...words(user, ca), '-t', topic, '-m', 'x'])

  async function join5(username: User): Promise<{ client: MqttClient; texts: string[]; closed: () => boolean }> {
    const options = { username, password: passwords[username], protocolVersion: 5, reconnectPeriod: 0 } as const
    const client = await connectAsync(`mqtts://localhost:${port}`, { ca: readFileSync(at('server.crt')), ...options })
    clients.push(client)
    const texts: string[] = []
    let isClosed = false
    client.on('message', (_topic, payload) => texts.push(payload.toString()))
    client.on('close', () => (isClosed = true))
    return { client, texts, closed: () => isClosed }
  }

  const lines = (text: string) => log.split(text).length - 1
  async function reload(text = 'configuration reloaded', times = 1): Promise<void> {
    const before = lines(text)
    program.process.kill('SIGHUP')
    await eventually(() => lines(text)).toBe(before + times)
  }

  test('sees users let in over TLS and kept out where the rules say so, and is told why', async () => {
    const subscribed = run(mosquitto_sub, [...words('alice'), '-t', 'plant/#', '-C', '1', '-W', '20', '-v'])
    await eventually(() => lines('client connected')).toBe(1)
    const publishing = (async () => {
      let over = false
      const done = subscribed.then(() => (over = true))
      // Until the subscription is there.
      while (!over) expect(await publish('alice', 'plant/1/temperature')).toMatchObject({ exitCode: 0, stderr: '' })
      await done
    })()
    expect(await subscribed).toMatchObject({ exitCode: 0, stdout: Buffer.from('plant/1/temperature x\n') })
    await publishing
    const kept = await run(mosquitto_sub, [...words('bob'), '-t', 'plant/secret/#', '-W', '20'])
    expect(kept.stderr).toMatch(/denied/)
    expect((await publish('bob', 'plant/1/temperature')).stderr).toMatch(/Not authori[sz]ed/i)
    const explain = (...more: string[]) => runCommand(['explain', '--config', at('mqtide.yaml'), ...more])
    const denied = await explain('--user', 'bob', '--subscribe', 'plant/secret/#')
    expect([denied.exitCode, denied.stdout.toString()]).toEqual([1, expect.stringMatching(/^denied\n.*rules\[0\]/)])
    const allowed = await explain('--user', 'bob', '--subscribe', 'plant/1/temperature')
    expect([allowed.exitCode, allowed.stdout.toString()]).toEqual([0, expect.stringMatching(/^allowed\n.*rules\[2\]/)])
  })

  test('changes a rule and the certificate under traffic: nothing is lost, nobody is dropped, and the tenant sees none of it', async () => {
    const [publisher, watcher, bob, carol] = await Promise.all(
      (['alice', 'alice', 'bob', 'carol'] as const).map((user) => join5(user)),
    )
    for (const { client } of [watcher!, bob!, carol!]) {
      await client.subscribeAsync(['plant/+/temperature', `users/${client.options.username}/#`], { qos: 1 })
    }
    let sent = 0
    let goesOn = true
    const traffic = (async () => {
      while (goesOn) await publisher!.client.publishAsync('plant/1/temperature', String(sent++), { qos: 1 })
    })()
    await eventually(() => bob!.texts.length).toBeGreaterThan(3)

    const before = readFileSync(at('mqtide.yaml'), 'utf8')
    writeFileSync(at('mqtide.yaml'), before.replace("topic: 'plant/secret/#'", "topic: 'plant/#'"))
    await reload()
    const late = sent + 1
    await eventually(() => sent).toBeGreaterThan(late + 3)
    await bob!.client.publishAsync('users/bob/mark', 'mark', { qos: 1 })
    await eventually(() => bob!.texts).toContain('mark')
    expect(bob!.texts.map(Number).filter((number) => number > late)).toEqual([])

    using authority = new TestAuthority(openssl)
    const renewed = authority.issue({ commonName: 'localhost', names: ['DNS:localhost'] })
    copyFileSync(at('server.crt'), at('former.crt'))
    copyFileSync(renewed.cert, at('server.crt'))
    copyFileSync(renewed.key, at('server.key'))
    await reload('changed certificates are in force', 2)
    expect(await publish('alice', 'users/alice/x', authority.ca)).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await publish('alice', 'users/alice/x', at('former.crt'))).exitCode).not.toBe(0)

    goesOn = false
    await traffic
    const all = Array.from({ length: sent }, (_, index) => String(index))
    await eventually(() => watcher!.texts.filter((text) => text !== 'x').length).toBe(sent)
    expect(watcher!.texts.filter((text) => text !== 'x')).toEqual(all)
    expect(carol!.texts).toEqual([])
    expect([publisher, watcher, bob, carol].map((one) => one!.closed())).toEqual([false, false, false, false])
  })
})
