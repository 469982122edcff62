/** Namespaces by listener, by user and by token, met by mosquitto_pub, mosquitto_sub and MQTT.js; on SQLite over a restart. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import { parseGatewayOptions } from '../../src/config/schema.ts'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { describePeer } from '../peers.ts'
import { connectClient, startGateway } from './gateway.ts'
import { run, runCommand } from './program.ts'

const portOf = (gateway: Gateway, name: string) => gateway.listeners.find((one) => one.name === name)!.port
const at = (gateway: Gateway, name: string) => ({ name, url: () => `mqtt://127.0.0.1:${portOf(gateway, name)}` })

const twoListeners = {
  listeners: [
    { name: 'office', kind: 'tcp', port: 0 },
    { name: 'plant', kind: 'tcp', port: 0, namespace: 'plant' },
  ],
  namespaces: { plant: {} },
} satisfies GatewayOptions

/** Without the shorthands, which named listeners replace. */
async function started(options: GatewayOptions): Promise<Gateway> {
  const gateway = await createGateway({ logLevel: 'silent', ...options })
  await gateway.listen()
  return gateway
}

const text = ({ stdout }: { stdout: Buffer }) => stdout.toString()

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-namespaces-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describePeer('two listeners of two namespaces', ['mosquitto_pub', 'mosquitto_sub'], (paths) => {
  it('share no message and no retained message, also after a restart on SQLite', async () => {
    const options = { ...twoListeners, dataDir: folder }
    let gateway = await started(options)
    const words = (listener: string, topic = 'line/1') => [
      '-p',
      String(portOf(gateway, listener)),
      '-t',
      topic,
      '-q',
      '1',
    ]
    const publish = (listener: string, text: string) =>
      run(paths.mosquitto_pub, [...words(listener), '-i', 'meter', '-m', text, '-r'])
    const retained = (listener: string) =>
      run(paths.mosquitto_sub, [...words(listener), '-i', 'panel', '-W', '1', '-C', '1']).then(text)
    expect(await publish('plant', 'of the plant')).toMatchObject({ exitCode: 0 })
    expect(await retained('office')).toBe('')
    expect(await publish('office', 'of the office')).toMatchObject({ exitCode: 0 })
    const away = (listener: string, action: string[]) =>
      run(paths.mosquitto_sub, [...words(listener, 'later'), '-i', 'away', '-c', ...action]).then(text)
    await away('plant', ['-E'])
    for (const listener of ['office', 'plant']) {
      await run(paths.mosquitto_pub, [...words(listener, 'later'), '-m', `in ${listener}, while it was away`])
    }
    await gateway.close()
    gateway = await started(options)
    expect(await retained('plant')).toBe('of the plant\n')
    expect(await retained('office')).toBe('of the office\n')
    expect(await away('plant', ['-C', '1', '-W', '5'])).toBe('in plant, while it was away\n')
    expect(gateway.metrics()).toMatchObject({
      'mqtt_namespace_sessions{namespace="default"}': 0,
      'mqtt_namespace_sessions{namespace="plant"}': 1,
    })
    await gateway.close()
  })
})

it('a backup made while clients are connected has all of them, and a restore gives each back what is its own', async () => {
  const dataDir = join(folder, 'data')
  const names = ['office', 'plant']
  let gateway = await started({ ...twoListeners, dataDir })
  const join5 = (name: string, clientId: string) =>
    connectClient(gateway, { clientId, clean: false, protocolVersion: 4 }, at(gateway, name))
  for (const name of names) {
    const away = await join5(name, 'away')
    await away.mqtt.subscribeAsync('line/#', { qos: 1 })
    await away.mqtt.endAsync()
    const client = await connectClient(gateway, {}, at(gateway, name))
    await client.mqtt.publishAsync('line/1', `waits in ${name}`, { qos: 1 })
    await client.mqtt.publishAsync('kept', `kept in ${name}`, { qos: 1, retain: true })
  }
  const file = join(folder, 'backup.db')
  expect(await runCommand(['backup', file, '--data-dir', dataDir])).toMatchObject({ exitCode: 0, stderr: '' })
  for (const name of names) {
    const client = await connectClient(gateway, {}, at(gateway, name))
    await client.mqtt.publishAsync('kept', 'after the backup', { qos: 1, retain: true })
  }
  await gateway.close()
  expect(await runCommand(['check-store', '--data-dir', dataDir])).toMatchObject({ exitCode: 0 })
  expect(await runCommand(['restore', file, '--data-dir', dataDir])).toMatchObject({ exitCode: 0 })
  gateway = await started({ ...twoListeners, dataDir })
  for (const name of names) {
    const back = await join5(name, 'away')
    await back.mqtt.subscribeAsync('kept', { qos: 1 })
    await back.until(2)
    expect(back.texts().toSorted()).toEqual([`kept in ${name}`, `waits in ${name}`])
  }
  await gateway.close()
})

describePeer('an export of one namespace to another', ['mosquitto_pub', 'mosquitto_sub'], (paths) => {
  it('is met below its prefix, retained messages of before the restart too, and can not be written to', async () => {
    const exports = [{ filter: 'line/+/alarm', to: 'default', prefix: 'plant/' }]
    const publish = (gateway: Gateway, listener: string, topic: string) =>
      run(paths.mosquitto_pub, [
        '-p',
        String(portOf(gateway, listener)),
        '-t',
        topic,
        '-m',
        topic,
        '-r',
        '-q',
        '1',
        '-V',
        '5',
      ])
    let gateway = await started({ ...twoListeners, dataDir: folder })
    for (const topic of ['line/1/alarm', 'line/1/secret']) await publish(gateway, 'plant', topic)
    await gateway.close()
    gateway = await started({ ...twoListeners, namespaces: { plant: { exports } }, dataDir: folder })
    await publish(gateway, 'plant', 'line/2/alarm')
    await publish(gateway, 'office', 'plant/line/3/alarm')
    const words = ['-p', String(portOf(gateway, 'office')), '-t', '#', '-v', '-W', '1']
    expect(
      text(await run(paths.mosquitto_sub, words))
        .split('\n')
        .sort(),
    ).toEqual(['', 'plant/line/1/alarm line/1/alarm', 'plant/line/2/alarm line/2/alarm'])
    await gateway.close()
  })
})

describe('mqtide explain', () => {
  it('says in which namespace a client is, why it is not let in, and what is read only there', async () => {
    writeFileSync(
      join(folder, 'mqtide.yaml'),
      `namespaces:
  plant: { users: [alice], exports: [{ filter: '#', to: lab, prefix: plant/ }] }
  lab: {}
listeners:
  - { name: office, kind: tcp, port: 1883 }
  - { name: lab, kind: tcp, port: 1884, namespace: lab }
`,
    )
    const explain = async (...words: string[]) => {
      const { exitCode, stdout } = await runCommand(['explain', '--config', join(folder, 'mqtide.yaml'), ...words])
      return [exitCode, ...stdout.toString().trim().split('\n')]
    }
    const allowed = [0, 'allowed', 'no authentication and no authorization is configured']
    expect(await explain('--user', 'alice', '--publish', 't')).toEqual([...allowed, 'namespace: plant'])
    expect(await explain('--publish', 't')).toEqual(allowed)
    expect(await explain('--listener', 'lab', '--publish', 't')).toEqual([...allowed, 'namespace: lab'])
    expect(await explain('--listener', 'lab', '--user', 'alice', '--publish', 't')).toEqual([
      1,
      'denied',
      'the client is of the namespace plant, the listener lab of lab',
      'namespace: plant',
    ])
    expect(await explain('--namespace', 'nowhere', '--publish', 't')).toContain('no namespace is called nowhere')
    expect(await explain('--namespace', 'lab', '--publish', 'plant/t')).toEqual([
      1,
      'denied',
      "namespaces.plant.exports: what stands below plant/ is plant's, to be read only",
      'namespace: lab',
    ])
    expect(await explain('--namespace', 'lab', '--subscribe', 'plant/t')).toEqual([...allowed, 'namespace: lab'])
  })
})

describe('clients in namespaces', () => {
  it('of one id stay both, and the program reaches each namespace by its name', async () => {
    const gateway = await startGateway({ ...twoListeners, mqttPort: undefined, httpPort: undefined })
    const office = await connectClient(gateway, { clientId: 'same' }, at(gateway, 'office'))
    const plant = await connectClient(gateway, { clientId: 'same' }, at(gateway, 'plant'))
    for (const { mqtt } of [office, plant]) await mqtt.subscribeAsync('#')
    const taken = gateway.subscribe('up/#', { namespace: 'plant' })
    await gateway.publish({ topic: 'down', payload: 'to the plant', namespace: 'plant' })
    await plant.until(1)
    await office.mqtt.publishAsync('up/1', 'office', { qos: 1 })
    await plant.mqtt.publishAsync('up/1', 'plant', { qos: 1 })
    expect(Buffer.from((await taken.next()).value.payload).toString()).toBe('plant')
    await plant.until(2)
    await office.until(1)
    expect([office.texts(), plant.texts()]).toEqual([['office'], ['to the plant', 'plant']])
    expect(() => gateway.subscribe('#', { namespace: 'nowhere' })).toThrow(RangeError)
    expect(gateway.disconnectClient('same', { namespace: 'plant' })).toBe(true)
    expect(office.mqtt.connected).toBe(true)
  })

  it('see the figures of their own namespace below $SYS, and the metrics count all of them', async () => {
    const gateway = await startGateway({ ...twoListeners, mqttPort: undefined, httpPort: undefined })
    const office = await connectClient(gateway, { clientId: 'o' }, at(gateway, 'office'))
    for (let i = 0; i < 3; i++) await office.mqtt.publishAsync('t', 'x', { qos: 1, retain: true })
    const figure = async (listener: string, name: string) => {
      const { mqtt, received, until } = await connectClient(gateway, {}, at(gateway, listener))
      await mqtt.subscribeAsync(`$SYS/broker/${name}`)
      await until(1)
      return String(received[0]!.payload)
    }
    expect(await figure('plant', 'version')).toMatch(/^mqtide version/)
    expect(await figure('plant', 'retained messages/count')).toBe('0')
    for (const name of ['clients/connected', 'load/publish/sent/1min'])
      expect(await figure('plant', name)).toBeDefined()
    const { retained } = gateway.broker.namespace('plant')
    for (const name of ['heap/current', 'load/sockets/1min']) expect(retained.get(`$SYS/broker/${name}`)).toBeNull()
    expect(gateway.broker.namespace('plant').traffic.messagesReceived).toEqual([0, 0, 0])
    expect(gateway.metrics()['mqtt_messages_received_total{qos="1"}']).toBe(3)
    expect(gateway.metrics()['mqtt_packets_received_total{type="connect"}']).toBe(5)
  })

  it('meet new namespaces, other quotas and other users at a reload', async () => {
    const lines = [`alice:${await newPasswordHash('sha512', Buffer.from('pw'))}`]
    writeFileSync(join(folder, 'users'), `${lines.join('\n')}\n`)
    const options = { ...twoListeners, inMemory: true, authentication: { passwordFile: join(folder, 'users') } }
    const gateway = await startGateway({ ...options, mqttPort: undefined, httpPort: undefined })
    const login = { username: 'alice', password: 'pw', protocolVersion: 5 } as const
    const connect = (clientId: string, listener = 'office') =>
      connectClient(gateway, { ...login, clientId }, at(gateway, listener))
    const before = await connect('before')
    const stays = await connect('stays', 'plant')
    const gone = new Promise<void>((resolve) => before.mqtt.once('close', () => resolve()))
    const namespaces = { plant: { quotas: { connectionsMax: 1 } }, lab: { users: ['alice'] } }
    await gateway.reload(parseGatewayOptions({ ...options, namespaces, logLevel: 'silent' }))
    await gone
    const now = await connect('now')
    expect([...gateway.broker.namespace('lab').sessions.keys()]).toEqual(['now'])
    await now.mqtt.subscribeAsync('$SYS/broker/clients/connected')
    await now.until(1)
    expect(gateway.broker.namespace('plant').quotas.connections.max).toBe(1)
    await expect(connect('plant', 'plant')).rejects.toMatchObject({ code: 0x87 })
    expect(stays.mqtt.connected).toBe(false)
  })

  it('disconnect who came by a listener that is that of another from a reload on, and nobody else', async () => {
    const namespaces = { plant: {}, lab: {} }
    const gateway = await startGateway({ ...twoListeners, namespaces, mqttPort: undefined, httpPort: undefined })
    const connect = (listener: string) => connectClient(gateway, { protocolVersion: 5 }, at(gateway, listener))
    const [stays, moved] = [await connect('office'), await connect('plant')]
    const gone = new Promise<void>((resolve) => moved.mqtt.once('close', () => resolve()))
    const [office, plant] = twoListeners.listeners
    const listeners = [office!, { ...plant!, namespace: 'lab' }]
    await gateway.reload(parseGatewayOptions({ listeners, namespaces, inMemory: true, logLevel: 'silent' }))
    await gone
    await connect('plant')
    expect(gateway.broker.namespace('lab').quotas.connections.used).toBe(1)
    expect(stays.mqtt.connected).toBe(true)
  })

  it('are where their user is configured to be or their token says, and nowhere else', async () => {
    const secret = new TextEncoder().encode('0123456789abcdef0123456789abcdef')
    const lines = ['alice', 'bob'].map(async (name) => `${name}:${await newPasswordHash('sha512', Buffer.from('pw'))}`)
    writeFileSync(join(folder, 'users'), `${(await Promise.all(lines)).join('\n')}\n`)
    const gateway = await startGateway({
      ...twoListeners,
      ...{ mqttPort: undefined, httpPort: undefined },
      listeners: [...twoListeners.listeners, { name: 'open', kind: 'tcp', port: 0, namespace: 'default' }],
      namespaces: { plant: { users: ['alice'] }, lab: {} },
      authentication: { jwt: { secret: Buffer.from(secret).toString() }, passwordFile: join(folder, 'users') },
    })
    const token = (namespace: string) =>
      new SignJWT({ sub: 'carol', namespace }).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h').sign(secret)
    const placeOf = async (clientId: string, listener: string, username: string, password: string) => {
      const options = { clientId, username, password, protocolVersion: 5 } as const
      return connectClient(gateway, options, at(gateway, listener)).then(
        () => [...gateway.broker.namespaces.values()].find(({ sessions }) => sessions.has(clientId))!.name,
        (error: { code: number }) => error.code,
      )
    }
    expect(await placeOf('1', 'office', 'alice', 'pw')).toBe('plant')
    expect(await placeOf('2', 'plant', 'alice', 'pw')).toBe('plant')
    expect(await placeOf('3', 'open', 'alice', 'pw')).toBe(0x87)
    expect(await placeOf('4', 'office', 'bob', 'pw')).toBe('default')
    expect(await placeOf('5', 'plant', 'bob', 'pw')).toBe('plant')
    expect(await placeOf('6', 'office', '', await token('lab'))).toBe('lab')
    expect(await placeOf('7', 'plant', '', await token('lab'))).toBe(0x87)
    expect(await placeOf('8', 'office', '', await token('nowhere'))).toBe(0x87)
    expect(gateway.metrics()['mqtt_namespace_refusals_total']).toBe(3)
  })
})
