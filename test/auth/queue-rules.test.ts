/** Who may consume a queue: by rules that name it, or by who may subscribe to what it takes in. */
import { describe, expect, it } from 'vitest'
import { Authorization, everythingAllowed } from '../../src/auth/authorization.ts'
import { type RuleInput, ruleOf } from '../../src/auth/rule.ts'
import type { Subject } from '../../src/auth/subject.ts'
import { mayConsume } from '../../src/core/ports/authority.ts'

const subject: Subject = { user: 'alice', clientId: 'c1', groups: [], address: '', listener: '', certificate: {} }

function authorizationOf(rules: readonly RuleInput[]): Authorization {
  const ruleSet = { kind: 'rules', rules: rules.map((rule, index) => ruleOf(rule, `rules[${index}]`)) } as const
  return new Authorization({ ...everythingAllowed, ruleSet })
}

function grantOf(rules: readonly RuleInput[]) {
  const grant = authorizationOf(rules).grantFor(subject, undefined)
  return {
    produce: (queue: string) => grant.mayPublish(`$queue/${queue}`, 1, false),
    consume: (queue: string, filter: string | null) => mayConsume(grant, `$queue/${queue}`, filter),
  }
}

describe('rules about a queue', () => {
  it('let who may subscribe to all that it takes in consume it, where none of them names it', () => {
    const may = grantOf([{ allow: 'subscribe', topic: 'shop/#' }])
    expect(may.consume('orders', 'shop/+/orders')).toBe(true)
    expect(may.consume('all', '#')).toBe(false)
    expect(may.consume('jobs', null)).toBe(false)
    expect(may.produce('orders')).toBe(false)
  })

  it('decide by themselves where they name it, whatever is said of the topics', () => {
    const named = grantOf([{ allow: 'consume', topic: '$queue/orders' }])
    expect([named.consume('orders', 'shop/#'), named.consume('orders', null)]).toEqual([true, true])
    expect(named.consume('jobs', 'shop/#')).toBe(false)
    const denied = grantOf([
      { deny: 'consume', topic: '$queue/orders/#' },
      { allow: 'all', topic: '#' },
    ])
    expect([denied.consume('orders', 'shop/#'), denied.consume('jobs', 'shop/#')]).toEqual([false, true])
  })

  it('keep the whole queue from whom a part of it is denied', () => {
    const rules: RuleInput[] = [
      { deny: 'receive', topic: 'shop/secret/#' },
      { allow: 'subscribe', topic: 'shop/#' },
      { deny: 'subscribe', topic: 'shop/late/#' },
    ]
    const may = grantOf(rules)
    expect(may.consume('orders', 'shop/#')).toBe(false)
    expect(may.consume('open', 'shop/open/#')).toBe(true)
    expect(may.consume('late', 'shop/late/#')).toBe(true)
    const asked = { action: 'consume', address: '$queue/orders', filter: 'shop/#' } as const
    expect(authorizationOf(rules).explain(subject, asked)).toEqual({
      allowed: false,
      rule: 'rules[0]: deny receive on shop/secret/#',
    })
  })

  it('are asked of a grant that knows nothing of queues as a subscription to what it takes in', () => {
    const asked: string[] = []
    const maySubscribe = (filter: string): boolean => asked.push(filter) > 0
    const grant = { mayPublish: () => true, mayReceive: () => true, maySubscribe }
    expect([mayConsume(grant, '$queue/a', 'b/#'), mayConsume(grant, '$queue/a', null)]).toEqual([true, true])
    expect(asked).toEqual(['b/#', '$queue/a'])
    expect(mayConsume(null, '$queue/a', null)).toBe(true)
  })
})
