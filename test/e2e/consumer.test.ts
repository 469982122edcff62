/** Consumers inside the program that have a session: what they have not acknowledged stays theirs. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { ConsumedMessage } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'

const text = ({ payload }: { payload: Uint8Array }) => Buffer.from(payload).toString()

test('messages are done when the program says so, and what it did not acknowledge survives a restart', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'mqtide-consumer-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const options = { clientId: 'billing', sessionExpirySeconds: 3600, receiveMaximum: 2 }
  const first = await startGateway({ inMemory: false, dataDir })
  const got: string[] = []
  const consumer = await first.consume('orders/#', options, async (message) => {
    got.push(text(message))
    if (text(message) === '1') expect(await message.ack()).toBe(true)
  })
  expect(consumer.sessionPresent).toBe(false)
  for (const payload of ['1', '2', '3', '4']) await first.publish({ topic: 'orders/new', payload, qos: 1 })
  // 2 and 3 fill the window.
  await eventually(() => got).toEqual(['1', '2', '3'])
  await first.close()
  expect(await consumer.ended).toBe('server_shutting_down')
  const second = await startGateway({ inMemory: false, dataDir })
  const again: [string, boolean][] = []
  const back = await second.consume('orders/#', options, async (message) => {
    again.push([text(message), message.dup])
    await message.ack()
  })
  expect(back.sessionPresent).toBe(true)
  await eventually(() => again).toEqual([
    ['2', true],
    ['3', true],
    ['4', false],
  ])
})

test('what is published while it is away waits, and messages come one at a time unless it says otherwise', async () => {
  const gateway = await startGateway()
  const options = { clientId: 'worker' }
  const first = await gateway.consume(['a', 'b'], options, () => {})
  await first.stop()
  expect(await first.ended).toBe('client')
  const writer = await connectClient(gateway)
  for (const payload of ['1', '2', '3']) await writer.mqtt.publishAsync('a', payload, { qos: 1 })
  await writer.mqtt.publishAsync('b', 'no more', { qos: 1 })
  const held: ConsumedMessage[] = []
  // What it does not ask for any more ends with its next beginning.
  const second = await gateway.consume('a', options, (message) => {
    held.push(message)
  })
  await writer.mqtt.publishAsync('b', 'not this', { qos: 1 })
  const expected = ['1', '2', '3', 'no more']
  for (const [index, message] of expected.entries()) {
    await eventually(() => held.map(text)).toEqual(expected.slice(0, index + 1))
    const [one] = held.slice(-1)
    expect(await one!.ack()).toBe(true)
    // A second time is no other message's.
    expect(await one!.ack()).toBe(true)
    expect(text(one!)).toBe(message)
  }
  await second.stop()
  expect(held).toHaveLength(4)
  expect(await held[3]!.ack()).toBe(false)
})

test('what it has and has not acknowledged is bounded in bytes', async () => {
  const gateway = await startGateway()
  const held: ConsumedMessage[] = []
  const options = { clientId: 'small', receiveMaximum: 100, windowBytesMax: 100_000 }
  await gateway.consume('big', options, (message) => {
    held.push(message)
  })
  const payload = new Uint8Array(60_000)
  for (let count = 0; count < 10; count++) await gateway.publish({ topic: 'big', payload, qos: 1 })
  await eventually(() => held.length).toBe(2)
  await held[0]!.ack()
  await eventually(() => held.length).toBe(3)
  for (let next = 1; next < 10; next++) {
    await eventually(() => held.length).toBeGreaterThan(next)
    await held[next]!.ack()
  }
  expect(held).toHaveLength(10)
})

test('a function that throws has not acknowledged: the message comes again to the next', async () => {
  const gateway = await startGateway()
  const first = await gateway.consume('a', { clientId: 'c' }, () => {
    throw new Error('no')
  })
  await gateway.publish({ topic: 'a', payload: 'x', qos: 1 })
  await eventually(() => gateway.metrics()['mqtide_hook_errors_total{hook="consume"}']).toBe(1)
  await first.stop()
  const got: [string, boolean][] = []
  await gateway.consume('a', { clientId: 'c' }, async (message) => {
    got.push([text(message), message.dup])
    await message.ack()
  })
  await eventually(() => got).toEqual([['x', true]])
})

test('at QoS 0 there is nothing to acknowledge', async () => {
  const gateway = await startGateway()
  const got: [string, number][] = []
  await gateway.consume('a', { clientId: 'c' }, (message) => {
    got.push([text(message), message.qos])
  })
  for (const payload of ['1', '2', '3']) await gateway.publish({ topic: 'a', payload })
  await eventually(() => got).toEqual([
    ['1', 0],
    ['2', 0],
    ['3', 0],
  ])
})

test('retained messages come to a new session only', async () => {
  const gateway = await startGateway()
  await gateway.publish({ topic: 'a/kept', payload: 'x', qos: 1, retain: true })
  for (const expected of [['x true'], []]) {
    const got: string[] = []
    const consumer = await gateway.consume('a/#', { clientId: 'c' }, async (message) => {
      got.push(`${text(message)} ${message.retain}`)
      await message.ack()
    })
    await gateway.publish({ topic: 'a/end', payload: 'end', qos: 1 })
    await eventually(() => got).toEqual([...expected, 'end false'])
    await consumer.stop()
  }
})

test('another with its client id takes its session, and it says so', async () => {
  const gateway = await startGateway()
  const first = await gateway.consume('a', { clientId: 'c' }, () => {})
  const second = await gateway.consume('a', { clientId: 'c' }, () => {})
  expect(await first.ended).toBe('session_taken_over')
  expect(second.sessionPresent).toBe(true)
  expect(gateway.disconnectClient('c')).toBe(true)
  expect(await second.ended).toBe('administrative_action')
})

test('where clients authenticate, nobody gets the session of the program', async () => {
  const gateway = await startGateway({ authenticator: { authenticate: () => ({ reasonCode: 0 }) } })
  const consumer = await gateway.consume('a', { clientId: 'c' }, () => {})
  const thief = { clientId: 'c', clean: false, username: 'eve', password: 'x' } as const
  const thieves = [thief, { ...thief, username: '$program' }]
  for (const one of thieves) await expect(connectClient(gateway, one)).rejects.toThrow()
  await consumer.stop()
  for (const one of thieves) await expect(connectClient(gateway, one)).rejects.toThrow()
})

test('what can not be consumed is refused in words', async () => {
  const gateway = await startGateway()
  const none = () => {}
  await expect(gateway.consume('a/#/b', { clientId: 'c' }, none)).rejects.toThrow('topic_filter_invalid')
  await expect(gateway.consume([], { clientId: 'c' }, none)).rejects.toThrow('a consumer needs a topic filter')
  await expect(gateway.consume('a', { clientId: '' }, none)).rejects.toThrow('a consumer needs a clientId')
  await expect(gateway.consume('a', { clientId: 'c', receiveMaximum: 0 }, none)).rejects.toThrow(
    'from 1 to 65535, got 0',
  )
  await expect(gateway.consume('a', { clientId: 'c', namespace: 'x' }, none)).rejects.toThrow(
    'no namespace is called x',
  )
})
