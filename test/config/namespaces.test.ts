import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'

const faults = (options: GatewayOptions): string => {
  try {
    parseGatewayOptions(options)
    return ''
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

describe('namespaces in a configuration', () => {
  it('are named before a listener names them; default is there anyway', () => {
    const listener = (namespace: string) => ({ listeners: [{ kind: 'tcp' as const, port: 0, namespace }] })
    expect(faults(listener('default'))).toBe('')
    expect(faults({ ...listener('plant'), namespaces: { plant: {} } })).toBe('')
    expect(faults({ ...listener('plnat'), namespaces: { plant: {} } })).toMatch(
      /listeners\.0\.namespace.*no namespace is called plnat/,
    )
  })

  it('have names that fit into a metric, and users that are in one of them only', () => {
    expect(faults({ namespaces: { 'a b': {} } })).toMatch(/expected names of letters/)
    expect(faults({ namespaces: { a: { users: ['alice'] }, b: { users: ['bob', 'alice'] } } })).toMatch(
      /namespaces\.b\.users\.1.*alice is in the namespace a already/,
    )
  })

  it('have quotas whose misspelt names are found', () => {
    expect(faults({ namespaces: { plant: { quotas: { sessionMax: 1 } as object } } })).toMatch(/sessionsMax/)
  })

  it('export to namespaces that are there, below prefixes of one source each, and in no loop', () => {
    const one = (to: string, prefix = 'p/', filter = '#') => ({ exports: [{ filter, to, prefix }] })
    expect(faults({ namespaces: { a: one('b'), b: one('default', 'q/') } })).toBe('')
    expect(faults({ namespaces: { a: one('c') } })).toMatch(/exports\.0\.to.*no namespace is called c/)
    expect(faults({ namespaces: { a: one('a') } })).toMatch(/exports\.0\.to.*makes a loop/)
    expect(faults({ namespaces: { a: one('b'), b: one('c'), c: one('a') } })).toMatch(/c\.exports\.0\.to.*makes a loop/)
    expect(faults({ namespaces: { a: one('c'), b: one('c', 'p/q/'), c: {} } })).toMatch(/a exports to p\/ of c already/)
    for (const prefix of ['p', '$p/', '+/', '#/']) {
      expect(faults({ namespaces: { a: one('default', prefix) } })).toMatch(/exports\.0\.prefix/)
    }
    for (const filter of ['$SYS/#', '$share/g/a', 'a/#/b']) {
      expect(faults({ namespaces: { a: one('default', 'p/', filter) } })).toMatch(/exports\.0\.filter/)
    }
  })
})
