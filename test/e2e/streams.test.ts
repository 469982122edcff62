/** Streams with real clients: replayed from anywhere, gone on with, shared by a group, refused, changed by a reload. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, cut, startGateway, versions } from './gateway.ts'
import { runCommand } from './program.ts'

const options: GatewayOptions = {
  streams: { meters: { filter: 'meters/#' }, all: { filter: '#', startAt: 'earliest' } },
}

async function publish(gateway: Gateway, from: number, to: number, topic = 'meters/1'): Promise<void> {
  for (let i = from; i < to; i++) await gateway.publish({ topic, payload: `${i}`, qos: 1 })
}

const texts = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}`)
const place = (words: string) => ({ qos: 1 as const, properties: { userProperties: { 'stream-offset': words } } })
const figure = (gateway: Gateway, name: string) =>
  gateway.metrics()[`mqtt_stream_${name}{namespace="default",stream="meters"}`]

describe('a reader', () => {
  it.each(versions)(
    'of MQTT $name gets what was there and then what comes, in order, under its own topic',
    async (one) => {
      const gateway = await startGateway(options)
      await publish(gateway, 0, 250)
      const reader = await connectClient(gateway, one.options)
      await reader.mqtt.subscribeAsync('$stream/meters@earliest', { qos: 1 })
      await reader.until(250)
      await publish(gateway, 250, 260)
      await reader.until(260)
      expect(reader.texts()).toEqual(texts(0, 260))
      expect(reader.received[0]).toMatchObject({ topic: 'meters/1', qos: 1, retain: false, dup: false })
      await eventually(() => figure(gateway, 'delivered_total')).toBe(260)
    },
  )

  it('at QoS 0 gets all of it too, as fast as its connection takes it', async () => {
    const gateway = await startGateway(options)
    const payload = 'x'.repeat(20_000)
    for (let i = 0; i < 400; i++) await gateway.publish({ topic: 'meters/1', payload: `${i} ${payload}`, qos: 1 })
    const reader = await connectClient(gateway, { protocolVersion: 5 })
    await reader.mqtt.subscribeAsync('$stream/meters@earliest', { qos: 0 })
    await reader.until(400)
    expect(reader.texts().map((text) => text.split(' ')[0])).toEqual(texts(0, 400))
    expect(gateway.metrics()['mqtt_messages_dropped_total{reason="slow_consumer"}'] ?? 0).toBe(0)
  })

  it.each([
    ['earliest', texts(0, 5)],
    ['first', texts(0, 5)],
    ['0', texts(0, 5)],
    ['-1h', texts(0, 5)],
    ['last', ['4']],
    ['offset:3', ['3', '4']],
    ['latest', []],
    ['2000-01-01T00:00:00Z', texts(0, 5)],
  ])('of 5.0 begins at %s, and is told offset and time', async (words, expected) => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 5)
    const reader = await connectClient(gateway, { protocolVersion: 5 })
    await reader.mqtt.subscribeAsync('$stream/meters', place(words))
    await publish(gateway, 5, 6)
    await reader.until(expected.length + 1)
    expect(reader.texts()).toEqual([...expected, '5'])
    const { userProperties } = reader.received.at(-1)!.properties!
    expect(userProperties).toMatchObject({ 'stream-offset': '5', ts: expect.stringMatching(/^\d{16}$/) })
  })

  it('that names no place begins where the stream says', async () => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 2)
    const [late, early] = [await connectClient(gateway), await connectClient(gateway)]
    await late.mqtt.subscribeAsync('$stream/meters', { qos: 1 })
    await early.mqtt.subscribeAsync('$stream/all', { qos: 1 })
    await publish(gateway, 2, 3)
    await Promise.all([late.until(1), early.until(3)])
    expect([late.texts(), early.texts()]).toEqual([['2'], ['0', '1', '2']])
  })

  it('with a filter gets one device’s history only', async () => {
    const gateway = await startGateway(options)
    for (let i = 0; i < 6; i++) await publish(gateway, i, i + 1, `meters/${i % 2}`)
    const reader = await connectClient(gateway)
    await reader.mqtt.subscribeAsync('$stream/meters@earliest/meters/1', { qos: 1 })
    await publish(gateway, 6, 8, 'meters/1')
    await reader.until(5)
    expect(reader.texts()).toEqual(['1', '3', '5', '6', '7'])
  })

  it('whose session outlives its connection goes on where it was, whatever place it names', async () => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 3)
    const session = { clientId: 'back', clean: false }
    const reader = await connectClient(gateway, session)
    await reader.mqtt.subscribeAsync('$stream/meters@earliest', { qos: 1 })
    await reader.until(3)
    await reader.mqtt.endAsync()
    await publish(gateway, 3, 5)
    const again = await connectClient(gateway, session)
    await again.mqtt.subscribeAsync('$stream/meters@earliest', { qos: 1 })
    await publish(gateway, 5, 6)
    await again.until(3)
    expect(again.texts()).toEqual(['3', '4', '5'])
  })

  it('that was cut off gets again what it had not acknowledged, marked, and then the rest', async () => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 3)
    const session = {
      clientId: 'cut',
      protocolVersion: 5,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    } as const
    const reader = await connectClient(gateway, { ...session, customHandleAcks: () => {} })
    await reader.mqtt.subscribeAsync('$stream/meters@earliest', { qos: 1 })
    await eventually(() => figure(gateway, 'delivered_total')).toBe(3)
    await cut(reader)
    const again = await connectClient(gateway, session)
    await again.until(3)
    expect(again.texts()).toEqual(['0', '1', '2'])
    expect(again.received.map(({ dup }) => dup)).toEqual([true, true, true])
  })

  it('that comes too late is told how many messages are gone', async () => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 5)
    const { port } = gateway.addresses.http!
    const token = gateway.addApiToken('o', 'operator')
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const body = '{"before":"offset:4"}'
    await fetch(`http://127.0.0.1:${port}/api/v1/streams/meters/trim`, { method: 'POST', headers, body })
    const reader = await connectClient(gateway, { protocolVersion: 5 })
    await reader.mqtt.subscribeAsync('$stream/meters', place('offset:1'))
    await reader.until(1)
    expect(reader.texts()).toEqual(['4'])
    expect(reader.received[0]!.properties!.userProperties).toMatchObject({ 'stream-gap': '3' })
    expect([figure(gateway, 'gaps_total'), figure(gateway, 'missed_total')]).toEqual([1, 3])
  })
})

describe('a group', () => {
  it('shares the messages: each goes to one member, and what is with one that is cut off goes to another', async () => {
    const gateway = await startGateway(options)
    const [one, two] = [await connectClient(gateway), await connectClient(gateway)]
    for (const { mqtt } of [one, two]) await mqtt.subscribeAsync('$share/g/$stream/meters@earliest', { qos: 1 })
    await publish(gateway, 0, 20)
    await eventually(() => [...one.texts(), ...two.texts()].toSorted((a, b) => Number(a) - Number(b))).toEqual(
      texts(0, 20),
    )
    expect(Math.min(one.received.length, two.received.length)).toBeGreaterThan(0)
    const dying = await connectClient(gateway, { protocolVersion: 5, customHandleAcks: () => {} })
    await Promise.all([one, two].map(({ mqtt }) => mqtt.endAsync()))
    await dying.mqtt.subscribeAsync('$share/g/$stream/meters', { qos: 1 })
    await publish(gateway, 20, 23)
    await eventually(() => figure(gateway, 'delivered_total')).toBe(23)
    await cut(dying)
    const heir = await connectClient(gateway)
    await heir.mqtt.subscribeAsync('$share/g/$stream/meters', { qos: 1 })
    await heir.until(3)
    expect(heir.texts().toSorted()).toEqual(['20', '21', '22'])
  })

  it('remembers how far it is when nobody is there', async () => {
    const gateway = await startGateway(options)
    const first = await connectClient(gateway)
    await first.mqtt.subscribeAsync('$share/g/$stream/meters', { qos: 1 })
    await publish(gateway, 0, 2)
    await first.until(2)
    await eventually(() => figure(gateway, 'lag')).toBe(0)
    await first.mqtt.endAsync()
    await publish(gateway, 2, 4)
    expect(figure(gateway, 'lag')).toBe(2)
    const second = await connectClient(gateway)
    await second.mqtt.subscribeAsync('$share/g/$stream/meters@earliest', { qos: 1 })
    await second.until(2)
    expect(second.texts()).toEqual(['2', '3'])
  })
})

describe('a subscriber', () => {
  it.each([
    ['a stream that is not there', '$stream/other', 0x8f],
    ['wildcards in the name', '$stream/+', 0x8f],
    ['every stream', '$stream/#', 0x8f],
    ['a start that is none', '$stream/meters@yesterday', 0x83],
    ['a group of a stream that is not there', '$share/g/$stream/other', 0x8f],
  ] as const)('is told that there is no such thing as %s', async (_what, filter, code) => {
    const gateway = await startGateway(options)
    const five = await connectClient(gateway, { protocolVersion: 5 })
    const refused = await five.mqtt.subscribeAsync(filter, { qos: 1 }).catch((error: unknown) => error)
    expect(JSON.stringify(refused)).toContain(String(code))
    const four = await connectClient(gateway, { protocolVersion: 4 })
    const answer = await four.mqtt.subscribeAsync(filter, { qos: 1 }).catch((error: unknown) => error)
    expect(answer instanceof Error || (answer as { qos: number }[])[0]!.qos === 128).toBe(true)
    expect(five.mqtt.connected && four.mqtt.connected).toBe(true)
  })

  it('of everything reads no stream, and one at QoS 2 is granted QoS 1', async () => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 3)
    const client = await connectClient(gateway, { protocolVersion: 5 })
    await client.mqtt.subscribeAsync(['#', '+/#'], { qos: 1 })
    expect(await client.mqtt.subscribeAsync('$stream/meters', { qos: 2 })).toMatchObject([{ qos: 1 }])
    await client.mqtt.unsubscribeAsync('$stream/meters')
    await publish(gateway, 3, 4)
    await eventually(() => client.texts().includes('3')).toBe(true)
    expect(client.texts()).not.toContain('0')
  })

  it('reads what the rules let it: by the stream’s name, or by the topics that it asks for', async () => {
    const rules = [
      { allow: ['publish' as const], topic: '#' },
      { allow: ['subscribe' as const], topic: 'meters/1' },
      { allow: ['consume' as const], topic: '$stream/all' },
    ]
    const gateway = await startGateway({ ...options, authorization: { rules } })
    const client = await connectClient(gateway, { protocolVersion: 5 })
    const granted = async (filter: string) =>
      client.mqtt.subscribeAsync(filter, { qos: 1 }).then(
        ([answer]) => answer!.qos,
        () => 0x87,
      )
    expect(await granted('$stream/meters')).toBe(0x87)
    expect(await granted('$stream/meters/meters/2')).toBe(0x87)
    expect(await granted('$stream/meters/meters/1')).toBe(1)
    expect(await granted('$stream/all')).toBe(1)
    expect(await granted('$share/g/$stream/meters')).toBe(0x87)
  })
})

describe('the commands', () => {
  it('list, show, read and trim streams, and move and delete cursors', async () => {
    const gateway = await startGateway(options)
    await publish(gateway, 0, 5)
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-token-'))
    writeFileSync(join(folder, 'token'), gateway.addApiToken('operator', 'operator'))
    const streams = async (...words: string[]) => {
      const more = ['--url', `http://127.0.0.1:${gateway.addresses.http!.port}`, '--token-file', join(folder, 'token')]
      const { stdout, stderr } = await runCommand(['streams', ...words, ...more])
      return stdout.toString() + stderr
    }
    expect(await streams('list')).toMatch(/default +meters +5 +\d+ +0 +5 .* true +meters\/#/)
    expect(await streams('show', 'meters')).toMatch(/nextOffset +5[\s\S]*appended +5/)
    expect(await streams('read', 'meters', '--from', '-1h', '--filter', 'meters/+', '--limit', '2')).toMatch(
      /offset +at[\s\S]*\n0 .*meters\/1 +1 +0\n1 .*\n.*there is more/,
    )
    expect(await streams('read', 'meters', '--from', 'offset:4', '--json')).toContain('"offset": 4')
    expect(await streams('cursors', 'move', 'meters', '--group', 'g', '--to', 'offset:3')).toMatch(/\ng +- +3 +2/)
    expect(await streams('cursors', 'list', 'meters')).toMatch(/\ng +- +- +3 +2/)
    expect(await streams('trim', 'meters', '--before', 'offset:2')).toBe('2 dropped\n')
    expect(await streams('cursors', 'delete', 'meters', '--group', 'g')).toBe('deleted\n')
    expect(await streams('cursors', 'delete', 'meters', '--group', 'g')).toMatch(/no such group/)
    expect(await streams('show', 'nothing')).toMatch(/there is no stream of this name/)
    rmSync(folder, { recursive: true })
  })
})

describe('a reload', () => {
  it('adds streams, changes them, keeps their filter, and what one that is gone has is there when it is declared again', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-streams-'))
    const own = { mqttPort: 0, httpPort: false, dataDir, logLevel: 'silent' } as const
    const gateway = await createGateway({ ...own, streams: { meters: { filter: 'meters/#' } } })
    await gateway.listen()
    try {
      await publish(gateway, 0, 2)
      await gateway.reload({
        ...own,
        streams: { meters: { filter: 'other/#', startAt: 'earliest' }, more: { filter: 'more' } },
      })
      await publish(gateway, 2, 3)
      await publish(gateway, 0, 1, 'more')
      expect([figure(gateway, 'messages'), figure(gateway, 'next_offset')]).toEqual([3, 3])
      const reader = await connectClient(gateway)
      await reader.mqtt.subscribeAsync('$stream/meters', { qos: 1 })
      await reader.until(3)
      await gateway.reload({ ...own })
      await publish(gateway, 9, 10)
      expect(figure(gateway, 'readers')).toBe(0)
      await expect(reader.mqtt.subscribeAsync('$stream/meters', { qos: 1 })).rejects.toThrow()
      await gateway.reload({ ...own, streams: { meters: { filter: 'meters/#' } } })
      await publish(gateway, 3, 4)
      const later = await connectClient(gateway)
      await later.mqtt.subscribeAsync('$stream/meters@earliest', { qos: 1 })
      await later.until(4)
      expect(later.texts()).toEqual(['0', '1', '2', '3'])
    } finally {
      await gateway.close()
      rmSync(dataDir, { recursive: true })
    }
  })
})
