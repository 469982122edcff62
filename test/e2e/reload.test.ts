/** Listeners that are added, changed and removed while clients are connected and messages pass. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync, type IClientOptions, MqttClient } from 'mqtt'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import type { GatewayOptions } from '../../src/gateway.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { startGateway } from './gateway.ts'
import { startProgram } from './program.ts'

type Listeners = NonNullable<GatewayOptions['listeners']>

const folder = mkdtempSync(join(tmpdir(), 'mqtide-reload-'))
afterAll(() => rmSync(folder, { recursive: true }))
const clients: MqttClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true)
})

async function serve(...listeners: object[]) {
  const common = { mqttPort: undefined, httpPort: undefined, inMemory: true, logLevel: 'silent' } as const
  const gateway = await startGateway({ ...common, listeners: listeners as Listeners })
  const reload = (...others: object[]) =>
    gateway.reload({ inMemory: true, logLevel: 'silent', listeners: others as Listeners })
  const port = (name: string) => gateway.listeners.find((one) => one.name === name)!.port
  return { gateway, reload, port }
}

async function join5(url: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0, ...options })
  clients.push(client)
  return client
}

/** Over a socket in the file system, which URLs have no form for here. */
async function joinAt(path: string, clientId: string): Promise<MqttClient> {
  const client = new MqttClient(() => connect({ path }), { clientId, protocolVersion: 5, reconnectPeriod: 0 })
  clients.push(client)
  return new Promise((resolve, reject) => {
    client.once('connect', () => resolve(client)).once('error', reject)
  })
}

/** Resolves with what the event brings. */
const next = (client: MqttClient, event: 'message' | 'disconnect') =>
  new Promise<unknown>((resolve) => {
    client.once(event, (first: unknown) => resolve(first))
  })

async function occupied(): Promise<{ port: number; server: Server }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as { port: number }).port, server }
}

const isRefused = async (port: number): Promise<boolean> => {
  const socket = connect({ port, host: '127.0.0.1' })
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(false)).once('error', () => resolve(true))
    socket.once('connect', () => socket.destroy())
  })
}

/** A message to oneself, acknowledged and received. */
async function roundTrip(client: MqttClient): Promise<void> {
  const topic = `own/${client.options.clientId}`
  await client.subscribeAsync(topic, { qos: 1 })
  const received = next(client, 'message')
  await client.publishAsync(topic, 'x', { qos: 1 })
  await received
}

describe('a reload', () => {
  test('adds and removes listeners; the others and their clients are not touched', async () => {
    const stay = { name: 'stay', kind: 'tcp', port: 0 }
    const { gateway, reload, port } = await serve(stay, { name: 'leave', kind: 'ws', port: 0 })
    const staying = await join5(`mqtt://127.0.0.1:${port('stay')}`)
    const leaving = await join5(`ws://127.0.0.1:${port('leave')}`)
    const farewell = next(leaving, 'disconnect')
    const [stayPort, leavePort] = [port('stay'), port('leave')]
    const changes = await reload({ name: 'new', kind: 'http', port: 0 }, stay)
    expect(changes).toEqual({ added: ['new'], renewed: [], removed: ['leave'] })
    expect(gateway.listeners.map(({ name }) => name)).toEqual(['new', 'stay'])
    expect(port('stay')).toBe(stayPort)
    expect(await farewell).toMatchObject({ reasonCode: 0x98 })
    expect(await isRefused(leavePort)).toBe(true)
    await roundTrip(await join5(`ws://127.0.0.1:${port('new')}/mqtt`))
    await roundTrip(staying)
    const lines = await (await fetch(`http://127.0.0.1:${port('new')}/metrics`)).text()
    expect(lines).toContain('mqtt_listener_clients{listener="stay",protocol="tcp"} 1')
    expect(lines).not.toContain('listener="leave"')
  })

  test.each(['tcp', 'ws', 'http', 'unix'])(
    'changes what a listener of kind %s is at the same address, under the clients that are there',
    async (kind) => {
      const path = join(folder, 'one.sock')
      const place = kind === 'unix' ? { path } : { port: 0 }
      const { gateway, reload, port } = await serve({ name: 'one', kind, ...place })
      const url = () => (kind === 'tcp' ? `mqtt://127.0.0.1:${port('one')}` : `ws://127.0.0.1:${port('one')}/mqtt`)
      const come = (clientId: string) => (kind === 'unix' ? joinAt(path, clientId) : join5(url(), { clientId }))
      const first = await come('first')
      const before = port('one')
      const changed = { name: 'one', kind, ...place, durability: 'none', limits: { connectionsMax: 2 } }
      expect(await reload(changed)).toEqual({ added: [], renewed: ['one'], removed: [] })
      expect(port('one')).toBe(before)
      await roundTrip(first)
      await roundTrip(await come('second'))
      // The first one counts still.
      await expect(come('third')).rejects.toThrow(/Quota exceeded/)
      expect(await reload({ ...changed, limits: {} })).toMatchObject({ renewed: ['one'] })
      await roundTrip(await come('third'))
      await roundTrip(first)
      await gateway.close()
    },
  )

  test('closes a listener whose kind or port is another one, and opens the new one', async () => {
    const { port: free, server } = await occupied()
    server.close()
    await once(server, 'close')
    const { reload, port } = await serve(
      { name: 'one', kind: 'tcp', port: 0 },
      { name: 'two', kind: 'tcp', port: free },
    )
    const [one, two] = await Promise.all(['one', 'two'].map((name) => join5(`mqtt://127.0.0.1:${port(name)}`)))
    const farewells = [next(one!, 'disconnect'), next(two!, 'disconnect')]
    const before = port('one')
    // What was at one address may be at the other's now.
    await reload({ name: 'one', kind: 'ws', port: free }, { name: 'two', kind: 'tcp', port: 0 })
    await Promise.all(farewells)
    expect(port('one')).toBe(free)
    expect(port('two')).not.toBe(before)
    expect(await isRefused(before)).toBe(true)
    await roundTrip(await join5(`ws://127.0.0.1:${free}`))
    await roundTrip(await join5(`mqtt://127.0.0.1:${port('two')}`))
  })

  test('opens an address that stands for all of a machine, where one of these was', async () => {
    const { port: free, server } = await occupied()
    server.close()
    await once(server, 'close')
    const { gateway, reload } = await serve({ name: 'one', kind: 'tcp', port: free })
    const options = { inMemory: true, logLevel: 'silent', allowAnonymous: true } as const
    const listeners: Listeners = [{ name: 'one', kind: 'tcp', port: free, host: '0.0.0.0' }]
    await gateway.reload({ ...options, listeners })
    expect(gateway.listeners).toEqual([{ name: 'one', kind: 'tcp', host: '0.0.0.0', port: free }])
    await roundTrip(await join5(`mqtt://127.0.0.1:${free}`))
    await reload({ name: 'one', kind: 'tcp', port: free })
    await roundTrip(await join5(`mqtt://127.0.0.1:${free}`))
  })

  test('closes connections of HTTP whose listener gave its address to another one', async () => {
    const { port: free, server } = await occupied()
    server.close()
    await once(server, 'close')
    const { gateway } = await serve({ name: 'one', kind: 'http', port: free })
    const socket = connect({ port: free, host: '127.0.0.1' })
    const ask = () => socket.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n')
    let answers = ''
    socket.on('error', () => {}).on('data', (chunk) => (answers += chunk))
    ask()
    await once(socket, 'data')
    const closed = once(socket, 'close')
    const listeners: Listeners = [{ name: 'one', kind: 'http', port: free, host: '0.0.0.0' }]
    const options = { inMemory: true, logLevel: 'silent', allowAnonymous: true } as const
    await gateway.reload({ ...options, listeners })
    ask()
    await closed
    expect(answers.match(/ 200 /g)).toEqual([' 200 '])
  })

  test('changes nothing where a new listener can not be bound, and says which', async () => {
    const { port: taken, server } = await occupied()
    const { gateway, reload, port } = await serve(
      { name: 'one', kind: 'tcp', port: 0 },
      { name: 'two', kind: 'ws', port: 0 },
    )
    const client = await join5(`mqtt://127.0.0.1:${port('one')}`)
    const before = gateway.listeners
    const reloading = reload({ name: 'new', kind: 'tcp', port: 0 }, { name: 'no', kind: 'tcp', port: taken })
    await expect(reloading).rejects.toMatchObject({ name: 'ListenError', listener: 'no', code: 'EADDRINUSE' })
    expect(gateway.listeners).toEqual(before)
    await roundTrip(client)
    await roundTrip(await join5(`ws://127.0.0.1:${port('two')}`))
    server.close()
  })

  test('takes an address back that it had given up, where another one can not be bound', async () => {
    const { port: taken, server } = await occupied()
    const { port: free, server: gone } = await occupied()
    gone.close()
    await once(gone, 'close')
    const { gateway } = await serve({ name: 'one', kind: 'tcp', port: free }, { name: 'two', kind: 'ws', port: 0 })
    const client = await join5(`mqtt://127.0.0.1:${free}`)
    const listeners: Listeners = [
      { name: 'one', kind: 'tcp', port: free, host: '0.0.0.0' },
      { name: 'no', kind: 'tcp', port: taken },
    ]
    const before = gateway.listeners
    const options = { inMemory: true, logLevel: 'silent', allowAnonymous: true, listeners } as const
    await expect(gateway.reload(options)).rejects.toMatchObject({ listener: 'no' })
    expect(gateway.listeners).toEqual(before)
    await roundTrip(client)
    await roundTrip(await join5(`mqtt://127.0.0.1:${free}`))
    await gateway.close()
    expect(await isRefused(free)).toBe(true)
    server.close()
  })

  test('changes nothing where an option has a fault', async () => {
    const { gateway, reload } = await serve({ name: 'one', kind: 'tcp', port: 0 })
    await expect(reload({ name: 'one', kind: 'tcp' })).rejects.toMatchObject({ name: 'ConfigError' })
    await expect(gateway.reload(gateway.config)).resolves.toEqual({ added: [], renewed: [], removed: [] })
  })

  test('opens nothing in a gateway that is closing', async () => {
    const { gateway, reload } = await serve({ name: 'one', kind: 'tcp', port: 0 })
    const closing = gateway.close()
    await expect(reload({ name: 'new', kind: 'tcp', port: 0 })).rejects.toMatchObject({ name: 'ClosingError' })
    await closing
  })

  test('changes no listener where users or rules have a fault', async () => {
    const { gateway, port } = await serve({ name: 'one', kind: 'tcp', port: 0 })
    const listeners: Listeners = [{ name: 'new', kind: 'tcp', port: 0 }]
    const faulty = { listeners, authorization: { aclFile: join(folder, 'missing') } }
    await expect(gateway.reload({ inMemory: true, ...faulty })).rejects.toThrow(/missing/)
    await roundTrip(await join5(`mqtt://127.0.0.1:${port('one')}`))
    expect(gateway.listeners.map(({ name }) => name)).toEqual(['one'])
  })

  test('of several at once comes after the one before', async () => {
    const { gateway, reload } = await serve({ name: 'one', kind: 'tcp', port: 0 })
    await Promise.all(['a', 'b', 'c'].map((name) => reload({ name, kind: 'tcp', port: 0 })))
    expect(gateway.listeners.map(({ name }) => name)).toEqual(['c'])
  })
})

describePeer('a reload of TLS', ['openssl'], ({ openssl }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const server = authority?.issue({ commonName: 'localhost', names: ['IP:127.0.0.1'] }, 'server')
  const other = authority?.issue({ commonName: 'other', names: ['IP:127.0.0.1'] }, 'other')

  test.each(['tls', 'wss'])('takes another certificate for %s while clients stay', async (kind) => {
    const { reload, port } = await serve({ name: 'one', kind, port: 0, ...server })
    const options = { rejectUnauthorized: false }
    const url = () => `${kind === 'tls' ? 'mqtts' : 'wss'}://127.0.0.1:${port('one')}`
    const client = await join5(url(), options)
    await reload({ name: 'one', kind, port: 0, ...other, limits: { handshakeTimeoutMs: 1234 } })
    await roundTrip(client)
    await roundTrip(await join5(url(), options))
    await expect(reload({ name: 'one', kind, port: 0, ...server, key: other.key })).rejects.toThrow(/does not belong/)
    await roundTrip(client)
    await roundTrip(await join5(url(), options))
  })
})

describe('SIGHUP', () => {
  test('adds and removes listeners under traffic that loses nothing, and names what needs a restart', async () => {
    const file = join(folder, 'gateway.yaml')
    const socket = (name: string) => join(folder, `${name}.sock`)
    const write = (names: readonly string[], more = '') => {
      const lines = names.map((name) => `  - { kind: unix, name: ${name}, path: ${socket(name)} }\n`)
      writeFileSync(
        file,
        `inMemory: true\nlisteners:\n  - { name: main, kind: tcp, port: 0 }\n${lines.join('')}${more}`,
      )
    }
    write([])
    const running = startProgram(['start', '--config', file])
    let log = ''
    running.process.stderr.on('data', (chunk) => (log += chunk))
    let output = ''
    running.process.stdout.on('data', (chunk) => (output += chunk))
    await running.untilStdout('ready')
    const port = Number(/mqtt:\/\/127\.0\.0\.1:(\d+)/.exec(output)![1])
    const subscriber = await join5(`mqtt://127.0.0.1:${port}`)
    const publisher = await join5(`mqtt://127.0.0.1:${port}`)
    await subscriber.subscribeAsync('count', { qos: 1 })
    const numbers: number[] = []
    subscriber.on('message', (_topic, payload) => numbers.push(Number(payload)))
    let sent = 0
    let goOn = true
    const traffic = (async () => {
      while (goOn) await publisher.publishAsync('count', String(sent++), { qos: 1 })
    })()
    const lines = () => log.split('\n').filter((line) => /configuration (not )?reloaded/.test(line))
    const hup = async () => {
      const before = lines().length
      running.process.kill('SIGHUP')
      await eventually(() => lines().length).toBe(before + 1)
      return JSON.parse(lines().at(-1)!) as Record<string, unknown>
    }
    for (const names of [['a'], ['a', 'b'], ['b'], []]) {
      write(names)
      const { needRestart } = await hup()
      expect(needRestart).toEqual([])
      for (const name of names) await roundTrip(await joinAt(socket(name), name))
    }
    write([], 'limits: { packetBytesMax: 1000, connectionsMax: 50 }\ndurability: none\n')
    expect(await hup()).toMatchObject({ needRestart: ['durability', 'limits.packetBytesMax'] })
    writeFileSync(file, 'listeners: [{ kind: tcp, port: 0, prot: 1 }]\n')
    expect(JSON.stringify(await hup())).toMatch(/gateway\.yaml:1:\d+: listeners\.0\.prot: unknown option/)
    goOn = false
    await traffic
    await eventually(() => numbers.length).toBe(sent)
    expect(numbers).toEqual(Array.from({ length: sent }, (_, index) => index))
    running.process.kill('SIGTERM')
    expect((await running.ended).exitCode).toBe(0)
  })
})
