/** Mosquitto's ACL files: how they are read and judged. */
import { describe, expect, it } from 'vitest'
import { AclDecider, parseAclFile } from '../../src/auth/acl-file.ts'
import { allQos } from '../../src/auth/decider.ts'
import type { Subject } from '../../src/auth/subject.ts'

const text = `
# for those without a name
topic read public/#

user alice
topic readwrite plant/1/#
topic plant/2
topic deny plant/1/secret
topic write log/with spaces in it
user bob
topic read $SYS/#
topic deny devices/c1/up
pattern write devices/%c/up
pattern read users/%u/#
pattern deny users/%u/private
user alice
topic read later/#
`

function decider(user: string | undefined, clientId = 'c1', source = text, strict = false): AclDecider {
  const subject: Subject = { user, clientId, groups: [], address: '192.0.2.1', listener: '', certificate: {} }
  return new AclDecider(parseAclFile(source, 'acl', strict), subject)
}
const may = (one: AclDecider) => ({
  publish: (topic: string) => one.publishMask(topic) === allQos,
  receive: (topic: string) => one.receiveMask(topic) === allQos,
})

describe("Mosquitto's ACL file", () => {
  it('gives each user the lines below its name, also in several places', () => {
    const alice = may(decider('alice'))
    expect([alice.publish('plant/1/x'), alice.receive('plant/1/x'), alice.publish('plant/2')]).toEqual([
      true,
      true,
      true,
    ])
    expect([alice.receive('later/x'), alice.publish('later/x')]).toEqual([true, false])
    expect(alice.publish('log/with spaces in it')).toBe(true)
    expect(alice.receive('public/x')).toBe(false)
    expect(alice.receive('$SYS/x')).toBe(false)
  })

  it('gives the lines before the first user to clients without a name', () => {
    const nobody = may(decider(undefined))
    expect([nobody.receive('public/x'), nobody.publish('public/x')]).toEqual([true, false])
    expect(nobody.publish('devices/c1/up')).toBe(true)
    expect(nobody.receive('users/undefined/x')).toBe(false)
    expect(may(decider('carol')).receive('public/x')).toBe(false)
  })

  it('lets deny win among the own lines and among the patterns, and own lines over patterns', () => {
    expect(may(decider('alice')).publish('plant/1/secret')).toBe(false)
    expect(may(decider('bob')).publish('devices/c1/up')).toBe(false)
    expect(may(decider('bob', 'c2')).publish('devices/c2/up')).toBe(true)
    expect(may(decider('alice')).receive('users/alice/private')).toBe(false)
    expect(may(decider('alice')).receive('users/alice/x')).toBe(true)
    expect(
      may(decider('alice', 'c1', 'user alice\ntopic read users/#\npattern deny users/%u/private')).receive(
        'users/alice/private',
      ),
    ).toBe(true)
  })

  it.each(['+', '#', 'a+b'])('gives nothing by patterns to a client whose name holds wildcards: %s', (name) => {
    expect(may(decider(name)).receive('users/x/y')).toBe(false)
    expect(may(decider('bob', name)).publish(`devices/${name}/up`)).toBe(false)
    expect(may(decider('bob', name)).receive('$SYS/x')).toBe(true)
  })

  it('gives nothing by patterns where a name would reach other levels', () => {
    expect(may(decider('a/b')).receive('users/a/b')).toBe(false)
    expect(may(decider('$SYS', 'c1', 'pattern read %u/#')).receive('$SYS/broker/uptime')).toBe(false)
    expect(may(decider('bob', 'x/y', 'pattern read users/%u/#')).receive('users/bob/1')).toBe(true)
  })

  it('is strict about queues: lines about the queue, or else read lines that cover what it takes in', () => {
    const acl = 'topic read shop/#\ntopic deny shop/secret/#\ntopic read $queue/jobs\ntopic deny $queue/closed'
    const one = decider(undefined, 'c1', acl)
    const consumes = (queue: string, filter: string | null) => one.mayConsume(`$queue/${queue}`, filter)
    expect([consumes('orders', 'shop/open/#'), consumes('jobs', null), consumes('jobs', 'x/#')]).toEqual([
      true,
      true,
      true,
    ])
    expect([consumes('orders', 'shop/#'), consumes('closed', 'shop/open/#'), consumes('other', null)]).toEqual([
      false,
      false,
      false,
    ])
    expect(one.explain({ action: 'consume', address: '$queue/jobs', filter: null })).toEqual({
      allowed: true,
      rule: 'acl:3: read $queue/jobs',
    })
  })

  it('grants every subscription, unless it is to be strict', () => {
    expect(decider('bob').maySubscribe('#', 0)).toBe(true)
    const strict = decider('alice', 'c1', text, true)
    expect(strict.maySubscribe('later/#', 0)).toBe(true)
    expect(strict.maySubscribe('plant/2', 0)).toBe(true)
    expect(strict.maySubscribe('#', 0)).toBe(false)
    expect(strict.maySubscribe('plant/1/#', 0)).toBe(false)
    expect(strict.maySubscribe('plant/1/x', 0)).toBe(true)
    expect(strict.maySubscribe('log/with spaces in it', 0)).toBe(false)
  })

  it('takes a single word for the topic, and blanks at the ends for nothing', () => {
    const source = 'user  alice  \n topic   read  \ntopic readwrite   x y   \r\n'
    expect(may(decider('alice', 'c', source)).publish('read')).toBe(true)
    expect(may(decider('alice', 'c', source)).publish('x y')).toBe(true)
  })

  it('names file and line of every fault', () => {
    const source = 'user\ntopic\ntopic reed a\ntopic read a/#/b\nusr alice\n'
    expect(() => parseAclFile(source, '/etc/acl')).toThrow(
      [
        '/etc/acl:1: the user name is missing',
        '/etc/acl:2: the topic is missing',
        '/etc/acl:3: expected read, write, readwrite or deny, got "reed"',
        '/etc/acl:4: not a topic filter: "a/#/b"',
        '/etc/acl:5: expected user, topic or pattern, got "usr"',
      ].join('\n'),
    )
  })

  it('says which line decides', () => {
    const one = decider('alice')
    const publish = (topic: string) => one.explain({ action: 'publish', topic, qos: 0, retain: false })
    expect(publish('plant/1/x')).toEqual({ allowed: true, rule: 'acl:6: readwrite plant/1/#' })
    expect(publish('plant/1/secret')).toEqual({ allowed: false, rule: 'acl:8: deny plant/1/secret' })
    expect(publish('devices/c1/up')).toEqual({ allowed: true, rule: 'acl:13: write devices/%c/up' })
    expect(publish('other')).toEqual({ allowed: false, rule: undefined })
  })
})
