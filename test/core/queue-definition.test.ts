import { describe, expect, it } from 'vitest'
import {
  deadLetterNameOf,
  defaultDeadLetterDefinition,
  defaultQueueDefinition,
  isKeySource,
  queueNamePattern,
} from '../../src/core/logs/definition.ts'
import { type QueueVerdict, queueVerdicts } from '../../src/core/ports/queues.ts'

describe('how a queue is declared', () => {
  it('sends dead letters to a queue of its own name unless it names another or none', () => {
    const to = (deadLetter: boolean | string) => deadLetterNameOf('orders', { ...defaultQueueDefinition, deadLetter })
    expect(to(true)).toBe('orders.dead')
    expect(to('failed')).toBe('failed')
    expect(to(false)).toBeNull()
    expect(deadLetterNameOf('orders.dead', defaultDeadLetterDefinition)).toBeNull()
  })

  it('says in a closed set of words what a key is', () => {
    for (const key of ['none', 'publisher', 'topic', 'topic-level:2', 'property:device'])
      expect(isKeySource(key)).toBe(true)
    for (const key of ['', 'topic-level:0', 'topic-level:', 'property:', 'payload.id'])
      expect(isKeySource(key)).toBe(false)
  })

  it("takes EMQX's names", () => {
    for (const name of ['orders', '1', 'a-b.c_d']) expect(queueNamePattern.test(name)).toBe(true)
    for (const name of ['', '-a', '.dead', 'a/b', 'a b', '$a', 'ö', 'a\n'])
      expect(queueNamePattern.test(name)).toBe(false)
  })

  it('knows every verdict that ends or prolongs a lease', () => {
    const ending: readonly QueueVerdict[] = queueVerdicts.filter((verdict) => verdict !== 'extend')
    expect(ending).toEqual(['ack', 'nack', 'reject', 'release'])
  })
})
