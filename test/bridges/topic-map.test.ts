import { describe, expect, test } from 'vitest'
import { filtersOverlap } from '../../src/bridges/overlap.ts'
import type { TopicRule } from '../../src/bridges/settings.ts'
import { TopicMap } from '../../src/bridges/topic-map.ts'
import { bridgesPassedMax, encodeVia, hasPassed, withVia } from '../../src/bridges/via.ts'
import { decodeUtf8, encodeUtf8 } from '../../src/mqtt/utf8.ts'

function rule(more: Partial<TopicRule>): TopicRule {
  const none = { localPrefix: '', remotePrefix: '', except: [], retain: true, retainHandling: 1, qos: 1 } as const
  return { filter: '#', direction: 'both', ...none, ...more }
}

function mapped(rules: readonly TopicRule[], direction: 'out' | 'in', topic: string, connections = 1): string {
  const bytes = encodeUtf8(topic)
  const found = new TopicMap(rules, { connections, topicLevelsMax: 5 })[direction](bytes, 0, bytes.length)
  return typeof found === 'string' ? `(${found})` : decodeUtf8(found.topic, 0, found.topic.length)!
}

describe('the topic at the other end', () => {
  test.each([
    ['out', 'plant/a', 'site/a'],
    ['out', 'plant/a/b', 'site/a/b'],
    ['out', 'plant', '(unmatched)'],
    ['out', 'plants/a', '(unmatched)'],
    ['in', 'site/a', 'plant/a'],
    ['in', 'site/no/a', '(excepted)'],
    ['out', 'plant/no', '(excepted)'],
    ['in', 'elsewhere', '(unmatched)'],
    ['in', 'site/1/2/3/4/5', '(topic_too_long)'],
  ] as const)('%s: %s is %s', (direction, topic, expected) => {
    const rules = [rule({ localPrefix: 'plant/', remotePrefix: 'site/', except: ['no/#'] })]
    expect(mapped(rules, direction, topic)).toBe(expected)
  })

  test('is what the first rule says that fits, and no rule of the other direction', () => {
    const rules = [
      rule({ filter: 'a/#', direction: 'in', remotePrefix: 'never/' }),
      rule({ filter: 'a/b', direction: 'out', remotePrefix: 'first/' }),
      rule({ filter: 'a/#', direction: 'out', remotePrefix: 'second/' }),
    ]
    expect(['a/b', 'a/c'].map((topic) => mapped(rules, 'out', topic))).toEqual(['first/a/b', 'second/a/c'])
  })

  test('never begins with $ here', () => {
    expect(mapped([rule({ filter: '$SYS/#', direction: 'in' })], 'in', '$SYS/broker/uptime')).toBe('(excepted)')
    const under = [rule({ filter: '$SYS/#', direction: 'in', localPrefix: 'cloud/' })]
    expect(mapped(under, 'in', '$SYS/broker/uptime')).toBe('cloud/$SYS/broker/uptime')
  })

  test('one that is longer than the wire takes does not go over', () => {
    const rules = [rule({ remotePrefix: 'x'.repeat(1000) })]
    expect(mapped(rules, 'out', 'y'.repeat(65_000))).toBe('(topic_too_long)')
  })
})

test.each([
  ['a/b', 'a/b', true],
  ['a/b', 'a/c', false],
  ['a/+', '+/c', true],
  ['a/#', 'a', true],
  ['a/#', 'b/#', false],
  ['#', 'x/y/z', true],
  ['#', '$SYS/a', false],
  ['$SYS/#', '$SYS/a', true],
  ['a/+/c', 'a/b', false],
  ['+', 'a/b', false],
])('filters %s and %s have a topic in common: %s', (one, other, expected) => {
  expect([filtersOverlap(one, other), filtersOverlap(other, one)]).toEqual([expected, expected])
})

describe('where a message has been', () => {
  const none = new Uint8Array(0)

  test('is known by the ids that were added, one by one', () => {
    const once = withVia(none, encodeVia('one'))
    const twice = withVia(once, encodeVia('two'))
    expect([none, once, twice].map((bytes) => hasPassed(bytes, ['two']))).toEqual([false, false, true])
    expect(hasPassed(twice, ['one'])).toBe(true)
  })

  test('ends after so many bridges, whatever they are called', () => {
    let bytes: Uint8Array = none
    for (let i = 1; i < bridgesPassedMax; i++) bytes = withVia(bytes, encodeVia(`gateway ${i}`))
    expect(hasPassed(bytes, ['mine'])).toBe(false)
    expect(hasPassed(withVia(bytes, encodeVia('last')), ['mine'])).toBe(true)
  })
})

test('what would begin with $ at the other end without its prefix stays where it is', () => {
  const rules = [rule({ localPrefix: 'x/', direction: 'out' })]
  for (const topic of ['x/$queue/jobs', 'x/$SYS/broker', 'x/$share/a'])
    expect(mapped(rules, 'out', topic)).toBe('(excepted)')
})

test('a topic with a wildcard in it does not come in', () => {
  expect(mapped([rule({ direction: 'in' })], 'in', 'a/+/b')).toBe('(topic_invalid)')
})
