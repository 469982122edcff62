import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/config-error.ts'
import { listenersOf } from '../../src/config/listeners.ts'
import { type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'

function faults(options: object): string[] {
  try {
    parseGatewayOptions(options)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).message.split('\n')
  }
  return []
}

const listenersFor = (options: GatewayOptions) =>
  listenersOf(parseGatewayOptions(options)).map(
    ({ places: _, own: __, metrics: ___, allowedOrigins: ____, ...listener }) => listener,
  )

describe('the listeners', () => {
  test('without a list are the two that mqttPort and httpPort stand for', () => {
    expect(listenersFor({})).toEqual([
      { name: 'tcp-1883', kind: 'tcp', host: '127.0.0.1', port: 1883, durability: 'fsync', limits: {} },
      { name: 'http-8083', kind: 'http', host: '127.0.0.1', port: 8083, durability: 'fsync', limits: {} },
    ])
    expect(listenersFor({ mqttPort: false, httpPort: 0, httpDurability: 'none' })).toEqual([
      { name: 'http-0', kind: 'http', host: '127.0.0.1', port: 0, durability: 'none', limits: {} },
    ])
  })

  test('of a list have the global host and durability where they say nothing, and a name of kind and port', () => {
    const listeners: GatewayOptions['listeners'] = [
      { kind: 'tcp', port: 1883 },
      { name: 'lab', kind: 'ws', host: '::1', port: 9001, durability: 'process', limits: { connectionsMax: 5 } },
    ]
    expect(listenersFor({ durability: 'none', listeners })).toEqual([
      { name: 'tcp-1883', kind: 'tcp', host: '127.0.0.1', port: 1883, durability: 'none', limits: {} },
      { name: 'lab', kind: 'ws', host: '::1', port: 9001, durability: 'process', limits: { connectionsMax: 5 } },
    ])
  })

  test('of a list replace the default ones, which are then off', () => {
    const { mqttPort, httpPort, listeners } = parseGatewayOptions({ listeners: [{ kind: 'tcp', port: 1 }] })
    expect([mqttPort, httpPort]).toEqual([false, false])
    expect(listeners).toHaveLength(1)
    expect(listenersFor({ listeners: [] })).toEqual([])
  })

  test('have the origins of all, or their own', () => {
    const listeners: GatewayOptions['listeners'] = [
      { kind: 'http', port: 1 },
      { kind: 'ws', port: 2, allowedOrigins: ['null'] },
    ]
    const options = parseGatewayOptions({ allowedOrigins: ['https://panel.example'], listeners })
    expect(listenersOf(options).map(({ allowedOrigins }) => allowedOrigins)).toEqual([
      ['https://panel.example'],
      ['null'],
    ])
    expect(faults({ listeners: [{ kind: 'http', port: 1, allowedOrigins: ['panel.example'] }] })[0]).toContain(
      'did you mean https://panel.example?',
    )
    expect(faults({ listeners: [{ kind: 'tcp', port: 1, allowedOrigins: [] }] })[0]).toContain(
      'belongs to listeners of kinds ws, wss, http and https',
    )
  })

  test('what was filled in is accepted again', () => {
    const {
      authenticator: _,
      authenticationMethods: __,
      ...once
    } = parseGatewayOptions({
      listeners: [{ kind: 'http', port: 80 }],
    })
    const { authenticator: ___, authenticationMethods: ____, ...twice } = parseGatewayOptions(once)
    expect(twice).toEqual(once)
  })
})

describe('a mistake in the listeners is named', () => {
  const listeners = [{ kind: 'tcp', port: 1883 }]

  test.each(['mqttPort', 'httpPort', 'mqttDurability', 'httpDurability'])('%s beside a list', (option) => {
    const value = option.endsWith('Port') ? 1884 : 'none'
    expect(faults({ [option]: value, listeners })).toEqual([
      `${option}: stands for a default listener, which listeners replaces; say it there instead`,
    ])
  })

  test('false for a default port beside a list is none: both say the same', () => {
    expect(faults({ mqttPort: false, httpPort: false, listeners })).toEqual([])
  })

  test.each(['tls', 'wss', 'https'])('%s without its files', (kind) => {
    expect(faults({ listeners: [{ kind, port: 8883 }] })).toEqual([
      'listeners.0.cert: missing: expected a PEM file',
      'listeners.0.key: missing: expected a PEM file',
    ])
    const files = { cert: 'a', key: 'b' }
    expect(faults({ listeners: [{ kind, port: 8883, ...files, clientCertificate: 'require' }] })).toEqual([
      'listeners.0.ca: missing: clientCertificate needs the authorities that it is judged by',
    ])
    expect(faults({ listeners: [{ kind, port: 8883, ...files, ca: 'c', crl: 'd' }] })).toEqual([
      'listeners.0.crl: says nothing without clientCertificate: request or require',
    ])
  })

  test('files of certificates where nothing is encrypted, and a socket with an address', () => {
    expect(faults({ listeners: [{ kind: 'tcp', port: 1, cert: 'a' }] })).toEqual([
      'listeners.0.cert: belongs to a listener of kind tls, wss, https only',
    ])
    expect(faults({ listeners: [{ kind: 'unix', port: 1 }] })).toEqual([
      'listeners.0.path: missing: expected the path of the socket',
      'listeners.0.port: says nothing of a socket in the file system',
    ])
  })

  test.each([
    [[{ kind: 'udp', port: 1 }], 'listeners.0.kind: expected one of tcp, tls, ws, wss, http, https, unix, got "udp"'],
    [[{ kind: 'tcp' }], 'listeners.0.port: missing: expected a port from 0 to 65535'],
    [
      [{ kind: 'tcp', port: false }],
      'listeners.0.port: expected a port from 0 to 65535 (0 takes a free one), got false',
    ],
    [[{ kind: 'tcp', ports: 1 }], 'listeners.0.ports: unknown option; did you mean port?'],
    [[{ kind: 'tcp', port: 1, path: '/x' }], 'listeners.0.path: belongs to a listener of kind unix only'],
    [
      [{ kind: 'tcp', port: 1, limits: { conectionsMax: 1 } }],
      'listeners.0.limits.conectionsMax: unknown option; did you mean connectionsMax?',
    ],
    [
      [{ name: 'a b', kind: 'tcp', port: 1 }],
      'listeners.0.name: expected a name of letters, digits, dots, dashes and underscores, got "a b"',
    ],
    [[5], 'listeners.0: expected a listener as names and values, for example `kind: tcp` and `port: 1883`, got 5'],
    ['tcp', 'listeners: expected a list of listeners, got "tcp"'],
  ])('%j', (given, line) => {
    expect(faults({ listeners: given })).toEqual([line])
  })

  test('a name given twice, also one that was made of kind and port', () => {
    expect(
      faults({
        listeners: [
          { kind: 'tcp', port: 0 },
          { kind: 'tcp', port: 0 },
          { name: 'tcp-0', kind: 'ws', port: 0 },
        ],
      }),
    ).toEqual([
      'listeners.1: the name tcp-0 is taken by listeners.0; give each a name of its own',
      'listeners.2.name: the name tcp-0 is taken by listeners.0; give each a name of its own',
    ])
  })

  test.each([
    [{ mqttPort: 8083, httpPort: 8083 }, "httpPort: 8083 is mqttPort's too; each listener needs a port of its own"],
    [{ mqttPort: 8083 }, "mqttPort: 8083 is httpPort's too; each listener needs a port of its own"],
    [{ httpPort: 1883 }, "httpPort: 1883 is mqttPort's too; each listener needs a port of its own"],
  ])('the port of another listener: %j', (options, line) => {
    expect(faults(options)).toEqual([line])
  })

  test.each([
    ['127.0.0.1', '127.0.0.1', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['0.0.0.0', '127.0.0.1', true],
    ['127.0.0.1', '::', true],
    ['0.0.0.0', '::1', false],
    ['[::1]', '::1', true],
  ])('the same port at %s and %s: %s', (one, other, clash) => {
    const two = [
      { name: 'one', kind: 'tcp', host: one, port: 1883 },
      { name: 'other', kind: 'tcp', host: other, port: 1883 },
    ]
    const lines = faults({ allowAnonymous: true, listeners: two })
    expect(lines).toEqual(
      clash ? ["listeners.1.port: 1883 is listeners.0.port's too; each listener needs a port of its own"] : [],
    )
  })

  test('an address that others reach, of each listener that has one', () => {
    const lines = faults({
      host: '0.0.0.0',
      listeners: [
        { kind: 'tcp', port: 1 },
        { kind: 'tcp', port: 2, host: '127.0.0.1' },
        { kind: 'tcp', port: 3, host: '192.0.2.1' },
      ],
    })
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/^host: 0\.0\.0\.0 can be reached from other machines.*allowAnonymous: true/)
    expect(lines[1]).toMatch(/^listeners\.2\.host: 192\.0\.2\.1 can be reached/)
  })

  test.each([
    [
      { authentication: { passwordFil: 'users' } },
      ['listeners.0.authentication.passwordFil: unknown option; did you mean passwordFile?'],
    ],
    [
      { authentication: {} },
      ['listeners.0.authentication: expected passwordFile, jwt, http, certificate or a chain of them'],
    ],
    [
      { authentication: [{ jwt: {} }] },
      ['listeners.0.authentication.chain.0.jwt: expected one of secret, secretFile, publicKeyFile, jwksFile, jwksUrl'],
    ],
    [
      { authentication: 'users' },
      ['listeners.0.authentication: expected the ways to authenticate, or false for none, got "users"'],
    ],
    [{ authorization: {} }, ['listeners.0.authorization: expected aclFile, rules or clientId']],
    [
      { authorization: { rules: [{ allow: 'al', topic: '#' }] } },
      ['listeners.0.authorization.rules.0: expected all or some of publish, subscribe, receive, produce, consume'],
    ],
    [
      { authentication: false, allowAnonymous: false },
      ['listeners.0.allowAnonymous: false without any configured authentication would refuse every client'],
    ],
  ])('in what a listener says of its own clients: %j', (own, lines) => {
    expect(faults({ listeners: [{ kind: 'tcp', port: 1, ...own }] })).toEqual(lines)
  })

  test('a listener that asks nobody who he is and can be reached from elsewhere, also where others ask', () => {
    const listeners = [
      { kind: 'tcp', port: 1, host: '0.0.0.0' },
      { kind: 'tcp', port: 2, host: '0.0.0.0', authentication: false },
      { kind: 'tcp', port: 3, host: '0.0.0.0', authentication: false, allowAnonymous: true },
    ]
    const lines = faults({ authentication: { passwordFile: 'users' }, listeners })
    expect(lines).toEqual([expect.stringMatching(/^listeners\.1\.host: 0\.0\.0\.0 can be reached from other machines/)])
    const asking = [{ kind: 'tcp', port: 1, host: '0.0.0.0', authentication: { passwordFile: 'users' } }]
    expect(faults({ listeners: asking })).toEqual([])
  })

  test('together with every other mistake', () => {
    expect(faults({ mqttPort: 8083, limits: { receiveMaximum: 0 }, host: '0.0.0.0' })).toHaveLength(3)
  })
})

describe('proxies of a listener', () => {
  test.each([
    [{ kind: 'tcp', proxyProtocol: true }, 'listeners.0.trustedProxies: missing: proxyProtocol needs the addresses'],
    [{ kind: 'tcp', trustedProxies: ['::1'] }, 'listeners.0.trustedProxies: says nothing without proxyProtocol: true'],
    [{ kind: 'ws', trustedProxies: ['10.0.0.0/33'] }, 'listeners.0.trustedProxies.0: not an address or a network'],
    [{ kind: 'ws', forwardedHeader: 'Forwarded' }, 'listeners.0.forwardedHeader: says nothing without trustedProxies'],
    [
      { kind: 'tls', cert: 'c', key: 'k', forwardedHeader: 'Forwarded' },
      'listeners.0.forwardedHeader: belongs to a listener of kind ws',
    ],
  ])('%o is refused with what is missing', (listener, fault) => {
    const found = faults({ listeners: [{ port: 1, ...listener }] })
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(fault)
  })

  test('need no address where a socket in the file system is the way in', () => {
    expect(faults({ listeners: [{ kind: 'unix', path: '/run/mqtide.sock', proxyProtocol: true }] })).toEqual([])
  })
})
