/** Rules in their order: whom they hold for, what they cover, and that nobody's name widens them. */
import { describe, expect, it } from 'vitest'
import { Authorization, type AuthorizationSource, everythingAllowed } from '../../src/auth/authorization.ts'
import { covers, matches, overlap } from '../../src/auth/decider.ts'
import { charactersRememberedMax } from '../../src/auth/remembered-topics.ts'
import { type RuleInput, ruleOf } from '../../src/auth/rule.ts'
import type { Subject } from '../../src/auth/subject.ts'
import { fitsPattern } from '../../src/auth/wildcard.ts'
import type { Qos } from '../../src/mqtt/packet.ts'

function sourceOf(rules: readonly RuleInput[], more: Partial<AuthorizationSource> = {}): AuthorizationSource {
  const ruleSet = { kind: 'rules', rules: rules.map((rule, index) => ruleOf(rule, `rules[${index}]`)) } as const
  return { ...everythingAllowed, ruleSet, ...more }
}

function subject(more: Partial<Subject> = {}): Subject {
  const base = { user: 'alice', clientId: 'c1', groups: [], address: '192.0.2.1', listener: 'plain', certificate: {} }
  return { ...base, ...more }
}

function grantOf(rules: readonly RuleInput[], who: Partial<Subject> = {}) {
  const grant = new Authorization(sourceOf(rules)).grantFor(subject(who), undefined)
  return {
    publish: (topic: string, qos: Qos = 0, retain = false) => grant.mayPublish(topic, qos, retain),
    receive: (topic: string, qos: Qos = 0, retain = false) => grant.mayReceive(topic, qos, retain, null),
    subscribe: (filter: string, qos: Qos = 0) => grant.maySubscribe(filter, qos, null),
  }
}

describe('rules', () => {
  it('deny what none of them is about', () => {
    const may = grantOf([{ allow: 'publish', topic: 'a/b' }])
    expect(may.publish('a/b')).toBe(true)
    expect(may.publish('a/c')).toBe(false)
    expect(may.receive('a/b')).toBe(false)
    expect(may.subscribe('a/b')).toBe(false)
  })

  it('are asked in their order: the first that fits decides', () => {
    const may = grantOf([
      { deny: 'publish', topic: 'plant/secret/#' },
      { allow: 'publish', topic: 'plant/#' },
      { deny: 'publish', topic: 'plant/1/late' },
    ])
    expect(may.publish('plant/secret')).toBe(false)
    expect(may.publish('plant/secret/x')).toBe(false)
    expect(may.publish('plant/1/late')).toBe(true)
  })

  it('about subscribing also judge what is delivered: a wide subscription is granted, what is denied is left out', () => {
    const may = grantOf([
      { deny: 'subscribe', topic: 'plant/secret/#' },
      { allow: 'subscribe', topic: 'plant/#' },
    ])
    expect(may.subscribe('plant/#')).toBe(true)
    expect(may.subscribe('plant/+/x')).toBe(true)
    expect(may.subscribe('plant/secret/x')).toBe(false)
    expect(may.subscribe('#')).toBe(false)
    expect(may.receive('plant/1')).toBe(true)
    expect(may.receive('plant/secret/x')).toBe(false)
  })

  it('about receiving alone let nobody subscribe', () => {
    const may = grantOf([{ allow: 'receive', topic: 'a' }])
    expect(may.receive('a')).toBe(true)
    expect(may.subscribe('a')).toBe(false)
  })

  it('hold for a QoS and for retained messages where they say so', () => {
    const may = grantOf([
      { deny: 'publish', topic: 'a', retain: true },
      { allow: 'publish', topic: 'a', qos: [0, 1] },
      { allow: 'subscribe', topic: 'b', qos: 0 },
    ])
    expect([may.publish('a', 0), may.publish('a', 1), may.publish('a', 2)]).toEqual([true, true, false])
    expect([may.publish('a', 0, true), may.publish('a', 1, true)]).toEqual([false, false])
    expect([may.subscribe('b', 0), may.subscribe('b', 1)]).toEqual([true, false])
    expect([may.receive('b', 0, true), may.receive('b', 1)]).toEqual([true, false])
  })

  it.each<[string, Partial<RuleInput>, Partial<Subject>, Partial<Subject>]>([
    ['user', { user: ['bob', 'al*'] }, {}, { user: 'carol' }],
    ['user, never for anonymous clients', { user: '*' }, {}, { user: undefined }],
    ['group', { group: 'operators' }, { groups: ['x', 'operators'] }, { groups: ['operator'] }],
    ['client id', { clientId: 'sensor-*' }, { clientId: 'sensor-1' }, { clientId: 'a-sensor-1' }],
    ['client id bound to the user', { clientId: '%u-*' }, { clientId: 'alice-1' }, { clientId: 'bob-1' }],
    [
      'client id bound to a user, without one',
      { clientId: '%u-*' },
      { clientId: 'alice-1' },
      { user: undefined, clientId: '%u-1' },
    ],
    ['address', { address: ['192.0.2.0/24'] }, {}, { address: '192.0.3.1' }],
    ['address in IPv6', { address: '2001:db8::/32' }, { address: '2001:db8::7' }, { address: '192.0.2.1' }],
    ['address that is none', { address: '0.0.0.0/0' }, {}, { address: '' }],
    ['listener', { listener: 'plain' }, {}, { listener: 'tls' }],
    [
      'certificate',
      { certificate: { ou: 'plant-*' } },
      { certificate: { ou: 'plant-7' } },
      { certificate: { cn: 'plant-7' } },
    ],
  ])('hold by %s', (_what, condition, fitting, other) => {
    const rule: RuleInput = { allow: 'publish', topic: 'a', ...condition }
    expect(grantOf([rule], fitting).publish('a')).toBe(true)
    expect(grantOf([rule], other).publish('a')).toBe(false)
  })

  it('cover what begins with $ only where they name it', () => {
    const may = grantOf([
      { allow: 'all', topic: ['#', '+/x'] },
      { allow: ['produce', 'consume'], topic: '$queue/jobs/#' },
    ])
    expect(may.subscribe('#')).toBe(true)
    for (const topic of ['$SYS/broker/uptime', '$SYS/x', '$queue/other', '$stream/x']) {
      expect([may.publish(topic), may.receive(topic), may.subscribe(topic)]).toEqual([false, false, false])
    }
    expect(may.publish('$queue/jobs/1')).toBe(true)
    expect(may.subscribe('$queue/jobs/#')).toBe(true)
    expect(may.receive('$queue/jobs/1')).toBe(true)
  })

  it('ask produce and consume for queues and streams, not publish and subscribe', () => {
    const may = grantOf([{ allow: ['publish', 'subscribe', 'receive'], topic: '$queue/#' }])
    expect([may.publish('$queue/a'), may.subscribe('$queue/a'), may.receive('$queue/a')]).toEqual([false, false, false])
  })
})

describe('placeholders', () => {
  const rules: RuleInput[] = [{ allow: 'all', topic: ['users/%u/#', 'clients/%c', 'groups/%g/+', 'plants/%cert.ou/x'] }]

  it('stand for the client itself, once for each of its groups', () => {
    const may = grantOf(rules, { groups: ['red', 'blue'], certificate: { ou: 'p7' } })
    for (const topic of ['users/alice/a/b', 'clients/c1', 'groups/red/x', 'groups/blue/x', 'plants/p7/x']) {
      expect(may.publish(topic), topic).toBe(true)
    }
    for (const topic of [
      'users/bob/a',
      'clients/c2',
      'groups/green/x',
      'plants/p8/x',
      'plants/%cert.ou/x',
      'users/%u/a',
    ]) {
      expect(may.publish(topic), topic).toBe(false)
    }
    expect(may.subscribe('users/+/a')).toBe(false)
    expect(may.subscribe('users/alice/#')).toBe(true)
  })

  it.each(['+', '#', 'alice/+', 'a/b', '', 'x#'])('never let the name %j reach other levels', (name) => {
    for (const who of [{ user: name }, { user: 'u', clientId: name }, { user: 'u', groups: [name] }]) {
      const may = grantOf(rules, who)
      for (const topic of ['users/alice/a', 'users/a/b', 'users//x', 'clients/c9', 'clients/a', 'groups/red/x']) {
        expect(may.publish(topic), topic).toBe(false)
      }
      expect(may.subscribe('users/#')).toBe(false)
      expect(may.subscribe('clients/#')).toBe(false)
    }
  })

  it('at the first level never reach into $SYS', () => {
    expect(grantOf([{ allow: 'all', topic: '%u/#' }], { user: '$SYS' }).subscribe('$SYS/#')).toBe(false)
    expect(grantOf([{ allow: 'all', topic: 'x/%u' }], { user: '$SYS' }).publish('x/$SYS')).toBe(true)
  })

  it('of a denying rule that a name makes unusable deny everything', () => {
    const may = grantOf(
      [
        { deny: 'publish', topic: 'own/%u/locked' },
        { allow: 'all', topic: '#' },
      ],
      { user: 'a/b' },
    )
    expect(may.publish('anything')).toBe(false)
    expect(may.receive('anything')).toBe(true)
  })

  it('mean nothing for a client without a name', () => {
    expect(grantOf(rules, { user: undefined }).publish('users/undefined/a')).toBe(false)
  })
})

describe('a rule', () => {
  it.each<[string, object, RegExp]>([
    ['neither allows nor denies', { topic: 'a' }, /allow or deny/],
    ['both allows and denies', { allow: 'all', deny: 'all', topic: 'a' }, /allow or deny/],
    ['has no topic', { allow: 'all' }, /topic/],
    ['has an unknown action', { allow: 'read', topic: 'a' }, /publish, subscribe, receive/],
    ['has an unknown part', { allow: 'all', topic: 'a', users: 'x' }, /users/],
    ['has a filter that is none', { allow: 'all', topic: 'a/#/b' }, /not a topic filter/],
    ['has a placeholder within a level', { allow: 'all', topic: 'a/x%u' }, /whole level/],
    ['has a shared subscription as its topic', { allow: 'all', topic: '$share/g/a' }, /\$share/],
    ['has an address that is none', { allow: 'all', topic: 'a', address: '10.0.0.0/99' }, /10\.0\.0\.0\/99/],
    ['has a QoS that is none', { allow: 'all', topic: 'a', qos: 3 }, /qos/],
    ['asks for retain of subscriptions', { allow: 'subscribe', topic: 'a', retain: true }, /retain/],
  ])('that %s is refused', (_what, input, message) => {
    expect(() => ruleOf(input as RuleInput, 'rules[0]')).toThrow(message)
  })
})

describe('changed rules', () => {
  it('hold for a grant that was given before, for what it had answered already too', () => {
    const authorization = new Authorization(sourceOf([{ allow: 'all', topic: 'a' }]))
    const grant = authorization.grantFor(subject(), undefined)
    expect(grant.mayPublish('a', 0, false)).toBe(true)
    expect(grant.mayReceive('a', 0, false, null)).toBe(true)
    authorization.replace(sourceOf([{ allow: 'all', topic: 'b', group: 'g' }], { groups: new Map([['alice', ['g']]]) }))
    expect(grant.mayPublish('a', 0, false)).toBe(false)
    expect(grant.mayReceive('a', 0, false, null)).toBe(false)
    expect(grant.mayPublish('b', 0, false)).toBe(true)
    authorization.replace(everythingAllowed)
    expect(grant.mayPublish('a', 0, false)).toBe(true)
  })
})

describe('a grant', () => {
  it('stays within its memory however many topics there are, and goes on being right', () => {
    const grant = new Authorization(sourceOf([{ allow: 'publish', topic: '+/x' }])).grantFor(subject(), undefined)
    for (let index = 0; index < 5000; index++) {
      expect(grant.mayPublish(`${index % 3000}/x`, 0, false)).toBe(true)
      expect(grant.mayPublish(`${index % 3000}/y`, 0, false)).toBe(false)
    }
  })

  it('asks the rules of a token first, then those of the configuration', () => {
    const authorization = new Authorization(sourceOf([{ allow: 'publish', topic: 'common' }]))
    const rules = [
      ruleOf({ deny: 'publish', topic: 'common', retain: true }, 'token'),
      ruleOf({ allow: 'all', topic: 'own/%u' }, 'token'),
    ]
    const grant = authorization.grantFor(subject(), { name: 'alice', rules })
    expect(grant.mayPublish('own/alice', 0, false)).toBe(true)
    expect(grant.mayPublish('common', 0, false)).toBe(true)
    expect(grant.mayPublish('common', 0, true)).toBe(false)
    expect(authorization.grantFor(subject(), { name: 'alice' }).mayPublish('own/alice', 0, false)).toBe(false)
  })

  it('of a superuser allows everything', () => {
    const authorization = new Authorization(sourceOf([{ deny: 'all', topic: '#' }]))
    expect(authorization.grantFor(subject(), { name: 'root', superuser: true }).mayPublish('a', 2, true)).toBe(true)
  })

  it('is bound to client ids where the configuration says so', () => {
    const authorization = new Authorization(sourceOf([], { clientIds: ['%u-*', 'tool'] }))
    expect(authorization.mayUseClientId({ user: 'alice', clientId: 'alice-1' })).toBe(true)
    expect(authorization.mayUseClientId({ user: 'alice', clientId: 'tool' })).toBe(true)
    expect(authorization.mayUseClientId({ user: 'alice', clientId: 'bob-1' })).toBe(false)
    expect(authorization.mayUseClientId({ user: '*', clientId: 'bob-1' })).toBe(false)
    expect(authorization.mayUseClientId({ user: undefined, clientId: '%u-1' })).toBe(false)
  })
})

describe('an explanation', () => {
  it('names the rule that decides, or says that none does', () => {
    const authorization = new Authorization(
      sourceOf([
        { deny: 'publish', topic: 'plant/secret/#' },
        { allow: ['publish', 'subscribe'], topic: 'plant/#', qos: [0, 1] },
      ]),
    )
    const ask = (topic: string, qos: Qos = 0) =>
      authorization.explain(subject(), { action: 'publish', topic, qos, retain: false })
    expect(ask('plant/1')).toEqual({ allowed: true, rule: 'rules[1]: allow publish, subscribe on plant/#' })
    expect(ask('plant/secret/1')).toEqual({ allowed: false, rule: 'rules[0]: deny publish on plant/secret/#' })
    expect(ask('plant/1', 2)).toEqual({ allowed: false, rule: undefined })
    expect(authorization.explain(subject(), { action: 'subscribe', filter: '#', qos: 0 }).allowed).toBe(false)
    expect(
      authorization.explain(subject(), { action: 'receive', topic: 'plant/1', qos: 0, retain: false }).allowed,
    ).toBe(true)
  })
})

describe('topic filters', () => {
  const split = (text: string) => text.split('/')
  it.each([
    ['#', 'a/b', true],
    ['a/#', 'a', true],
    ['+', 'a', true],
    ['+', '', true],
    ['+', 'a/b', false],
    ['+/#', '$SYS/x', false],
    ['#', '$SYS', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/+', 'a', false],
    ['a/b', 'a/b/c', false],
  ])('%s matches %s: %s', (filter, topic, expected) => {
    expect(matches(split(filter), split(topic))).toBe(expected)
  })

  it.each([
    ['#', '#', true],
    ['a/#', 'a/+/#', true],
    ['a/#', 'a', true],
    ['a/+', 'a/#', false],
    ['a/+', 'a/+', true],
    ['a/b', 'a/+', false],
    ['#', '$SYS/#', false],
    ['+/x', '$SYS/x', false],
    ['a', 'a/#', false],
  ])('%s covers %s: %s', (outer, inner, expected) => {
    expect(covers(split(outer), split(inner))).toBe(expected)
  })

  it.each([
    ['a/+', '+/b', true],
    ['a/#', 'a', true],
    ['a/b', 'a/c', false],
    ['a', 'a/b', false],
    ['#', '$SYS/x', false],
    ['a/b/#', '+/+/c/d', true],
  ])('%s and %s overlap: %s', (one, other, expected) => {
    expect(overlap(split(one), split(other))).toBe(expected)
    expect(overlap(split(other), split(one))).toBe(expected)
  })

  it.each([
    ['*', '', true],
    ['a*c', 'abbc', true],
    ['a*c', 'ac', true],
    ['a*ca', 'aca', true],
    ['aa*aa', 'aaa', false],
    ['*b*', 'abc', true],
    ['*b*b*', 'abc', false],
    ['%x', '%x', true],
  ])('the pattern %s fits %s: %s', (pattern, text, expected) => {
    expect(fitsPattern(pattern, text)).toBe(expected)
  })
})

describe('what is remembered of topics', () => {
  it('has one limit for all clients, whatever they ask about, and the answers stay right', () => {
    const authorization = new Authorization(sourceOf([{ allow: 'publish', topic: 'of/%c/#' }]))
    const grants = Array.from({ length: 20 }, (_, client) =>
      authorization.grantFor(subject({ clientId: `c${client}` }), undefined),
    )
    const long = 'x'.repeat(60_000)
    let remembered = 0
    for (let round = 0; round < 50; round++) {
      for (const [client, grant] of grants.entries()) {
        expect(grant.mayPublish(`of/c${client}/${long}${round}`, 0, false)).toBe(true)
        expect(grant.mayPublish(`of/c${client + 1}/${long}${round}`, 0, false)).toBe(false)
        expect(grant.mayReceive(`of/c${client}/${long}${round}`, 0, false, null)).toBe(false)
        remembered = Math.max(remembered, authorization.charactersRemembered)
      }
    }
    expect(remembered).toBeGreaterThan(charactersRememberedMax / 2)
    expect(remembered).toBeLessThanOrEqual(charactersRememberedMax)
    authorization.replace(sourceOf([]))
    expect(authorization.charactersRemembered).toBe(0)
  })
})
