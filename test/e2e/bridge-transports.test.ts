/** Bridges over TLS and WebSocket, with certificates of both sides. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'

type BridgeOptions = NonNullable<GatewayOptions['bridges']>[string]
const topics: BridgeOptions['topics'] = [{ filter: 'plant/#', direction: 'out', qos: 1 }]
const bridged = (bridge: Omit<BridgeOptions, 'topics'>): Promise<Gateway> =>
  startGateway({ bridges: { cloud: { topics, reconnectMs: 20, reconnectMaxMs: 100, ...bridge } } })

async function crosses(local: Gateway, remote: Gateway): Promise<void> {
  await eventually(() => local.bridges[0]!.state).toBe('connected')
  const messages = remote.subscribe('plant/#')
  await local.publish({ topic: 'plant/a', payload: 'crossed', qos: 1 })
  const { value } = await messages.next()
  expect(Buffer.from(value!.payload).toString()).toBe('crossed')
}

describe.each([4, 5] as const)('at protocol level %i', (protocolVersion) => {
  test('a bridge goes over WebSocket', async () => {
    const remote = await startGateway()
    const url = `ws://127.0.0.1:${remote.addresses.http!.port}/mqtt`
    await crosses(await bridged({ url, protocolVersion }), remote)
  })
})

test('a password is read from its file at each connection', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-bridge-'))
  try {
    const passwordFile = join(folder, 'password')
    writeFileSync(passwordFile, 'wrong\n')
    const reasonCode = (password: Uint8Array | undefined) => (`${Buffer.from(password ?? [])}` === 'right' ? 0 : 0x86)
    const authenticator = {
      authenticate: ({ password }: { password?: Uint8Array | undefined }) => ({ reasonCode: reasonCode(password) }),
    }
    const remote = await startGateway({ authenticator })
    const url = `mqtt://127.0.0.1:${remote.addresses.mqtt!.port}`
    const local = await bridged({ url, username: 'plant', passwordFile })
    await eventually(() => local.bridges[0]!.lastFailure?.reason).toBe('bad_user_name_or_password')
    writeFileSync(passwordFile, 'right\n')
    await crosses(local, remote)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

describePeer('TLS', ['openssl'], ({ openssl }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  afterAll(() => authority[Symbol.dispose]())
  const server = authority?.issue({ commonName: 'localhost', names: ['DNS:localhost', 'IP:127.0.0.1'] }, 'server')
  const plant = authority?.issue({ commonName: 'plant' }, 'plant')
  const ca = authority?.ca

  async function serve(kind: 'tls' | 'wss', more: object = {}): Promise<{ remote: Gateway; port: number }> {
    const listeners = [{ kind, port: 0, ...server, ...more }] as NonNullable<GatewayOptions['listeners']>
    const remote = await startGateway({ mqttPort: undefined, httpPort: undefined, listeners })
    return { remote, port: remote.listeners[0]!.port }
  }

  test.each([
    ['mqtts', 'tls'],
    ['wss', 'wss'],
  ] as const)('carries a bridge of %s, each side with its certificate', async (scheme, kind) => {
    const { remote, port } = await serve(kind, { ca, clientCertificate: 'require' })
    const path = kind === 'wss' ? '/mqtt' : ''
    await crosses(await bridged({ url: `${scheme}://localhost:${port}${path}`, tls: { ca, ...plant } }), remote)
  })

  test('keeps a bridge from a broker whose certificate is of nobody it trusts, unless it is told not to look', async () => {
    const { remote, port } = await serve('tls')
    const url = `mqtts://localhost:${port}`
    const local = await bridged({ url })
    await eventually(() => local.bridges[0]!.lastFailure?.text).toMatch(/certificate/)
    await crosses(await bridged({ url, tls: { verify: false } }), remote)
  })

  test('says which file is not there', async () => {
    const local = await bridged({ url: 'mqtts://localhost:1', tls: { ca: '/nowhere/ca.pem' } })
    await eventually(() => local.bridges[0]!.lastFailure).toMatchObject({
      reason: 'file',
      text: expect.stringContaining('/nowhere/ca.pem'),
    })
    await connectClient(local)
  })
})
