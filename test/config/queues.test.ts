import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { changedFilters, queuesOf } from '../../src/config/queues.ts'
import { configJsonSchema, type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'
import {
  declaredQueuesMax,
  defaultDeadLetterDefinition,
  defaultQueueDefinition,
} from '../../src/core/logs/definition.ts'

/** The lines of the error that `options` cause. */
function faults(options: GatewayOptions): string[] {
  try {
    parseGatewayOptions(options)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n')
    throw error
  }
}

const declared = (options: GatewayOptions) => queuesOf(parseGatewayOptions(options))
const ofQueue = (queue: object): string[] => faults({ queues: { orders: queue } })

describe('queues in a configuration', () => {
  it('have every default of the core, and keep what is said', () => {
    const [orders, jobs] = declared({
      queues: { orders: {}, jobs: { filter: 'jobs/#', attemptsMax: 3, retry: { firstMs: 10 } } },
    })
    expect(orders).toEqual({ namespace: 'default', name: 'orders', definition: defaultQueueDefinition })
    expect(jobs).toEqual({
      namespace: 'default',
      name: 'jobs',
      definition: {
        ...defaultQueueDefinition,
        filter: 'jobs/#',
        attemptsMax: 3,
        retry: { ...defaultQueueDefinition.retry, firstMs: 10 },
      },
    })
  })

  it('belong to a namespace: two of them may have queues of one name', () => {
    const both = declared({ queues: { a: {} }, namespaces: { plant: { queues: { a: { filter: '#' } } } } })
    expect(both.map(({ namespace, name }) => `${namespace}/${name}`)).toEqual(['default/a', 'plant/a'])
    expect(faults({ queues: { a: {} }, namespaces: { default: { queues: { a: {} } } } })).toEqual([
      'namespaces.default.queues.a: the queue a is declared under queues already',
    ])
    expect(faults({ queues: { a: {} }, namespaces: { default: { queues: { b: {} } } } })).toEqual([])
  })

  it('take dispatch in EMQX’s spelling too', () => {
    const [one, other] = declared({
      queues: { a: { dispatch: 'round_robin' }, b: { dispatch: 'least_inflight' } },
    })
    expect([one!.definition.dispatch, other!.definition.dispatch]).toEqual(['round-robin', 'least-inflight'])
  })

  it('for dead letters have the defaults of those that nobody declares, and no dead letters of their own unless they say so', () => {
    const named = (queues: GatewayOptions['queues']) =>
      Object.fromEntries(declared({ queues }).map(({ name, definition }) => [name, definition]))
    const own = named({ a: {}, 'a.dead': { messagesMax: 5 } })
    expect(own['a.dead']).toEqual({ ...defaultDeadLetterDefinition, messagesMax: 5 })
    expect(named({ a: { deadLetter: 'trash' }, trash: {} })['trash']).toEqual(defaultDeadLetterDefinition)
    expect(named({ a: {}, 'a.dead': { deadLetter: true } })['a.dead']!.deadLetter).toBe(true)
    expect(named({ a: { deadLetter: false }, 'a.dead': {} })['a.dead']).toEqual(defaultQueueDefinition)
    expect(named({ a: {}, 'a.dead': {}, 'a.dead.dead': {} })['a.dead.dead']).toEqual(defaultQueueDefinition)
  })

  it('never are the dead letters of themselves, also not by way of others', () => {
    expect(ofQueue({ deadLetter: 'orders' })).toEqual([
      'queues.orders.deadLetter: a queue can not take its own dead letters',
    ])
    const loop = faults({ queues: { a: { deadLetter: 'b' }, b: { deadLetter: 'c' }, c: { deadLetter: 'a' } } })
    expect(loop[0]).toBe('queues.a.deadLetter: dead letters would go round: a, b, c, a')
    expect(faults({ queues: { a: { deadLetter: 'b' }, b: { deadLetter: 'b' } } })).toHaveLength(2)
  })

  it('have names as EMQX has them', () => {
    for (const name of ['orders', '0', 'a-b.c_d']) expect(faults({ queues: { [name]: {} } })).toEqual([])
    for (const name of ['', '-a', '.a', 'a/b', 'a b', 'ä', 'a@b', 'x'.repeat(201), '$queue', '+', '#']) {
      expect(faults({ queues: { [name]: {} } }).join()).toMatch(/^queues/)
    }
    const long = 'x'.repeat(200)
    expect(faults({ queues: { [long]: {} } }).join()).toMatch(/deadLetter: .*more than 200 characters; name a queue/)
    expect(faults({ queues: { [long]: { deadLetter: false } } })).toEqual([])
  })

  it.each([
    ['a filter that is none', { filter: 'a/#/b' }, /queues\.orders\.filter: expected a topic filter/],
    ['a filter of $SYS', { filter: '$SYS/#' }, /orders\.filter.*does not begin with \$/],
    ['a filter of another queue', { filter: '$queue/x' }, /orders\.filter/],
    ['a shared filter', { filter: '$share/g/a' }, /orders\.filter/],
    ['an empty filter', { filter: '' }, /orders\.filter/],
    ['no room at all', { messagesMax: 0 }, /messagesMax: expected a whole number from 1/],
    ['no bytes', { bytesMax: 0 }, /bytesMax: expected a whole number from 1024/],
    ['no attempt', { attemptsMax: 0 }, /attemptsMax/],
    ['half an attempt', { attemptsMax: 1.5 }, /attemptsMax/],
    ['a window of nothing', { prefetchMax: 0 }, /prefetchMax/],
    ['a window beyond packet identifiers', { prefetchMax: 65_536 }, /prefetchMax/],
    ['an unknown dispatch', { dispatch: 'fastest' }, /dispatch: expected one of round-robin/],
    ['an unknown overflow', { overflow: 'block' }, /overflow/],
    ['an unknown settlement', { settle: 'commit' }, /settle/],
    ['a key that is none', { orderBy: 'payload' }, /orderBy: expected none, publisher, topic/],
    ['level 0', { orderBy: 'topic-level:0' }, /orderBy/],
    ['no key to dispatch by', { keyBy: 'none' }, /keyBy: expected publisher, topic/],
    ['a wait that shrinks', { retry: { factor: 0.5 } }, /retry\.factor: expected a number from 1 to 100/],
    [
      'a longest wait below the first',
      { retry: { firstMs: 100, maxMs: 10 } },
      /retry\.maxMs: expected at least firstMs/,
    ],
    ['more chance than there is', { retry: { jitter: 2 } }, /retry\.jitter/],
    [
      'dead letters for want of room and nowhere to put them',
      { overflow: 'dead-letter-oldest', deadLetter: false },
      /overflow/,
    ],
    ['a misspelt name', { prefetchMaxx: 1 }, /prefetchMaxx: unknown option; did you mean prefetchMax\?/],
    ['a misspelt name below retry', { retry: { firstMS2: 1 } }, /firstMS2: unknown option; did you mean firstMs\?/],
  ])('are refused with %s', (_what, queue, message) => {
    const found = ofQueue(queue as object)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  it('are found faulty in namespaces, by their own place', () => {
    const queues = { orders: { filter: 'a/#/b', prefetchMaxx: 1 } as object }
    expect(faults({ namespaces: { plant: { queues } } }).join('\n')).toMatch(
      /namespaces\.plant\.queues\.orders\.prefetchMaxx: unknown option; did you mean prefetchMax\?/,
    )
    expect(faults({ namespaces: { plant: { queues: { orders: { filter: 'a/#/b' } } } } })[0]).toMatch(
      /^namespaces\.plant\.queues\.orders\.filter/,
    )
  })

  it('are so many at most', () => {
    const queues = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`q${i}`, {}]))
    expect(declared({ queues: queues(declaredQueuesMax) })).toHaveLength(declaredQueuesMax)
    expect(faults({ queues: queues(100_000) })).toEqual([
      `queues: expected at most ${declaredQueuesMax} queues, got 100000`,
    ])
  })

  it('stand in the JSON Schema', () => {
    const schema = JSON.stringify(configJsonSchema())
    for (const name of ['prefetchMax', 'reconnectGraceMs', 'least_inflight']) expect(schema).toContain(name)
  })
})

describe('a reload', () => {
  it('takes everything of queues but another filter of one that is there', () => {
    const config = (queues: GatewayOptions['queues']) =>
      parseGatewayOptions({ queues, namespaces: { plant: { queues } } })
    const before = config({ a: { filter: 'a' }, b: {}, 'c.filter': { filter: 'c' } })
    expect(changedFilters(before, before)).toEqual([])
    expect(changedFilters(before, config({ a: { filter: 'a', attemptsMax: 3 }, new: { filter: 'n' } }))).toEqual([])
    const after = config({ a: {}, b: { filter: 'b' }, 'c.filter': { filter: 'd' } })
    const names = ['queues.a.filter', 'queues.b.filter', 'queues.c.filter.filter']
    expect(changedFilters(before, after)).toEqual([...names, ...names.map((name) => `namespaces.plant.${name}`)])
  })
})
