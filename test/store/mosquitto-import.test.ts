/** `mosquitto.db` as Debian's Mosquitto writes it: what it kept for its clients goes on here. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Gateway } from '../../src/gateway.ts'
import { sourceOf } from '../../src/store/export/sources.ts'
import { importInto } from '../../src/store/export/store-import.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { open } from '../contract/survived.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { type Mosquitto, startMosquitto } from '../e2e/mosquitto.ts'
import { connectPacket, connectRaw, type RawClient } from '../e2e/raw-client.ts'
import { describePeer } from '../peers.ts'

let folder: string
let dataDir: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-mosquitto-db-'))
  dataDir = join(folder, 'data')
  file = join(folder, 'mosquitto.db')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const imported = (ownedByUsers = false, directory = dataDir) =>
  importInto({ dataDir: directory, file, into: undefined, dryRun: false }, sourceOf({ ownedByUsers }))

async function survived(directory = dataDir) {
  const store = new SqliteInlineStore({ dataDir: directory })
  const all = await open(store)
  const entries = []
  for (const { session } of all.queues) entries.push(...(await store.readQueue(session, 0, 1e6, 1e9)).entries)
  await store.close()
  return { ...all, entries }
}

const clientIdsOf = ({ sessions }: { sessions: { number: number; clientId: string }[] }) =>
  new Map(sessions.map(({ number, clientId }) => [number, clientId]))

describePeer('the database of Mosquitto', ['mosquitto'], ({ mosquitto }) => {
  const start = () =>
    startMosquitto(mosquitto, [
      'user root',
      'persistence true',
      `persistence_location ${folder}/`,
      'autosave_interval 0',
      'max_inflight_messages 20',
    ])

  /** As the helpers for clients want to be told where the broker is. */
  const at = ({ port }: Mosquitto) => ({ addresses: { mqtt: { host: '127.0.0.1', port } } }) as unknown as Gateway

  async function raw(broker: Gateway, clientId: string, version: 4 | 5 = 4): Promise<RawClient> {
    const client = await connectRaw(broker, 'TCP', version)
    const properties = version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}
    client.sendPacket({ ...connectPacket(clientId, version), clean: false, ...properties })
    await client.until(() => client.packets.length > 0)
    return client
  }

  const publishes = ({ packets }: RawClient) =>
    packets.filter((packet): packet is IPublishPacket => packet.cmd === 'publish')
  const has = (client: RawClient, wanted: (packet: Packet) => boolean) =>
    client.until(() => client.packets.some(wanted))

  /** Sessions of both versions with messages that wait, and retained ones; then it is stopped. */
  async function filled(broker: Mosquitto): Promise<void> {
    const four = await connectClient(at(broker), { clientId: 'förkläde', clean: false, protocolVersion: 4 })
    // Mosquitto does not save the second.
    await four.mqtt.subscribeAsync(['a/+', '$share/crew/jobs/#'], { qos: 2 })
    const five = await connectClient(at(broker), {
      clientId: 'five',
      clean: false,
      protocolVersion: 5,
      username: 'anna',
      properties: { sessionExpiryInterval: 3600 },
    })
    await five.mqtt.subscribeAsync(
      { 'b/#': { qos: 1, nl: true, rap: true, rh: 2 } },
      { qos: 1, properties: { subscriptionIdentifier: 77 } },
    )
    const clean = await connectClient(at(broker), { clientId: 'clean', clean: true })
    await clean.mqtt.subscribeAsync('a/#', { qos: 2 })
    await four.mqtt.endAsync()
    await five.mqtt.endAsync()
    const publisher = await connectClient(at(broker), { clientId: 'publisher', protocolVersion: 5 })
    const properties = {
      contentType: 'text/plain',
      userProperties: { farbe: 'rot' },
      correlationData: Buffer.from([0, 255]),
      responseTopic: 'back',
    }
    await publisher.mqtt.publishAsync('a/1', Buffer.from([0, 255, 128]), {
      qos: 2,
      properties: { ...properties, messageExpiryInterval: 900 },
    })
    await publisher.mqtt.publishAsync('b/1', 'wartet', { qos: 1 })
    await publisher.mqtt.publishAsync('b/kept', 'behalten', { qos: 1, retain: true, properties })
    await publisher.mqtt.publishAsync('c/kept', 'nur behalten', { qos: 0, retain: true })
    await publisher.mqtt.endAsync()
    await clean.mqtt.endAsync()
    await broker.stop()
  }

  it('has sessions with their subscriptions and expiry, what waits for them, and retained messages', async () => {
    await filled(await start())
    const { counts, leftOut } = imported(true)
    expect(counts).toEqual({
      sessions: 2,
      subscriptions: 2,
      retained: 2,
      queued: 3,
      wills: 0,
      queues: 0,
      streams: 0,
      delayed: 0,
    })
    expect(leftOut).toEqual([])
    const { sessions, subscriptions, retained, entries } = await survived()
    const byId = new Map(sessions.map((session) => [session.clientId, session]))
    expect(byId.get('förkläde')).toMatchObject({
      version: 4,
      expiryInterval: 0xffffffff,
      expiresAt: Infinity,
      namespace: '',
      principal: '',
    })
    expect(byId.get('five')).toMatchObject({ version: 5, expiryInterval: 3600, username: 'anna', principal: 'anna' })
    expect(byId.get('five')!.expiresAt - Date.now()).toBeGreaterThan(3500_000)
    expect(byId.get('five')!.expiresAt - Date.now()).toBeLessThan(3700_000)
    const four1 = byId.get('förkläde')!.number
    expect(
      subscriptions.filter(({ session }) => session === four1).map(({ topicFilter, qos }) => [topicFilter, qos]),
    ).toEqual([['a/+', 2]])
    expect(subscriptions.find(({ session }) => session !== four1)).toMatchObject({
      topicFilter: 'b/#',
      qos: 1,
      noLocal: true,
      retainAsPublished: true,
      retainHandling: 0,
      identifier: 77,
    })
    expect(
      retained.map(({ topic, message: { payload, qos } }) => [topic, Buffer.from(payload).toString(), qos]),
    ).toEqual([
      ['b/kept', 'behalten', 1],
      ['c/kept', 'nur behalten', 0],
    ])
    const binary = entries.find(({ message: { topic } }) => topic === 'a/1')!
    expect(binary.reference).toMatchObject({ session: four1, qos: 2, retain: false })
    expect([...binary.message.payload]).toEqual([0, 255, 128])
    expect(binary.message.expiresAt - Date.now()).toBeGreaterThan(800_000)
    expect(entries.find(({ message: { topic } }) => topic === 'b/1')!.reference.subscriptionIdentifiers).toEqual([77])
  })

  it('has sessions to which their clients come back', async () => {
    await filled(await start())
    imported()
    const gateway = await startGateway({ inMemory: false, dataDir })
    const back = await connectClient(gateway, {
      clientId: 'five',
      clean: false,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 60 },
    })
    await back.until(2)
    expect(back.connack.sessionPresent).toBe(true)
    expect(back.texts()).toEqual(['wartet', 'behalten'])
    expect(back.received[1]).toMatchObject({
      retain: true,
      properties: {
        contentType: 'text/plain',
        userProperties: { farbe: 'rot' },
        responseTopic: 'back',
        subscriptionIdentifier: 77,
      },
    })
    const again = await connectClient(gateway, { clientId: 'förkläde', clean: false, protocolVersion: 4 })
    await again.until(1)
    expect(again.received[0]!.payload).toEqual(Buffer.from([0, 255, 128]))
  })

  it('has what was in flight, under the packet identifiers that the client knows', async () => {
    const broker = await start()
    const client = await raw(at(broker), 'slow')
    client.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't/#', qos: 2 }] })
    await has(client, ({ cmd }) => cmd === 'suback')
    const publisher = await connectClient(at(broker), { protocolVersion: 5 })
    for (const [topic, qos] of [
      ['t/done', 1],
      ['t/1', 1],
      ['t/received', 2],
      ['t/2', 2],
    ] as const) {
      await publisher.mqtt.publishAsync(topic, topic, { qos })
    }
    await client.until(() => publishes(client).length === 4)
    const ids = Object.fromEntries(publishes(client).map(({ topic, messageId }) => [topic, messageId!])) as Record<
      string,
      number
    >
    client.sendPacket({ cmd: 'puback', messageId: ids['t/done']! })
    client.sendPacket({ cmd: 'pubrec', messageId: ids['t/received']! })
    await has(client, ({ cmd }) => cmd === 'pubrel')
    client.destroy()
    await publisher.mqtt.publishAsync('t/later', 'later', { qos: 1 })
    await publisher.mqtt.endAsync()
    await broker.stop()

    expect(imported().counts).toMatchObject({ sessions: 1, queued: 3 })
    const gateway = await startGateway({ inMemory: false, dataDir })
    const back = await raw(gateway, 'slow')
    await back.until(() => publishes(back).length === 3 && back.packets.some(({ cmd }) => cmd === 'pubrel'))
    expect(publishes(back).map(({ topic, dup, qos, messageId }) => [topic, dup, qos, messageId])).toEqual([
      ['t/1', true, 1, ids['t/1']],
      ['t/2', true, 2, ids['t/2']],
      ['t/later', false, 1, expect.any(Number)],
    ])
    expect(back.packets.filter(({ cmd }) => cmd === 'pubrel')).toMatchObject([{ messageId: ids['t/received'] }])
    expect(new Set([...publishes(back).map(({ messageId }) => messageId), ids['t/received']]).size).toBe(4)
    back.destroy()
  })

  it('has what a client had begun to publish at QoS 2, and passes it on once', async () => {
    const broker = await start()
    const listener = await connectClient(at(broker), { clientId: 'listener', clean: false })
    await listener.mqtt.subscribeAsync('x/#', { qos: 2 })
    await listener.mqtt.endAsync()
    const client = await raw(at(broker), 'sender')
    const message = {
      cmd: 'publish',
      topic: 'x/1',
      payload: 'once',
      qos: 2,
      messageId: 9,
      retain: false,
      dup: false,
    } as const
    client.sendPacket(message)
    await has(client, ({ cmd }) => cmd === 'pubrec')
    client.destroy()
    await broker.stop()

    expect(imported().counts).toMatchObject({ sessions: 2, queued: 0, delayed: 1 })
    const gateway = await startGateway({ inMemory: false, dataDir })
    const back = await raw(gateway, 'sender')
    back.sendPacket({ ...message, dup: true })
    await has(back, ({ cmd }) => cmd === 'pubrec')
    back.sendPacket({ cmd: 'pubrel', messageId: 9 })
    await has(back, ({ cmd }) => cmd === 'pubcomp')
    const hears = await connectClient(gateway, { clientId: 'listener', clean: false })
    await hears.until(1)
    const last = await connectClient(gateway)
    await last.mqtt.publishAsync('x/2', 'last', { qos: 2 })
    await hears.until(2)
    expect(hears.texts()).toEqual(['once', 'last'])
    back.destroy()
  })

  it('can be cut off anywhere or damaged, and then nothing is imported, or what is whole', async () => {
    const broker = await start()
    const client = await connectClient(at(broker), { clientId: 'a', clean: false })
    await client.mqtt.subscribeAsync('t/#', { qos: 1 })
    await client.mqtt.endAsync()
    const publisher = await connectClient(at(broker), { protocolVersion: 5 })
    for (let n = 0; n < 5; n++)
      await publisher.mqtt.publishAsync(`t/${n}`, `payload ${n}`, {
        qos: 1,
        retain: n === 2,
        properties: { contentType: 'x' },
      })
    await publisher.mqtt.endAsync()
    await broker.stop()
    const whole = readFileSync(file)
    const chunkEnds = new Set<number>()
    for (let end = 23; end < whole.length; end += 8 + whole.readUInt32BE(end + 4)) chunkEnds.add(end)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (length) => {
        fc.pre(length === 23 || !chunkEnds.has(length))
        writeFileSync(file, whole.subarray(0, length))
        const beginning = /line 1 is|the file is empty/
        expect(() => imported()).toThrow(length < 15 ? beginning : /chunk \d+ at byte \d+ is cut off|truncated/)
      }),
      { numRuns: 30, examples: [[0], [10], [20], [23], [28]] },
    )
    expect(readdirSync(dataDir)).toEqual(['lock'])
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }), (position, mask) => {
        const damaged = Buffer.from(whole)
        damaged[position]! ^= mask
        writeFileSync(file, damaged)
        const directory = join(folder, 'damaged')
        rmSync(directory, { recursive: true, force: true })
        mkdirSync(directory)
        try {
          imported(false, directory)
        } catch (error) {
          expect((error as Error).name).toBe('StoreError')
          expect((error as Error).message).toContain(file)
          expect(readdirSync(directory)).toEqual(['lock'])
        }
      }),
      { numRuns: 40 },
    )
  })

  it('of another format is refused by its number', async () => {
    const header = (format: number) => {
      const bytes = Buffer.concat([Buffer.from('\u0000\u00b5\u0000mosquitto db', 'latin1'), Buffer.alloc(8)])
      bytes.writeUInt32BE(format, 19)
      return bytes
    }
    for (const [format, text] of [
      [4, 'persistence format 4, of a Mosquitto before 1.6'],
      [7, 'persistence format 7, and 5 and 6'],
      [6, 'ends behind its header'],
    ] as const) {
      writeFileSync(file, header(format))
      expect(() => imported()).toThrow(text)
    }
  })

  it('of Mosquitto 1.6 has clients without user names', async () => {
    const broker = await start()
    const client = await connectClient(at(broker), { clientId: 'old', clean: false, username: 'anna' })
    await client.mqtt.subscribeAsync('t/#', { qos: 1 })
    await client.mqtt.endAsync()
    await broker.stop()
    writeFileSync(file, asFormat5(readFileSync(file)))
    expect(imported(true).counts).toMatchObject({ sessions: 1, subscriptions: 1 })
    const all = await survived()
    expect([...clientIdsOf(all).values()]).toEqual(['old'])
    expect(all.sessions[0]).toMatchObject({ username: '', principal: '' })
  })
})

/** The same with clients as format 5 has them: no port, no user name. */
function asFormat5(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from(bytes.subarray(0, 23))]
  parts[0]!.writeUInt32BE(5, 19)
  for (let at = 23; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4)
    const chunk = bytes.subarray(at + 8, at + 8 + length)
    const header = Buffer.from(bytes.subarray(at, at + 8))
    at += 8 + length
    const isClient = header.readUInt32BE(0) === 6
    const body = isClient
      ? Buffer.concat([chunk.subarray(0, 16), chunk.subarray(24, 24 + chunk.readUInt16BE(14))])
      : chunk
    header.writeUInt32BE(body.length, 4)
    parts.push(header, body)
  }
  return Buffer.concat(parts)
}
