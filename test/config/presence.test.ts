/** The option presence: where it may be, and whose. */
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { readOnlyBecause } from '../../src/config/namespace-of.ts'
import { presenceOf } from '../../src/config/presence.ts'

const loaded = (options: object) =>
  loadConfig({ file: undefined, environment: {}, flags: { options, names: {} } }).config
const prefix = (text: string) => ({ presence: { prefix: text } })

describe('presence', () => {
  it('is unsaid, or of each namespace that has a prefix', () => {
    expect(presenceOf(loaded({}))).toEqual({})
    const config = loaded({ ...prefix('presence/'), namespaces: { plant: prefix('$SYS/presence/'), lab: {} } })
    expect(presenceOf(config)).toEqual({ default: 'presence/', plant: '$SYS/presence/' })
    expect(presenceOf(loaded({ namespaces: { default: prefix('here/') } }))).toEqual({ default: 'here/' })
    expect(readOnlyBecause(config, 'default', 'presence/a')).toContain('read only')
    expect(readOnlyBecause(config, 'lab', 'presence/a')).toBe(undefined)
  })

  it.each(['presence', '', '+/', 'a/#/', '$own/', '$SYS/broker/presence/'])('refuses the prefix %j', (text) => {
    expect(() => loaded(prefix(text))).toThrow(/presence/)
  })

  it('is said once, and not where another namespace exports to', () => {
    expect(() => loaded({ ...prefix('a/'), namespaces: { default: prefix('b/') } })).toThrow('say it once')
    const exports = [{ filter: '#', to: 'default', prefix: 'plant/' }]
    expect(() => loaded({ ...prefix('plant/presence/'), namespaces: { plant: { exports } } })).toThrow(
      'plant exports to plant/ of default',
    )
  })
})
