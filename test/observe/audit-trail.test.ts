/** What of refusals and limits gets into the log, and how many it stands for. */
import { describe, expect, it } from 'vitest'
import { AuditTrail } from '../../src/observe/audit-trail.ts'

function trail() {
  const lines: { fields: object; text: string }[] = []
  const clock = { now: 0 }
  const log = { warn: (fields: object, text: string) => void lines.push({ fields, text }) }
  return { lines, clock, audit: new AuditTrail(log as never, () => clock.now) }
}

const client = (clientId: string, namespace = 'default') => {
  const logged = namespace === 'default' ? {} : { namespace }
  return { clientId, principal: 'alice', peer: { address: '192.0.2.1:1' }, namespace: { name: namespace, logged } }
}

describe('the audit trail', () => {
  it('names who was refused what, and why', () => {
    const { audit, lines } = trail()
    audit.refused('publish', client('c'), 'plant/1', 'not_authorized')
    audit.refused('subscribe', client('c'), '#', 'quota_exceeded')
    audit.limited('client_publishes', client('c'))
    const who = { audit: true, clientId: 'c', principal: 'alice', address: '192.0.2.1:1' }
    expect(lines).toEqual([
      { fields: { ...who, reason: 'not_authorized', topic: 'plant/1' }, text: 'publish refused' },
      { fields: { ...who, reason: 'quota_exceeded', filter: '#' }, text: 'subscribe refused' },
      { fields: { ...who, limit: 'client_publishes' }, text: 'a limit holds a client up' },
    ])
  })

  it('tells clients of the same id in two namespaces apart', () => {
    const { audit, lines } = trail()
    audit.refused('connect', client('c'), 'lab', 'no_namespace')
    audit.refused('connect', client('c', 'plant'), 'lab', 'not_behind_this_listener')
    expect(lines.map(({ fields, text }) => ({ ...fields, text }))).toMatchObject([
      { text: 'connect refused', belongsTo: 'lab', reason: 'no_namespace' },
      { text: 'connect refused', belongsTo: 'lab', reason: 'not_behind_this_listener', namespace: 'plant' },
    ])
  })

  it('writes one line in ten seconds of a client and a reason, and says how many it stands for', () => {
    const { audit, lines, clock } = trail()
    for (let i = 0; i < 1000; i++) audit.refused('publish', client('c'), `t/${i}`, 'not_authorized')
    audit.refused('publish', client('other'), 't', 'not_authorized')
    expect(lines).toHaveLength(2)
    clock.now = 10_000
    audit.refused('publish', client('c'), 't', 'not_authorized')
    expect(lines[2]!.fields).toMatchObject({ topic: 't', leftOut: 999 })
  })

  it('writes so many lines in a second, whoever they are about, and says how many were not shown', () => {
    const { audit, lines, clock } = trail()
    for (let i = 0; i < 50; i++) audit.refused('publish', client(`c${i}`), 't', 'not_authorized')
    expect(lines).toHaveLength(20)
    clock.now = 1000
    audit.refused('publish', client('later'), 't', 'not_authorized')
    expect(lines[20]!.fields).toMatchObject({ clientId: 'later', notShown: 30 })
  })

  it('takes all who have not said who they are for one', () => {
    const { audit, lines, clock } = trail()
    for (let port = 0; port < 500; port++) {
      audit.limited('connects', { ...client(''), principal: '', peer: { address: `192.0.2.1:${port}` } })
    }
    expect(lines).toHaveLength(1)
    clock.now = 10_000
    audit.limited('connects', client(''))
    expect(lines[1]!.fields).toMatchObject({ leftOut: 499 })
  })

  it('cuts what is long', () => {
    const { audit, lines } = trail()
    audit.refused('publish', client('c'.repeat(1000)), 't'.repeat(60_000), 'not_authorized')
    expect(JSON.stringify(lines).length).toBeLessThan(600)
  })
})
