import { describe, expect, test } from 'vitest'
import { createHostCheck } from '../../src/http/host-check.ts'

const check = (options: Partial<Parameters<typeof createHostCheck>[0]> = {}) =>
  createHostCheck({ boundHost: '127.0.0.1', allowedHosts: [], allowedOrigins: [], ...options })

describe('the name by which the gateway is asked for', () => {
  test.each([
    'localhost',
    'localhost:8083',
    'a.localhost:1',
    '127.0.0.1',
    '192.0.2.7:8083',
    '[::1]:8083',
    '[2001:db8::1]',
  ])('%s is known', (host) => {
    expect(check()({ host })).toBeUndefined()
  })

  test.each([
    'rebound.example',
    'rebound.example:8083',
    'localhost.example',
    '127.0.0.1.example',
    'notlocalhost',
    '',
    '*',
  ])('%j is not, until it is listed', (host) => {
    const refusal = check()({ host })
    expect(refusal?.status).toBe(421)
    expect(refusal?.text).toContain('allowedHosts')
  })

  test('a name that is listed or bound is known, whatever its case, port or last dot; * stands for all', () => {
    const listed = check({ boundHost: 'gate.example', allowedHosts: ['Panel.example'] })
    for (const host of ['panel.EXAMPLE:8083', 'panel.example.', 'gate.example'])
      expect(listed({ host })).toBeUndefined()
    expect(listed({ host: 'other.example' })?.status).toBe(421)
    expect(check({ allowedHosts: ['*'] })({ host: 'other.example' })).toBeUndefined()
  })

  test('a request without one comes from no browser', () => {
    expect(check()({})).toBeUndefined()
  })
})

describe('the page that asks', () => {
  const host = '127.0.0.1:8083'

  test.each(['http://localhost:3000', 'https://127.0.0.1', 'http://[::1]:5173', 'http://127.0.0.1:8083'])(
    'may be of this machine: %s',
    (origin) => {
      expect(check()({ host, origin })).toBeUndefined()
    },
  )

  test.each(['https://panel.example', 'http://192.0.2.7', 'http://localhost.example', 'null', 'file://localhost', 'x'])(
    'may not be of elsewhere: %s',
    (origin) => {
      expect(check()({ host, origin })).toEqual({
        status: 403,
        text: `pages of ${origin} may not connect here; list it in allowedOrigins`,
      })
    },
  )

  test('may be our own, under an address or a name that is known, with or without the usual port', () => {
    expect(check()({ host: '192.0.2.7:8083', origin: 'http://192.0.2.7:8083' })).toBeUndefined()
    expect(check()({ host: '192.0.2.7:8083', origin: 'http://192.0.2.7:9000' })?.status).toBe(403)
    const behindProxy = check({ allowedHosts: ['panel.example'] })
    expect(behindProxy({ host: 'panel.example:443', origin: 'https://panel.example' })).toBeUndefined()
    expect(behindProxy({ host: '127.0.0.1:8083', origin: 'https://panel.example' })).toBeUndefined()
  })

  test('is not our own only because its name was made to point here', () => {
    expect(check()({ host: 'rebound.example:8083', origin: 'http://rebound.example:8083' })?.status).toBe(421)
  })

  test('may be one that is listed, or any where * is', () => {
    const listed = check({ allowedOrigins: ['https://panel.example', 'capacitor://localhost'] })
    expect(listed({ host, origin: 'https://panel.example' })).toBeUndefined()
    expect(listed({ host, origin: 'capacitor://localhost' })).toBeUndefined()
    expect(listed({ host, origin: 'https://panel.example:444' })?.status).toBe(403)
    expect(check({ allowedOrigins: ['*'] })({ host, origin: 'https://any.example' })).toBeUndefined()
  })
})
