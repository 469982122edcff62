/** Commands that ask a gateway: what a person sees, what a script gets, and what is said when it can't be had. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { runCommand } from '../e2e/program.ts'

let dataDir: string
let gateway: Gateway
beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-commands-'))
  gateway = await startGateway({ inMemory: false, dataDir })
})
afterEach(async () => {
  await gateway.close()
  rmSync(dataDir, { recursive: true })
})

async function mqtide(...words: string[]) {
  const url = `http://127.0.0.1:${gateway.addresses.http!.port}`
  const { exitCode, stdout, stderr } = await runCommand([...words, '--url', url, '--data-dir', dataDir])
  return { exitCode, stderr, text: stdout.toString() }
}

describe('mqtide clients', () => {
  it('lists, shows and disconnects them', async () => {
    await connectClient(gateway, { clientId: 'pump/1', username: 'alice', password: 'x' })
    await connectClient(gateway, { clientId: 'valve' })
    const { text } = await mqtide('clients', 'list', '--filter', 'pump')
    expect(text.split('\n')[0]).toMatch(/^namespace +clientId +username +address +listener +connectedAt +subscriptions/)
    expect(text.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^default +pump\/1 +alice +127\.0\.0\.1:\d+ +tcp-0 /),
      '',
    ])
    const { text: json } = await mqtide('clients', 'list', '--sort', '-clientId', '--limit', '1', '--json')
    expect(JSON.parse(json)).toMatchObject([{ clientId: 'valve' }])
    expect((await mqtide('clients', 'list', '--limit', '1')).stderr).toBe('mqtide: there is more; --limit shows it\n')
    expect((await mqtide('clients', 'show', 'pump/1')).text).toMatch(/^username +alice$/m)
    expect(await mqtide('clients', 'disconnect', 'pump/1')).toEqual({ exitCode: 0, stderr: '', text: '' })
    expect(await mqtide('clients', 'show', 'pump/1')).toMatchObject({
      exitCode: 1,
      stderr: 'mqtide: no client with this id is connected (404)\n',
    })
  })

  it('shows what clients chose without doing what it says to a terminal', async () => {
    await connectClient(gateway, { clientId: '\u001b[2Jx', username: 'y'.repeat(100), password: 'x' })
    const { text } = await mqtide('clients', 'list')
    expect(text).toContain('\\u001b[2Jx')
    expect(text).toContain(`${'y'.repeat(59)}…`)
  })
})

describe('mqtide sessions', () => {
  it('lists them, shows a queue and deletes one', async () => {
    const client = await connectClient(gateway, { clientId: 'away', clean: false })
    await client.mqtt.subscribeAsync('a/#', { qos: 1 })
    await client.mqtt.endAsync()
    await gateway.publish({ topic: 'a/b', payload: 'waits', qos: 1 })
    expect((await mqtide('sessions', 'list')).text).toMatch(/^default +away +(true|false) +- +/m)
    expect((await mqtide('sessions', 'queue', 'away')).text).toMatch(/^0 +waiting +1 +a\/b +\S+ +5 +waits$/m)
    expect((await mqtide('subscriptions')).text).toMatch(/^default +away +a\/# +1 +-$/m)
    expect((await mqtide('route', 'a/b')).text).toMatch(/^away +a\/# +1 +false$/m)
    expect((await mqtide('sessions', 'delete', 'away')).exitCode).toBe(0)
    expect((await mqtide('sessions', 'list')).text).not.toContain('away')
  })
})

describe('mqtide retained', () => {
  it('lists by filter, writes a payload as it is, and deletes by filter', async () => {
    const payload = Uint8Array.of(0, 255, 10)
    for (const topic of ['a/1', 'a/2', 'b']) await gateway.publish({ topic, payload, retain: true })
    const { text } = await mqtide('retained', 'list', '--filter', 'a/+', '--json')
    expect(JSON.parse(text)).toMatchObject([{ topic: 'a/1' }, { topic: 'a/2' }])
    const url = `http://127.0.0.1:${gateway.addresses.http!.port}`
    const { stdout } = await runCommand(['retained', 'get', 'a/1', '--url', url, '--data-dir', dataDir])
    expect(stdout).toEqual(Buffer.from(payload))
    expect((await mqtide('retained', 'delete', 'a/#')).text).toBe('2 deleted\n')
    expect((await mqtide('retained', 'list')).text).toMatch(/^namespace .*\ndefault +b .*\n$/)
  })
})

describe('mqtide log-level, listeners, topics and reload', () => {
  it('show and set what they are named for', async () => {
    expect((await mqtide('log-level')).text).toBe('silent\n')
    expect((await mqtide('log-level', 'fatal')).text).toBe('fatal\n')
    expect((await mqtide('log-level', 'loud')).exitCode).toBe(1)
    expect((await mqtide('listeners')).text).toMatch(/^tcp-0 +tcp +127\.0\.0\.1 +\d+ +0 +0$/m)
    expect((await mqtide('topics')).text).toMatch(/^namespace +topic +recipients +groups$/m)
    expect((await mqtide('drops')).text).toMatch(/^lastAt +namespace +clientId +reason +topicPrefix +count$/m)
    expect((await mqtide('reload')).stderr).toBe(
      'mqtide: the program that runs this gateway reads no configuration (501)\n',
    )
  })
})

describe('a command', () => {
  it('sends the data folder’s own token to this machine only', async () => {
    const seen: (string | undefined)[] = []
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization)
      response.end('{"items":[],"nextCursor":null}')
    }).listen(0)
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const ask = (host: string) =>
      runCommand(['clients', 'list', '--url', `http://${host}:${port}`, '--data-dir', dataDir])
    await ask('127.0.0.1')
    // An address of this machine that is none of loopback.
    const others = Object.values(networkInterfaces())
      .flat()
      .filter((one) => one?.family === 'IPv4' && !one.internal)
    for (const other of others.slice(0, 1)) await ask(other!.address)
    server.close()
    expect(seen[0]).toMatch(/^Bearer mqtide_/)
    expect(seen.slice(1).every((header) => header === undefined)).toBe(true)
  })

  it('says where nobody answers, and what a token may not', async () => {
    const { exitCode, stderr } = await runCommand([
      'clients',
      'list',
      '--url',
      'http://127.0.0.1:1',
      '--data-dir',
      dataDir,
    ])
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining('no gateway answers at http://127.0.0.1:1'),
    })
    writeFileSync(join(dataDir, 'viewer'), gateway.addApiToken('panel', 'viewer'))
    const refused = await mqtide('sessions', 'delete', 'x', '--token-file', join(dataDir, 'viewer'))
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('needs role operator') })
    expect((await mqtide('clients', 'list', '--token-file', join(dataDir, 'nothing'))).exitCode).toBe(2)
    expect((await runCommand(['clients', 'list', '--url', 'here', '--data-dir', dataDir])).exitCode).toBe(2)
    expect((await mqtide('clients', 'list', '--limit', '0')).exitCode).toBe(2)
    // Not the list of all of them.
    expect(await mqtide('clients', 'show', '.')).toMatchObject({ exitCode: 1, text: '' })
  })

  it('says so when what answers is no gateway', async () => {
    const server = createServer((_, response) => response.end('<!doctype html>')).listen(0)
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
    const { exitCode, stderr } = await runCommand(['clients', 'list', '--url', url, '--data-dir', dataDir])
    server.close()
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: `mqtide: what answers at ${url} is no gateway of this version: <!doctype html>\n`,
    })
    expect((await mqtide('clients', 'list', '--sort', 'secret')).stderr).toContain('query.sort')
  })
})

describe('mqtide explain of messages', () => {
  it('publishes one and shows what became of it', async () => {
    const client = await connectClient(gateway, { clientId: 'pump-7' })
    await client.mqtt.subscribeAsync('plant/+', { qos: 1 })
    const { text, exitCode } = await mqtide('explain', '--send', 'plant/1', '--text', 'hello', '--qos', '1')
    expect(exitCode).toBe(0)
    const lines = text.split('\n')
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} plant\/1: QoS 1, 5 bytes$/)
    expect(lines[3]).toBe('  outcome    delivered')
    expect(lines[4]).toBe('  route      1 subscription, 0 share groups')
    expect(lines[5]).toMatch(/^ {2}to {9}pump-7: acknowledged after \d+ ms \[plant\/\+, QoS 1\]$/)
    const missing = await mqtide('explain', '--send', 'plant/1/x', '--to', 'pump-7')
    expect(missing.text).toContain('  to         pump-7: not sent: no subscription of this client matches\n')
  })

  it('follows those that pass, as lines of JSON', async () => {
    const publisher = await connectClient(gateway, { clientId: 'sensor' })
    const following = mqtide('explain', '--follow', 'plant/#', '--count', '1', '--json')
    let done = false
    void following.finally(() => (done = true))
    while (!done) await publisher.mqtt.publishAsync('plant/1', 'x', { qos: 1 })
    expect(JSON.parse((await following).text)).toMatchObject({ topic: 'plant/1', publisher: { clientId: 'sensor' } })
  })
})

describe('mqtide trace', () => {
  it('shows packets as they pass, one line each', async () => {
    const client = await connectClient(gateway, { clientId: 'pump-7' })
    const tracing = mqtide('trace', '--client', 'pump-7', '--topic', 'plant/#', '--count', '1')
    let done = false
    void tracing.finally(() => (done = true))
    while (!done) await client.mqtt.publishAsync('plant/1', '21.5', { qos: 1 })
    expect((await tracing).text).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} pump-7 -> PUBLISH topic="plant\/1" qos=1 retain=false dup=false packetId=\d+ payloadBytes=4 payload="21\.5"\n$/,
    )
  })

  it('has the gateway write them to a file, lists it and ends it', async () => {
    const { text } = await mqtide('trace', '--client', 'pump-7', '--file', 'night', '--seconds', '60')
    expect(text).toMatch(/traces\/night\.jsonl until \d{4}-/)
    expect((await mqtide('trace', 'list')).text).toMatch(/^night +- +\S+ +0 +0 +0 +pump-7 +- +- /m)
    expect(await mqtide('trace', 'end', 'night')).toEqual({ exitCode: 0, stderr: '', text: '' })
    expect(await mqtide('trace', 'end', 'night')).toMatchObject({ exitCode: 1 })
  })

  it('asks whose packets', async () => {
    expect(await mqtide('trace')).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('whose packets?') })
  })
})
