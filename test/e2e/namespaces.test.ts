/** Namespaces by listener, by user and by token, met by mosquitto_pub, mosquitto_sub and MQTT.js; on SQLite over a restart. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newPasswordHash } from '../../src/auth/password-hash.ts'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { describePeer } from '../peers.ts'
import { connectClient, startGateway } from './gateway.ts'
import { run } from './program.ts'

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
      'mqtt_namespace_retained_messages{namespace="plant"}': 1,
    })
    await gateway.close()
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
