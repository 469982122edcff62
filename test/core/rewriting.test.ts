/** Topics and filters that become others before anything else is asked of them. */
import { describe, expect, it } from 'vitest'
import type { Grant } from '../../src/core/ports/authority.ts'
import { declareRewrites } from '../../src/core/rewrite/declare.ts'
import { Rewrites } from '../../src/core/rewrite/rewrites.ts'
import { type RewriteRule, ruleFaults } from '../../src/core/rewrite/rules.ts'
import { newMessage } from '../../src/engine/own-message.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { declared, queueOf } from './queue-world.ts'
import { type Device, World } from './world.ts'

const rule = (from: string, to: string | [string, number][], more: Partial<RewriteRule> = {}): RewriteRule => {
  const targets = typeof to === 'string' ? [[to, 1] as const] : to
  return { from, to: targets.map(([topic, weight]) => ({ topic, weight })), on: 'both', chooseBy: 'message', ...more }
}

const temp = rule('temp/{site}/{sensor}', 'sites/{site}/sensors/{sensor}/temperature')
const old = rule('old/{rest#}', 'plant/{rest#}')
const rulesOf = (...rules: RewriteRule[]) => ({ rewrites: { default: rules } })
const topics = (device: Device) => device.takePublishes().map(({ topic }) => topic)

describe('rules of rewriting', () => {
  const topic = (rewrites: Rewrites, name: string) => rewrites.topic(name)?.targets.map((one) => one.topic) ?? name

  it('take named levels over, in any order, one level each and the rest at the end', () => {
    const rewrites = new Rewrites([temp, old, rule('{a}/{b}/swap', '{b}/{a}'), rule('one/{x}', 'two')])
    expect(topic(rewrites, 'temp/7/door')).toEqual(['sites/7/sensors/door/temperature'])
    expect(topic(rewrites, 'old/a')).toEqual(['plant/a'])
    expect(topic(rewrites, 'old/a/b/c')).toEqual(['plant/a/b/c'])
    expect(topic(rewrites, 'x/y/swap')).toEqual(['y/x'])
    expect(topic(rewrites, 'one/')).toEqual(['two'])
    expect(topic(new Rewrites([rule('x/{__proto__}', 'y/{__proto__}')]), 'x/1')).toEqual(['y/1'])
    for (const same of ['temp', 'temp/7', 'temp/7/door/x', 'old', 'swap', '$SYS/temp/1/2', '$queue/old/x', 'x']) {
      expect(topic(rewrites, same)).toBe(same)
    }
  })

  it('are applied one after the other, the first that fits, and each once', () => {
    const rewrites = new Rewrites([
      rule('a/{x#}', 'b/{x#}'),
      rule('b/stop', 'end'),
      rule('b/{x#}', 'c/{x#}'),
      rule('{t}/data/{r#}', 'data/{t}/{r#}'),
    ])
    expect(topic(rewrites, 'a/1')).toEqual(['c/1'])
    expect(topic(rewrites, 'a/stop')).toEqual(['end'])
    expect(topic(rewrites, 'acme/data/1')).toEqual(['data/acme/1'])
    expect(topic(rewrites, 'data/data/1')).toEqual(['data/data/1'])
    expect(topic(rewrites, 'a/data/1')).toEqual(['data/c/1'])
  })

  it('rewrite filters that are about no more than the pattern, and the topic of what is delayed', () => {
    const rewrites = new Rewrites([temp, old])
    const filters = { 'temp/+/door': 'sites/+/sensors/door/temperature', 'old/#': 'plant/#', 'old/+/#': 'plant/+/#' }
    for (const [given, expected] of Object.entries(filters)) expect(rewrites.filter(given)).toBe(expected)
    expect(rewrites.filter('$share/g/old/+')).toBe('$share/g/plant/+')
    for (const same of ['#', 'temp/#', '+/7/door', 'temp/7/#', 'old', '$share/g', '$SYS/#']) {
      expect(rewrites.filter(same)).toBe(same)
    }
    expect(topic(rewrites, '$delayed/10/old/a')).toEqual(['$delayed/10/plant/a'])
    expect(topic(rewrites, '$delayed/cancel/old/a')).toBe('$delayed/cancel/old/a')
  })

  it('are refused where a pattern is none, a name is not given, or every topic would go round for ever', () => {
    const finding = (...rules: RewriteRule[]) =>
      ruleFaults(rules).map(({ index, of, finding: text }) => `${index} ${of}: ${text}`)
    expect(
      finding(temp, old, rule('{t}/data/{r#}', 'data/{t}/{r#}'), rule('q/{x}', '$queue/q', { on: 'publish' })),
    ).toEqual([])
    expect(finding(rule('', 'a'))[0]).toContain('0 from: a pattern has at least one level')
    expect(finding(rule('a/+', 'b'))[0]).toContain('+ is neither a level nor {name}')
    expect(finding(rule('a/{x#}/b', 'b'))[0]).toContain('{x#} may only stand at the end')
    expect(finding(rule('a/{x}/{x}', 'b'))[0]).toContain('{x} stands there twice')
    expect(finding(rule('$SYS/{x}', 'b'))[0]).toContain('0 from: what begins with $')
    expect(finding(rule('a/{x}', 'b/{y}'))[0]).toContain('0 to: {y} is not in from')
    expect(finding(rule('a/{x#}', 'b/{x}'))[0]).toContain('{x} has to be written as in from')
    expect(finding(rule('a', '$SYS/a'))[0]).toContain('only $queue/NAME')
    expect(finding(rule('a', '$queue/a'))[0]).toContain('a target of publish alone')
    expect(
      finding(
        rule('a', [
          ['b', 1],
          ['c', 1],
        ]),
      )[0],
    ).toContain('0 on: several targets')
    expect(finding(rule('a/{x#}', 'a/v1/{x#}'))).toEqual([
      '0 to: makes a loop: what comes of a/{x#} would come back to it',
    ])
    const circle = [rule('a/{x}', 'b/{x}'), rule('b/{x}', 'c/{x}'), rule('c/{x#}', 'a/{x#}')]
    expect(finding(...circle)).toEqual([])
    expect(finding(...circle.slice(0, 2), rule('c/{x}', 'a/{x}')).map((text) => text.slice(0, 4))).toEqual([
      '0 to',
      '1 to',
      '2 to',
    ])
    expect(finding(rule('a/{x}', 'b/{x}', { on: 'publish' }), rule('b/{x}', 'a/{x}', { on: 'subscribe' }))).toEqual([])
  })
})

describe('a message whose topic is rewritten', () => {
  it.each([0, 1, 2] as const)('arrives under the other one only, at QoS %i, and is retained there', (qos) => {
    const world = new World(rulesOf(temp))
    const reader = world.connected('r').subscribe('#', qos)
    reader.take()
    const writer = world.connected('w')
    writer.publish('temp/7/door', '21', { qos, retain: true })
    expect(reader.takePublishes()).toMatchObject([{ topic: 'sites/7/sensors/door/temperature', payload: '21', qos }])
    const { retained } = world.broker.defaultNamespace
    expect(retained.get('sites/7/sensors/door/temperature')).not.toBeNull()
    expect(retained.get('temp/7/door')).toBeNull()
    writer.publish('other/7', 'x', { qos })
    expect(topics(reader)).toEqual(['other/7'])
    expect(world.broker.counters.topicsRewritten).toBe(1)
  })

  it('is so for 3.1.1 clients, wills, the program and what is delayed', () => {
    const world = new World(rulesOf(old))
    const reader = world.connected('r', { version: 4 }).subscribe('plant/#', 1)
    reader.take()
    world.connected('w', { version: 4 }).publish('old/device', 'a')
    world.connected('d').publish('$delayed/5/old/later', 'b')
    const none = { properties: {}, forwardProperties: new Uint8Array(0) }
    const will = { topic: 'old/will', payload: encodeUtf8('w'), qos: 1 as const, retain: false, ...none }
    world.connected('dying', { will }).drop()
    const own = { name: 'old/own', payload: encodeUtf8('c'), forwardProperties: new Uint8Array(0), qos: 0 as const }
    world.broker.publish(newMessage({ ...own, expiresAt: Infinity, publishedAt: world.now }), false)
    world.advance(5000)
    expect(topics(reader)).toEqual(['plant/device', 'plant/will', 'plant/own', 'plant/later'])
  })

  it('leads no message of the gateway’s own to what may only be read', () => {
    const { broker } = new World({ ...rulesOf(old), presence: { default: 'plant/' } })
    const own = { name: 'old/x', payload: encodeUtf8('{}'), forwardProperties: new Uint8Array(0), qos: 0 as const }
    const message = newMessage({ ...own, expiresAt: Infinity, publishedAt: broker.now })
    expect(() => broker.publish(message, true)).toThrow('read only')
    expect(broker.defaultNamespace.retained.get('plant/x')).toBe(null)
  })

  it('goes into a queue alone, where that is the target', () => {
    const world = new World({
      ...rulesOf(rule('orders/{shop}', '$queue/jobs/shop/{shop}', { on: 'publish' })),
      queues: [declared('jobs')],
    })
    const reader = world.connected('r').subscribe('#')
    reader.take()
    world.connected('w').publish('orders/7', 'x', { qos: 1 })
    expect(queueOf(world).count).toBe(1)
    expect(topics(reader)).toEqual([])
    expect(topics(world.connected('worker').subscribe('$queue/jobs', 1))).toEqual(['shop/7'])
  })

  it('is refused where the client may not publish to what comes of it, whatever it may do under the old name', () => {
    const world = new World(rulesOf(old))
    const grant: Grant = {
      mayPublish: (topic) => topic.startsWith('old/'),
      maySubscribe: () => true,
      mayReceive: () => true,
    }
    const writer = world.connected('w')
    writer.client.regrant(grant)
    writer.publish('old/a', 'x', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x87 }])
    writer.client.regrant({ ...grant, mayPublish: (topic) => topic === 'plant/a' })
    writer.publish('old/a', 'x', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x10 }])
    writer.publish('plant/b', 'x', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x87 }])
  })

  it('is refused where what comes of it is too long or too deep, as a will is', () => {
    const deep = rule('deep/{x}', 'a/b/c/d/{x}')
    const world = new World({ ...rulesOf(deep, rule('long/{x}', `${'y'.repeat(65_530)}/{x}`)), topicLevelsMax: 4 })
    for (const topic of ['deep/1', 'long/123456']) {
      const writer = world.connected('w')
      writer.publish(topic, 'x', { qos: 1 })
      expect(writer.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x90 }])
      const none = { properties: {}, forwardProperties: new Uint8Array(0) }
      const will = { topic, payload: encodeUtf8('w'), qos: 0 as const, retain: false, ...none }
      expect(world.device().connect({ clientId: 'v', will }).take()).toMatchObject([
        { type: 'connack', reasonCode: 0x90 },
      ])
    }
  })

  it('goes to one of several, in proportion to their weights, or to the same one for each publisher', () => {
    const several = (chooseBy: RewriteRule['chooseBy']) =>
      rule(
        'o/{x}',
        [
          ['v1/{x}', 90],
          ['v2/{x}', 10],
        ],
        { on: 'publish', chooseBy },
      )
    const world = new World(rulesOf(several('message')))
    const reader = world.connected('r').subscribe('#')
    reader.take()
    const writer = world.connected('w')
    for (let count = 0; count < 1000; count++) writer.publish('o/1', 'x')
    const second = topics(reader).filter((topic) => topic === 'v2/1').length
    expect(second).toBeGreaterThan(50)
    expect(second).toBeLessThan(200)
    declareRewrites(world.broker, { default: [several('publisher')] })
    const places = Array.from({ length: 300 }, (_, index) => {
      const device = world.connected(`device-${index}`)
      for (let count = 0; count < 3; count++) device.publish('o/1', 'x')
      return new Set(topics(reader))
    })
    expect(places.every(({ size }) => size === 1)).toBe(true)
    const moved = places.filter((one) => one.has('v2/1')).length
    expect(moved).toBeGreaterThan(5)
    expect(moved).toBeLessThan(90)
  })
})

describe('a subscription whose filter is rewritten', () => {
  it('gets what is there now, retained and live, and ends by the name that the client knows', () => {
    const world = new World(rulesOf(temp))
    const writer = world.connected('w')
    writer.publish('temp/7/door', 'retained', { retain: true })
    const reader = world.connected('r').subscribe('temp/+/door', 1)
    expect(reader.take()).toMatchObject([{ type: 'suback', reasonCodes: [1] }, { payload: 'retained' }])
    writer.publish('sites/8/sensors/door/temperature', 'live')
    expect(topics(reader)).toEqual(['sites/8/sensors/door/temperature'])
    expect(world.broker.counters.filtersRewritten).toBe(1)
    reader.unsubscribe('temp/+/door')
    expect(reader.take()).toMatchObject([{ type: 'unsuback', reasonCodes: [0] }])
    expect(world.broker.gauges().subscriptions).toBe(0)
  })

  it('is asked for by its new name, and a rule for messages alone leaves it as it is', () => {
    const world = new World(rulesOf({ ...temp, on: 'publish' }, { ...old, on: 'subscribe' }))
    const reader = world.connected('r')
    reader.client.regrant({
      mayPublish: () => true,
      maySubscribe: (filter) => filter !== 'old/#',
      mayReceive: () => true,
    })
    reader.subscribe('old/#').subscribe('temp/1/2')
    const writer = world.connected('w')
    for (const topic of ['old/a', 'plant/a', 'temp/1/2']) writer.publish(topic, 'x')
    expect(topics(reader)).toEqual(['plant/a'])
  })

  it('ends by its old name when it is from before the rule', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('old/a')
    reader.take()
    declareRewrites(world.broker, { default: [old] })
    reader.unsubscribe('old/a')
    expect(reader.take()).toMatchObject([{ type: 'unsuback', reasonCodes: [0] }])
  })
})

describe('rules that change', () => {
  it('hold for the next message, also of topics that were seen before and by alias, and in their namespace alone', () => {
    const world = new World({ namespaces: { lab: {} } })
    const reader = world.connected('r').subscribe('#')
    const lab = world.connected('l', {}, 'lab').subscribe('#')
    for (const device of [reader, lab]) device.take()
    const writer = world.connected('w')
    const elsewhere = world.connected('e', {}, 'lab')
    const both = () => {
      writer.publish('old/a', 'x')
      elsewhere.publish('old/a', 'x')
      return [...topics(reader), ...topics(lab)]
    }
    expect(both()).toEqual(['old/a', 'old/a'])
    declareRewrites(world.broker, { default: [old], lab: [rule('old/{x}', 'lab/{x}')] })
    expect(both()).toEqual(['plant/a', 'lab/a'])
    expect(both()).toEqual(['plant/a', 'lab/a'])
    declareRewrites(world.broker, { default: [old] })
    expect(both()).toEqual(['plant/a', 'old/a'])
  })
})
