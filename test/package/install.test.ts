/**
 * The published package, as someone who installs it gets it: built, packed, installed elsewhere, started.
 *
 * The folder lies outside the checkout, so that a file or dependency the package forgot can't be found by accident.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const checkout = fileURLToPath(new URL('../..', import.meta.url))
const startLine = /^mqtide \S+ ready: MQTT (mqtt:\/\/\S+), HTTP (http:\/\/\S+), pid (\d+)$/

/** Fails to compile where a type of ours is missing, or is any: then `wrong` would be accepted. */
const consumer = `
import { createGateway, type GatewayOptions } from 'mqtide'
const options: GatewayOptions = { mqttPort: 0, httpPort: false, inMemory: true }
const gateway = await createGateway(options)
for await (const { topic, payload, qos } of gateway.subscribe('a/#')) {
  const right: [string, Uint8Array, 0 | 1 | 2] = [topic, payload, qos]
  // @ts-expect-error a topic is no number
  const wrong: number = topic
  // @ts-expect-error no such option
  await createGateway({ mqttPrt: 1883 })
  console.log(right, wrong, gateway.metrics(), gateway.addresses.mqtt?.port)
}
`

/** The same for programs with hooks, and for those that embed aedes. */
const embedder = `
import { createServer } from 'node:net'
import { createGateway } from 'mqtide'
import aedes, { Aedes, createBroker } from 'mqtide/aedes'
const gateway = await createGateway({
  inMemory: true,
  onPublish({ topic, payload, qos }, { clientId }) {
    const right: [string, Uint8Array, 0 | 1 | 2, string] = [topic, payload, qos, clientId]
    // @ts-expect-error a topic is no number
    const wrong: number = topic
    if (right.length === wrong) return { reasonCode: 0x87 }
    return topic === 'a' ? { topic: 'b' } : undefined
  },
  onDropped: ({ reason, count }) => console.log(reason, count),
})
// @ts-expect-error it answers at once
await createGateway({ onPublish: async () => ({ topic: 'b' }) })
const consumer = await gateway.consume('a/#', { clientId: 'c', receiveMaximum: 5 }, async ({ topic, ack }) => {
  const done: boolean = await ack()
  console.log(topic, done)
})
await consumer.stop()
const broker = await Aedes.createBroker({ authenticate: (client, username, password, done) => done(null, password !== undefined) })
broker.authorizePublish = (client, packet, done) => done(packet.topic === 'a' ? null : new Error('no'))
broker.on('client', ({ id }) => console.log(id))
createServer(broker.handle)
// @ts-expect-error no such option
createBroker({ authentiate() {} })
console.log(aedes.Server, createBroker().id)
`

/** The same for what pages import. */
const page = `
import { connect, type Message, MqtideError } from 'mqtide/client'
import { useTopic, useTopics } from 'mqtide/react'
const connection = connect('http://127.0.0.1:8083', { clientId: 'page', token: async () => 'fresh' })
connection.subscribe('a/#', ({ topic, json }) => [topic.length, json], { qos: 1 })
for await (const { topic, text, bytes } of connection.subscribe('a/#')) {
  const right: [string, string, Uint8Array] = [topic, text, bytes]
  // @ts-expect-error a topic is no number
  const wrong: number = topic
  // @ts-expect-error no such option
  connect('http://127.0.0.1:8083', { clientID: 'page' })
  // @ts-expect-error JSON has no QoS 2
  await connection.publish('a', right, { qos: 2 })
  console.log(wrong, MqtideError)
}
const hook: (topic: string) => Message | undefined = useTopic
const topics: ReadonlyMap<string, Message> = useTopics('a/#')
console.log(hook, topics)
`

/** The same for programs with tasks: what a job takes and what comes out is known from the map. */
const program = `
import { createGateway } from 'mqtide'
import { createTasks } from 'mqtide/tasks'
interface Plant { resize(picture: { file: string }): { bytes: number } }
const gateway = await createGateway({ mqttPort: 0, httpPort: false, inMemory: true, queues: { resize: {} } })
const tasks = await createTasks<Plant>({ gateway })
await tasks.define('resize', async ({ file }, { signal, attempt }) => ({ bytes: file.length + attempt + Number(signal.aborted) }))
const { bytes } = await tasks.request('resize', { file: 'a' })
const right: number = bytes
// @ts-expect-error a result is no text
const wrong: string = bytes
// @ts-expect-error it takes a file
await tasks.enqueue('resize', { width: 1 })
// @ts-expect-error there is no such task
await tasks.enqueue('rezise', { file: 'a' })
const handlers = { double: (given: number) => given * 2 }
const others = await createTasks<typeof handlers>({ url: 'mqtt://127.0.0.1' })
await others.define('double', handlers.double)
console.log(right, wrong)
`

describe('the package, packed and installed elsewhere', () => {
  let folder: string
  let installed: string
  let child: ChildProcess | undefined

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mqtide-package-'))
    installed = join(folder, 'node_modules/mqtide')
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: checkout })
    const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string }]
    await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
    const quick = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund']
    await run('npm', ['install', ...quick, join(folder, filename)], { cwd: folder })
  }, 300_000)

  afterAll(async () => {
    child?.kill('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  })

  it('holds what runs, with types, and neither sources nor tests', async () => {
    const top = await readdir(installed)
    const folders = ['bin', 'device-simulator', 'dist', 'docs', 'examples']
    expect(top.toSorted()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', ...folders, 'package.json'])
    // Of the simulator's folder only what it reads and editors use; its program is built like ours.
    expect((await readdir(join(installed, 'device-simulator'))).toSorted()).toEqual([
      'scenario.schema.json',
      'scenarios',
    ])
    const built = await readdir(join(installed, 'dist'), { recursive: true })
    const programs = ['src/main.js', 'src/gateway.js', 'src/gateway.d.ts', 'device-simulator/main.js']
    expect(built).toEqual(expect.arrayContaining(programs))
    expect(built.filter((name) => /\.test\.|(?<!\.d)\.ts$/.test(name))).toEqual([])
  })

  it('leads a consumer from its name to the library and its types', async () => {
    const { exports } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as {
      exports: { '.': { types: string; default: string } }
    }
    expect(await readFile(join(installed, exports['.'].types), 'utf8')).toContain('createGateway')
    const script = "import { createGateway } from 'mqtide'; console.log(typeof createGateway)"
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: folder })
    expect(stdout.trim()).toBe('function')
    const required = "const aedes = require('mqtide/aedes'); console.log(typeof aedes, typeof aedes.createBroker)"
    const answer = await run(process.execPath, ['--input-type=commonjs', '--eval', required], { cwd: folder })
    expect(answer.stdout.trim()).toBe('function function')
  })

  it.each([
    ['consumer.mts', consumer],
    ['embedder.mts', embedder],
    ['program.mts', program],
  ])(
    'type-checks in a strict project that uses it, down to the messages: %s',
    async (name, code) => {
      expect(await typeCheck(name, code, ['--lib', 'es2024', '--types', 'node'])).toBe('')
    },
    120_000,
  )

  it('brings the client for pages and its React hooks, with types, for browsers and for Node', async () => {
    // React is the project's own.
    for (const name of ['react', '@types/react']) {
      const target = join(folder, 'node_modules', name)
      await mkdir(dirname(target), { recursive: true })
      await symlink(join(checkout, 'node_modules', name), target)
    }
    expect(await typeCheck('page.mts', page, ['--lib', 'es2024,dom', '--types', 'react'])).toBe('')
    expect(await typeCheck('page.mts', page, ['--lib', 'es2024', '--types', 'node,react'])).toBe('')
    const script = `
      import { connect } from 'mqtide/client'
      import { ConnectionProvider, useTopic } from 'mqtide/react'
      const connection = connect('http://127.0.0.1:9')
      await connection.close()
      console.log(connection.state, typeof ConnectionProvider, typeof useTopic)`
    const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { cwd: folder })
    expect(stdout.trim()).toBe('closed function function')
  })

  it('starts by its command, answers /livez, serves the page, and ends with 0 on SIGTERM', async () => {
    const { http, stop } = await start('--in-memory')
    const html = await (await fetch(http)).text()
    const references = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!)
    expect(references.length).toBeGreaterThan(2)
    for (const path of ['/livez', '/client.js', '/mqtt.min.js', ...references]) {
      expect((await fetch(`${http}${path}`)).status, path).toBe(200)
    }
    expect(await stop()).toEqual([0, null])
  })

  it('simulates a swarm against a gateway that it starts itself, with the lean client in its thread', async () => {
    const command = join(folder, 'node_modules/.bin/mqtide')
    const words = ['simulate', 'weather-stations', '--duration', '2s', '--client', 'lean', '--json', 'summary.json']
    // The end code may speak of a slow machine; what counts here is that everything it needs is in the package.
    await run(process.execPath, [command, ...words], { cwd: folder }).catch((error: { stdout: string }) => error)
    const summary = JSON.parse(await readFile(join(folder, 'summary.json'), 'utf8')) as {
      devices: number
      client: string
      counters: { sent: number }
    }
    expect(summary).toMatchObject({ devices: 101, client: 'lean' })
    expect(summary.counters.sent).toBeGreaterThan(100)
  })

  it('stores with its worker thread what the next start finds', async () => {
    const first = await start('--data-dir', 'data')
    const publisher = await connectAsync(first.mqtt)
    await publisher.publishAsync('package/kept', 'still here', { qos: 1, retain: true })
    await publisher.endAsync()
    expect(await first.stop()).toEqual([0, null])

    const second = await start('--data-dir', 'data')
    const subscriber = await connectAsync(second.mqtt)
    const payload = new Promise<string>((resolve) => {
      subscriber.once('message', (_topic, bytes) => resolve(String(bytes)))
    })
    await subscriber.subscribeAsync('package/#')
    expect(await payload).toBe('still here')
    await subscriber.endAsync()
    expect(await second.stop()).toEqual([0, null])
  })

  async function start(...flags: string[]) {
    const command = join(folder, 'node_modules/.bin/mqtide')
    const args = [command, 'start', '--mqtt-port', '0', '--http-port', '0', '--log-level', 'error', ...flags]
    const started = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    child = started
    const [line] = (await once(createInterface({ input: started.stdout }), 'line')) as [string]
    expect(line).toMatch(startLine)
    const [, mqtt, http] = startLine.exec(line) as unknown as [string, string, string]
    const stop = () => {
      const exit = once(started, 'exit')
      started.kill('SIGTERM')
      return exit
    }
    return { mqtt, http, stop }
  }

  /** What the compiler says of a strict project with one file. */
  async function typeCheck(name: string, text: string, surroundings: readonly string[]): Promise<string> {
    await writeFile(join(folder, name), text)
    const tsc = createRequire(import.meta.url)
      .resolve('typescript/package.json')
      .replace('package.json', 'bin/tsc')
    const types = ['--typeRoots', join(checkout, 'node_modules/@types')]
    const strict = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2024']
    const words = [tsc, ...strict, ...types, ...surroundings, name]
    const { stdout } = await run(process.execPath, words, { cwd: folder }).catch((error: { stdout: string }) => error)
    return stdout
  }
})
