import { describe, expect, it } from 'vitest'
import { queueOf } from '../../src/config/queue-of.ts'
import { parseGatewayOptions } from '../../src/config/schema.ts'

const config = parseGatewayOptions({
  queues: { orders: { filter: 'shop/+/orders' }, jobs: { deadLetter: false } },
  namespaces: { plant: { queues: { tests: { filter: 'test/#' } } } },
})
const of = (filter: string, namespace = 'default', shared = false) => queueOf(config, namespace, { filter, shared })

describe('a subscription below $queue/', () => {
  it('is to a queue of its namespace, by name, with or without its own filter', () => {
    const orders = { address: '$queue/orders', filter: 'shop/+/orders' }
    expect(of('$queue/orders')).toEqual(orders)
    expect(of('$queue/orders/shop/+/orders')).toEqual(orders)
    expect(of('$queue/jobs')).toEqual({ address: '$queue/jobs', filter: null })
    expect(of('$queue/tests', 'plant')).toEqual({ address: '$queue/tests', filter: 'test/#' })
  })

  it('may be to the dead letters of one, declared or not', () => {
    expect(of('$queue/orders.dead')).toEqual({ address: '$queue/orders.dead', filter: null })
    expect(of('$queue/jobs.dead')).toEqual({ refusal: 'no queue is called jobs.dead' })
  })

  it('is refused where there is no such queue, with another filter, and in a share group', () => {
    expect(of('$queue/tests')).toEqual({ refusal: 'no queue is called tests' })
    expect(of('$queue/')).toEqual({ refusal: 'no queue is called ' })
    for (const filter of ['$queue/orders/', '$queue/orders/#', '$queue/jobs/x']) {
      expect(of(filter)).toMatchObject({ refusal: expect.stringMatching(/^the filter of the queue/) })
    }
    expect(of('$queue/orders', 'default', true)).toMatchObject({ refusal: expect.stringMatching(/shared by itself/) })
  })

  it('is none of another address', () => {
    for (const filter of ['#', '$queue', '$SYS/#', 'a/$queue/b']) expect(of(filter)).toBeUndefined()
  })
})
