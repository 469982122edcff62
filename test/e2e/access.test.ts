/** Users and rules from a configuration file, met by mosquitto_pub and mosquitto_sub; and exchanged while clients are connected. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import { describePeer } from '../peers.ts'
import { connectClient, startGateway, tcp } from './gateway.ts'
import { type RunningProgram, run, runCommand, startProgram } from './program.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-access-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const file = (name: string) => join(folder, name)
const bytes = (text: string) => new TextEncoder().encode(text)

async function writeUsers(users: Record<string, string>, name = 'users'): Promise<void> {
  const lines = await Promise.all(
    Object.entries(users).map(
      async ([name, password]) => `${name}:${await newPasswordHash('sha512', bytes(password))}`,
    ),
  )
  writeFileSync(file(name), `${lines.join('\n')}\n`)
}

const acl = 'user alice\ntopic readwrite plant/#\ntopic deny plant/secret\nuser bob\ntopic read plant/1/#\n'
const config = `listeners:
  - { name: plain, kind: tcp, port: 0 }
inMemory: true
authentication: { passwordFile: users }
authorization: { aclFile: acl }
`

describePeer('a configuration with users and an ACL file', ['mosquitto_pub', 'mosquitto_sub'], (paths) => {
  let program: RunningProgram
  let port: string

  async function start(text = config): Promise<void> {
    await writeUsers({ alice: 'secret', bob: 'hunter2' })
    writeFileSync(file('acl'), acl)
    writeFileSync(file('mqtide.yaml'), text)
    program = startProgram(['start', '--config', file('mqtide.yaml')])
    let output = ''
    program.process.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    await program.untilStdout('pid')
    port = /mqtt:\/\/[^:]+:(\d+)/.exec(output)![1]!
  }
  afterEach(async () => {
    program.process.kill('SIGTERM')
    await program.ended
  })

  const publish = (user: string, password: string, topic: string) =>
    run(paths.mosquitto_pub, ['-p', port, '-V', '5', '-q', '1', '-u', user, '-P', password, '-t', topic, '-m', 'x'])

  async function reload(): Promise<void> {
    program.process.kill('SIGHUP')
  }

  it('lets clients in and keeps them out where the files say so', async () => {
    await start()
    expect((await publish('alice', 'secret', 'plant/1')).exitCode).toBe(0)
    expect((await publish('alice', 'wrong', 'plant/1')).stderr).toMatch(/bad user name or password/i)
    expect((await publish('carol', 'secret', 'plant/1')).stderr).toMatch(/bad user name or password/i)
    expect((await publish('alice', 'secret', 'plant/secret')).stderr).toMatch(/not authori[sz]ed/i)
    const nobody = await run(paths.mosquitto_pub, ['-p', port, '-t', 'plant/1', '-m', 'x'])
    expect(nobody.stderr).toMatch(/not authori[sz]ed/i)
  })

  it('exchanges users and rules at SIGHUP, and keeps the old ones where a file has a fault', async () => {
    await start()
    await writeUsers({ alice: 'changed', bob: 'hunter2' })
    writeFileSync(file('acl'), acl.replace('topic deny plant/secret\n', ''))
    await reload()
    await program.untilStderr('configuration reloaded')
    expect((await publish('alice', 'secret', 'plant/1')).exitCode).not.toBe(0)
    expect((await publish('alice', 'changed', 'plant/secret')).stderr).not.toMatch(/not authori/i)
    writeFileSync(file('acl'), 'user alice\ntopic reed plant/#\n')
    writeFileSync(file('users'), '')
    await reload()
    await program.untilStderr('acl:2: expected read, write, readwrite or deny')
    expect((await publish('alice', 'changed', 'plant/1')).exitCode).toBe(0)
    const { stderr } = await stopped(program)
    expect(stderr).not.toMatch(/secret|changed|hunter2|\$6\$/)
  })

  it('explains itself', async () => {
    await start()
    const explain = async (...words: string[]) => {
      const { exitCode, stdout } = await runCommand(['explain', '--config', file('mqtide.yaml'), ...words])
      return [exitCode, ...stdout.toString().trim().split('\n')]
    }
    expect(await explain('--user', 'alice', '--publish', 'plant/1/temperature')).toEqual([
      0,
      'allowed',
      `${file('acl')}:2: readwrite plant/#`,
    ])
    expect(await explain('--user', 'alice', '--publish', 'plant/secret')).toEqual([
      1,
      'denied',
      `${file('acl')}:3: deny plant/secret`,
    ])
    expect((await explain('--user', 'bob', '--client', 'c', '--publish', 'plant/1/x')).slice(0, 2)).toEqual([
      1,
      'denied',
    ])
    expect((await explain('--user', 'bob', '--receive', 'plant/1/x')).slice(0, 2)).toEqual([0, 'allowed'])
    expect((await explain('--publish', 'plant/1')).slice(0, 2)).toEqual([1, 'denied'])
  })
})

const ownConfig = `listeners:
  - { name: plain, kind: tcp, port: 0 }
  - name: lab
    kind: tcp
    port: 0
    authentication: { passwordFile: lab-users }
    authorization: { rules: [{ allow: publish, topic: lab/# }] }
inMemory: true
authentication: { passwordFile: users }
`

describePeer('a listener with users and rules of its own', ['mosquitto_pub'], (paths) => {
  it('lets in its own users only, changes them at SIGHUP, and is explained', async () => {
    await writeUsers({ alice: 'secret' }, 'users')
    await writeUsers({ bob: 'hunter2' }, 'lab-users')
    writeFileSync(file('mqtide.yaml'), ownConfig)
    const program = startProgram(['start', '--config', file('mqtide.yaml')])
    try {
      let ready = ''
      program.process.stdout.on('data', (chunk: Buffer) => {
        ready += chunk.toString()
      })
      await program.untilStdout('pid')
      const [plain, lab] = [...ready.matchAll(/mqtt:\/\/[^:]+:(\d+)/g)].map(([, port]) => port!)
      const publish = async (port: string, user: string, password: string, topic: string) => {
        const login = ['-p', port, '-V', '5', '-q', '1', '-u', user, '-P', password]
        return (await run(paths.mosquitto_pub, [...login, '-t', topic, '-m', 'x'])).stderr
      }
      expect(await publish(plain!, 'alice', 'secret', 'anything')).not.toMatch(/error|not auth/i)
      expect(await publish(plain!, 'bob', 'hunter2', 'lab/1')).toMatch(/bad user name/i)
      expect(await publish(lab!, 'alice', 'secret', 'lab/1')).toMatch(/bad user name/i)
      expect(await publish(lab!, 'bob', 'hunter2', 'lab/1')).not.toMatch(/error|not auth/i)
      expect(await publish(lab!, 'bob', 'hunter2', 'anything')).toMatch(/not authori[sz]ed/i)
      await writeUsers({ carol: 'third' }, 'lab-users')
      writeFileSync(file('mqtide.yaml'), ownConfig.replace('lab/#', 'anything'))
      program.process.kill('SIGHUP')
      await program.untilStderr('configuration reloaded')
      expect(await publish(lab!, 'bob', 'hunter2', 'lab/1')).toMatch(/bad user name/i)
      expect(await publish(lab!, 'carol', 'third', 'anything')).not.toMatch(/error|not auth/i)
      expect(await publish(plain!, 'alice', 'secret', 'lab/1')).not.toMatch(/error|not auth/i)
    } finally {
      await stopped(program)
    }
    const explain = async (...words: string[]) => {
      const asked = ['--user', 'carol', '--publish', 'anything', ...words]
      return (await runCommand(['explain', '--config', file('mqtide.yaml'), ...asked])).stdout.toString()
    }
    expect(await explain('--listener', 'lab')).toBe(
      'allowed\nlisteners.lab.authorization.rules[0]: allow publish on anything\n',
    )
    expect(await explain('--listener', 'plain')).toBe('allowed\nno authorization is configured\n')
    const unknown = await runCommand([
      'explain',
      '--config',
      file('mqtide.yaml'),
      '--publish',
      'x',
      '--listener',
      'lap',
    ])
    expect(unknown.stderr).toMatch('no listener is called lap; there are plain, lab')
    const checked = await runCommand(['check-config', file('mqtide.yaml')])
    expect(checked.stdout.toString()).toMatch('listener lab: authentication by passwordFile; rules of its own')
  })
})

async function stopped(program: RunningProgram) {
  program.process.kill('SIGTERM')
  return program.ended
}

describe('a faulty file', () => {
  it('of users or rules stops the start with its line, and check-config finds it too', async () => {
    writeFileSync(file('users'), 'alice:plain\n')
    writeFileSync(file('mqtide.yaml'), config)
    const checked = await runCommand(['check-config', file('mqtide.yaml')])
    expect(checked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`${file('users')}:1: `) })
    const started = await runCommand(['start', '--config', file('mqtide.yaml')])
    expect(started).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`${file('users')}:1: `) })
  })

  it.each([
    [
      'authentication: { passwordFil: users }',
      /mqtide\.yaml:1:\d+: authentication\.passwordFil: unknown option; did you mean passwordFile/,
    ],
    ['authentication: {}', /authentication: expected passwordFile, jwt, http, certificate or a chain/],
    [
      'authentication: [{ passwordFile: a, http: { url: "http://x/" } }]',
      /expected one of passwordFile, jwt, http and certificate/,
    ],
    ['authentication: { jwt: { secret: x, jwksUrl: "http://x/" } }', /authentication\.jwt: expected one of secret/],
    ['authentication: { http: { url: "ftp://x/" } }', /authentication\.http\.url: expected an address/],
    ['authorization: { aclFile: a, rules: [] }', /either aclFile or rules/],
    [
      'authorization:\n  rules:\n    - { allow: publish, topic: a }\n    - { allow: publish, topic: a/#/b }',
      /mqtide\.yaml:4:\d+: authorization\.rules\.1: not a topic filter/,
    ],
    [
      'authorization:\n  rules:\n    - { alow: publish, topic: a }',
      /mqtide\.yaml:3:\d+: authorization\.rules\.0\.alow: unknown option; did you mean allow/,
    ],
  ])('of configuration is told with its place (%#)', async (text, message) => {
    writeFileSync(file('mqtide.yaml'), text)
    const checked = await runCommand(['check-config', file('mqtide.yaml')])
    expect(checked).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(message) })
  })

  it('secrets are not shown with the configuration', async () => {
    const text = `authentication:\n  - jwt: { secret: ${'s'.repeat(32)} }\n  - http: { url: "http://x/", headers: { authorization: hushhush } }\n`
    writeFileSync(file('mqtide.yaml'), text)
    const { stdout, exitCode } = await runCommand(['check-config', '--print', file('mqtide.yaml')])
    expect(exitCode).toBe(0)
    expect(stdout.toString()).not.toMatch(/sssss|hushhush/)
  })
})

describe('changed rules', () => {
  const rules = (...topics: string[]) => ({ rules: [{ allow: 'all', topic: topics }] })

  it('hold for live connections, subscriptions and queued messages at once; who is gone is disconnected', async () => {
    await writeUsers({ alice: 'secret', bob: 'hunter2' })
    const options = { authentication: { passwordFile: file('users') }, authorization: rules('a/#', 'b/#') }
    const gateway = await startGateway(options)
    const login = { username: 'alice', password: 'secret', protocolVersion: 5 as const }
    const alice = await connectClient(
      gateway,
      { ...login, clientId: 'alice', clean: false, properties: { sessionExpiryInterval: 100 } },
      tcp,
    )
    const bob = await connectClient(gateway, { ...login, username: 'bob', password: 'hunter2' }, tcp)
    await alice.mqtt.subscribeAsync(['a/#', 'b/#'], { qos: 1 })
    await alice.mqtt.endAsync()
    await bob.mqtt.publishAsync('a/1', 'queued', { qos: 1 })
    await bob.mqtt.publishAsync('b/1', 'queued too', { qos: 1 })
    gateway.reloadAccess({ ...gateway.config, authorization: { ...gateway.config.authorization!, ...rules('b/#') } })
    await expect(bob.mqtt.publishAsync('a/1', 'late', { qos: 1 })).rejects.toThrow(/[Nn]ot authorized/)
    const again = await connectClient(
      gateway,
      { ...login, clientId: 'alice', clean: false, properties: { sessionExpiryInterval: 100 } },
      tcp,
    )
    await again.until(1)
    await bob.mqtt.publishAsync('b/2', 'live', { qos: 1 })
    await again.until(2)
    expect(again.texts()).toEqual(['queued too', 'live'])
    await writeUsers({ alice: 'secret' })
    const closed = new Promise((resolve) => bob.mqtt.once('close', () => resolve(undefined)))
    gateway.reloadAccess(gateway.config)
    await closed
    expect(again.mqtt.connected).toBe(true)
    expect(gateway.metrics()).toMatchObject({ 'mqtt_auth_total{result="yes"}': 3 })
  })
})
