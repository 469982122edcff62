/** The dashboard's tree of topics: what it keeps, and that it keeps no more. */
import { describe, expect, test } from 'vitest'
import {
  payloadBytesKept,
  rowsOf,
  TopicTree,
  topicsMax,
  valuesPerTopicMax,
} from '../../src/dashboard/live/topic-tree.ts'

const arrival = (topic: string, text = 'x', at = 0) => {
  const bytes = new TextEncoder().encode(text)
  return { topic, bytes, size: bytes.length, qos: 0 as const, retain: false, at }
}
const namesOf = (tree: TopicTree, search = '') => rowsOf(tree, search).map(({ node }) => node.path)

describe('the tree of topics', () => {
  test('it has a row for each level, counts what is below, and sorts by name', () => {
    const tree = new TopicTree()
    for (const topic of ['b/2', 'b/1', 'a', 'b']) tree.take(arrival(topic))
    expect(namesOf(tree)).toEqual(['a', 'b', 'b/1', 'b/2'])
    expect(tree.find('b')).toMatchObject({ count: 1, countBelow: 3, topicsBelow: 3 })
    expect(tree.find('b/3')).toBeUndefined()
  })

  test('levels may be empty, and are told apart', () => {
    const tree = new TopicTree()
    for (const topic of ['/', '', '/a']) tree.take(arrival(topic))
    expect(tree.size).toBe(3)
    expect(tree.find('/')?.count).toBe(1)
  })

  test('a search shows what leads to a topic that has it, whatever is closed', () => {
    const tree = new TopicTree()
    for (const topic of ['plant/1/t', 'plant/2/t', 'home/t']) tree.take(arrival(topic))
    rowsOf(tree, '')
    tree.root.child('plant').open = false
    expect(namesOf(tree)).toEqual(['home', 'home/t', 'plant'])
    expect(namesOf(tree, '2/T')).toEqual(['plant', 'plant/2', 'plant/2/t'])
    expect(namesOf(tree, 'nowhere')).toEqual([])
  })

  test('beyond so many topics new ones are counted only', () => {
    const tree = new TopicTree()
    for (let number = 0; number < topicsMax + 5; number++) tree.take(arrival(`many/${number}`))
    expect(tree.size).toBe(topicsMax)
    expect(tree).toMatchObject({ messages: topicsMax + 5, unshown: 5 })
    tree.take(arrival('many/1'))
    expect(tree.unshown).toBe(5)
  })

  test('a topic of 30,000 levels is no deeper than others', () => {
    const tree = new TopicTree()
    tree.take(arrival('a/'.repeat(30_000)))
    const [deepest] = rowsOf(tree, 'a').slice(-1)
    expect(deepest!.node.depth).toBeLessThan(32)
  })

  test('of one topic the last values are kept, of all together a bounded number of bytes', () => {
    const tree = new TopicTree()
    const text = 'x'.repeat(payloadBytesKept)
    for (let number = 0; number < valuesPerTopicMax + 10; number++) tree.take(arrival('a', text, number))
    expect(tree.find('a')!.values.length).toBe(valuesPerTopicMax)
    expect(tree.find('a')!.values[0]!.at).toBe(10)
    for (let round = 0; round < 40; round++) {
      for (let number = 0; number < 1000; number++) tree.take(arrival(`many/${number}`, text, round))
    }
    const kept = Array.from({ length: 1000 }, (_, number) => tree.find(`many/${number}`)!.values)
    const bytes = kept.flat().reduce((sum, value) => sum + value.bytes.length, 0)
    expect(bytes).toBeLessThan(16 * 1024 * 1024)
    expect(kept.every((values) => values.at(-1)?.at === 39)).toBe(true)
    // The oldest went first, but the last value of a topic stays.
    expect(tree.find('a')!.values.length).toBe(1)
  })
})
