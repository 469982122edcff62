/** What a client may send to queues with bad intent: whatever it is, the gateway goes on, and the others' messages stay theirs. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { publishWith, queueOf, queueWorld, worker } from './queue-world.ts'
import type { World } from './world.ts'

/** JSON that is an object to `JSON.parse` and trouble to whoever takes its values for text. */
const hostile = [
  '{"delayMs":{"toString":0}}',
  '{"delayMs":{"toString":null,"valueOf":null}}',
  `{"delayMs":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
  '{"delivery":{"toString":0},"reason":["x"],"delayMs":[1]}',
  '{"__proto__":{"delivery":"x"},"delayMs":-0}',
  '{"delivery":null,"reason":null,"delayMs":1e999}',
  `{"reason":"${'\\ud800'.repeat(600)}"}`,
  `{"reason":"${'\\u0000'.repeat(10)}"}`,
  `{"delivery":"${'z'.repeat(11)}-${'z'.repeat(11)}-0"}`,
  '{',
  '{}',
]

describe('a published verdict', () => {
  it.each(hostile)('that says %.60s ends nothing but, at most, the message it is about', (payload) => {
    for (const verdict of ['$ack', '$nack', '$reject', '$extend']) {
      const world = queueWorld()
      const device = worker(world, 'w')
      publishWith(world.connected('p'), 'jobs/1', 'a')
      device.take()
      const stranger = world.connected('s')
      expect(() => publishWith(stranger, `$queue/jobs/${verdict}`, payload)).not.toThrow()
      expect(() => publishWith(device, `$queue/jobs/${verdict}`, payload)).not.toThrow()
      expect(device.link.closed).toBeUndefined()
    }
  })
})

it('a queue that is not there is refused in words that MQTT can carry, whatever its name is', () => {
  const world = queueWorld()
  const device = world.connected('c')
  for (const name of ['x'.repeat(5000), ...Array.from({ length: 4 }, (_, i) => 'x'.repeat(i) + '😀'.repeat(2000))]) {
    device.subscribe(`$queue/${name}`, 1)
    expect(device.take()).toMatchObject([{ type: 'suback', reasonCodes: [0x8f] }])
  }
})

describe('a message to a queue', () => {
  it('is retained nowhere, by PUBLISH or by will', () => {
    const world = queueWorld()
    const publisher = world.connected('p')
    publisher.publish('$queue/jobs', 'x', { qos: 1, retain: true })
    const will = { topic: '$queue/jobs/a', payload: new Uint8Array(1), qos: 1, retain: true } as const
    const dying = world.connected('d', { will: { ...will, properties: {}, forwardProperties: new Uint8Array(0) } })
    dying.drop()
    expect(queueOf(world).count).toBe(2)
    expect(world.broker.defaultNamespace.retained.count).toBe(0)
    const device = worker(world, 'w')
    expect(device.takePublishes().map(({ retain }) => retain)).toEqual([false, false])
  })
})

const names = ['a', 'b', 'c'] as const
const verbs = ['$ack', '$nack', '$reject', '$extend', 'x/y', '$ack/x', ''] as const
const step = fc.record({
  client: fc.constantFrom(...names),
  what: fc.constantFrom(
    'connect',
    'resume',
    'drop',
    'leave',
    'subscribe',
    'unsubscribe',
    'publish',
    'verdict',
    'answer',
    'wait',
  ),
  filter: fc.constantFrom(
    '$queue/jobs',
    '$queue/jobs/jobs/#',
    '$queue/tiny',
    '#',
    '$queue/#',
    '$share/g/$queue/jobs',
    '$queue/',
  ),
  verb: fc.constantFrom(...verbs),
  payload: fc.constantFrom(...hostile, 'x', ''),
  qos: fc.constantFrom(0, 1, 2),
  reason: fc.constantFrom(0, 0x80, 0x83, 0x87, 0x97, 0x99),
  properties: fc.dictionary(
    fc.constantFrom('priority', 'key', 'queue-delivery', 'delay-ms', 'reason', 'settle', 'prefetch', 'queue-attempt'),
    fc.constantFrom('0', '9', '99', '-1', 'explicit', 'puback', '1-0-0', '', 'NaN', '\ufeff'),
    { maxKeys: 3 },
  ),
})

it('any number of clients may do whatever they like with queues: the gateway goes on, and its counts stay true', () => {
  const property = fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const world = queueWorld({ attemptsMax: 2, messagesMax: 5, overflow: 'drop-oldest', orderBy: 'key' } as never)
    const devices = new Map<string, ReturnType<World['device']>>()
    for (const one of steps) {
      const device = devices.get(one.client)
      const userProperties = Object.entries(one.properties)
      if (one.what === 'wait') world.advance(30_000)
      else if (one.what === 'connect' || one.what === 'resume') {
        const made = world.device()
        devices.set(one.client, made)
        made.connect({
          clientId: one.client,
          cleanStart: one.what === 'connect',
          properties: { sessionExpiryInterval: one.qos * 20 },
        })
      } else if (device === undefined || device.link.closed !== undefined) continue
      else if (one.what === 'drop') device.drop()
      else if (one.what === 'leave') device.disconnect()
      else if (one.what === 'subscribe') device.subscribe(one.filter, one.qos as 0, {}, { userProperties })
      else if (one.what === 'unsubscribe') device.unsubscribe(one.filter)
      else if (one.what === 'publish') publishWith(device, 'jobs/1', one.payload, one.properties, one.qos as 0)
      else if (one.what === 'verdict') publishWith(device, `$queue/jobs/${one.verb}`, one.payload, one.properties, 1)
      world.turn()
      for (const other of devices.values()) other.take()
    }
    const queue = queueOf(world)
    expect(queue.count).toBeLessThanOrEqual(5)
    for (const device of devices.values()) if (device.link.closed === undefined) device.drop()
    world.advance(3_600_000)
    expect(queue.leased).toBe(0)
    expect(queue.waiting).toBeGreaterThanOrEqual(0)
    const held = [...world.broker.defaultNamespace.queues.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    expect(world.broker.defaultNamespace.quotas.queuedBytes.used).toBe(held)
  })
  fc.assert(property, { numRuns: 300 })
}, 120_000)
