import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ConfigSources, loadConfig } from '../../src/config/load.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-config-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(text: string, name = 'gateway.yaml'): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

function failure(sources: ConfigSources): string {
  try {
    loadConfig(sources)
  } catch (error) {
    return (error as Error).message.replaceAll(`${folder}/`, '')
  }
  return ''
}

describe('precedence', () => {
  test('a flag wins over the environment, that over the file, that over the default', () => {
    const path = file(
      'mqttPort: 1001\nhttpPort: 1002\ndataDir: from-file\nlimits: { receiveMaximum: 7, packetBytesMax: 100 }\n',
    )
    const { config } = loadConfig({
      file: path,
      environment: { MQTIDE_HTTP_PORT: '2002', MQTIDE_DATA_DIR: 'from-env', MQTIDE_LIMITS__RECEIVE_MAXIMUM: '8' },
      flags: { options: { dataDir: 'from-flag' }, names: { dataDir: '--data-dir' } },
    })
    expect(config).toMatchObject({ mqttPort: 1001, httpPort: 2002, dataDir: 'from-flag', host: '127.0.0.1' })
    expect(config.limits).toMatchObject({ receiveMaximum: 8, packetBytesMax: 100, topicAliasMaximum: 64 })
  })

  test('MQTIDE_CONFIG names the file, and the flag wins over it', () => {
    const one = file('mqttPort: 1001', 'one.yaml')
    const two = file('{"mqttPort": 1002}', 'two.json')
    expect(loadConfig({ environment: { MQTIDE_CONFIG: one } }).config.mqttPort).toBe(1001)
    expect(loadConfig({ environment: { MQTIDE_CONFIG: one }, file: two }).config.mqttPort).toBe(1002)
  })

  test('an empty file and one of comments only leave the defaults', () => {
    expect(loadConfig({ file: file('') }).config.mqttPort).toBe(1883)
    expect(loadConfig({ file: file('# nothing yet\n') }).config.mqttPort).toBe(1883)
  })
})

describe('environment', () => {
  test('values take the type that the option has', () => {
    const { config, warnings } = loadConfig({
      environment: {
        MQTIDE_MQTT_PORT: 'false',
        MQTIDE_IN_MEMORY: 'true',
        MQTIDE_ALLOWED_ORIGINS: 'https://a.example, https://b.example',
        MQTIDE_PROTOCOL__RESPONSE_INFORMATION: '42',
        MQTIDE_SHARED_SUBSCRIPTIONS__GROUPS__workers: 'sticky',
        PATH: '/bin',
      },
    })
    expect(config.mqttPort).toBe(false)
    expect(config.inMemory).toBe(true)
    expect(config.allowedOrigins).toEqual(['https://a.example', 'https://b.example'])
    expect(config.protocol.responseInformation).toBe('42')
    expect(config.sharedSubscriptions.groups).toEqual({ workers: 'sticky' })
    expect(warnings).toEqual([])
  })

  test("a listener's durability comes from file, environment and flag like any option", () => {
    const { config } = loadConfig({
      file: file('durability: process\nmqttDurability: none\n'),
      environment: { MQTIDE_HTTP_DURABILITY: 'none' },
      flags: { options: { httpDurability: 'fsync' }, names: { httpDurability: '--http-durability' } },
    })
    expect(config).toMatchObject({ durability: 'process', mqttDurability: 'none', httpDurability: 'fsync' })
  })

  test('a faulty value is reported with the name of its variable', () => {
    expect(failure({ environment: { MQTIDE_HTTP_DURABILITY: 'disk' } })).toBe(
      'MQTIDE_HTTP_DURABILITY: httpDurability: expected one of fsync, process, none, got "disk"',
    )
    expect(failure({ environment: { MQTIDE_MQTT_PORT: 'tcp://10.0.0.1:1883' } })).toMatch(
      /^MQTIDE_MQTT_PORT: mqttPort: expected a port .*, got "tcp:/,
    )
  })

  test('a variable that is no option is a warning with the nearest name', () => {
    const { warnings } = loadConfig({
      environment: { MQTIDE_MQT_PORT: '1', MQTIDE_SERVICE_HOST: '10.0.0.1', MQTIDE_LIMITS: '1' },
    })
    expect(warnings[0]).toBe('environment variable MQTIDE_MQT_PORT is no option; did you mean MQTIDE_MQTT_PORT?')
    expect(warnings).toHaveLength(3)
  })
})

describe('file', () => {
  test.each([
    [
      'an unknown option',
      'mqttPort: 1\nlimits:\n  recieveMaximum: 5\n',
      'gateway.yaml:3:3: limits.recieveMaximum: unknown option; did you mean receiveMaximum?',
    ],
    [
      'a value out of bounds',
      'httpPort: 1\nmqttPort: 70000\n',
      'gateway.yaml:2:1: mqttPort: expected a port from 0 to 65535 (0 takes a free one), or false to switch this listener off, got 70000',
    ],
    [
      'a list where names are expected',
      '- a\n',
      'gateway.yaml:1:1: expected options as names and values, for example `mqttPort: 1883`',
    ],
    ['an option given twice', 'mqttPort: 1\nmqttPort: 2\n', 'gateway.yaml:2:1: Map keys must be unique'],
  ])('%s is reported with line and column', (_, text, message) => {
    expect(failure({ file: file(text) })).toBe(message)
  })

  test('text that is no YAML is reported with line and column', () => {
    expect(failure({ file: file('mqttPort: 1\nhost: "127.0.0.1\n') })).toMatch(/^gateway\.yaml:\d+:\d+: /)
  })

  test('aliases that multiply are refused', () => {
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x]']
    for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef']) {
      lines.push(`${to}: &${to} [*${from},*${from},*${from},*${from},*${from},*${from},*${from},*${from},*${from}]`)
    }
    expect(failure({ file: file(lines.join('\n')) })).toMatch(/^gateway\.yaml:1:1: .*alias/i)
  })

  test('a file that is missing or too large is refused with its path', () => {
    expect(failure({ file: join(folder, 'missing.yaml') })).toMatch(
      /^missing\.yaml: the configuration file can't be read: /,
    )
    expect(failure({ file: file(`# ${'x'.repeat(1024 * 1024)}`) })).toMatch(/larger than 1048576 bytes/)
  })

  test('the name __proto__ is an unknown option and changes no object', () => {
    expect(failure({ file: file('{"__proto__": {"polluted": true}}') })).not.toBe('')
    expect('polluted' in {}).toBe(false)
  })
})

describe('listeners', () => {
  test('stand in the file as a list, and in the environment as JSON', () => {
    const path = file('listeners:\n  - { kind: tcp, port: 1001 }\n')
    expect(loadConfig({ file: path }).config.listeners).toMatchObject([{ kind: 'tcp', port: 1001 }])
    const environment = { MQTIDE_LISTENERS: '[{"kind":"ws","port":1002}]' }
    expect(loadConfig({ file: path, environment }).config.listeners).toMatchObject([{ kind: 'ws', port: 1002 }])
    expect(failure({ environment: { MQTIDE_LISTENERS: 'tcp:1002' } })).toBe(
      'MQTIDE_LISTENERS: listeners: expected a list of listeners, got "tcp:1002"',
    )
  })

  test('at fault are reported with line and column of the value, of the item where it is missing', () => {
    const text = 'listeners:\n  - kind: tcp\n    port: 1\n  - kind: tcp\n  - kind: tls\n    port: 8883\n'
    expect(failure({ file: file(text) }).split('\n')).toEqual([
      'gateway.yaml:4:5: listeners.1.port: missing: expected a port from 0 to 65535',
      'gateway.yaml:5:5: listeners.2.cert: missing: expected a PEM file',
      'gateway.yaml:5:5: listeners.2.key: missing: expected a PEM file',
    ])
  })

  test('cannot be combined with the options that they replace, wherever those were given', () => {
    const path = file('listeners:\n  - { kind: tcp, port: 1001 }\nhttpPort: 1\n')
    const flags = { options: { mqttPort: 1 }, names: { mqttPort: '--mqtt-port' } }
    const environment = { MQTIDE_HTTP_DURABILITY: 'none' }
    expect(failure({ file: path, environment, flags }).split('\n')).toEqual([
      expect.stringMatching(/^--mqtt-port: mqttPort: stands for a default listener/),
      expect.stringMatching(/^gateway\.yaml:3:1: httpPort: stands for/),
      expect.stringMatching(/^MQTIDE_HTTP_DURABILITY: httpDurability: stands for/),
    ])
  })

  test('a mistake in one option does not hide those in others, nor one in the text the next', () => {
    const text = 'limits: 5\nmqttPort: 8083\nlisteners: no\n'
    expect(failure({ file: file(text) }).split('\n')).toEqual([
      expect.stringMatching(/^gateway\.yaml:3:1: listeners: /),
      expect.stringMatching(/^gateway\.yaml:1:1: limits: /),
      expect.stringMatching(/^gateway\.yaml:2:1: mqttPort: 8083 is httpPort's too/),
    ])
    expect(failure({ file: file('host: a\nhost: b\nmqttPort: 1\nmqttPort: 2\n') }).split('\n')).toHaveLength(2)
  })
})
