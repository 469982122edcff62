import { expect, test } from 'vitest'
import { bridgesOf } from '../../src/config/bridges.ts'
import { optionsInForce } from '../../src/config/options-in-force.ts'
import { type GatewayOptions, parseGatewayOptions } from '../../src/config/schema.ts'

type Bridge = NonNullable<GatewayOptions['bridges']>[string]
const topics: Bridge['topics'] = [{ filter: 'plant/#', direction: 'out' }]
const good: Bridge = { url: 'mqtt://cloud.example', topics }

function faults(bridge: unknown): string {
  try {
    parseGatewayOptions({ bridges: { cloud: bridge as Bridge } })
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

test('bridges of every namespace are found, with their defaults', () => {
  const config = parseGatewayOptions({ bridges: { a: good }, namespaces: { north: { bridges: { a: good } } } })
  expect(bridgesOf(config).map(({ namespace, name }) => [namespace, name])).toEqual([
    ['default', 'a'],
    ['north', 'a'],
  ])
  expect(bridgesOf(config)[0]).toMatchObject({ protocolVersion: 5, inflightMessagesMax: 1000, connections: 1 })
})

test('3.1.1, in which brokers do not say what they take, has a small window', () => {
  const [bridge] = bridgesOf(parseGatewayOptions({ bridges: { a: { ...good, protocolVersion: 4 } } }))
  expect(bridge).toMatchObject({ inflightMessagesMax: 20 })
})

test.each([
  ['an address of another kind', { url: 'http://cloud.example' }, 'bridges.cloud.url: expected an address such as'],
  ['a password in the address', { url: 'mqtt://me:secret@cloud' }, 'belong into username and password'],
  ['nothing to do', { topics: [] }, 'expected a topic at least'],
  ['a filter that is none', { topics: [{ filter: 'a#', direction: 'out' }] }, 'expected a topic filter'],
  ['a prefix with a wildcard', { topics: [{ ...topics[0]!, remotePrefix: '+/' }] }, 'without + and #'],
  ['addresses of ours', { topics: [{ filter: '$queue/a', direction: 'out' }] }, 'only those of $SYS'],
  ['$SYS without a prefix', { topics: [{ filter: '$SYS/#', direction: 'in' }] }, 'does not begin with $'],
  ['an exception that is none', { topics: [{ ...topics[0]!, except: ['a#'] }] }, 'except.0: expected a topic filter'],
  ['two passwords', { username: 'a', password: 'b', passwordFile: 'c' }, 'passwordFile: excludes password'],
  ['a password alone in 3.1.1', { protocolVersion: 4, password: 'b' }, 'username: missing'],
  ['a certificate without TLS', { tls: { cert: 'a', key: 'b' } }, 'tls.cert: belongs to an address'],
  ['a certificate without key', { url: 'mqtts://a', tls: { cert: 'a' } }, 'tls.key: missing'],
  ['waits the wrong way round', { reconnectMs: 5000, reconnectMaxMs: 100 }, 'reconnectMaxMs: expected at least'],
  ['an unknown option', { clientID: 'a' }, 'did you mean clientId?'],
  [
    'a loop that several connections of 3.1.1 can not see',
    { protocolVersion: 4, connections: 2, topics: [{ filter: 'a/#', direction: 'both' }] },
    'connections: expected 1',
  ],
])('%s is refused, and said why', (_, more, message) => {
  expect(faults({ ...good, ...more })).toContain(message)
})

test('passwords and keys in addresses are not shown', () => {
  const bridge = { ...good, url: 'wss://cloud.example/mqtt?key=hidden', username: 'me', password: 'hidden' }
  const shown = JSON.stringify(optionsInForce(parseGatewayOptions({ bridges: { cloud: bridge } }), () => undefined))
  expect(shown).toContain('wss://cloud.example/mqtt')
  expect(shown).not.toContain('hidden')
})
