import { afterEach, describe, expect, test } from 'vitest'
import { faultsOf } from '../../bench/generator/jobs/throughput.ts'
import type { Endpoint, Transport } from '../../bench/generator/link.ts'
import { defaultLoad, Load, type LoadSpec, type Totals } from '../../bench/generator/load.ts'
import { settle } from '../../bench/generator/measurement.ts'
import { type Script, type ScriptedBroker, scriptedBroker } from './scripted-broker.ts'

const messages = 300
/** A scripted broker answers within a millisecond; what has not come after this is lost. */
const stallMs = 400

let broker: ScriptedBroker | undefined
let load: Load | undefined

afterEach(async () => {
  load?.close()
  await broker?.close()
})

/** Publishes `messages` messages through a scripted broker and accounts for them. */
async function carry(spec: Partial<LoadSpec>, script: Script = {}, transport: Transport = 'tcp'): Promise<Totals> {
  const started = await scriptedBroker(script, transport === 'websocket')
  broker = started
  const one = new Load({ ...defaultLoad, publishers: 1, subscribers: 1, windowMessages: 50, ...spec }, 'test')
  load = one
  const endpoint: Endpoint = { host: '127.0.0.1', port: started.port, transport }
  await one.openSubscribers(endpoint, 5000)
  await one.openPublishers(endpoint, 5000)
  const share = Math.ceil(messages / one.publishers.length)
  await new Promise<void>((resolve) => {
    one.plan = () => {
      for (const publisher of one.publishers) one.sent += publisher.publish(Math.min(7, share - publisher.sent), 0)
      if (one.sent >= messages) resolve()
      else one.wake()
    }
    one.start()
  })
  one.publishing = false
  await settle(one, stallMs)
  return one.totals()
}

const clean = { lost: 0, duplicated: 0, reordered: 0, refused: 0, foreign: 0 }

describe('the generator counts what was delivered', () => {
  test.each([0, 1, 2] as const)('all of it at QoS %i', async (qos) => {
    const totals = await carry({ publishQos: qos, subscribeQos: qos })
    expect(totals).toEqual({ sent: 300, expected: 300, delivered: 300, acknowledged: qos === 0 ? 0 : 300, ...clean })
    expect(faultsOf(load!, totals)).toEqual([])
  })

  test.each([1, 2] as const)('and acknowledges every delivery at QoS %i', async (qos) => {
    await carry({ publishQos: qos, subscribeQos: qos })
    await expect.poll(() => broker!.acknowledgements).toBe(300)
  })

  test('every frame that arrives in single bytes', async () => {
    expect(await carry({ payloadBytes: 200 }, { byteByByte: true })).toMatchObject({ delivered: 300, ...clean })
  })

  test('payloads larger than a read, of which it keeps only the beginning', async () => {
    const totals = await carry({ payloadBytes: 300_000, publishQos: 1, subscribeQos: 1 })
    expect(totals).toMatchObject({ delivered: 300, acknowledged: 300, ...clean })
  })

  // One size for each of the three forms of a WebSocket frame's length.
  test.each([64, 1000, 70_000])('messages of %i B over WebSocket', async (payloadBytes) => {
    expect(await carry({ payloadBytes }, {}, 'websocket')).toMatchObject({ delivered: 300, ...clean })
  })

  test('MQTT 5 messages whose properties the broker changed', async () => {
    const five = { version: 5, properties: true, publishQos: 1, subscribeQos: 1 } as const
    expect(await carry(five)).toMatchObject({ delivered: 300, acknowledged: 300, ...clean })
  })

  test('one copy per subscriber in a fan-out', async () => {
    const totals = await carry({ topology: 'fan-out', subscribers: 5 })
    expect(totals).toMatchObject({ sent: 300, expected: 1500, delivered: 1500, ...clean })
  })

  test('the messages of every publisher in a fan-in', async () => {
    const totals = await carry({ topology: 'fan-in', publishers: 6, topicsPerPublisher: 3 })
    expect(totals).toMatchObject({ sent: 300, delivered: 300, ...clean })
  })
})

describe('the generator notices', () => {
  test('each lost message, also at the end', async () => {
    const totals = await carry({}, { copies: (n) => (n === 10 || n === 11 || n === 299 ? 0 : 1) })
    expect(totals).toMatchObject({ delivered: 297, lost: 3, duplicated: 0 })
    expect(faultsOf(load!, totals)).toEqual(['3 of 300 messages lost'])
  })

  test('a loss that a duplicate of another message would hide in the sum', async () => {
    const totals = await carry({}, { copies: (n) => (n === 10 ? 0 : n === 20 ? 2 : 1) })
    expect(totals).toMatchObject({ delivered: 299, lost: 1, duplicated: 1 })
    expect(faultsOf(load!, totals)).toEqual(['1 of 300 messages lost', '1 messages delivered twice'])
  })

  test('a message that one of several subscribers did not get', async () => {
    let deliveries = 0
    const copies = (): number => (++deliveries === 777 ? 0 : 1)
    expect(await carry({ topology: 'fan-out', subscribers: 5 }, { copies })).toMatchObject({ lost: 1, delivered: 1499 })
  })

  test('messages out of order, without taking them for lost or doubled', async () => {
    const totals = await carry({}, { reverse: true })
    expect(totals).toMatchObject({ delivered: 300, lost: 0, duplicated: 0 })
    expect(totals.reordered).toBeGreaterThan(0)
  })

  test('a damaged payload', async () => {
    const damage = (bytes: Buffer, n: number): Buffer => (n === 5 ? Buffer.from(bytes).fill(0x20, 30) : bytes)
    const totals = await carry({}, { damage })
    expect(totals).toMatchObject({ foreign: 1, lost: 1 })
    expect(faultsOf(load!, totals)).toContain('1 messages with a damaged payload')
  })

  test('publishes that are never acknowledged', async () => {
    const totals = await carry({ publishQos: 1, subscribeQos: 0 }, { silent: true })
    expect(faultsOf(load!, totals)).toEqual(['300 messages never acknowledged'])
  })

  test('a refused subscription', async () => {
    await expect(carry({}, { subackCode: 0x80 })).rejects.toThrow('SUBSCRIBE refused with reason code 128')
  })

  test('a broker that closes the connection', async () => {
    const damage = (_: Buffer, n: number): Buffer => (n === 50 ? Buffer.of(0xe0, 0) : Buffer.alloc(0))
    const totals = await carry({ version: 5 }, { damage })
    expect(faultsOf(load!, totals)[0]).toBe('subscriber 0: DISCONNECT with reason code 0')
  })
})

// Each publisher sends more than it may have in flight, so an acknowledgement that is not counted stops it.
test.each([0, 1] as const)('the closed loop never has more outstanding than its window at QoS %i', async (qos) => {
  const started = await scriptedBroker()
  broker = started
  const qosLoad = { publishQos: qos, subscribeQos: qos } as const
  const one = new Load({ ...defaultLoad, ...qosLoad, publishers: 3, subscribers: 3, windowMessages: 20 }, 'test')
  load = one
  const endpoint: Endpoint = { host: '127.0.0.1', port: started.port, transport: 'tcp' }
  await one.openSubscribers(endpoint, 5000)
  await one.openPublishers(endpoint, 5000)
  let most = 0
  await new Promise<void>((resolve) => {
    one.onDelivery = () => {
      // The delivery that is being counted is off the window already.
      most = Math.max(most, one.sent - one.deliveredCount + 1)
      if (one.deliveredCount >= 4000) resolve()
    }
    one.start()
  })
  expect(most).toBeLessThanOrEqual(20)
  expect(most).toBeGreaterThan(10)
})
