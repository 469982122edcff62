/** What the engine does with a fault of ours, and what the next process makes of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway.ts'
import { FaultHistory } from '../../src/process/fault-history.ts'
import { connack, connect, publish } from '../conformance/bytes.ts'
import { openTcp } from '../conformance/client.ts'

const minute = 60_000
const start = 1_800_000_000_000

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-faults-'))
})
afterEach(() => rmSync(dataDir, { recursive: true }))

describe('the history of faults', () => {
  const fault = (clientId: string, address = '192.0.2.1:4711') => ({ clientId, address, packet: '30', error: 'Error' })

  function historyOf(
    ...faults: [minutes: number, clientId: string, address?: string][]
  ): (now: number) => FaultHistory {
    for (const [minutes, clientId, address] of faults) {
      new FaultHistory(dataDir, () => start + minutes * minute).record(fault(clientId, address))
    }
    return (minutes) => new FaultHistory(dataDir, () => start + minutes * minute)
  }

  it('refuses a client for an hour that was there twice within ten minutes', () => {
    const at = historyOf([0, 'c'], [9, 'c', '192.0.2.9:1'])
    expect(at(10).refuses('c', '192.0.2.77:5')).toBe(true)
    expect(at(10).refuses('d', '192.0.2.1:4711')).toBe(false)
    expect(at(68).bans).toMatchObject([{ clientId: 'c', until: start + 69 * minute }])
    expect(at(69).refuses('c', '192.0.2.1:4711')).toBe(false)
    expect(at(69).count).toBe(0)
  })

  it('refuses nobody for one fault, for two that lie apart, or for one of each of two', () => {
    const at = historyOf([0, 'c'], [11, 'c'], [12, 'd'], [13, ''], [13, '', ''], [13, '', ''])
    expect(at(14).count).toBe(0)
  })

  it('goes by the address where there was no client id yet, whatever the port', () => {
    const at = historyOf([0, '', '192.0.2.1:1'], [1, '', '192.0.2.1:2'])
    expect(at(2).refuses('', '192.0.2.1:3')).toBe(true)
    expect(at(2).refuses('c', '192.0.2.1:3')).toBe(true)
    expect(at(2).refuses('c', '192.0.2.2:1')).toBe(false)
  })

  it('refuses nobody of another namespace, and whoever was not let in yet by the client id alone', () => {
    for (const minutes of [0, 1]) {
      const history = new FaultHistory(dataDir, () => start + minutes * minute)
      history.record({ ...fault('c'), namespace: 'lab' })
      history.record(fault('d'))
    }
    const history = new FaultHistory(dataDir, () => start + 2 * minute)
    expect(history.refuses('c', '192.0.2.1:4711')).toBe(false)
    expect([history.refusesIn('lab', 'c'), history.refusesIn('plant', 'c')]).toEqual([true, false])
    expect(history.refuses('d', '192.0.2.1:4711')).toBe(true)
    expect(history.bans).toMatchObject([{ clientId: 'c', namespace: 'lab' }, { clientId: 'd' }])
  })

  it('survives a line that was cut off, a clock that was ahead, and a folder that is not there', () => {
    const at = historyOf([0, 'c'], [100_000, 'd'], [100_001, 'd'])
    writeFileSync(join(dataDir, 'faults.jsonl'), `${readFileSync(join(dataDir, 'faults.jsonl'), 'utf8')}{"at":1`)
    expect(at(0).bans).toMatchObject([{ clientId: 'd', until: start + 60 * minute }])
    expect(new FaultHistory(join(dataDir, 'none'), Date.now).count).toBe(0)
  })
})

describe('a fault of the gateway itself', () => {
  async function faultyGateway(options: GatewayOptions = {}): Promise<Gateway> {
    const gateway = await createGateway({ dataDir, mqttPort: 0, httpPort: false, logLevel: 'silent', ...options })
    await gateway.listen()
    const { route } = gateway.broker.topics
    gateway.broker.topics.route = (entry) => {
      if (entry.topic === 'fault') throw new Error('a fault')
      return route.call(gateway.broker.topics, entry)
    }
    return gateway
  }

  async function meetFault(gateway: Gateway): Promise<void> {
    const bystander = await openTcp(gateway.addresses.mqtt!)
    bystander.send(connect({ clientId: 'bystander' }))
    await bystander.expectPacket(connack())
    const client = await openTcp(gateway.addresses.mqtt!)
    client.send(connect({ clientId: 'c' }))
    await client.expectPacket(connack())
    client.send(publish({ topic: 'fine', qos: 1, id: 1 }), publish({ topic: 'fault', qos: 1, id: 2 }))
    // Neither is acknowledged: nothing leaves any more.
    await client.expectClosed()
    await bystander.expectClosed()
    await expect(gateway.failed).rejects.toThrow('a fault')
    expect(gateway.metrics()['mqtt_internal_errors_total']).toBe(1)
    await expect(gateway.publish({ topic: 't' })).rejects.toThrow('stopped')
    await gateway.close()
  }

  it('ends everything, is recorded with the packet, and the second time its client is refused', async () => {
    await meetFault(await faultyGateway())
    await meetFault(await faultyGateway())
    const lines = readFileSync(join(dataDir, 'faults.jsonl'), 'utf8').trim().split('\n')
    const packet = Buffer.from(publish({ topic: 'fault', qos: 1, id: 2 })).toString('hex')
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject(
      Array(2).fill({ clientId: 'c', packet, error: 'Error: a fault' }),
    )
    const gateway = await faultyGateway()
    const client = await openTcp(gateway.addresses.mqtt!)
    client.send(connect({ clientId: 'c' }))
    await client.expectPacket(connack(5))
    expect(gateway.metrics()['mqtt_banned_clients']).toBe(1)
    expect(gateway.metrics()['mqtt_connects_total{result="banned"}']).toBe(1)
    await gateway.close()
  })

  it('does not keep out the client of the same client id in another namespace', async () => {
    const listeners = ['lab', 'plant'].map((name) => ({ name, kind: 'tcp' as const, port: 0, namespace: name }))
    const options = { mqttPort: undefined, httpPort: undefined, listeners, namespaces: { lab: {}, plant: {} } }
    const port = (gateway: Gateway, name: string) => gateway.listeners.find((one) => one.name === name)!
    for (const _ of [1, 2]) {
      const gateway = await faultyGateway(options)
      const client = await openTcp(port(gateway, 'lab'))
      client.send(connect({ clientId: 'c' }), publish({ topic: 'fault', qos: 1, id: 2 }))
      await expect(gateway.failed).rejects.toThrow('a fault')
      await gateway.close()
    }
    const gateway = await faultyGateway(options)
    for (const [name, code] of [
      ['lab', 5],
      ['plant', 0],
    ] as const) {
      const client = await openTcp(port(gateway, name))
      client.send(connect({ clientId: 'c' }))
      await client.expectPacket(connack(code))
    }
    await gateway.close()
  })

  it('that a program meets in what it asks for is told to it, and ends everything as well', async () => {
    const gateway = await faultyGateway()
    await expect(gateway.publish({ topic: 'fault' })).rejects.toThrow('a fault')
    await expect(gateway.failed).rejects.toThrow('a fault')
    await gateway.close()
  })

  it('leaves nothing of its turn in the store', async () => {
    const gateway = await faultyGateway()
    const client = await openTcp(gateway.addresses.mqtt!)
    client.send(connect({ clientId: 'c' }))
    await client.expectPacket(connack())
    const retained = { payload: 'x', qos: 1, retain: true } as const
    // In one chunk: both belong to one turn.
    client.send(publish({ topic: 'kept', id: 1, ...retained }), publish({ topic: 'fault', id: 2, ...retained }))
    await client.expectClosed()
    await gateway.close()
    const next = await faultyGateway()
    expect([
      next.broker.defaultNamespace.retained.get('kept'),
      next.broker.defaultNamespace.retained.get('fault'),
    ]).toEqual([null, null])
    await next.close()
  })

  it('tells the program, which waits for a commit that may or may not have been made', async () => {
    const gateway = await faultyGateway()
    const waiting = gateway.publish({ topic: 'on its way', payload: 'x', retain: true })
    await expect(gateway.publish({ topic: 'fault', payload: 'x', retain: true })).rejects.toThrow('a fault')
    await expect(waiting).rejects.toThrow('a fault')
    await gateway.close()
  })

  it.each(['onTurn', 'onCommit'] as const)('in %s ends everything as well', async (name) => {
    const gateway = await faultyGateway()
    const { broker } = gateway
    broker[name] = () => {
      throw new Error('a fault')
    }
    if (name === 'onTurn') Object.defineProperty(broker, 'turnWanted', { get: () => true })
    await gateway.publish({ topic: 't', payload: 'x', retain: true }).catch(() => {})
    await expect(gateway.failed).rejects.toThrow('a fault')
    await gateway.close()
  })

  it('is not what a program does wrong', async () => {
    const gateway = await faultyGateway()
    expect(() => gateway.subscribe('a/#/b')).toThrow("can't subscribe")
    await expect(gateway.publish({ topic: 'a/'.repeat(300) })).rejects.toThrow('levels')
    await gateway.publish({ topic: 'fine' })
    expect(gateway.metrics()['mqtt_internal_errors_total']).toBe(0)
    await gateway.close()
  })
})
