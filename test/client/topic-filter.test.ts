import fc from 'fast-check'
import { expect, test } from 'vitest'
import { matchedBy, matches } from '../../src/client/topic-filter.ts'
import { isValidTopicName, parseTopicFilter, topicMatchesFilter } from '../../src/mqtt/topic.ts'

const level = fc.constantFrom('', 'a', 'b', '$a', 'é')
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.constantFrom('', '/#'))
  .map(([levels, end]) => levels.join('/') + end)

test('a filter matches a topic in the client exactly where it does in the gateway', () => {
  fc.assert(
    fc.property(fc.oneof(filters, fc.constant('#')), topics, (filter, topic) => {
      fc.pre(isValidTopicName(topic) && parseTopicFilter(filter) !== undefined)
      expect(matches(filter, topic)).toBe(topicMatchesFilter(filter, topic))
    }),
    { numRuns: 2000 },
  )
})

test('of a shared subscription its filter is held against topics', () => {
  expect(matchedBy('$share/workers/jobs/+')).toBe('jobs/+')
  expect(matchedBy('jobs/+')).toBe('jobs/+')
})

test('what a queue gives comes under the topics that it was published to', () => {
  expect(matches(matchedBy('$queue/jobs'), 'shop/7/orders')).toBe(true)
})
