import { describe, expect, it } from 'vitest'
import {
  decodeTopicName,
  isSharedFilter,
  isValidTopicName,
  parseTopicFilter,
  topicMatchesFilter,
} from '../../src/mqtt/topic.ts'
import { faultOf, hex } from './packets.ts'

function nameOf(text: string): string {
  const bytes = hex(text)
  return decodeTopicName(bytes, 0, bytes.length)
}

describe('topic names', () => {
  it('are taken as they are [MQTT-4.7.3-4]', () => {
    for (const topic of [
      'a',
      '/',
      '//',
      '/a',
      'a/',
      ' ',
      'a b/c',
      '$SYS/x',
      'é/\ufeff',
      '$share',
      'ACCOUNTS/accounts',
    ]) {
      const bytes = Buffer.from(topic)
      expect(decodeTopicName(bytes, 0, bytes.length)).toBe(topic)
      expect(isValidTopicName(topic)).toBe(true)
    }
  })

  it.each([
    ['', 'empty'],
    ['+', 'wildcard'],
    ['#', 'wildcard'],
    ['a/+/b', 'wildcard'],
    ['a/b#', 'wildcard'],
    ['a+', 'wildcard'],
  ])('are refused as "%s" with topicNameInvalid [MQTT-3.3.2-2, MQTT-4.7.3-1]', (topic, says) => {
    const fault = faultOf(() => nameOf(`'${topic}'`))
    expect(fault.reasonCode).toBe(0x90)
    expect(fault.message).toContain(says)
    expect(isValidTopicName(topic)).toBe(false)
  })

  it('that are no UTF-8 are malformed [MQTT-3.3.2-1]', () => {
    for (const bytes of ['00', '61 00', 'eda080', 'ff', 'c0af']) {
      expect(faultOf(() => nameOf(bytes)).reasonCode).toBe(0x81)
    }
  })

  it('that the wire cannot carry are no topic names', () => {
    expect(isValidTopicName('a\0')).toBe(false)
    expect(isValidTopicName('\ud800')).toBe(false)
    expect(isValidTopicName('x'.repeat(65_535))).toBe(true)
    expect(isValidTopicName('x'.repeat(65_536))).toBe(false)
  })
})

describe('topic filters', () => {
  it.each(['', '#a', 'a#', 'a/#/b', '#/', 'a+', '+a', 'a/+b/c', '##', '++', 'a/b#', '#/#', 'a\0', '\udc00'])(
    '"%s" is none [MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1]',
    (filter) => {
      expect(parseTopicFilter(filter)).toBeUndefined()
    },
  )

  it.each(['$share/', '$share/g', '$share//a', '$share/g/', '$share/g+/a', '$share/#/a', '$share/+/a', '$share/g/a#'])(
    '"%s" is no shared one [MQTT-4.8.2-1, MQTT-4.8.2-2]',
    (filter) => {
      expect(parseTopicFilter(filter)).toBeUndefined()
      expect(isSharedFilter(filter)).toBe(true)
    },
  )

  it('tell their levels, their group and whether they have wildcards', () => {
    expect(parseTopicFilter('a/+/#')).toEqual({ filter: 'a/+/#', levels: 3, hasWildcard: true })
    expect(parseTopicFilter('/')).toEqual({ filter: '/', levels: 2, hasWildcard: false })
    expect(parseTopicFilter('$share/g/a//+')).toEqual({
      filter: 'a//+',
      levels: 3,
      hasWildcard: true,
      shared: { group: 'g' },
    })
    expect(parseTopicFilter('$share/g//')).toMatchObject({ filter: '/', shared: { group: 'g' } })
    expect(parseTopicFilter('$share')).toEqual({ filter: '$share', levels: 1, hasWildcard: false })
    expect(parseTopicFilter('$shared/g/a')).toMatchObject({ filter: '$shared/g/a' })
  })

  // The examples of sections 4.7.1 and 4.7.2, and what stands at their edges.
  it.each([
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/tennis/player1/#', 'sport/tennis/player10', false],
    ['sport/#', 'sport', true],
    ['#', 'a/b', true],
    ['#', '/', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['+', 'finance', true],
    ['+/#', 'a', true],
    ['+/tennis/#', 'sport/tennis', true],
    ['a/+/c', 'a//c', true],
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/', false],
    ['a/b/', 'a/b', false],
    ['a', 'A', false],
    ['/a', 'a', false],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['+', '$SYS', false],
    ['$SYS/#', '$SYS', true],
    ['$SYS/#', '$SYS/a/b', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['a/#', 'a/$SYS', true],
    ['+/$SYS', 'a/$SYS', true],
    ['$share/g/a/+', 'a/b', true],
    ['$share/g/#', '$SYS/a', false],
    ['a/#/b', 'a/x/b', false],
  ])('"%s" against "%s": %s', (filter, topic, matches) => {
    expect(topicMatchesFilter(filter, topic)).toBe(matches)
  })
})
