import { describe, expect, test } from 'vitest'
import { isLoopback } from '../../src/config/access.ts'
import { ConfigError, nearestName } from '../../src/config/config-error.ts'
import { configJsonSchema, parseGatewayOptions } from '../../src/config/schema.ts'

/** The lines of the error that `options` cause. */
function faults(options: object): string[] {
  try {
    parseGatewayOptions(options)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).message.split('\n')
  }
  return []
}

describe('options', () => {
  test('without any option everything has its default and the listeners are local', () => {
    const config = parseGatewayOptions()
    expect(config).toMatchObject({
      host: '127.0.0.1',
      mqttPort: 1883,
      httpPort: 8083,
      dataDir: './data',
      inMemory: false,
    })
    expect(config.limits).toMatchObject({ packetBytesMax: 16_777_216, receiveMaximum: 1000, connectTimeoutMs: 10_000 })
    expect(config.protocol).toMatchObject({ maximumQos: 2, retainAvailable: true })
    expect(config.sharedSubscriptions).toEqual({ strategy: 'round-robin', groups: {} })
    expect(config.allowAnonymous).toBe(true)
  })

  test('a given option changes itself only', () => {
    const config = parseGatewayOptions({ mqttPort: false, limits: { receiveMaximum: 5 } })
    expect(config.mqttPort).toBe(false)
    expect(config.limits.receiveMaximum).toBe(5)
    expect({ ...config.limits, receiveMaximum: 1000 }).toEqual(parseGatewayOptions().limits)
  })

  test("a listener's durability is given for itself, and not made up where it is not", () => {
    const { durability, mqttDurability, httpDurability } = parseGatewayOptions({ mqttDurability: 'none' })
    expect([durability, mqttDurability, httpDurability]).toEqual(['fsync', 'none', undefined])
  })

  test('an unknown name is refused with the nearest known one, at every level', () => {
    expect(faults({ mqtPort: 1 })).toEqual(['mqtPort: unknown option; did you mean mqttPort?'])
    expect(faults({ limits: { packet_bytes_max: 1 } })).toEqual([
      'limits.packet_bytes_max: unknown option; did you mean packetBytesMax?',
    ])
    expect(faults({ colour: 'blue' })).toEqual(['colour: unknown option'])
  })

  test.each([
    [
      { mqttPort: 65_536 },
      'mqttPort: expected a port from 0 to 65535 (0 takes a free one), or false to switch this listener off, got 65536',
    ],
    [
      { httpPort: true },
      'httpPort: expected a port from 0 to 65535 (0 takes a free one), or false to switch this listener off, got true',
    ],
    [{ limits: { receiveMaximum: 0.5 } }, 'limits.receiveMaximum: expected a whole number from 1 to 65535, got 0.5'],
    [
      { limits: { receiveMaximum: 65_536 } },
      'limits.receiveMaximum: expected a whole number from 1 to 65535, got 65536',
    ],
    [{ limits: 5 }, 'limits: expected the limits as names and values, got 5'],
    [{ logLevel: 'loud' }, 'logLevel: expected one of silent, fatal, error, warn, info, debug, trace, got "loud"'],
    [{ protocol: { maximumQos: 3 } }, 'protocol.maximumQos: expected 0, 1 or 2, got 3'],
    [{ durability: 'disk' }, 'durability: expected one of fsync, process, none, got "disk"'],
    [{ mqttDurability: 'disk' }, 'mqttDurability: expected one of fsync, process, none, got "disk"'],
    [{ httpDurability: true }, 'httpDurability: expected one of fsync, process, none, got true'],
    [{ inMemory: 'yes' }, 'inMemory: expected true or false, got "yes"'],
    [{ host: '' }, 'host: expected a text of 1 to 255 characters, got ""'],
    [{ authenticator: {} }, 'authenticator: expected an object with a method authenticate'],
    [{ authenticationMethods: { X: 1 } }, 'authenticationMethods.X: expected an object with a method begin'],
  ])('%j is refused in words', (options, line) => {
    expect(faults(options)).toEqual([line])
  })

  test('all faults are named at once, one line each', () => {
    expect(faults({ mqttPort: -1, limits: { receiveMaximum: 'a', nope: 1 } })).toHaveLength(3)
  })

  test('every number has a lower and an upper bound', () => {
    const unbounded: string[] = []
    const walk = (node: Record<string, unknown>, path: string) => {
      if ((node['type'] === 'integer' || node['type'] === 'number') && !('const' in node)) {
        if (typeof node['minimum'] !== 'number' || typeof node['maximum'] !== 'number') unbounded.push(path)
        if (Math.abs(Number(node['maximum'])) >= Number.MAX_SAFE_INTEGER) unbounded.push(path)
      }
      for (const [key, value] of Object.entries(node)) {
        if (typeof value === 'object' && value !== null) walk(value as Record<string, unknown>, `${path}/${key}`)
      }
    }
    walk(configJsonSchema(), '')
    expect(unbounded).toEqual([])
  })
})

describe('local by default', () => {
  const authenticator = { authenticate: () => ({ reasonCode: 0 as const }) }

  test.each(['127.0.0.1', '127.9.8.7', '::1', '[::1]', 'localhost', '::ffff:127.0.0.1'])('%s is loopback', (host) => {
    expect(isLoopback(host)).toBe(true)
    expect(faults({ host })).toEqual([])
  })

  test.each(['0.0.0.0', '::', '192.168.1.2', 'example.org', '127.example.org', 'localhost.example.org'])(
    '%s without authentication is refused and the error says what to do',
    (host) => {
      expect(isLoopback(host)).toBe(false)
      const [line] = faults({ host })
      expect(line).toContain('allowAnonymous: true')
      expect(line).toContain('127.0.0.1')
      expect(faults({ host, allowAnonymous: true })).toEqual([])
      expect(faults({ host, authenticator })).toEqual([])
    },
  )

  test('with an authenticator anonymous clients are no longer allowed unless that is said', () => {
    expect(parseGatewayOptions({ authenticator }).allowAnonymous).toBe(false)
    expect(parseGatewayOptions({ authenticator, allowAnonymous: true }).allowAnonymous).toBe(true)
  })

  test('refusing anonymous clients without any way to authenticate is a mistake', () => {
    expect(faults({ allowAnonymous: false })).toEqual([
      'allowAnonymous: false without any configured authentication would refuse every client',
    ])
  })
})

test('the nearest name needs likeness, not just any name', () => {
  expect(nearestName('datadir', ['dataDir', 'host'])).toBe('dataDir')
  expect(nearestName('x', ['host', 'dataDir'])).toBeUndefined()
})

describe('hosts and origins that no browser ever sends are mistakes', () => {
  test.each([
    ['https://panel.example/', 'did you mean https://panel.example?'],
    ['https://panel.example:443', 'did you mean https://panel.example?'],
    ['HTTPS://Panel.example', 'did you mean https://panel.example?'],
    ['wss://panel.example', 'did you mean https://panel.example?'],
    ['panel.example', 'did you mean https://panel.example?'],
    ['panel.example:8443', 'did you mean https://panel.example:8443?'],
    ['https://*.panel.example/x', 'did you mean'],
    ['a b', 'expected one such as https://panel.example'],
  ])('the origin %s', (origin, advice) => {
    const [line, ...more] = faults({ allowedOrigins: ['https://right.example', origin] })
    expect(line).toContain(`allowedOrigins.1: no browser sends ${JSON.stringify(origin)} as an origin; `)
    expect(line).toContain(advice)
    expect(more).toEqual([])
  })

  test.each(['*', 'null', 'http://panel.example:8080', 'capacitor://localhost', 'chrome-extension://abc'])(
    'the origin %s is none',
    (origin) => {
      expect(faults({ allowedOrigins: [origin] })).toEqual([])
    },
  )

  test.each(['https://panel.example', 'panel.example:8083', 'panel.example/x', '*.example', 'a b'])(
    'the host %s',
    (host) => {
      expect(faults({ allowedHosts: [host] })).toEqual([
        `allowedHosts.0: expected a host's name without scheme, port and path, such as panel.example, got ${JSON.stringify(host)}`,
      ])
    },
  )

  test.each(['*', 'panel.example', 'mqtide', 'a_b.example'])('the host %s is none', (host) => {
    expect(faults({ allowedHosts: [host] })).toEqual([])
  })
})
